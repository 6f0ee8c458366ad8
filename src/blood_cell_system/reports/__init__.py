"""Findings as text, JSON and images."""
