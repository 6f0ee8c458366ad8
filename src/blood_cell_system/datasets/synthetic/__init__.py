"""Drawn smears whose truth is known to the pixel.

A smear is drawn as a microscope would see it: ``layout`` puts cells into the field,
``drawn_red_cells`` and ``drawn_white_cells`` say how much of which dye each of them holds,
``smear`` sends light through, and ``folder`` writes many of them.
"""

from blood_cell_system.datasets.synthetic.folder import FolderLayout, write_synthetic_folder
from blood_cell_system.datasets.synthetic.smear import DrawnSmear, draw_smear
from blood_cell_system.datasets.synthetic.smear_settings import MIXED, STAINS, SmearSettings

__all__ = [
    "MIXED",
    "STAINS",
    "DrawnSmear",
    "FolderLayout",
    "SmearSettings",
    "draw_smear",
    "write_synthetic_folder",
]
