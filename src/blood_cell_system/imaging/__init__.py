"""Images of any kind opened, masks encoded, overlays and contact sheets drawn."""
