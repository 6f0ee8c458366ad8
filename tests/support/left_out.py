"""Answers about sources that a classifier has not seen, made up."""

import numpy as np

from blood_cell_system.analysis.left_out_scores import LeftOutSource
from blood_cell_system.analysis.trained_models import ClassifierOutputs
from blood_cell_system.datasets.cell_folder import CellRecord
from blood_cell_system.model_metadata import ClassifierKind, ModelMetadata

WBC = ClassifierKind("WBC")
METADATA = ModelMetadata.of_classifier(
    WBC,
    in_distribution_threshold=0.5,
    condition_thresholds={"healthy_WBC": 0.3, "cancer_WBC": 0.3},
    subtype_thresholds=dict.fromkeys(WBC.types, 0.2),
)
LEARNED = frozenset((*WBC.conditions, *WBC.types))


def left_out(
    source,
    conditions,
    *,
    types=None,
    cancer=None,
    known=None,
    outliers=0,
    learned=LEARNED,
    border=None,
    per_block=2,
    seed=0,
):
    """Cells of these conditions, with the probability of cancer that the classifier gives each."""
    generator = np.random.default_rng(seed)
    count = len(conditions) + outliers
    types = [*(types or [None] * len(conditions)), *[None] * outliers]
    records = tuple(
        CellRecord(
            file=f"{source}/{number}.png",
            condition=[*conditions, *[None] * outliers][number],
            cell_type=types[number],
            is_outlier=number >= len(conditions),
            source=source,
            block=f"{source}/{number // per_block}",
            border_red=None if border is None else float(border[number]),
            image_width_px=100.0,
        )
        for number in range(count)
    )
    if cancer is None:
        cancer = [0.9 if name == "cancer_WBC" else 0.1 for name in conditions]
    cancer = np.array([*cancer, *[0.5] * outliers])
    shares = np.full((count, len(WBC.types)), 0.05)
    for row, name in enumerate(types):
        shares[row, WBC.types.index(name) if name else generator.integers(7)] = 0.7
    outputs = ClassifierOutputs(
        condition=np.column_stack([1 - cancer, cancer]).astype(np.float32),
        cell_type=shares.astype(np.float32),
        known=np.array(known if known is not None else [0.9] * len(conditions) + [0.1] * outliers),
    )
    return LeftOutSource(
        source=source, metadata=METADATA, records=records, outputs=outputs, learned=learned
    )
