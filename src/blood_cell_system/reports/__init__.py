"""Findings as text, JSON and pictures."""
