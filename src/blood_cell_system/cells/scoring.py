"""Scores of found cells by type: matches, counts, and what they are compared with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.boxes import BoxOrigin, LabelledBox, corners_of
from blood_cell_system.cells.counts import CountError, CountReport, count_error, count_report
from blood_cell_system.cells.matching import (
    IOU_THRESHOLDS,
    MatchCounts,
    Overlaps,
    is_mostly_not_scored,
    match,
)
from blood_cell_system.cells.separation import SeparatedCells
from blood_cell_system.classes import CELL_TYPES, MASK_CLASS, NOT_SCORED, CellClass, CellType

_LEFT_OUT_AT: Final = IOU_THRESHOLDS[0]

CellMatches = Mapping[CellType, Mapping[float, MatchCounts]]


class TruthKind(StrEnum):
    """What found cells are compared with."""

    OUTLINES = "outlines"
    BOXES = "boxes"


@dataclass(frozen=True, slots=True, kw_only=True)
class CellRecord:
    """How the cells of one picture, or of many, match.

    Parameters
    ----------
    truth : TruthKind
        Exact outlines, by IoU of pixels, or boxes, by IoU of boxes.
    matches : mapping of CellType to mapping of float to MatchCounts
        By type and IoU threshold.
    true_counts, found_counts : mapping of CellType to int
        Found cells that are left out (they match nothing, where nobody has said what is there) do
        not count.
    all_found_counts : mapping of CellType to int
        With those that are left out.
    origins : mapping of BoxOrigin to int
        How many true cells a person annotated, only the stain shows, or the generator drew.
    """

    truth: TruthKind
    matches: CellMatches
    true_counts: Mapping[CellType, int]
    found_counts: Mapping[CellType, int]
    all_found_counts: Mapping[CellType, int]
    origins: Mapping[BoxOrigin, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellScores:
    """Matches of a data set's cells against truth of one kind.

    Parameters
    ----------
    truth : TruthKind
    picture_count : int
    matches : mapping of CellType to mapping of float to MatchCounts
        Added up over the pictures.
    counts : mapping of CellType to CountReport
        Of the found cells that are not left out. Which those are is known from the truth, which
        flatters the model where boxes are incomplete.
    all_counts : mapping of CellType to CountError
        Of all found cells, which blames the model for the cells that nobody has boxed.
    origins : mapping of BoxOrigin to int
    """

    truth: TruthKind
    picture_count: int
    matches: CellMatches
    counts: Mapping[CellType, CountReport]
    all_counts: Mapping[CellType, CountError]
    origins: Mapping[BoxOrigin, int]


def compare_cells(
    found: SeparatedCells,
    true_cells: Sequence[LabelledBox],
    class_mask: NDArray[np.uint8],
    true_labels: NDArray[np.integer] | None = None,
) -> CellRecord:
    """Match the found cells of a picture with the true ones, type by type.

    Parameters
    ----------
    found : SeparatedCells
    true_cells : sequence of LabelledBox
    class_mask : ndarray of shape (height, width), dtype uint8
        True classes; 255 where not scored.
    true_labels : ndarray of shape (height, width), integer, optional
        Exact outlines; cell ``i`` has label ``i + 1``. A cell without a pixel, because others cover
        it, is left out. Without them boxes are compared; as boxes are seldom complete, a found cell
        on pixels of its class that no box holds is neither right nor wrong.

    Returns
    -------
    CellRecord
    """
    found_count = len(found.cells)
    if true_labels is None:
        overlaps = Overlaps.of_boxes(
            corners_of(true_cells), corners_of([cell.whole_box for cell in found.cells])
        )
        is_visible = np.ones(len(true_cells), dtype=bool)
    else:
        overlaps = Overlaps.of_labels(
            true_labels, found.label_image, true_count=len(true_cells), found_count=found_count
        )
        is_visible = np.bincount(true_labels.ravel(), minlength=len(true_cells) + 1)[1:] > 0
    if true_labels is None:
        class_mask = _without_unclaimed(class_mask, true_cells)
    is_excused = is_mostly_not_scored(found.label_image, class_mask, found_count=found_count)
    matches: dict[CellType, dict[float, MatchCounts]] = {}
    true_counts, found_counts, all_found_counts = {}, {}, {}
    for cell_type in CELL_TYPES:
        is_true = is_visible & np.array([c.cell_type == cell_type for c in true_cells], dtype=bool)
        is_found = np.array([c.cell_type == cell_type for c in found.cells], dtype=bool)
        of_type = overlaps.between(is_true, is_found)
        matches[cell_type] = {
            threshold: match(of_type, threshold, is_excused=is_excused[is_found])
            for threshold in IOU_THRESHOLDS
        }
        true_counts[cell_type] = of_type.true_count
        all_found_counts[cell_type] = of_type.found_count
        left_out = matches[cell_type][_LEFT_OUT_AT].left_out
        found_counts[cell_type] = of_type.found_count - left_out
    visible = [cell for cell, is_seen in zip(true_cells, is_visible, strict=True) if is_seen]
    return CellRecord(
        truth=TruthKind.BOXES if true_labels is None else TruthKind.OUTLINES,
        matches=matches,
        true_counts=true_counts,
        found_counts=found_counts,
        all_found_counts=all_found_counts,
        origins={o: sum(cell.origin == o for cell in visible) for o in BoxOrigin},
    )


def _without_unclaimed(
    class_mask: NDArray[np.uint8], true_cells: Sequence[LabelledBox]
) -> NDArray[np.uint8]:
    """Mark foreground that lies in no box as not scored: there are cells, but nobody said which."""
    result = class_mask.copy()
    for cell_type in CELL_TYPES:
        if MASK_CLASS[cell_type] == CellClass.BACKGROUND:
            continue
        is_unclaimed = class_mask == MASK_CLASS[cell_type]
        for cell in true_cells:
            if cell.cell_type == cell_type:
                rows = slice(max(int(cell.y_min), 0), max(int(np.ceil(cell.y_max)), 0))
                columns = slice(max(int(cell.x_min), 0), max(int(np.ceil(cell.x_max)), 0))
                is_unclaimed[rows, columns] = False
        result[is_unclaimed] = NOT_SCORED
    return result


def add_up(
    records: Sequence[CellRecord], *, training_counts: Mapping[CellType, Sequence[int]]
) -> CellScores:
    """Add up the pictures whose truth is of one kind.

    Parameters
    ----------
    records : sequence of CellRecord
        One at least, all of the same kind of truth.
    training_counts : mapping of CellType to sequence of int
        True counts of the pictures that were learned from; empty where there are none.
    """
    return CellScores(
        truth=records[0].truth,
        picture_count=len(records),
        matches={
            cell_type: {
                threshold: sum(
                    (record.matches[cell_type][threshold] for record in records), MatchCounts()
                )
                for threshold in IOU_THRESHOLDS
            }
            for cell_type in CELL_TYPES
        },
        counts={
            cell_type: count_report(
                [record.true_counts[cell_type] for record in records],
                [record.found_counts[cell_type] for record in records],
                training_counts=training_counts[cell_type],
            )
            for cell_type in CELL_TYPES
        },
        all_counts={
            cell_type: count_error(
                [record.true_counts[cell_type] for record in records],
                [record.all_found_counts[cell_type] for record in records],
            )
            for cell_type in CELL_TYPES
        },
        origins={o: sum(record.origins[o] for record in records) for o in BoxOrigin},
    )
