"""Architectures, layers, losses and export. The only room beside training that imports Keras."""

import importlib.util

from blood_cell_system.quiet_import import import_tensorflow

if importlib.util.find_spec("tensorflow"):
    # All modules here import Keras, which would import TensorFlow with all its notes.
    import_tensorflow()
