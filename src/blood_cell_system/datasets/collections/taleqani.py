"""Taleqani: small fields of people with acute lymphoblastic leukaemia, and without.

::

    taleqani_all/
    ├── Benign/WBC-Benign-001.jpg              haematogones: no leukaemia, but no normal blood
    ├── Early/WBC-Malignant-Early-002.jpg      224 px wide, several cells, coloured by the kind of
    ├── Pre/WBC-Malignant-Pre-001.jpg          the disease as much as by the cells
    └── Pro/WBC-Malignant-Pro-002.jpg

The label is the field's: not every white cell of an ill person is a blast. Numbers run on over
people (25 without and 64 with leukaemia), so that a block is a run of twelve names of a folder.

Source: Ghaderzadeh, Aria, Hosseini et al., *A fast and efficient CNN model for B-ALL diagnosis and
its subtypes classification using peripheral blood smear images*, Int. J. Intelligent Systems 37
(2022); Taleqani hospital, Tehran. Licence: published on Kaggle for research.
"""

from pathlib import Path
from typing import Final

from blood_cell_system.datasets.cell_fields import FieldReading
from blood_cell_system.datasets.collections.class_folders import read_labelled_folders

BENIGN: Final = "Benign"
MALIGNANT: Final = ("Early", "Pre", "Pro")
BLOCK_SIZE: Final = 12  # Images in a run of names that is taken for one slide.


def read_taleqani(root: Path) -> FieldReading:
    """Read a Taleqani folder; raises as ``read_labelled_folders``."""
    return read_labelled_folders(
        root,
        source="taleqani",
        licence="Kaggle, for research",
        labels=(BENIGN, *MALIGNANT),
        block_size=BLOCK_SIZE,
    )
