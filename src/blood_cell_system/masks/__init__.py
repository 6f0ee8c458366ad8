"""Annotations and stain to class masks."""
