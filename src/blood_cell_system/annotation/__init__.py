"""Annotations of any format in and out: one registry, one module a format."""
