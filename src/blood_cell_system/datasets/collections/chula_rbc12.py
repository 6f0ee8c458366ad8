"""Chula's red cells: fields with the centres and shapes of cells, and fields of five anaemias.

::

    chula_rbc12/
    ├── field/10.jpg                640×480, red cells 38 px wide
    ├── HE/ HS/ Iron_deficiency_anemia/ Megaloblastic_anemia/ Thalassemia/     1280×960, 77 px
    ├── cells.csv                   a point for each labelled cell of field/
    └── manifest.csv

Not every cell is labelled. Nearly all elliptocytes come from one whitish slide (group
``he_slide``), and how many slides the rest has is unknown: a block is a run of five names, so that
shapes can be measured at all, and figures within this collection are not those of a new slide.

Source: K. Naruenatthanaset et al., *Red blood cell segmentation with overlapping cell separation
and classification on imbalanced dataset*, 2020; Chulalongkorn University, Bangkok. Licence: MIT.
"""

from types import MappingProxyType
from typing import Final

from blood_cell_system.datasets.collections.manifest import ManifestCollection

FIELD: Final = "field"
ANAEMIAS: Final = (
    "HE",
    "HS",
    "Iron_deficiency_anemia",
    "Megaloblastic_anemia",
    "Thalassemia",
)
UNCATEGORISED: Final = "uncategorised"
SHAPES: Final = MappingProxyType(
    {
        "normal": "normal",
        "macrocyte": "macrocyte",
        "microcyte": "microcyte",
        "spherocyte": "spherocyte",
        "target": "target",
        "stomatocyte": "stomatocyte",
        "ovalocyte": "ovalocyte",
        "teardrop": "teardrop",
        "burr": "burr",
        "schistocyte": "schistocyte",
        "hypochromia": "hypochromic",
        "elliptocyte": "elliptocyte",
    }
)
"""Subtype by the label of a cell."""

CHULA_RBC12: Final = ManifestCollection(
    folder="chula_rbc12",
    source="chula_rbc12",
    licence="MIT",
    labels=(FIELD, *ANAEMIAS),
    cell_labels=(*SHAPES, UNCATEGORISED),
    red_cell_diameter_px={FIELD: 38.0} | dict.fromkeys(ANAEMIAS, 77.0),
    block_size=5,
)
