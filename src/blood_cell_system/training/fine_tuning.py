"""Training on from a model that is there already, with 5 to 50 images of one's own.

So few images cannot teach a network anew, but they can make it forget. Hence: the first levels of
the network, which see edges and colours, and all statistics of its normalisations stay as they are;
the rate is a quarter of that of a new training; there are few steps; the images are brought to
the size of cells that the network knows; and the weights that get used lie between those of the
beginning and those that were learned. Without the last, a network that saw ten images without a
white cell found none in 15 images of BCCD, where it had found all 15; with it, it found all of
them, and was hardly worse on the new images.
"""

import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.errors import (
    CheckpointError,
    MissingDataError,
    is_memory_full,
    system_words,
    value_words,
)
from blood_cell_system.model_metadata import (
    TRAINING_DIAMETER_PX,
    Architecture,
    ModelMetadata,
    check_archive_size,
    metadata_in_archive,
)
from blood_cell_system.networks.architectures import of_config, segmenter_named
from blood_cell_system.taxonomy import BUILT_IN, RBC, WBC, Taxonomy
from blood_cell_system.training.presets import (
    FINE_TUNING,
    FINE_TUNING_ALWAYS,
    SegmentationSettings,
)

_LARGEST_MAGNIFICATION: Final = 2.0
"""Enlargement from which images lack detail that the model knows."""

