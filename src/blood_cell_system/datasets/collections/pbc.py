"""PBC: one cell of peripheral blood in the middle of each image, the folder is its type.

::

    pbc_wbc_types/
    ├── neutrophil/BNE_115235.jpg      360×363, May-Grünwald-Giemsa, one scanner; names begin with
    ├── eosinophil/EO_103957.jpg       the type, in part with its subtype (BNE: band neutrophil)
    ├── basophil/ lymphocyte/ monocyte/ erythroblast/
    ├── ig/IG_102433.jpg               immature granulocyte
    └── platelet/PLATELET_104945.jpg

All are of people without infection, blood or cancer disease. Which image is whose is not known;
numbers run on over people, so that a block is a run of ten names of a type.

Source: Acevedo, Merino, Alférez et al., *A dataset of microscopic peripheral blood cell images for
development of automatic recognition systems*, Data in Brief 30 (2020). Licence: CC BY 4.0.
"""

from pathlib import Path
from types import MappingProxyType
from typing import Final

from blood_cell_system.datasets.cell_fields import FieldReading
from blood_cell_system.datasets.collections.class_folders import read_labelled_folders

OUTLIER_FOLDER: Final = "platelet"
TYPE_OF_FOLDER: Final = MappingProxyType(
    {
        "neutrophil": "neutrophil",
        "eosinophil": "eosinophil",
        "basophil": "basophil",
        "lymphocyte": "lymphocyte",
        "monocyte": "monocyte",
        "ig": "immature_granulocyte",
        "erythroblast": "erythroblast",
    }
)
"""Type of a white cell by the folder of its image."""

BLOCK_SIZE: Final = 10  # Images in a run of names that is taken for one slide.


def read_pbc(root: Path) -> FieldReading:
    """Read a PBC folder; raises as ``read_labelled_folders``."""
    return read_labelled_folders(
        root,
        source="pbc",
        licence="CC BY 4.0 (Acevedo et al. 2020)",
        labels=(*TYPE_OF_FOLDER, OUTLIER_FOLDER),
        block_size=BLOCK_SIZE,
    )
