"""Whole data sets: prepared folders, splits, checks, duplicates, cell folders, synthetic smears."""
