"""C-NMC: lymphoblasts of leukaemia and normal lymphoid cells, cut out on black.

::

    cnmc_sbilab/
    ├── all/UID_1_10_1_all.jpg          450×450, a cell on black
    ├── hem/UID_H11_10_1_hem.jpg
    └── manifest.csv

A group is a subject, and has cells of one class only: eight subjects, so that figures need wide
intervals. The black is no sign of the disease, and red cells are not seen.

Source: A. Gupta, R. Gupta, *ALL challenge dataset of ISBI 2019*, The Cancer Imaging Archive;
SBILab, New Delhi. Licence: CC BY 3.0.
"""

from typing import Final

from blood_cell_system.datasets.collections.manifest import ManifestCollection

BLAST: Final = "all"
NORMAL: Final = "hem"

CNMC_SBILAB: Final = ManifestCollection(
    folder="cnmc_sbilab",
    source="cnmc",
    licence="CC BY 3.0 (Gupta and Gupta 2019)",
    labels=(BLAST, NORMAL),
    red_cell_diameter_px={},
)
