"""Cells in, what each of them is: condition, type, and whether it is any of these at all.

1. Cut the image of each whole cell from the smear (``cells/cut_out.py``).
2. Run the classifier in batches, on one view of each cell or on all eight (quarter turns, flips).
3. Average the views, and hold each class against its calibrated threshold.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.analysis.image_analysis import ImageAnalysis
from blood_cell_system.analysis.runtimes import ClassifierOutputs, ClassifierRuntime
from blood_cell_system.cells.cut_out import cell_images
from blood_cell_system.cells.measures import visible_share
from blood_cell_system.errors import SettingsError
from blood_cell_system.model_metadata import CELL_SIDE_PX, ModelMetadata, on_white
from blood_cell_system.stain.slide_light import fit_slide_light
from blood_cell_system.taxonomy import RBC, WBC

VIEWS: Final = (1, 4, 8)

_NO_PROBABILITIES: Final[Mapping[str, float]] = MappingProxyType({})

_LEAST_VISIBLE: Final = 0.75
_USUAL_VIEWS: Final[Mapping[str, int]] = MappingProxyType({RBC: 1, WBC: 4})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassificationSettings:
    """How cells are classified.

    Parameters
    ----------
    views : int, optional
        1: each cell as it lies. 4: the mean over its quarter turns. 8: over those of its mirror
        image as well. The answer then does not depend on how the cell lies, for as many times the
        work. By default 1 for red cells, of which there are many, and 4 for white cells, which
        gain more.
    batch_size : int
        Images that the network sees at once.

    Raises
    ------
    SettingsError
        ``views`` is none of 1, 4 and 8, or ``batch_size`` is not positive.
    """

    views: int | None = None
    batch_size: int = 64

    def __post_init__(self) -> None:
        if self.views is not None and self.views not in VIEWS:
            raise SettingsError(f"views: received {self.views}; expected 1, 4 or 8.")
        if self.batch_size < 1:
            raise SettingsError(f"batch_size: received {self.batch_size}; expected 1 or more.")

    def views_for(self, classifier: ClassifierRuntime) -> int:
        """Say on how many views a classifier's answer rests."""
        if self.views is not None:
            return self.views
        height, width = classifier.input_side
        return _USUAL_VIEWS.get(classifier.metadata.cell_type, 1) if height == width else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CellClassification:
    """What a classifier says of one cell.

    Parameters
    ----------
    condition : str
        The most likely one.
    probabilities : mapping of str to float
        By condition; they add up to 1.
    cell_type : str or None
        The most likely type; None where the classifier knows no types.
    type_probabilities : mapping of str to float
        By type; empty where the classifier knows no types.
    known : float or None
        0 to 1: whether the cell is any of the classes; None where the classifier does not say.
    is_known : bool
        False for what is none of the classes, such as a platelet or a smudge.
    possible_conditions, possible_types : tuple of str
        Conformal sets: what the cell may be. One name is an answer, several or none say "not sure".
        Without calibration, the most likely name alone.
    """

    condition: str
    probabilities: Mapping[str, float]
    cell_type: str | None = None
    type_probabilities: Mapping[str, float] = field(default_factory=lambda: _NO_PROBABILITIES)
    known: float | None = None
    is_known: bool = True
    possible_conditions: tuple[str, ...] = ()
    possible_types: tuple[str, ...] = ()

    @property
    def confidence(self) -> float:
        """Probability of the condition."""
        return self.probabilities[self.condition]

    @property
    def margin(self) -> float:
        """By how much the condition is likelier than the next."""
        first, second, *_ = sorted(self.probabilities.values(), reverse=True)
        return first - second


def classify_images(
    classifier: ClassifierRuntime,
    images: Iterable[NDArray[np.uint8]],
    settings: ClassificationSettings | None = None,
) -> Iterator[CellClassification]:
    """Classify cell images, as many at once as the settings say.

    Parameters
    ----------
    classifier : ClassifierRuntime
    images : iterable of ndarray of shape (130, 130, 4), dtype uint8
        RGBA; see ``cell_image_format``.
    settings : ClassificationSettings, optional

    Yields
    ------
    CellClassification
        In the order of the images.

    Raises
    ------
    CheckpointError
        The network fails.
    """
    settings = settings or ClassificationSettings()
    views = settings.views_for(classifier)
    waiting: list[NDArray[np.uint8]] = []
    for image in images:
        waiting.append(image)
        if len(waiting) == settings.batch_size:
            yield from _classify_batch(classifier, waiting, views)
            waiting = []
    if waiting:
        yield from _classify_batch(classifier, waiting, views)


