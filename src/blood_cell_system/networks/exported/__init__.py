"""Formats that models are exported to, a file each; ``networks/export_registry.py`` finds them."""
