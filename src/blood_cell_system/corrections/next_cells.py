"""Which cells to look at next: those that are unlike each other and that the program is unsure of.

A classifier learns most from cells that it does not know and that do not repeat each other. Cells
are points of what the classifier said and of what was measured; they are divided into as many
groups as are wanted by weighted k-means, where a cell weighs more the less sure its answer is
[1]_. Of each group the cell nearest to its middle is suggested. A cell that is nearer to one that a
person has reviewed than to the middle of any group is in no group: what is known is not asked
again.

References
----------
.. [1] F. Zhdanov, "Diverse mini-batch active learning", arXiv:1901.05954, 2019.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.cells.table import Cells
from blood_cell_system.seeding import generator_for

LEAST_WEIGHT: Final = 0.3
"""Weight of a cell that the program is sure of, where one that it is not sure of has 1.3. With 1,
or with equal weights, ``benchmarks/suggestions.py`` differs by less than its seeds do."""

MOST_OF_A_FIELD: Final = 19
"""A field is one stain and one focus: its cells repeat each other."""
_FAIR_SHARE: Final = 2
"""As many times the mean of all fields may come from one of them, where that is fewer."""

_CANDIDATES: Final = 20_000
"""Cells of a type that are compared; of more, so many are drawn. Ten seconds on one core."""
_ROUNDS: Final = 10
"""Of k-means; the groups change little after that."""
_SMALLEST_PROBABILITY: Final = 1e-4
"""Probabilities in the table have four decimals."""

_MEASURES: Final = (
    "area_in_red_cells",
    "density_in_red_cells",
    "form_factor",
    "solidity",
    "eccentricity",
    "pallor_area_share",
    "pallor_density_ratio",
    "nucleus_cytoplasm_ratio",
    "nucleus_lobes",
)
"""What does not depend on magnification and strength of the stain."""


def uncertainty(cells: Cells) -> NDArray[np.float64]:
    """How open it is what each cell is; shape (n,), from 0 to 1.

    One minus the smallest of the confidence that there is a cell, and of the lead of the likeliest
    condition and of the likeliest subtype over the second. 1 for a cell that is none of the
    classes.
    """
    least = np.clip(cells["confidence"].astype(np.float64), 0, 1)
    for names in _heads(cells):
        ordered = np.sort(np.stack([cells[f"{name}_prob"] for name in names], axis=1), axis=1)
        lead = ordered[:, -1] - ordered[:, -2]
        least = np.where(np.isfinite(lead), np.minimum(least, lead), least)
    if "is_known" in cells:
        least = np.where(cells["is_known"].astype(np.bool_), least, 0.0)
    return np.asarray(1 - least)


def suggest_cells(
    cells: Cells,
    count: int,
    *,
    is_reviewed: NDArray[np.bool_],
    seed: int = 0,
) -> NDArray[np.intp]:
    """Choose cells whose review teaches most.

    Parameters
    ----------
    cells : Cells
        Of one or more images, with the column ``image``.
    count : int
        How many; types of cells have equal parts, as far as they have cells.
    is_reviewed : ndarray of shape (n,), dtype bool
        Cells that a person has seen.

    Returns
    -------
    ndarray of shape (m,), dtype intp
        Rows, the least sure first; fewer than ``count`` where there are no more, or where fields
        have given what one may give: :data:`MOST_OF_A_FIELD`, and twice the mean of all.
    """
    rows_of = {
        name: np.flatnonzero(cells.is_type(name) & _is_assessed(cells))
        for name in cells.taxonomy.names
    }
    open_rows = {
        name: rows[~is_reviewed[rows]]
        for name, rows in rows_of.items()
        if (~is_reviewed[rows]).any()
    }
    open_images = cells["image"][np.concatenate([*open_rows.values(), np.empty(0, np.intp)])]
    fields = len(set(open_images.tolist()))
    limit = min(MOST_OF_A_FIELD, max(1, -(-_FAIR_SHARE * count // max(fields, 1))))
    unsure = uncertainty(cells)
    taken: Counter[str] = Counter()
    chosen: list[int] = []
    waiting = sorted(open_rows, key=lambda name: len(open_rows[name]))
    for place, name in enumerate(waiting):
        wanted = -(-(count - len(chosen)) // (len(waiting) - place))
        draw = generator_for(seed, f"suggestions of {name}")
        rows = open_rows[name]
        if len(rows) > _CANDIDATES:
            rows = np.sort(draw.choice(rows, _CANDIDATES, replace=False))
        known = rows_of[name][is_reviewed[rows_of[name]]]
        points = _points(cells, np.concatenate([rows, known]))
        new = _one_of_each_group(
            points[: len(rows)],
            LEAST_WEIGHT + unsure[rows],
            points[len(rows) :],
            wanted,
            images=cells["image"][rows].tolist(),
            taken=taken,
            limit=limit,
            draw=draw,
        )
        chosen += rows[new].tolist()
    found = np.array(chosen, dtype=np.intp)
    return found[np.argsort(-unsure[found], kind="stable")]


def _is_assessed(cells: Cells) -> NDArray[np.bool_]:
    """Whether each cell was classified, on an image that resembles a smear."""
    heads = [f"{name}_prob" for names in _heads(cells) for name in names]
    assessed = np.zeros(len(cells), dtype=np.bool_)
    for name in heads:
        assessed |= np.isfinite(cells[name].astype(np.float64))
    if "is_smear" in cells:
        assessed &= cells["is_smear"].astype(np.bool_)
    return assessed


def _heads(cells: Cells) -> Iterator[tuple[str, ...]]:
    """Names of the classes of each question that was asked of cells: two or more."""
    for kind in cells.taxonomy:
        for classes in (kind.conditions, kind.subtypes):
            names = tuple(one.name for one in classes if f"{one.name}_prob" in cells)
            if len(names) > 1:
                yield names


def _points(cells: Cells, rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """Place cells of one type where those that are alike lie near each other.

    Log probabilities and the logit of ``in_distribution`` weigh as much together as all measures
    together; what is missing lies in the middle.
    """
    said = [
        np.log(cells[f"{name}_prob"][rows] + _SMALLEST_PROBABILITY)
        for names in _heads(cells)
        for name in names
    ]
    if "in_distribution" in cells:
        known = cells["in_distribution"][rows] + _SMALLEST_PROBABILITY
        said.append(np.log(known / (1 + 2 * _SMALLEST_PROBABILITY - known)))
    measured = [cells[name][rows].astype(np.float64) for name in _MEASURES if name in cells]
    blocks = [_standardised(columns) for columns in (said, measured) if columns]
    return np.concatenate(blocks, axis=1)


def _standardised(columns: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Columns of mean 0 and one spread, which together have a variance of 1; without constants."""
    kept = []
    for values in columns:
        finite = values[np.isfinite(values)]
        spread = finite.std() if len(finite) else 0.0
        if spread > 0:
            kept.append(np.nan_to_num((values - finite.mean()) / spread))
    if not kept:
        return np.zeros((len(columns[0]), 1))
    return np.asarray(np.stack(kept, axis=1) / np.sqrt(len(kept)))


