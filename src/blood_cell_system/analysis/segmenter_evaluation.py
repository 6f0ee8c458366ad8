"""How good a segmenter is on images whose truth is known."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.analysis.scale import estimate_scale
from blood_cell_system.analysis.segmentation import (
    FoundCells,
    TileSettings,
    find_cells,
)
from blood_cell_system.analysis.trained_models import Runtime, training_diameter_of
from blood_cell_system.annotation.sample import Origin
from blood_cell_system.cells.separation import SeparationSettings
from blood_cell_system.datasets.prepared import PreparedImage
from blood_cell_system.errors import BloodCellError, DatasetError
from blood_cell_system.imaging.image_file import read_label_image
from blood_cell_system.metrics.confusion import ConfusionMatrix
from blood_cell_system.metrics.matching import (
    CellMatching,
    CellScores,
    TruthKind,
    add_up,
    compare_cells,
)
from blood_cell_system.seeding import generator_for
from blood_cell_system.taxonomy import NUM_CLASSES

_RESAMPLES: Final = 1000
"""Bootstrap samples of the interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """What was measured on one image.

    Parameters
    ----------
    cells : CellMatching or None
        None where the cells are not annotated.
    """

    stem: str
    confusion: ConfusionMatrix
    cells: CellMatching | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An image that could not be measured, and why."""

    stem: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """How good a model is on a set of images.

    Parameters
    ----------
    confusion : ConfusionMatrix
        Of all pixels of all images.
    mean_iou_interval : tuple of float or None
        95 % interval of the mean IoU, images resampled; None for a single image.
    cells : tuple of CellScores
        One for each kind of truth that the images have.
    """

    images: tuple[ImageRecord, ...]
    failures: tuple[Failure, ...]
    confusion: ConfusionMatrix
    mean_iou_interval: tuple[float, float] | None
    cells: tuple[CellScores, ...]

    def worst(self, count: int) -> tuple[ImageRecord, ...]:
        """Images of the lowest mean IoU, the worst first; those without a scored pixel last."""
        order = sorted(
            self.images, key=lambda record: np.nan_to_num(record.confusion.mean_iou, nan=2.0)
        )
        return tuple(order[:count])


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSettings:
    """How images are resampled and cut up, and cells separated, while measuring.

    Parameters
    ----------
    cell_diameters : mapping of str to float
        Diameter of a red cell in the images of a source, in pixels. They are resampled to the
        size that the network knows; images of another source are taken as they are.
    """

    cell_diameters: Mapping[str, float] = field(default_factory=dict)
    separation: SeparationSettings = field(default_factory=SeparationSettings)
    tiles: TileSettings = field(default_factory=TileSettings)


def evaluate(
    runtime: Runtime,
    images: Iterable[PreparedImage],
    *,
    training_images: Sequence[PreparedImage] = (),
    settings: EvaluationSettings | None = None,
    seed: int = 0,
) -> Evaluation:
    """Measure a model on images; one that cannot be read does not stop the others.

    Parameters
    ----------
    training_images : sequence of PreparedImage
        Images that the model learned from, for the constant answers of counting.
    seed : int
        Of the resampling for the interval.

    Raises
    ------
    DatasetError
        There is no image, or none could be measured.
    """
    settings = settings or EvaluationSettings()
    records: list[ImageRecord] = []
    failures: list[Failure] = []
    for image in images:
        try:
            records.append(evaluate_image(runtime, image, settings))
        except BloodCellError as error:
            failures.append(Failure(stem=image.stem, reason=str(error)))
    if not records:
        first = f" The first: {failures[0].reason}" if failures else ""
        raise DatasetError(
            f"No image could be measured, of {len(failures)}; expected one at least.{first}"
        )
    confusion = ConfusionMatrix()
    for record in records:
        confusion.merge(record.confusion)
    return Evaluation(
        images=tuple(records),
        failures=tuple(failures),
        confusion=confusion,
        mean_iou_interval=_interval([record.confusion for record in records], seed),
        cells=tuple(
            add_up(known, training_counts=_counts_by_type(training_images, known[0].matches))
            for kind in TruthKind
            if (known := [r.cells for r in records if r.cells and r.cells.truth == kind])
        ),
    )


def evaluate_image(
    runtime: Runtime, image: PreparedImage, settings: EvaluationSettings
) -> ImageRecord:
    """Measure a model on one image.

    Raises
    ------
    BloodCellError
        The image or its labels cannot be read, or do not fit together.
    """
    pixels, class_mask = image.read()
    found = cells_in(runtime, pixels, source=image.source, settings=settings)
    confusion = ConfusionMatrix()
    confusion.update(class_mask, found.class_mask)
    if image.cells is None:
        return ImageRecord(stem=image.stem, confusion=confusion, cells=None)
    labels = _exact_labels(image, class_mask.shape)
    # The size of a point is unknown; around it nothing is scored.
    known = [cell for cell in image.cells if cell.origin is not Origin.POINT]
    cells = compare_cells(found.cells, known, class_mask, labels)
    return ImageRecord(stem=image.stem, confusion=confusion, cells=cells)


def cells_in(
    runtime: Runtime, pixels: NDArray[np.uint8], *, source: str, settings: EvaluationSettings
) -> FoundCells:
    """Find the cells of an RGB image whose cells are as large as those of its source."""
    separation, magnification = settings.separation, 1.0
    training_diameter = training_diameter_of(runtime)
    if training_diameter is not None:
        separation = separation.for_diameter(training_diameter)
        scale = estimate_scale(
            None,
            cell_diameter_px=settings.cell_diameters.get(source),
            training_diameter_px=training_diameter,
        )
        magnification = scale.magnification_applied
    return find_cells(
        runtime,
        pixels,
        magnification=magnification,
        separation=separation,
        tiles=settings.tiles,
    )


def _exact_labels(image: PreparedImage, shape: tuple[int, ...]) -> NDArray[np.integer] | None:
    """Label image, where every outline in it is drawn truth; stain masks' labels are not."""
    cells = image.cells or ()
    if image.instance_path is None or any(cell.origin != Origin.DRAWN for cell in cells):
        return None
    labels = read_label_image(image.instance_path)
    if labels.shape != shape or labels.max(initial=0) > len(cells):
        raise DatasetError(
            f"{image.instance_path}: a label image of (height, width) {labels.shape} with labels "
            f"up to {labels.max(initial=0)}; expected {shape} and at most {len(cells)}, one for "
            "each cell of annotations.json. Make the folder again."
        )
    return labels


def _counts_by_type(images: Sequence[PreparedImage], types: Iterable[str]) -> dict[str, list[int]]:
    known = [image.cells for image in images if image.cells is not None and not image.is_augmented]
    return {
        cell_type: [sum(cell.cell_type == cell_type for cell in cells) for cells in known]
        for cell_type in types
    }


def _interval(matrices: Sequence[ConfusionMatrix], seed: int) -> tuple[float, float] | None:
    """Percentile bootstrap by image: pixels of one image are no independent evidence."""
    count = len(matrices)
    if count < 2:
        return None
    weights = generator_for(seed, "bootstrap").multinomial(
        count, np.full(count, 1 / count), size=_RESAMPLES
    )
    flat = np.stack([matrix.counts.ravel() for matrix in matrices])
    resampled = (weights @ flat).reshape(-1, NUM_CLASSES, NUM_CLASSES)
    means = np.array([ConfusionMatrix(counts).mean_iou for counts in resampled])
    means = means[~np.isnan(means)]
    if not len(means):
        return None
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
