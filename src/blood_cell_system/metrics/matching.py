"""Scores of found cells by type: matches, counts, and what they are compared with."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import reduce
from operator import add
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from blood_cell_system.annotation.sample import Annotation, Origin, corners_of
from blood_cell_system.boxes import pairwise_box_iou
from blood_cell_system.cells.table import Cells
from blood_cell_system.errors import DatasetError, MaskFormatError
from blood_cell_system.taxonomy import NOT_SCORED, Taxonomy

IOU_THRESHOLDS: Final = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
"""IoU from which a true and a found cell match."""

_MOSTLY: Final = 0.5
"""Part of a cell's pixels that are not scored from which the cell is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlaps:
    """Pairs of a true and a found cell that overlap; every other pair has an IoU of 0.

    Parameters
    ----------
    true_index, found_index : ndarray of shape (n,), dtype intp
        Which true and which found cell, from 0.
    iou : ndarray of shape (n,), dtype float64
    """

    true_count: int
    found_count: int
    true_index: NDArray[np.intp]
    found_index: NDArray[np.intp]
    iou: NDArray[np.float64]

    @classmethod
    def of_boxes(
        cls, true_corners: NDArray[np.float64], found_corners: NDArray[np.float64]
    ) -> Self:
        """Overlaps of boxes; arrays of shape (n, 4) with x_min, y_min, x_max, y_max."""
        iou = pairwise_box_iou(true_corners, found_corners)
        true_index, found_index = np.nonzero(iou)
        return cls(
            true_count=len(true_corners),
            found_count=len(found_corners),
            true_index=true_index,
            found_index=found_index,
            iou=iou[true_index, found_index],
        )

    @classmethod
    def of_labels(
        cls,
        true_labels: NDArray[np.integer],
        found_labels: NDArray[np.integer],
        *,
        true_count: int,
        found_count: int,
    ) -> Self:
        """Overlaps of the cells of two label images.

        Parameters
        ----------
        true_labels, found_labels : ndarray of shape (height, width), integer
            0 in no cell, 1..n in the cells; cell ``i`` has label ``i + 1``.
        true_count, found_count : int
            How many cells there are, those without a pixel included.

        Raises
        ------
        MaskFormatError
            The shapes differ, or a label is larger than the count.
        """
        if true_labels.shape != found_labels.shape:
            raise MaskFormatError(
                f"Label images: the true one has shape {true_labels.shape}, the found one "
                f"{found_labels.shape}; expected the same."
            )
        # Counting pairs of labels as one number each keeps memory at the pairs that occur, where a
        # table of all pairs of 65,536 cells would not fit.
        pairs = true_labels.astype(np.int64) * (found_count + 1) + found_labels
        values, pixels = np.unique(pairs, return_counts=True)
        true_label, found_label = np.divmod(values, found_count + 1)
        largest = int(true_labels.max(initial=0)), int(found_labels.max(initial=0))
        if largest[0] > true_count or largest[1] > found_count:
            raise MaskFormatError(
                f"Label images: the largest labels are {largest[0]} (true) and {largest[1]} "
                f"(found); expected at most {true_count} and {found_count}, one for each cell."
            )
        true_area = np.bincount(true_label, weights=pixels, minlength=true_count + 1)
        found_area = np.bincount(found_label, weights=pixels, minlength=found_count + 1)
        is_pair = (true_label > 0) & (found_label > 0)
        true_label, found_label = true_label[is_pair], found_label[is_pair]
        shared = pixels[is_pair].astype(np.float64)
        return cls(
            true_count=true_count,
            found_count=found_count,
            true_index=(true_label - 1).astype(np.intp),
            found_index=(found_label - 1).astype(np.intp),
            iou=shared / (true_area[true_label] + found_area[found_label] - shared),
        )

    def between(self, is_true: NDArray[np.bool_], is_found: NDArray[np.bool_]) -> Self:
        """Only the chosen cells, renumbered; for instance those of one type."""
        is_pair = is_true[self.true_index] & is_found[self.found_index]
        new_true, new_found = np.cumsum(is_true) - 1, np.cumsum(is_found) - 1
        return type(self)(
            true_count=int(is_true.sum()),
            found_count=int(is_found.sum()),
            true_index=new_true[self.true_index[is_pair]],
            found_index=new_found[self.found_index[is_pair]],
            iou=self.iou[is_pair],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchCounts:
    """Matched and unmatched cells, of one image or, added up, of many.

    Every share is NaN where there is nothing to divide by: neither true nor found cells.

    Parameters
    ----------
    matched : int
        True positives.
    false_found : int
        False positives.
    missed : int
        False negatives.
    iou_sum : float
        Sum of the matched pairs' IoU.
    left_out : int
        Found cells that match nothing where nothing is scored: neither right nor wrong.
    """

    matched: int = 0
    false_found: int = 0
    missed: int = 0
    iou_sum: float = 0.0
    left_out: int = 0

    def __add__(self, other: "MatchCounts") -> "MatchCounts":
        return MatchCounts(
            matched=self.matched + other.matched,
            false_found=self.false_found + other.false_found,
            missed=self.missed + other.missed,
            iou_sum=self.iou_sum + other.iou_sum,
            left_out=self.left_out + other.left_out,
        )

    def with_left_out_as_false(self) -> "MatchCounts":
        """Count the found cells that were left out as false ones: the strictest reading."""
        return replace(self, false_found=self.false_found + self.left_out, left_out=0)

    @property
    def precision(self) -> float:
        """TP / (TP + FP)."""
        return _share(self.matched, self.matched + self.false_found)

    @property
    def recall(self) -> float:
        """TP / (TP + FN)."""
        return _share(self.matched, self.matched + self.missed)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN); also PQ's recognition quality."""
        return _share(2 * self.matched, 2 * self.matched + self.false_found + self.missed)

    @property
    def strict_f1(self) -> float:
        """F1 where cells that were left out count as false."""
        return self.with_left_out_as_false().f1

    @property
    def average_precision(self) -> float:
        """TP / (TP + FP + FN), as StarDist and the 2018 Data Science Bowl define it.

        It is not the area under a precision-recall curve that detection benchmarks call AP.
        """
        return _share(self.matched, self.matched + self.false_found + self.missed)

    @property
    def segmentation_quality(self) -> float:
        """Mean IoU of the matched pairs."""
        return _share(self.iou_sum, self.matched)

    @property
    def panoptic_quality(self) -> float:
        """Mean IoU of the matched pairs times F1 (Kirillov et al., CVPR 2019)."""
        return self.segmentation_quality * self.f1 if self.matched else self.f1


