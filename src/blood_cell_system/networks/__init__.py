"""Architectures, layers, losses and export. The only room beside training that imports Keras."""
