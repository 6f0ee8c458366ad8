"""Networks, their layers, losses and metrics."""