def match(
    overlaps: Overlaps, threshold: float, *, is_excused: NDArray[np.bool_] | None = None
) -> MatchCounts:
    """Match true and found cells one to one: as many pairs as can be, then the largest IoU.

    Parameters
    ----------
    threshold : float
        Least IoU of a matched pair, above 0.
    is_excused : ndarray of shape (found_count,), dtype bool, optional
        Found cells that are left out, not false, when they match nothing; see
        ``is_mostly_not_scored``.
    """
    is_candidate = overlaps.iou >= threshold
    true_index = overlaps.true_index[is_candidate]
    found_index = overlaps.found_index[is_candidate]
    chosen = _largest_matching(overlaps, true_index, found_index, overlaps.iou[is_candidate])
    is_unmatched = np.ones(overlaps.found_count, dtype=bool)
    is_unmatched[found_index[chosen]] = False
    excused = 0 if is_excused is None else int((is_unmatched & is_excused).sum())
    matched = len(chosen)
    return MatchCounts(
        matched=matched,
        false_found=overlaps.found_count - matched - excused,
        missed=overlaps.true_count - matched,
        iou_sum=float(overlaps.iou[is_candidate][chosen].sum()),
        left_out=excused,
    )


def _largest_matching(
    overlaps: Overlaps,
    true_index: NDArray[np.intp],
    found_index: NDArray[np.intp],
    iou: NDArray[np.float64],
) -> NDArray[np.intp]:
    """Choose the pairs that are matched; returns their indices."""
    is_single = (np.bincount(true_index, minlength=overlaps.true_count)[true_index] == 1) & (
        np.bincount(found_index, minlength=overlaps.found_count)[found_index] == 1
    )
    chosen = [np.flatnonzero(is_single)]
    # Cells with several partners are solved group by group: one table of all cells of a large
    # image would be needlessly big.
    disputed = np.flatnonzero(~is_single)
    if len(disputed):
        nodes = overlaps.true_count + overlaps.found_count
        ends = true_index[disputed], overlaps.true_count + found_index[disputed]
        graph = coo_array((np.ones(len(disputed), dtype=bool), ends), shape=(nodes, nodes))
        group = connected_components(graph, directed=False)[1][ends[0]]
        for number in np.unique(group):
            members = disputed[group == number]
            chosen.append(members[_assign(true_index[members], found_index[members], iou[members])])
    return np.concatenate(chosen)


