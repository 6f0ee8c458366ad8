"""Where a model comes from when none is named."""

from importlib import resources
from pathlib import Path
from typing import Final

from blood_cell_system.classifier_facts import ClassifierKind
from blood_cell_system.errors import MissingDataError

SEGMENTER_NAMES: Final = (
    "segmentation_model.onnx",
    "segmentation_model.keras",
    "segmentation_model_best.keras",
)
"""File names of a segmenter, the first that is there taken: ONNX needs no TensorFlow."""


def segmenter_in(folder: Path) -> Path | None:
    """Find the segmenter of a folder, if there is one."""
    return next((path for name in SEGMENTER_NAMES if (path := folder / name).is_file()), None)


def bundled_segmenter() -> Path:
    """Find the segmenter that comes with this package.

    Raises
    ------
    MissingDataError
        None came with it.
    """
    folder = weights_folder()
    path = segmenter_in(folder)
    if path is None:
        raise MissingDataError(
            f"{folder}: no trained model comes with this version; expected one of "
            f"{', '.join(SEGMENTER_NAMES)}. Train one with train_segmentation.py train, then name "
            "it: --model checkpoints/segmentation_model_best.keras"
        )
    return path


def bundled_trainable_segmenter() -> Path:
    """Find the segmenter that comes with this package, in the form that can be trained on.

    Raises
    ------
    MissingDataError
        Only the form for analysing came with it, or none.
    """
    path = weights_folder() / "segmentation_model.keras"
    if not path.is_file():
        raise MissingDataError(
            f"{path}: the model that comes with this version can analyse pictures, but not be "
            "trained on; expected a .keras file. Name one of your own: --init-from "
            "checkpoints/segmentation_model_best.keras"
        )
    return path


def classifier_in(folder: Path, kind: ClassifierKind) -> Path | None:
    """Find the classifier of a folder, if there is one: ONNX first, as it needs no TensorFlow."""
    names = (f"{kind.file_stem}.onnx", f"{kind.file_stem}.keras")
    return next((path for name in names if (path := folder / name).is_file()), None)


def bundled_classifier(kind: ClassifierKind) -> Path | None:
    """Find the classifier that comes with this package, if there is one."""
    return classifier_in(weights_folder(), kind)


def weights_folder() -> Path:
    """Where the models are that come with this package."""
    return Path(str(resources.files("blood_cell_system"))) / "weights"
