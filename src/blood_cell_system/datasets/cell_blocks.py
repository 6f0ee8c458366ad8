"""Which cells belong together, and splits that keep them together.

Cells of one slide are alike: the same person, stain, lamp and focus. A split by cell lets a
network recognise the slide in place of the disease. A *block* is what may not be torn apart: a
slide or a patient where that is known, else a run of neighbouring file names, which mostly come
from one slide.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from blood_cell_system.annotation.splits import Split
from blood_cell_system.errors import OutOfRangeError, SettingsError
from blood_cell_system.seeding import generator_for

HELD_OUT_SHARES: Final[Mapping[Split, float]] = {Split.TEST: 0.2, Split.VAL: 0.15}
"""Of the cells of every class and source, as near as whole blocks allow."""

_NUMBER: Final = re.compile(r"(\d+)")


def in_natural_order(names: Sequence[str]) -> list[str]:
    """Sort names as a person would: ``img_9`` before ``img_10``.

    Examples
    --------
    >>> in_natural_order(["img_10", "img_9"])
    ['img_9', 'img_10']
    """

    def key(name: str) -> list[tuple[int, str]]:
        parts = _NUMBER.split(name)
        # Text and numbers alternate, so that like is compared with like.
        return [(int(part), "") if part.isdigit() else (0, part) for part in parts]

    return sorted(set(names), key=lambda name: (key(name), name))


def blocks_of_names(
    names: Sequence[str], *, pattern: str | None = None, block_size: int = 10
) -> dict[str, str]:
    """Say which block each name belongs to.

    Parameters
    ----------
    names : sequence of str
        Of images, without endings.
    pattern : str, optional
        Regular expression that finds the block in a name: its first group, or all that it matches.
        By default blocks are runs of neighbouring names.
    block_size : int
        Names a run, where there is no pattern.

    Returns
    -------
    dict of str to str
        Block of each name.

    Raises
    ------
    SettingsError
        The pattern is no regular expression or does not fit a name, or ``block_size`` is below 1.

    Examples
    --------
    >>> blocks_of_names(["a1_cell2", "a1_cell7", "b3_cell1"], pattern="^([ab][0-9])_")
    {'a1_cell2': 'a1', 'a1_cell7': 'a1', 'b3_cell1': 'b3'}
    """
    ordered = in_natural_order(names)
    if pattern is None:
        if block_size < 1:
            raise OutOfRangeError(f"block_size: received {block_size}; expected 1 or more.")
        runs = [ordered[start : start + block_size] for start in range(0, len(ordered), block_size)]
        return {name: f"{run[0]}..{run[-1]}" for run in runs for name in run}
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise SettingsError(
            f"block pattern {pattern!r}: no regular expression ({error}). For instance "
            "^([A-Z0-9]+)_ takes what stands before the first underscore."
        ) from error
    blocks = {}
    for name in ordered:
        found = expression.search(name)
        if found is None:
            raise SettingsError(
                f"block pattern {pattern!r}: does not fit {name!r}; expected it to find a slide in "
                "every name. Change the pattern, or leave it out for runs of neighbouring names."
            )
        blocks[name] = found.group(1) if expression.groups else found.group(0)
    return blocks


def split_by_blocks(
    blocks: Sequence[str],
    classes: Sequence[str],
    *,
    seed: int = 0,
) -> dict[str, Split]:
    """Split cells by whole blocks, so that every class gets its share in every split.

    Large blocks are placed first, each where the classes that it holds are missed most.

    Parameters
    ----------
    blocks : sequence of str
        Block of each cell.
    classes : sequence of str
        Class of each cell, with its source where there are several.

    Returns
    -------
    dict of str to Split
        Split of each block. A class that has a single block is in ``train``.
    """
    held: dict[str, Counter[str]] = defaultdict(Counter)
    for block, name in zip(blocks, classes, strict=True):
        held[block][name] += 1
    names = sorted(set(classes))
    order = sorted(held)
    order = [order[index] for index in generator_for(seed, "blocks").permutation(len(order))]
    counts = {block: np.array([held[block][name] for name in names], float) for block in order}
    totals = np.sum(list(counts.values()), axis=0) if counts else np.zeros(0)
    weights = {block: count / totals for block, count in counts.items()}
    wanted = {Split.TRAIN: 1 - sum(HELD_OUT_SHARES.values()), **HELD_OUT_SHARES}
    missing = {split: share * totals for split, share in wanted.items()}
    result: dict[str, Split] = {}
    # A stable sort keeps the drawn order among equals.
    for block in sorted(order, key=lambda block: -float(weights[block].sum())):
        weight = weights[block]
        # How much a split misses what the block holds, as a part of what the split is to get.
        need = {
            split: float((weight * missing[split] / (share * totals)).sum() / weight.sum())
            for split, share in wanted.items()
        }
        result[block] = max(need, key=need.__getitem__)
        missing[result[block]] = missing[result[block]] - counts[block]
    return result