def _assign(
    true_index: NDArray[np.intp], found_index: NDArray[np.intp], iou: NDArray[np.float64]
) -> NDArray[np.intp]:
    _, rows = np.unique(true_index, return_inverse=True)
    _, columns = np.unique(found_index, return_inverse=True)
    position = np.full((rows.max() + 1, columns.max() + 1), -1, dtype=np.intp)
    position[rows, columns] = np.arange(len(iou))
    # One more pair outweighs any gain in IoU, as in StarDist.
    worth = np.where(position >= 0, 1 + iou[position] / (2 * min(position.shape)), 0.0)
    pairs: NDArray[np.intp] = position[linear_sum_assignment(worth, maximize=True)]
    return pairs[pairs >= 0]


def is_mostly_not_scored(
    found_labels: NDArray[np.integer], class_mask: NDArray[np.uint8], *, found_count: int
) -> NDArray[np.bool_]:
    """Whether more than half of the pixels of each found cell are not scored.

    Parameters
    ----------
    found_labels : ndarray of shape (height, width), integer
    class_mask : ndarray of shape (height, width), dtype uint8
        True classes; 255 where not scored.
    """
    area = np.bincount(found_labels.ravel(), minlength=found_count + 1)
    hidden = np.bincount(found_labels[class_mask == NOT_SCORED], minlength=found_count + 1)
    result: NDArray[np.bool_] = hidden[1:] > _MOSTLY * area[1:]
    return result


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class CountError:
    """Error of predicted counts over images.

    Parameters
    ----------
    mean_absolute_error : float
        Cells an image.
    bias : float
        Mean of predicted minus true: below 0 where cells are missed.
    relative_error : float
        Sum of the absolute errors over the sum of the true counts; NaN where there are no cells.
    exact_share : float
        Share of the images whose count is exactly right.
    """

    image_count: int
    true_total: int
    predicted_total: int
    mean_absolute_error: float
    bias: float
    relative_error: float
    exact_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CountReport:
    """Counts of one cell type beside two constant answers.

    A method that does not beat the constants has learned nothing about counting: of BCCD's
    images, 94.5 % hold exactly one white cell.

    Parameters
    ----------
    error : CountError
        Of the counts themselves.
    training_constant : int or None
        Median count of the training images; None where there are none.
    best_constant : int
        Median count of the images measured on: the constant with the least possible absolute
        error, chosen knowing the answers.
    """

    error: CountError
    training_constant: int | None
    training_constant_error: CountError | None
    best_constant: int
    best_constant_error: CountError


