"""ACRS: fields of acute promyelocytic leukaemia, in which no cell has a label.

::

    acrs_apml/
    ├── apml_field/data1_1.jpg          808×608
    └── manifest.csv

The label is the field's: nearly all white cells are blasts or promyelocytes, a few are mature. A
group is one of the two series of images. Their greenish cast is no sign of the disease.

Source: S. Tiwari et al., *ACRS leukaemia cell segmentation* (2022). Licence: none is stated; for
research only.
"""

from typing import Final

from blood_cell_system.datasets.collections.manifest import ManifestCollection

FIELD: Final = "apml_field"

ACRS_APML: Final = ManifestCollection(
    folder="acrs_apml",
    source="acrs",
    licence="none stated, research only",
    labels=(FIELD,),
    red_cell_diameter_px={FIELD: 49.0},
)
