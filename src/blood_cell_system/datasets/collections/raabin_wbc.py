"""Raabin: one white cell in each image, with red cells around, of normal people but for basophils.

::

    raabin_wbc/
    ├── basophil/20190526_163414_0.jpg     575×575, Giemsa, photographed by phones on eyepieces
    ├── eosinophil/ lymphocyte/ monocyte/ neutrophil/
    └── manifest.csv

A group is a slide. All basophils come from one patient who is said to have leukaemia: their type is
known, whether they are healthy is not.

Source: Z. M. Kouzehkanan et al., *A large dataset of white blood cells containing cell locations
and types, along with segmented nuclei and cytoplasm*, Scientific Reports 12 (2022); Rasht and
Tehran. Licence: free with citation.
"""

from typing import Final

from blood_cell_system.datasets.collections.manifest import ManifestCollection

BASOPHIL: Final = "basophil"
TYPES: Final = (BASOPHIL, "eosinophil", "lymphocyte", "monocyte", "neutrophil")

RAABIN_WBC: Final = ManifestCollection(
    folder="raabin_wbc",
    source="raabin",
    licence="free with citation (Kouzehkanan et al. 2022)",
    labels=TYPES,
    red_cell_diameter_px=dict.fromkeys(TYPES, 122.0),
)
