"""How far counts of cells are off, beside what a constant answer would get."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.errors import DatasetError


@dataclass(frozen=True, slots=True, kw_only=True)
class CountError:
    """Error of predicted counts over pictures.

    Parameters
    ----------
    picture_count : int
    true_total, predicted_total : int
    mean_absolute_error : float
        Cells a picture.
    bias : float
        Mean of predicted minus true: below 0 where cells are missed.
    relative_error : float
        Sum of the absolute errors over the sum of the true counts; NaN where there are no cells.
    exact_share : float
        Share of the pictures whose count is exactly right.
    """

    picture_count: int
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
    pictures, 94.5 % hold exactly one white cell.

    Parameters
    ----------
    error : CountError
        Of the counts themselves.
    training_constant : int or None
        Median count of the training pictures; None where there are none.
    training_constant_error : CountError or None
    best_constant : int
        Median count of the pictures measured on: the constant with the least possible absolute
        error, chosen knowing the answers.
    best_constant_error : CountError
    """

    error: CountError
    training_constant: int | None
    training_constant_error: CountError | None
    best_constant: int
    best_constant_error: CountError


def count_error(true_counts: Sequence[int], predicted_counts: Sequence[int]) -> CountError:
    """Compare counts picture by picture.

    Raises
    ------
    DatasetError
        There are no pictures, or not one prediction for each.

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
            "one of each for every picture, and one picture at least."
        )
    errors = predicted - truth
    total = int(truth.sum())
    return CountError(
        picture_count=len(truth),
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
        Cells of one type, by picture.
    training_counts : sequence of int
        True counts of the pictures that were learned from.

    Raises
    ------
    DatasetError
        There are no pictures, or not one prediction for each.
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
    # A count: of an even number of pictures the lower middle one, which is as good a median.
    return int(np.sort(counts)[(len(counts) - 1) // 2])
