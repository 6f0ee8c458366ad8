"""NIH malaria: red cells cut out on black, and some of them with their surround.

::

    nih_cells/
    ├── malaria/C100P61ThinF_IMG_20150918_145042_cell_162.png    about 130 px, a cell on black
    ├── healthy/
    └── manifest.csv
    nih_in_field/
    ├── malaria/C39P4thinF_original_IMG_20150622_105803_cell_100.jpg     240×240
    ├── healthy/
    ├── cells.csv                   a box for each image
    └── manifest.csv

A group is a patient; both folders are of one laboratory, and share patients. Some labels are known
to be wrong. The black is no sign of the disease.

Source: S. Rajaraman et al., *Pre-trained convolutional neural networks as feature extractors toward
improved malaria parasite detection in thin blood smear images*, PeerJ 6 (2018); Chittagong.
Licence: public, with citation.
"""

from typing import Final

from blood_cell_system.datasets.collections.manifest import ManifestCollection

MALARIA: Final = "malaria"
HEALTHY: Final = "healthy"

NIH_CELLS: Final = ManifestCollection(
    folder="nih_cells",
    source="nih",
    licence="public (Rajaraman et al. 2018)",
    labels=(MALARIA, HEALTHY),
    red_cell_diameter_px={MALARIA: 129.0, HEALTHY: 129.0},
)
NIH_IN_FIELD: Final = ManifestCollection(
    folder="nih_in_field",
    source="nih",
    licence="public (Rajaraman et al. 2018)",
    labels=(MALARIA, HEALTHY),
    cell_labels=(MALARIA, HEALTHY),
    red_cell_diameter_px={MALARIA: 129.0, HEALTHY: 129.0},
)
