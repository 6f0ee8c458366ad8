"""From class probabilities and centre heat maps to single cells, and how well they match."""