def count_error(true_counts: Sequence[int], predicted_counts: Sequence[int]) -> CountError:
    """Compare counts image by image.

    Raises
    ------
    DatasetError
        There are no images, or not one prediction for each.

    Examples
    --------
    >>> error = count_error([10, 12], [9, 14])
    >>> error.mean_absolute_error, error.bias
    (1.5, 0.5)
    """
    truth, predicted = np.asarray(true_counts), np.asarray(predicted_counts)
    if truth.ndim != 1 or truth.shape != predicted.shape or not truth.size:
        raise DatasetError(
            f"Counts: received {truth.size} true and {predicted.size} predicted counts; expected "
            "one of each for every image, and one image at least."
        )
    errors = predicted - truth
    total = int(truth.sum())
    return CountError(
        image_count=len(truth),
        true_total=total,
        predicted_total=int(predicted.sum()),
        mean_absolute_error=float(np.abs(errors).mean()),
        bias=float(errors.mean()),
        relative_error=float(np.abs(errors).sum() / total) if total else float("nan"),
        exact_share=float((errors == 0).mean()),
    )


def count_report(
    true_counts: Sequence[int],
    predicted_counts: Sequence[int],
    *,
    training_counts: Sequence[int] = (),
) -> CountReport:
    """Compare counts, and constant answers, with the truth.

    Parameters
    ----------
    true_counts, predicted_counts : sequence of int
        Cells of one type, by image.
    training_counts : sequence of int
        True counts of the images that were learned from.

    Raises
    ------
    DatasetError
        There are no images, or not one prediction for each.
    """
    error = count_error(true_counts, predicted_counts)
    best = _median(np.asarray(true_counts))
    known = _median(np.asarray(training_counts)) if len(training_counts) else None
    return CountReport(
        error=error,
        training_constant=known,
        training_constant_error=(
            None if known is None else count_error(true_counts, [known] * len(true_counts))
        ),
        best_constant=best,
        best_constant_error=count_error(true_counts, [best] * len(true_counts)),
    )


