"""Cells in, what each of them is: condition, type, and whether it is any of these at all.

1. Cut the image of each whole cell from the smear (``cells/cut_out.py``).
2. Run the classifier in batches, on one view of each cell or on all eight (quarter turns, flips);
   add what the form of the nucleus says (``cells/nucleus_terms.py``).
3. Average the views, and hold each class against its calibrated threshold.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import islice
from types import MappingProxyType
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.analysis.focus import MAX_CELL_EDGE, edge_widths
from blood_cell_system.analysis.image_analysis import ImageAnalysis
from blood_cell_system.analysis.marks import MARK_COVERS, mark_share
from blood_cell_system.analysis.trained_models import ClassifierOutputs, ClassifierRuntime
from blood_cell_system.cells.cut_out import cell_images
from blood_cell_system.cells.measures import covered_share
from blood_cell_system.cells.nucleus_terms import log_odds, nucleus_terms, with_log_odds
from blood_cell_system.cells.table import Cells
from blood_cell_system.cells.unassessed import Reason
from blood_cell_system.errors import SettingsError
from blood_cell_system.model_metadata import CELL_SIDE_PX, ModelMetadata, network_input
from blood_cell_system.settings import check_ranges, ranged
from blood_cell_system.taxonomy import RBC, WBC, Taxonomy

VIEWS: Final = (1, 4, 8)
"""Numbers of views to average over: none, quarter turns, and quarter turns of mirror images."""

_MOST_COVERED: Final = 1 / 3
"""Part of a cell's ellipse that others may hide for the cell to be classified."""

_USUAL_VIEWS: Final[Mapping[str, int]] = MappingProxyType({RBC: 1, WBC: 4})
"""Red cells are many and gain little from turning; white cells are few and gain more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassificationSettings:
    """How cells are classified.

    Parameters
    ----------
    views : int, optional
        1: each cell as it lies. 4: the mean over its quarter turns. 8: over those of its mirror
        image as well. The answer then does not depend on how the cell lies, for as many times the
        work. By default 1 for red cells, of which there are many, and for networks that see the
        surround; else 4 for white cells, which gain more.
    batch_size : int
        Images that the network sees at once.

    Raises
    ------
    SettingsError
        ``views`` is none of 1, 4 and 8, or ``batch_size`` is not positive.
    """

    views: int | None = ranged(None, choices=VIEWS, is_optional=True)
    batch_size: int = ranged(64, at_least=1)

    def __post_init__(self) -> None:
        check_ranges(self)

    def views_for(self, classifier: ClassifierRuntime) -> int:
        """Say on how many views a classifier's answer rests."""
        if self.views is not None:
            return self.views
        if classifier.metadata.sees_surround:
            return 1
        height, width = classifier.input_side
        return _USUAL_VIEWS.get(classifier.metadata.cell_type, 1) if height == width else 1


def predict_images(
    classifier: ClassifierRuntime,
    images: Iterable[NDArray[np.uint8]],
    settings: ClassificationSettings | None = None,
) -> ClassifierOutputs:
    """Run a classifier on cell images, as many at once as the settings say.

    Parameters
    ----------
    images : iterable of ndarray of shape (130, 130, 4), dtype uint8
        RGBA; see ``cell_image_format``.

    Returns
    -------
    ClassifierOutputs
        A row an image, in their order; means over the views.

    Raises
    ------
    CheckpointError
        The network fails.
    """
    settings = settings or ClassificationSettings()
    views = settings.views_for(classifier)
    waiting = iter(images)
    parts = []
    while batch := list(islice(waiting, settings.batch_size)):
        parts.append(_with_nuclei(_predict_batch(classifier, batch, views), classifier, batch))
    types = [part.cell_type for part in parts if part.cell_type is not None]
    known = [part.known for part in parts if part.known is not None]
    no_rows = np.zeros((0, len(classifier.metadata.conditions)), dtype=np.float32)
    return ClassifierOutputs(
        condition=np.concatenate([no_rows, *(part.condition for part in parts)]),
        cell_type=np.concatenate(types) if types else None,
        known=np.concatenate(known) if known else None,
    )


