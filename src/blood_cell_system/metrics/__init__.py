"""Figures of merit: confusion, matching, calibration, bootstrap."""