def _median(counts: NDArray[np.int64]) -> int:
    # A count: of an even number of images the lower middle one, which is as good a median.
    return int(np.sort(counts)[(len(counts) - 1) // 2])


class TruthKind(StrEnum):
    """What found cells are compared with."""

    OUTLINES = "outlines"
    """Exact outlines, by IoU of pixels."""
    BOXES = "boxes"
    """Boxes, by IoU of boxes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellMatching:
    """How the found cells of one image, or of many, match the true ones.

    Parameters
    ----------
    matches : mapping of str to mapping of float to MatchCounts
        By type and IoU threshold.
    origins : mapping of Origin to int
        True cells by origin: annotated, known by their stain alone, or drawn.
    """

    truth: TruthKind
    matches: Mapping[str, Mapping[float, MatchCounts]]
    origins: Mapping[Origin, int]

    @property
    def true_counts(self) -> dict[str, int]:
        """True cells by type."""
        return {name: one.matched + one.missed for name, one in self._loosest()}

    @property
    def found_counts(self) -> dict[str, int]:
        """Found cells by type, without those that are left out as nothing is scored there."""
        return {name: one.matched + one.false_found for name, one in self._loosest()}

    @property
    def all_found_counts(self) -> dict[str, int]:
        """Found cells by type, with those that are left out."""
        return {name: one.matched + one.false_found + one.left_out for name, one in self._loosest()}

    def _loosest(self) -> Iterator[tuple[str, MatchCounts]]:
        for cell_type, by_threshold in self.matches.items():
            yield cell_type, by_threshold[IOU_THRESHOLDS[0]]

    def __add__(self, other: "CellMatching") -> "CellMatching":
        return CellMatching(
            truth=self.truth,
            matches={
                cell_type: {t: one + other.matches[cell_type][t] for t, one in by_iou.items()}
                for cell_type, by_iou in self.matches.items()
            },
            origins={origin: n + other.origins[origin] for origin, n in self.origins.items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CellScores:
    """Matches of a data set's cells against truth of one kind.

    Parameters
    ----------
    matching : CellMatching
        Added up over the images.
    counts : mapping of str to CountReport
        Of the found cells that are not left out. Which those are is known from the truth, which
        flatters the model where boxes are incomplete.
    all_counts : mapping of str to CountError
        Of all found cells, which blames the model for cells without a box.
    """

    matching: CellMatching
    image_count: int
    counts: Mapping[str, CountReport]
    all_counts: Mapping[str, CountError]


def compare_cells(
    found: Cells,
    true_cells: Sequence[Annotation],
    class_mask: NDArray[np.uint8],
    true_labels: NDArray[np.integer] | None = None,
) -> CellMatching:
    """Match the found cells of an image with the true ones, type by type.

    Parameters
    ----------
    class_mask : ndarray of shape (height, width), dtype uint8
        True classes; 255 where not scored.
    true_labels : ndarray of shape (height, width), integer, optional
        Exact outlines; cell ``i`` has label ``i + 1``. A cell without a pixel, because others cover
        it, is left out. Without them boxes are compared; as boxes are seldom complete, a found cell
        on pixels of its class that no box holds is neither right nor wrong.
    """
    is_visible = np.ones(len(true_cells), dtype=np.bool_)
    if true_labels is None:
        overlaps = Overlaps.of_boxes(corners_of(true_cells), found["whole_box"])
        class_mask = _without_unclaimed(class_mask, true_cells, found.taxonomy)
    else:
        overlaps = Overlaps.of_labels(
            true_labels, found.label_image, true_count=len(true_cells), found_count=len(found)
        )
        is_visible = np.bincount(true_labels.ravel(), minlength=len(true_cells) + 1)[1:] > 0
    is_excused = is_mostly_not_scored(found.label_image, class_mask, found_count=len(found))
    true_types = np.array([cell.cell_type for cell in true_cells], dtype=object)
    matches = {}
    for cell_type in found.taxonomy.names:
        is_found = found.is_type(cell_type)
        of_type = overlaps.between(is_visible & (true_types == cell_type), is_found)
        matches[cell_type] = {
            threshold: match(of_type, threshold, is_excused=is_excused[is_found])
            for threshold in IOU_THRESHOLDS
        }
    origins = Counter(true_cells[index].origin for index in np.flatnonzero(is_visible).tolist())
    return CellMatching(
        truth=TruthKind.BOXES if true_labels is None else TruthKind.OUTLINES,
        matches=matches,
        origins={origin: origins[origin] for origin in Origin},
    )


def _without_unclaimed(
    class_mask: NDArray[np.uint8], true_cells: Sequence[Annotation], taxonomy: Taxonomy
) -> NDArray[np.uint8]:
    """Set foreground that lies in no box as not scored: its cells are unknown."""
    result = class_mask.copy()
    classes = taxonomy.mask_classes
    for value in taxonomy.main_types:
        is_unclaimed = class_mask == value
        for cell in true_cells:
            if classes.get(cell.cell_type) == value:
                rows = slice(max(int(cell.y_min), 0), max(int(np.ceil(cell.y_max)), 0))
                columns = slice(max(int(cell.x_min), 0), max(int(np.ceil(cell.x_max)), 0))
                is_unclaimed[rows, columns] = False
        result[is_unclaimed] = NOT_SCORED
    return result


def add_up(
    images: Sequence[CellMatching], *, training_counts: Mapping[str, Sequence[int]]
) -> CellScores:
    """Add up the images whose truth is of one kind.

    Parameters
    ----------
    images : sequence of CellMatching
        One at least, all of the same kind of truth.
    training_counts : mapping of str to sequence of int
        True counts of the images that were learned from, empty where there are none.
    """
    total = reduce(add, images)
    counts, all_counts = {}, {}
    for cell_type in total.matches:
        true = [image.true_counts[cell_type] for image in images]
        found = [image.found_counts[cell_type] for image in images]
        everything = [image.all_found_counts[cell_type] for image in images]
        counts[cell_type] = count_report(true, found, training_counts=training_counts[cell_type])
        all_counts[cell_type] = count_error(true, everything)
    return CellScores(matching=total, image_count=len(images), counts=counts, all_counts=all_counts)