def _one_of_each_group(
    points: NDArray[np.float64],
    weights: NDArray[np.float64],
    known: NDArray[np.float64],
    count: int,
    *,
    images: Sequence[str],
    taken: Counter[str],
    limit: int,
    draw: np.random.Generator,
) -> list[int]:
    """Choose the cell nearest to the middle of each group, and count it in its field."""
    count = min(count, len(points))
    if count < 1:
        return []
    to_known = _squared_distances(points, known).min(axis=1, initial=np.inf)
    middles = _spread_out(points, weights, to_known, count, draw)
    for _ in range(_ROUNDS):
        distances = _squared_distances(points, middles)
        group = distances.argmin(axis=1)
        in_group = distances[np.arange(len(points)), group] < to_known
        total = np.bincount(group[in_group], weights[in_group], minlength=count)
        sums = np.zeros_like(middles)
        np.add.at(sums, group[in_group], points[in_group] * weights[in_group, None])
        is_filled = total > 0
        middles[is_filled] = sums[is_filled] / total[is_filled, None]
    distances = _squared_distances(points, middles)
    chosen: list[int] = []
    is_open = np.ones(len(points), dtype=np.bool_)
    # Groups of most weight first: where fields are used up, the last ones go without.
    group = distances.argmin(axis=1)
    order = np.argsort(-np.bincount(group, weights, minlength=count), kind="stable")
    for middle in order.tolist():
        for cell in np.argsort(distances[:, middle], kind="stable").tolist():
            if is_open[cell] and taken[images[cell]] < limit:
                is_open[cell] = False
                taken[images[cell]] += 1
                chosen.append(cell)
                break
    return chosen


def _spread_out(
    points: NDArray[np.float64],
    weights: NDArray[np.float64],
    to_known: NDArray[np.float64],
    count: int,
    draw: np.random.Generator,
) -> NDArray[np.float64]:
    """Draw first middles, each likely to be far from those before (k-means++) and unsure."""
    nearest = to_known.copy()
    middles = []
    for _ in range(count):
        chances = weights if np.isinf(nearest).all() else weights * nearest
        total = chances.sum()
        # All cells are where others are already.
        place = draw.choice(len(points), p=chances / total if total > 0 else None)
        middles.append(points[place])
        nearest = np.minimum(nearest, ((points - points[place]) ** 2).sum(axis=1))
    return np.array(middles)


def _squared_distances(
    points: NDArray[np.float64], others: NDArray[np.float64]
) -> NDArray[np.float64]:
    squares = (points**2).sum(axis=1)[:, None] + (others**2).sum(axis=1)
    return np.asarray(np.maximum(squares - 2 * points @ others.T, 0))
