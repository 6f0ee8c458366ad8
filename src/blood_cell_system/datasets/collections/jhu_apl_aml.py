"""Johns Hopkins: white cells of people with acute myeloid and promyelocytic leukaemia.

::

    jhu_apl_aml/
    ├── AML_BL/AML___BL_10442654_107.jpg      360×360, CellaVision, as PBC's normal cells
    ├── AML_LY/ AML_MO/ AML_PMO/ AML_SMU/ AML_SNE/ APL_BL/ APL_LY/ APL_PMY/ APL_SMU/ APL_SNE/
    └── manifest.csv

Blasts (BL), promyelocytes (PMY) and promonocytes (PMO) are the leukaemia's; lymphocytes (LY),
monocytes (MO) and segmented neutrophils (SNE) are normal cells of the same people. Some
lymphocytes are doubtful: one is an erythroblast, others may be blasts. Smudges (SMU) are none of
the classes.

Source: J. W. Sidhom et al., *Deep learning for diagnosis of acute promyelocytic leukemia via
recognition of genomically imprinted morphologic features*, npj Precision Oncology 5 (2021).
Licence: CC BY (figshare).
"""

from types import MappingProxyType
from typing import Final

from blood_cell_system.datasets.collections.manifest import ManifestCollection

LEUKAEMIC: Final = ("AML_BL", "AML_PMO", "APL_BL", "APL_PMY")
SMUDGES: Final = ("AML_SMU", "APL_SMU")
NORMAL: Final = MappingProxyType(
    {
        "AML_LY": "lymphocyte",
        "APL_LY": "lymphocyte",
        "AML_MO": "monocyte",
        "AML_SNE": "neutrophil",
        "APL_SNE": "neutrophil",
    }
)
"""Type by the class of the image."""

JHU_APL_AML: Final = ManifestCollection(
    folder="jhu_apl_aml",
    source="jhu",
    licence="CC BY (Sidhom et al. 2021)",
    labels=(*LEUKAEMIC, *NORMAL, *SMUDGES),
    red_cell_diameter_px=dict.fromkeys((*LEUKAEMIC, *NORMAL, *SMUDGES), 71.0),
)
