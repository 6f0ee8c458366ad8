"""Folders of a few drawn cells, which a very small network tells apart within seconds."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from support.stopped_training import train_as_told

from blood_cell_system.annotation.splits import Split
from blood_cell_system.datasets.cell_folder import CellFolder, CellRecord, write_cells_csv
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.model_metadata import ClassifierKind
from blood_cell_system.training.classifier import train_classifier
from blood_cell_system.training.presets import CLASSIFIER_PRESETS
from blood_cell_system.training.state import TrainingState, classifier_files

# Colours of the classes' dots; the source tints the whole cell.
_DOTS = {
    "healthy_RBC": None,
    "malaria_RBC": (70, 40, 160),
    "sickle_RBC": (40, 140, 60),
    "healthy_WBC": None,
    "cancer_WBC": (170, 30, 40),
    "neutrophil": (60, 60, 200),
    "lymphocyte": (200, 60, 60),
    "not_a_cell": (20, 20, 20),
}
_TINTS = {"one": (225, 170, 175), "two": (180, 190, 225)}

TINY = replace(
    CLASSIFIER_PRESETS["fast"],
    epochs=3,
    batch_size=8,
    cells_per_epoch=24,
    widths=(4, 6, 8, 8),
    blocks=(0, 0, 1, 0),
    d_reduced=4,
    learning_rate=1e-2,
    seed=7,
)


def drawn_cell(label, source, generator):
    """Cell image with a dot of its class's colour; half a cell where it is none."""
    image = np.full((130, 130, 4), (255, 255, 255, 0), np.uint8)
    axes = (50, int(generator.integers(30, 50)))
    colour = np.clip(np.add(_TINTS[source], generator.integers(-10, 11, 3)), 0, 255).tolist()
    cv2.ellipse(image, (65, 65), axes, 0, 0, 180 if label == "not_a_cell" else 360, 1, -1)
    image[image[..., 0] == 1] = (*colour, 255)
    if _DOTS[label]:
        x, y = (int(v) for v in generator.integers(50, 80, 2))
        cv2.circle(image, (x, y), 16, (*_DOTS[label], 255), -1)
    return image


def small_cell_folder(
    root: Path,
    *,
    per_class: int = 8,
    labels=("healthy_RBC", "malaria_RBC", "not_a_cell"),
    sources=("one", "two"),
    seed: int = 0,
) -> CellFolder:
    """Write and open a folder; a quarter of each class is for validation, a quarter for testing."""
    generator = np.random.default_rng(seed)
    splits = (Split.TRAIN, Split.VAL, Split.TRAIN, Split.TEST)
    kind = ClassifierKind("WBC") if "healthy_WBC" in labels else ClassifierKind("RBC")
    records = []
    for label in labels:
        for source in sources:
            for number in range(per_class):
                name = f"{label}/{source}-{number}.png"
                write_image(root / name, drawn_cell(label, source, generator))
                is_type = label in kind.types
                split = splits[number % 4]
                records.append(
                    CellRecord(
                        file=name,
                        condition=None
                        if label == "not_a_cell"
                        else kind.conditions[0]
                        if is_type
                        else label,
                        cell_type=label if is_type else None,
                        is_outlier=label == "not_a_cell",
                        source=source,
                        field=f"field-{number}",
                        block=f"{source}-{split}",
                        split=split,
                    )
                )
    write_cells_csv(root, records)
    return CellFolder.open(root, kind=kind)


def train_tiny(cells: Path, target: Path, *, resume=False, listener=None, settings=TINY):
    """Train in ``target``, or go on there."""
    kind = ClassifierKind("RBC")
    state = target / classifier_files(kind).state
    return train_classifier(
        CellFolder.open(cells, kind=kind),
        settings,
        output_dir=target,
        log_dir=target / "logs",
        resume=TrainingState.load(state) if resume else None,
        listener=listener,
        is_deterministic=True,
    )


if __name__ == "__main__":
    train_as_told(train_tiny)