def classifier_columns(
    outputs: ClassifierOutputs, metadata: ModelMetadata
) -> dict[str, NDArray[Any]]:
    """Turn a classifier's outputs into columns of a table of cells.

    Parameters
    ----------
    outputs : ClassifierOutputs
        A row a cell.

    Returns
    -------
    dict of str to ndarray
        ``condition``, ``subtype``, their conformal sets, ``in_distribution``, ``is_known``,
        ``reason``, and a column ``…_prob`` for each condition and subtype; see ``COLUMNS``.
    """
    columns = unclassified(len(outputs.condition), [metadata])
    heads = (
        ("condition", "possible_conditions", metadata.conditions, metadata.condition_thresholds),
        ("subtype", "possible_subtypes", metadata.subtypes, metadata.subtype_thresholds),
    )
    for values, (name, possible, classes, thresholds) in zip(
        (outputs.condition, outputs.cell_type), heads, strict=True
    ):
        if values is None:
            continue
        probabilities = values.astype(np.float64)
        names = np.array(classes, dtype=object)
        columns[name] = names[probabilities.argmax(axis=1)]
        columns[possible] = _conformal_sets(probabilities, names, thresholds)
        columns |= {f"{one}_prob": probabilities[:, k] for k, one in enumerate(classes)}
    if outputs.known is not None:
        columns["in_distribution"] = outputs.known.astype(np.float64)
        if metadata.in_distribution_threshold is not None:
            columns["is_known"] = columns["in_distribution"] >= metadata.in_distribution_threshold
    columns["reason"] = np.full(len(columns["is_known"]), None)
    columns["reason"][_undecided(outputs.condition, metadata)] = Reason.UNDECIDED
    columns["reason"][~columns["is_known"]] = Reason.NOT_IN_DISTRIBUTION
    return columns


def classify_analysis(
    analysis: ImageAnalysis,
    classifiers: Sequence[ClassifierRuntime],
    settings: ClassificationSettings | None = None,
) -> Cells:
    """Classify the cells of an analysed image.

    A cell that is not assessed has a ``reason``; see :class:`Reason`.

    Parameters
    ----------
    classifiers : sequence of ClassifierRuntime
        One of red cells, one of white cells, or either; none costs nothing.

    Returns
    -------
    Cells
        Those of the analysis with the columns of :func:`classifier_columns`, the conditions and
        subtypes of the classifiers in their taxonomy, and how far these are proven; without a
        classifier unchanged, and of an image without colour without any class.

    Raises
    ------
    CheckpointError
        A network fails.
    """
    cells = analysis.cells
    if not classifiers:
        return cells
    if analysis.quality.is_grey:
        columns = unclassified(len(cells), ())
        columns["reason"][:] = Reason.NO_COLOUR
        return cells.with_columns(**columns)
    columns = unclassified(len(cells), [classifier.metadata for classifier in classifiers])
    is_cut_off, is_covered = cells["touches_border"], covered_share(cells) > _MOST_COVERED
    is_covered |= mark_share(cells, analysis.marks) >= MARK_COVERS
    widths = edge_widths(cells, analysis.image, analysis.scale.red_cell_diameter_px)
    is_blurred = widths > MAX_CELL_EDGE
    for classifier in classifiers:
        metadata = classifier.metadata
        of_type = cells.is_type(metadata.cell_type)
        columns["reason"][of_type] = None
        columns["reason"][of_type & is_covered] = Reason.COVERED
        columns["reason"][of_type & is_cut_off] = Reason.CUT_OFF
        rows = np.flatnonzero(of_type & ~is_covered & ~is_cut_off)
        if not len(rows):
            continue
        places = zip((rows + 1).tolist(), cells["box"][rows].tolist(), strict=True)
        images = cell_images(analysis.image, cells.label_image, places, light=analysis.light)
        is_shown = np.array([image is not None for image in images], dtype=np.bool_)
        columns["reason"][rows[~is_shown]] = Reason.TOO_SMALL
        columns["reason"][rows[is_shown & is_blurred[rows]]] = Reason.OUT_OF_FOCUS
        is_shown &= ~is_blurred[rows]
        shown = [image for row, image in enumerate(images) if image is not None and is_shown[row]]
        rows = rows[is_shown]
        found = classifier_columns(predict_images(classifier, shown, settings), metadata)
        for name, values in found.items():
            columns[name][rows] = values
    kinds = [classifier.metadata.classifier_kind for classifier in classifiers]
    types = (kind.taxonomy[kind.cell_type] for kind in kinds)
    taxonomy = reduce(Taxonomy.with_classes_of, types, cells.taxonomy)
    validation = {
        name: found
        for classifier in classifiers
        for name, found in classifier.metadata.validation.items()
    }
    return replace(cells, taxonomy=taxonomy, validation=validation).with_columns(**columns)