_FAMILIAR_SHIFT: Final = 1.0
"""Standard deviations by which the first features may be off on average: 0.2 to 0.5 for images of
a stain that was learned."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StartingPoint:
    """A trained segmenter, to go on from.

    Parameters
    ----------
    sha256 : str
        Of the file.
    cell_diameter_px : float
        Diameter of red cells in the images that it learned from.
    data : str
        Sources that it learned from.
    """

    path: Path
    sha256: str
    model: keras.Model
    architecture: Architecture
    cell_diameter_px: float
    taxonomy: Taxonomy = BUILT_IN
    data: str = ""

    @property
    def config(self) -> Any:
        """Config of the architecture."""
        registered = segmenter_named(self.architecture.name)
        return registered.configured(None, **self.architecture.arguments)


def open_trained(path: Path) -> tuple[keras.Model, ModelMetadata | None]:
    """Open a ``.keras`` file that is to be trained on, with its metadata.

    Raises
    ------
    MissingDataError
        There is no such file.
    CheckpointError
        The file is damaged, or an ``.onnx`` file.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingDataError(
            f"{path}: there is no such model. Give --init-from a .keras file that a training "
            "wrote, or the word bundled."
        )
    if path.suffix != ".keras":
        raise CheckpointError(
            f"{path}: {path.suffix or 'a file without an ending'} cannot be trained on; expected "
            "the .keras file that the training wrote beside it."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            check_archive_size(archive, path)
        model = keras.models.load_model(path, compile=False)
        with zipfile.ZipFile(path) as archive:
            return model, metadata_in_archive(archive)
    except Exception as error:
        if isinstance(error, CheckpointError):
            raise
        if is_memory_full(error):
            raise MemoryError from error
        if isinstance(error, PermissionError):
            raise CheckpointError(f"{path}: cannot be read: {system_words(error)}") from error
        # Keras raises nearly everything here, by what is wrong with the file.
        raise CheckpointError(
            f"{path}: Keras cannot open this model ({value_words(error)}). Expected a "
            "whole .keras file; copy it again."
        ) from error


def load_starting_point(path: Path) -> StartingPoint:
    """Open a trained segmenter.

    Parameters
    ----------
    path : Path
        A ``.keras`` file that a training of this program wrote.

    Raises
    ------
    MissingDataError
        There is no such file.
    CheckpointError
        The file is damaged, an ``.onnx`` file, or a model of another architecture.
    """
    path = Path(path)
    model, metadata = open_trained(path)
    if metadata is None or metadata.architecture is None or metadata.kind != "segmenter":
        raise CheckpointError(
            f"{path}: a Keras model, but no segmenter of this program (its metadata name no "
            "architecture). It can be used with test, analyze and evaluate; only what this program "
            "trained can be trained on. Leave out --init-from."
        )
    start = StartingPoint(
        path=path,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        model=model,
        architecture=metadata.architecture,
        cell_diameter_px=metadata.training_diameter_px or TRAINING_DIAMETER_PX,
        taxonomy=metadata.taxonomy or BUILT_IN,
        data=metadata.data,
    )
    untrained = of_config(start.config).build(start.config)
    expected = [tuple(weight.shape) for weight in untrained.weights]
    if [tuple(weight.shape) for weight in model.weights] != expected:
        raise CheckpointError(
            f"{path}: its weights do not fit the segmenter of this version; expected a model that "
            "this version trained. Train anew, without --init-from."
        )
    return start


def fine_tuning_settings(
    start: StartingPoint, base: SegmentationSettings | None = None
) -> SegmentationSettings:
    """Give the settings of a training that goes on from a model.

    Parameters
    ----------
    start : StartingPoint
        Its architecture and the size of its cells are kept.
    base : SegmentationSettings, optional
        Of a preset: its numbers of epochs and crops are taken.
    """
    settings = FINE_TUNING
    if base is not None:
        settings = replace(
            base, **{name: getattr(FINE_TUNING, name) for name in FINE_TUNING_ALWAYS}
        )
    names = {entry.name for entry in fields(SegmentationSettings)}
    arguments = {entry.name: getattr(start.config, entry.name) for entry in fields(start.config)}
    shared: dict[str, Any] = {name: value for name, value in arguments.items() if name in names}
    return replace(
        settings,
        architecture=start.architecture.name,
        architecture_arguments={k: v for k, v in arguments.items() if k not in names},
        cell_diameter_px=start.cell_diameter_px,
        **shared,
    )


def freeze(model: keras.Model, settings: SegmentationSettings) -> None:
    """Keep what fine-tuning does not change: the first levels, and statistics.

    A normalisation that is kept uses its statistics, not those of the batch.
    """
    kept = tuple(f"down_{level}_" for level in range(settings.frozen_levels))
    for layer in model.layers:
        is_norm = isinstance(layer, keras.layers.BatchNormalization)
        if layer.name.startswith(kept) or (settings.keeps_statistics and is_norm):
            layer.trainable = False


def first_feature_shift(model: keras.Model, images: Sequence[NDArray[np.uint8]]) -> float:
    """How unlike images are to those that a segmenter learned from, by its first features.

    A normalisation remembers mean and variance of its inputs over the training. Their distance to
    the means over these images shows another stain or light before anything is trained.

    Parameters
    ----------
    images : sequence of ndarray of shape (height, width, 3), dtype uint8

    Returns
    -------
    float
        Mean over the features, in standard deviations; 0 for a model without normalisations.
    """
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    if not norms:
        return 0.0
    norm = norms[0]
    features = keras.Model(model.input, norm.input)
    means = []
    for image in images:
        height, width = (side // 32 * 32 for side in image.shape[:2])
        pixels = image[None, :height, :width].astype(np.float32)
        means.append(np.asarray(features(pixels, training=False)).mean(axis=(0, 1, 2)))
    spread = np.sqrt(np.asarray(norm.moving_variance) + norm.epsilon)
    distance = np.abs(np.mean(means, axis=0) - np.asarray(norm.moving_mean)) / spread
    return float(distance.mean())


def unlikeness_warnings(
    start: StartingPoint,
    *,
    magnifications: Mapping[str, float | None],
    images: Sequence[NDArray[np.uint8]],
    cells: Sequence[tuple[Annotation, ...] | None],
) -> list[str]:
    """Say where new images are unlike what a model knows, and what helps.

    Parameters
    ----------
    magnifications : mapping of str to float or None
        By how much the images of a source are resampled; None where their labels show too few red
        cells to measure them.
    images : sequence of ndarray of shape (height, width, 3), dtype uint8
        Some of them, at the size of cells that the model knows.
    cells : sequence of tuple of Annotation, or None
        Of all of them.

    Returns
    -------
    list of str
        Empty when nothing is unusual.
    """
    warnings = []
    for source, magnification in magnifications.items():
        if magnification is None:
            warnings.append(
                f"{source}: the labels show too few whole red cells to measure their size, and the "
                f"model knows cells of {start.cell_diameter_px:.0f} px. Label red cells in a "
                "image or two, or resample the images (bloodcells combine "
                f"--source-diameter {source}=PX)."
            )
        elif magnification > _LARGEST_MAGNIFICATION:
            warnings.append(
                f"{source}: red cells are {start.cell_diameter_px / magnification:.0f} px wide and "
                f"are enlarged {magnification:.1f} times. Images of a higher magnification would "
                "show what these do not."
            )
    if images and (shift := first_feature_shift(start.model, images)) > _FAMILIAR_SHIFT:
        warnings.append(
            f"Stain or light are unlike what the model learned from ({shift:.1f} standard "
            "deviations off). Use 20 images or more and --epochs 30, or train on your images "
            "together with others (bloodcells combine)."
        )
    types = {cell.cell_type for boxes in cells for cell in boxes or ()}
    for cell_type in (RBC, WBC):
        if any(boxes is not None for boxes in cells) and cell_type not in types:
            warnings.append(
                f"No {cell_type} is labelled in these images: the model may forget it. Add a few "
                "images that show some, or combine them with a set that does ("
                "bloodcells combine)."
            )
    return warnings


def start_details(start: StartingPoint) -> dict[str, Any]:
    """Describe, for ``run.json``, where a training came from."""
    return {"init_from": {"file": start.path.name, "sha256": start.sha256}}
