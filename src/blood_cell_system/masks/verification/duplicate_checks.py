"""Step 3a: pictures that are there twice, and what of it crosses a split."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from blood_cell_system.datasets.prepared import Split
from blood_cell_system.masks.verification.findings import Finding, Severity, listed
from blood_cell_system.masks.verification.picture_facts import PictureFacts
from blood_cell_system.same_fields.groups import linked_groups, pairs_of_same


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateGroup:
    """Pictures that show the same, none a copy of another by the manifest.

    Parameters
    ----------
    pictures : tuple of PictureFacts
        Ordered by stem.
    correlation : float
        1 for equal pixels, else that of the least similar pair that was found.
    """

    pictures: tuple[PictureFacts, ...]
    correlation: float

    @property
    def is_exact(self) -> bool:
        """Whether the pixels are equal."""
        return self.correlation == 1

    @property
    def splits(self) -> tuple[Split, ...]:
        """Splits that the pictures are in."""
        present = {picture.split for picture in self.pictures}
        return tuple(split for split in Split if split in present)

    @property
    def is_leak(self) -> bool:
        """Whether the pictures are in different splits."""
        return len(self.splits) > 1


def find_duplicates(pictures: Sequence[PictureFacts]) -> tuple[DuplicateGroup, ...]:
    """Group pictures with equal pixels, and then those that show the same field.

    Augmented copies of one original are not duplicates of each other.
    """
    exact = _exact_groups(pictures)
    return (*exact, *_near_groups(pictures, exact))


def _exact_groups(pictures: Sequence[PictureFacts]) -> list[DuplicateGroup]:
    by_hash: defaultdict[str, list[PictureFacts]] = defaultdict(list)
    for picture in pictures:
        if picture.field_print is not None:
            by_hash[picture.field_print.pixel_hash].append(picture)
    return [
        DuplicateGroup(pictures=tuple(group), correlation=1.0)
        for group in by_hash.values()
        if len({picture.original for picture in group}) > 1
    ]


def _near_groups(
    pictures: Sequence[PictureFacts], exact: Sequence[DuplicateGroup]
) -> list[DuplicateGroup]:
    stems = {picture.stem for picture in pictures}
    repeated = {picture.stem for group in exact for picture in group.pictures[1:]}
    # A copy tells nothing that its original does not; a repetition is reported already.
    compared = [
        picture
        for picture in pictures
        if picture.field_print is not None
        and picture.stem not in repeated
        and not (picture.is_augmented and picture.original in stems)
    ]
    pairs, correlations = pairs_of_same([p.field_print for p in compared if p.field_print])
    is_foreign = np.array(
        [compared[i].original != compared[j].original for i, j in pairs], dtype=np.bool_
    )
    pairs, correlations = pairs[is_foreign], correlations[is_foreign]
    group_of = linked_groups(pairs, len(compared))
    members: defaultdict[int, list[PictureFacts]] = defaultdict(list)
    weakest: dict[int, float] = {}
    for index, picture in enumerate(compared):
        members[int(group_of[index])].append(picture)
    for (first, _), correlation in zip(pairs, correlations, strict=True):
        group = int(group_of[first])
        weakest[group] = min(weakest.get(group, 1.0), float(correlation))
    # Rounding must not make a near duplicate look exact.
    return [
        DuplicateGroup(pictures=tuple(members[group]), correlation=min(value, 0.9999))
        for group, value in weakest.items()
    ]


def check_duplicates(groups: Sequence[DuplicateGroup]) -> list[Finding]:
    """Turn groups into findings."""
    return [_exact_finding(group) if group.is_exact else _near_finding(group) for group in groups]


def _exact_finding(group: DuplicateGroup) -> Finding:
    stems = tuple(picture.stem for picture in group.pictures)
    masks = {picture.mask_hash for picture in group.pictures if picture.mask_hash}
    contradiction = ", with different masks" if len(masks) > 1 else ""
    if group.is_leak:
        return Finding(
            severity=Severity.ERROR,
            check="leak-exact-duplicate",
            message=f"{_with_splits(group)} are the same picture{contradiction}, in different "
            "splits",
            remedy="Keep one: figures on pictures that were learned from are too good. --fix keeps "
            "that of test, else of val.",
            stems=stems,
        )
    return Finding(
        severity=Severity.WARNING,
        check="exact-duplicate",
        message=f"{listed(stems, at_most=5)} are the same picture{contradiction}",
        remedy="Keep one: splits drawn later could part them. --fix keeps the first.",
        stems=stems,
    )


def _near_finding(group: DuplicateGroup) -> Finding:
    stems = tuple(picture.stem for picture in group.pictures)
    if group.is_leak:
        return Finding(
            severity=Severity.WARNING,
            check="leak-near-duplicate",
            message=f"{_with_splits(group)} show nearly the same (correlation "
            f"{group.correlation:.2f}), in different splits",
            remedy="Look at them: one field taken twice makes figures too good. --fix keeps those "
            "of one split, test before val before train.",
            stems=stems,
        )
    return Finding(
        severity=Severity.WARNING,
        check="near-duplicate",
        message=f"{listed(stems, at_most=5)} show nearly the same (correlation "
        f"{group.correlation:.2f})",
        remedy="Look at them: keep one field once, or keep them in one split.",
        stems=stems,
    )


def _with_splits(group: DuplicateGroup) -> str:
    names = [f"{p.stem} ({p.split or 'no split'})" for p in group.pictures]
    return listed(names, at_most=5)
