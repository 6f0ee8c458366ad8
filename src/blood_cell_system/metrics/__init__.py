"""Figures of merit: confusion, matching, calibration, intervals."""