def unclassified(count: int, metadata: Iterable[ModelMetadata]) -> dict[str, NDArray[Any]]:
    """Give the columns of classifiers for cells that were not classified, for want of one."""
    sets = np.empty(count, dtype=np.object_)
    sets[:] = [()] * count
    columns: dict[str, NDArray[Any]] = {
        "condition": np.full(count, None),
        "possible_conditions": sets,
        "subtype": np.full(count, None),
        "possible_subtypes": sets.copy(),
        "in_distribution": np.full(count, np.nan),
        "is_known": np.ones(count, dtype=np.bool_),
        "reason": np.full(count, Reason.NO_CLASSIFIER, dtype=np.object_),
    }
    for one in metadata:
        for name in (*one.conditions, *one.subtypes):
            columns[f"{name}_prob"] = np.full(count, np.nan)
    return columns


def _undecided(condition: NDArray[np.float32], metadata: ModelMetadata) -> NDArray[np.bool_]:
    """Which cells have a likeliest condition that is less probable than is needed to call it."""
    needed = np.array([metadata.call_thresholds.get(name, 0.0) for name in metadata.conditions])
    return np.asarray(condition.max(axis=1, initial=0.0) < needed[condition.argmax(axis=1)])


def _conformal_sets(
    probabilities: NDArray[np.float64], names: NDArray[Any], thresholds: Mapping[str, float]
) -> NDArray[Any]:
    """Names whose probability reaches their threshold; without thresholds the most likely one."""
    if thresholds:
        is_possible = probabilities >= [thresholds[name] for name in names]
    else:
        is_possible = np.eye(len(names), dtype=np.bool_)[probabilities.argmax(axis=1)]
    sets = np.empty(len(probabilities), dtype=np.object_)
    for row, chosen in enumerate(is_possible):
        sets[row] = tuple(names[chosen])
    return sets


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


def _predict_batch(
    classifier: ClassifierRuntime, images: list[NDArray[np.uint8]], views: int
) -> ClassifierOutputs:
    height, width = classifier.input_side
    sees_surround = classifier.metadata.sees_surround
    composed = [network_input(image, sees_surround=sees_surround) for image in images]
    if (height, width) != (CELL_SIDE_PX, CELL_SIDE_PX):
        kind = cv2.INTER_AREA if max(height, width) < CELL_SIDE_PX else cv2.INTER_LINEAR
        composed = [cv2.resize(one, (width, height), interpolation=kind) for one in composed]
    batch = np.stack(composed).astype(np.float32)
    if views == 1:
        return classifier.predict(batch)
    if height != width:
        raise SettingsError(
            f"views: received {views}, but the classifier takes images of {width}×{height}, "
            "which cannot be turned; expected 1."
        )
    return _mean([classifier.predict(view) for view in turned_views(batch, views)])


def _with_nuclei(
    outputs: ClassifierOutputs, classifier: ClassifierRuntime, images: list[NDArray[np.uint8]]
) -> ClassifierOutputs:
    evidence, subtypes = classifier.metadata.nucleus_evidence, classifier.metadata.subtypes
    if evidence is None or outputs.cell_type is None:
        return outputs
    odds = log_odds(evidence, subtypes, nucleus_terms(images))
    types = with_log_odds(outputs.cell_type, odds).astype(np.float32)
    return replace(outputs, cell_type=types)


def _mean(views: Sequence[ClassifierOutputs]) -> ClassifierOutputs:
    types = [view.cell_type for view in views if view.cell_type is not None]
    known = [view.known for view in views if view.known is not None]
    return ClassifierOutputs(
        condition=np.mean([view.condition for view in views], axis=0, dtype=np.float32),
        cell_type=np.mean(types, axis=0, dtype=np.float32) if types else None,
        known=np.mean(known, axis=0, dtype=np.float32) if known else None,
    )
