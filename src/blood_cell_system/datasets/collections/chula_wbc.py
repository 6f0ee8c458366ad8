"""Chula's white cells: crops of videos with a box around the cell, dim, vignetted and blurred.

::

    chula_wbc/
    ├── basophil/B-30_0047_0.jpg      about 340×340, a phone on an eyepiece
    ├── eosinophil/ lymphocyte/ monocyte/ neutrophil/
    ├── cells.csv                     a box for each image
    └── manifest.csv

A group is a video, and shows few types: a split by image would let a network recognise the video.

Source: S. Bekti, *WBC dataset*, Chulalongkorn University, Bangkok. Licence: MIT.
"""

from typing import Final

from blood_cell_system.datasets.collections.manifest import ManifestCollection

TYPES: Final = ("basophil", "eosinophil", "lymphocyte", "monocyte", "neutrophil")

CHULA_WBC: Final = ManifestCollection(
    folder="chula_wbc",
    source="chula_wbc",
    licence="MIT",
    labels=TYPES,
    cell_labels=TYPES,
    red_cell_diameter_px=dict.fromkeys(TYPES, 74.0),
)
