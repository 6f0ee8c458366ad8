"""SigTuple: a normal white cell in each image, of no stated type, and small fields.

::

    sigtuple_wbc/
    ├── wbc/tr_train-98.jpg             128×128, one white cell and red cells around it
    ├── field/te_017532875DDF.jpg       400 to 800 px wide
    ├── mask_wbc/ mask_field/           drawn by hand, in blocks of 3 px
    └── manifest.csv

People are unknown: a block is a run of ten names.

Source: SigTuple, *WBC segmentation* (HackerEarth), India. Licence: none is stated; for research
only.
"""

from typing import Final

from blood_cell_system.datasets.collections.manifest import ManifestCollection

WBC_IMAGE: Final = "wbc"
FIELD: Final = "field"

SIGTUPLE_WBC: Final = ManifestCollection(
    folder="sigtuple_wbc",
    source="sigtuple",
    licence="none stated, research only",
    labels=(WBC_IMAGE, FIELD),
    other_labels=("mask_wbc", "mask_field"),
    red_cell_diameter_px={WBC_IMAGE: 32.0, FIELD: 32.0},
    block_size=10,
)