def classify_analysis(
    analysis: ImageAnalysis,
    classifiers: Sequence[ClassifierRuntime],
    settings: ClassificationSettings | None = None,
) -> dict[int, CellClassification]:
    """Classify the cells of an analysed image.

    Cells that the border cuts off or that others cover by more than a quarter are left out: what is
    missing may be what tells, and a crescent that looks out from under a cell is no sickle.

    Parameters
    ----------
    analysis : ImageAnalysis
    classifiers : sequence of ClassifierRuntime
        One of red cells, one of white cells, or either; none costs nothing.
    settings : ClassificationSettings, optional

    Returns
    -------
    dict of int to CellClassification
        By label of the cell; cells that were not classified are not in it.

    Raises
    ------
    CheckpointError
        A network fails.
    """
    found: dict[int, CellClassification] = {}
    light = None
    cells = analysis.cells
    for classifier in classifiers:
        is_whole_cell = ~cells["touches_border"] & (visible_share(cells) >= _LEAST_VISIBLE)
        labels = cells.ids[cells.is_type(classifier.metadata.cell_type) & is_whole_cell].tolist()
        if not labels:
            continue
        if light is None:
            is_whole = bool(analysis.field_mask.all())
            light = fit_slide_light(analysis.image, field=None if is_whole else analysis.field_mask)
        images = cell_images(
            analysis.image,
            cells.label_image,
            [(label, cells["box"][label - 1].tolist()) for label in labels],
            light=light,
        )
        # A cell of a few pixels has no image.
        shown = [
            (label, image) for label, image in zip(labels, images, strict=True) if image is not None
        ]
        results = classify_images(classifier, (image for _, image in shown), settings)
        found |= zip((label for label, _ in shown), results, strict=True)
    return found


def turned_views(batch: NDArray[np.float32], count: int) -> Iterator[NDArray[np.float32]]:
    """Give the quarter turns of a batch of images, and those of its mirror images.

    Parameters
    ----------
    batch : ndarray of shape (batch, side, side, channels), dtype float32
    count : int
        1 to 8; the mirror images come last.

    Yields
    ------
    ndarray of shape (batch, side, side, channels), dtype float32
        Contiguous; the first is the batch itself.
    """
    for view in range(count):
        images = batch if view < 4 else batch[:, :, ::-1]
        yield np.ascontiguousarray(np.rot90(images, view % 4, axes=(1, 2)))


def _classify_batch(
    classifier: ClassifierRuntime, images: list[NDArray[np.uint8]], views: int
) -> Iterator[CellClassification]:
    height, width = classifier.input_side
    composed = [on_white(image) for image in images]
    if (height, width) != (CELL_SIDE_PX, CELL_SIDE_PX):
        kind = cv2.INTER_AREA if max(height, width) < CELL_SIDE_PX else cv2.INTER_LINEAR
        composed = [cv2.resize(one, (width, height), interpolation=kind) for one in composed]
    batch = np.stack(composed).astype(np.float32)
    if views == 1:
        outputs = classifier.predict(batch)
    elif height == width:
        outputs = _mean([classifier.predict(view) for view in turned_views(batch, views)])
    else:
        raise SettingsError(
            f"views: received {views}, but the classifier takes images of {width}×{height}, "
            "which cannot be turned; expected 1."
        )
    for row in range(len(images)):
        yield _judged(outputs, row, classifier.metadata)


def _mean(views: Sequence[ClassifierOutputs]) -> ClassifierOutputs:
    types = [view.cell_type for view in views if view.cell_type is not None]
    known = [view.known for view in views if view.known is not None]
    return ClassifierOutputs(
        condition=np.mean([view.condition for view in views], axis=0, dtype=np.float32),
        cell_type=np.mean(types, axis=0, dtype=np.float32) if types else None,
        known=np.mean(known, axis=0, dtype=np.float32) if known else None,
    )


def _judged(outputs: ClassifierOutputs, row: int, metadata: ModelMetadata) -> CellClassification:
    condition, probabilities = _most_likely(outputs.condition[row], metadata.conditions)
    cell_type: str | None = None
    type_probabilities = _NO_PROBABILITIES
    if outputs.cell_type is not None:
        cell_type, type_probabilities = _most_likely(outputs.cell_type[row], metadata.subtypes)
    known = None if outputs.known is None else float(outputs.known[row])
    return CellClassification(
        condition=condition,
        probabilities=probabilities,
        cell_type=cell_type,
        type_probabilities=type_probabilities,
        known=known,
        is_known=known is None
        or metadata.in_distribution_threshold is None
        or known >= metadata.in_distribution_threshold,
        possible_conditions=_possible(probabilities, metadata.condition_thresholds, condition),
        possible_types=()
        if cell_type is None
        else _possible(type_probabilities, metadata.subtype_thresholds, cell_type),
    )


def _most_likely(
    values: NDArray[np.float32], names: Sequence[str]
) -> tuple[str, Mapping[str, float]]:
    """Name of the largest value, the first of equal ones, and all values by name."""
    named = dict(zip(names, map(float, values), strict=True))
    return max(named, key=named.__getitem__), MappingProxyType(named)


def _possible(
    probabilities: Mapping[str, float], thresholds: Mapping[str, float], most_likely: str
) -> tuple[str, ...]:
    if not thresholds:
        return (most_likely,)
    return tuple(name for name, value in probabilities.items() if value >= thresholds[name])
