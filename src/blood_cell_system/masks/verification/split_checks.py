"""Step 3b: copies and classes, seen over the splits."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.classes import CellClass
from blood_cell_system.datasets.prepared import Split
from blood_cell_system.masks.verification.findings import Finding, Severity, listed
from blood_cell_system.masks.verification.picture_facts import PictureFacts

# Splits of fewer pictures differ by chance.
_FEWEST_PICTURES = 20
# A class's share of the scored pixels may differ by this factor between a split and the whole.
_BALANCE_FACTOR = 2.0
# Of this share of the masks the brightness has to speak for exchanged channels.
_SWAPPED_SHARE = 0.5
_GAP_GRAY_VALUES = 5.0


def check_copies(pictures: Sequence[PictureFacts]) -> list[Finding]:
    """Check that augmented copies stay with their original and out of validation and test."""
    findings = []
    by_stem = {picture.stem: picture for picture in pictures}
    orphans = []
    for copy in pictures:
        if not copy.is_augmented:
            continue
        original = by_stem.get(copy.original)
        if original is None:
            orphans.append(copy.stem)
        elif copy.split != original.split and (copy.split or original.split):
            findings.append(
                Finding(
                    severity=Severity.ERROR,
                    check="leak-copy",
                    message=f"{copy.stem} ({copy.split or 'no split'}) is an augmented copy of "
                    f"{original.stem} ({original.split or 'no split'})",
                    remedy="Keep copies in the split of their original; --fix puts them back.",
                    stems=(copy.stem, original.stem),
                )
            )
        elif copy.split in (Split.VAL, Split.TEST):
            findings.append(
                Finding(
                    severity=Severity.WARNING,
                    check="copy-not-in-train",
                    message=f"{copy.stem} is an augmented copy in {copy.split}, where only "
                    "originals are used",
                    remedy="Nothing, or leave it out: it is passed over.",
                    stems=(copy.stem,),
                )
            )
    if orphans:
        findings.append(
            Finding(
                severity=Severity.WARNING,
                check="copy-without-original",
                message=f"{len(orphans)} augmented copies have no original here: {listed(orphans)}",
                remedy="Bring the originals back, or prepare the folder again.",
                stems=tuple(orphans),
            )
        )
    return findings


def check_classes(pictures: Sequence[PictureFacts]) -> list[Finding]:
    """Check that every split is there, holds every class, and resembles the others."""
    counts = class_pixels_by_split(pictures)
    whole = sum(counts.values(), start=np.zeros(4, dtype=np.int64))
    findings = []
    named = {split: count for split, count in counts.items() if split is not None}
    for split in Split if named else ():
        if split not in named:
            severity = Severity.ERROR if split == Split.TRAIN else Severity.WARNING
            findings.append(_split_finding(severity, "empty-split", f"{split} has no pictures"))
    for name, count in ((str(split or "the folder"), count) for split, count in counts.items()):
        for cell_class in CellClass:
            if count[cell_class] == 0 and count.sum():
                is_ground = cell_class == CellClass.BACKGROUND
                findings.append(
                    _split_finding(
                        Severity.ERROR if is_ground else Severity.WARNING,
                        "missing-class",
                        f"{name} has no pixel of {cell_class.name}"
                        + (": black means not scored, background is red" if is_ground else ""),
                    )
                )
    for split, count in named.items():
        if _count(pictures, split) < _FEWEST_PICTURES or len(named) < 2:
            continue
        share, expected = scored_shares(count), scored_shares(whole)
        for cell_class in (CellClass.RBC, CellClass.WBC):
            part, mean = share[cell_class], expected[cell_class]
            if part > 0 and not mean / _BALANCE_FACTOR <= part <= mean * _BALANCE_FACTOR:
                findings.append(
                    _split_finding(
                        Severity.WARNING,
                        "class-balance",
                        f"{cell_class.name} takes {part:.1%} of the scored pixels of {split}, "
                        f"{mean:.1%} of all",
                    )
                )
    return findings


def check_stain(pictures: Sequence[PictureFacts]) -> list[Finding]:
    """Check that cells are darker than the background around them."""
    known = [picture for picture in pictures if np.isfinite(picture.stain_gap)]
    wrong = [picture for picture in known if picture.stain_gap < -_GAP_GRAY_VALUES]
    swapped = [picture for picture in wrong if picture.swapped_gap > _GAP_GRAY_VALUES]
    if known and len(swapped) > _SWAPPED_SHARE * len(known):
        return [
            Finding(
                severity=Severity.ERROR,
                check="swapped-channels",
                message=f"{len(swapped)} of {len(known)} masks fit their pictures better with red "
                "and blue exchanged",
                remedy="Write masks as RGB: OpenCV writes BGR unless converted with cvtColor.",
                stems=tuple(picture.stem for picture in swapped),
            )
        ]
    return [
        Finding(
            severity=Severity.WARNING,
            check="mask-does-not-fit",
            message=f"{picture.stem}: what its mask calls background is darker than what it calls "
            f"cells, by {-picture.stain_gap:.0f} gray values",
            remedy="Look at the overlay: the mask may belong to another picture.",
            stems=(picture.stem,),
        )
        for picture in wrong
    ]


def class_pixels_by_split(
    pictures: Sequence[PictureFacts],
) -> dict[Split | None, NDArray[np.int64]]:
    """Sum the pixels of background, RBC, WBC and not scored over each split."""
    sums: dict[Split | None, NDArray[np.int64]] = {}
    for picture in pictures:
        if picture.class_pixels is not None:
            zero = np.zeros(4, dtype=np.int64)
            sums[picture.split] = sums.get(picture.split, zero) + picture.class_pixels
    return sums


def scored_shares(
    class_pixels: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Shares of background, RBC and WBC of the scored pixels; zeros where none is scored."""
    scored = class_pixels[:3]
    return scored / max(1, int(scored.sum()))


def _count(pictures: Sequence[PictureFacts], split: Split) -> int:
    return sum(picture.split == split for picture in pictures)


def _split_finding(severity: Severity, check: str, message: str) -> Finding:
    remedies = {
        "empty-split": "Add pictures to the split, or leave all splits out: training draws them.",
        "missing-class": "Add pictures with that class: it can be neither learned nor measured.",
        "class-balance": "Split again, or mind it when splits are compared.",
    }
    return Finding(severity=severity, check=check, message=message, remedy=remedies[check])
