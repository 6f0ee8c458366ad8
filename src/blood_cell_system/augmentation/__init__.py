"""Augmentation, and batches for training."""
