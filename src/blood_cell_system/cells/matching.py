"""How well found cells match true ones: one-to-one, at an IoU threshold."""

from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from blood_cell_system.boxes import pairwise_box_iou
from blood_cell_system.classes import NOT_SCORED
from blood_cell_system.errors import MaskFormatError

IOU_THRESHOLDS: Final = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)

_MOSTLY: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlaps:
    """Pairs of a true and a found cell that overlap; every other pair has an IoU of 0.

    Parameters
    ----------
    true_count, found_count : int
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
    """Matched and unmatched cells, of one picture or, added up, of many.

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
        Found cells that match nothing where nothing is scored; they count neither way.
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
    overlaps : Overlaps
    threshold : float
        Least IoU of a matched pair, above 0.
    is_excused : ndarray of shape (found_count,), dtype bool, optional
        Found cells that are left out, not false, when they match nothing; see
        ``is_mostly_not_scored``.

    Returns
    -------
    MatchCounts
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
    # Whoever has several partners is solved group by group: one table of all cells of a large
    # picture would be needlessly big.
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
    """Tell of each found cell whether more than half of its pixels are not scored.

    Parameters
    ----------
    found_labels : ndarray of shape (height, width), integer
    class_mask : ndarray of shape (height, width), dtype uint8
        True classes; 255 where not scored.
    found_count : int

    Returns
    -------
    ndarray of shape (found_count,), dtype bool
    """
    area = np.bincount(found_labels.ravel(), minlength=found_count + 1)
    hidden = np.bincount(found_labels[class_mask == NOT_SCORED], minlength=found_count + 1)
    result: NDArray[np.bool_] = hidden[1:] > _MOSTLY * area[1:]
    return result


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
