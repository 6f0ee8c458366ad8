"""Step 3: sizes, duplicates, copies and classes over all images."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.annotation.clean import TINY_SIDE_PX
from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.annotation.splits import Split
from blood_cell_system.datasets.cell_diameter import mixed_magnifications
from blood_cell_system.datasets.duplicates.groups import linked_groups, pairs_of_same
from blood_cell_system.datasets.verify.checks import Finding, Severity, finding, listed
from blood_cell_system.datasets.verify.image_checks import (
    ImageFacts,
    is_outside,
    is_whole,
    region_of,
)
from blood_cell_system.taxonomy import RBC, MaskClass

SIZE_FACTOR = 2.2
"""A cell is an outlier when it is this many times wider or narrower than the median."""

# Kinds of fewer cells have no sure median.
_FEWEST_CELLS = 20
# Where sizes vary by nature, an outlier must also lie this many robust deviations off.
_DEVIATIONS = 4.0
# A cell this near to the edge is cut off, and rightly small.
_EDGE_PX = 3.0


def check_sizes(images: Sequence[ImageFacts]) -> list[Finding]:
    """Find boxes far larger or smaller than the median of their type in their data set.

    Only originals are looked at, as copies may be scaled, and only cells away from the edge.
    """
    kinds: defaultdict[tuple[str, str], list[tuple[str, Annotation]]] = defaultdict(list)
    for image in images:
        for box in () if image.is_augmented else whole_cells(image):
            kinds[image.source, box.cell_type].append((image.stem, box))
    outliers: defaultdict[str, list[tuple[Annotation, float]]] = defaultdict(list)
    for cells in kinds.values():
        if len(cells) < _FEWEST_CELLS:
            continue
        sizes = np.log([side_of(box) for _, box in cells])
        median = float(np.median(sizes))
        deviation = 1.4826 * float(np.median(np.abs(sizes - median)))
        limit = max(np.log(SIZE_FACTOR), _DEVIATIONS * deviation)
        for index in np.flatnonzero(np.abs(sizes - median) > limit):
            stem, box = cells[index]
            outliers[stem].append((box, float(np.exp(sizes[index] - median))))
    return [_finding(stem, found) for stem, found in sorted(outliers.items())]


def check_magnifications(images: Sequence[ImageFacts]) -> list[Finding]:
    """Report images of several magnifications, by the boxes of their red cells."""
    found = mixed_magnifications(
        {
            image.stem: [side_of(box) for box in whole_cells(image) if box.cell_type == RBC]
            for image in images
            if not image.is_augmented
        }
    )
    return [finding("mixed-magnifications", found)] if found else []


def whole_cells(image: ImageFacts) -> list[Annotation]:
    """Sound boxes that the edge of the image does not cut."""
    if image.cells is None or image.image_shape is None:
        return []
    height, width = image.image_shape
    return [
        box
        for box in image.cells
        if is_whole(box)
        and not is_outside(box, image.image_shape)
        and min(box.width, box.height) > TINY_SIDE_PX
        and min(box.x_min, box.y_min, width - box.x_max, height - box.y_max) > _EDGE_PX
    ]


def side_of(box: Annotation) -> float:
    """Side of the square with the box's area, in pixels."""
    return float(np.sqrt(box.width * box.height))


def _finding(stem: str, found: Sequence[tuple[Annotation, float]]) -> Finding:
    box, factor = max(found, key=lambda item: abs(np.log(item[1])))
    others = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return finding(
        "size-outlier",
        f"{stem} has a {box.cell_type} of {box.width:.0f}×{box.height:.0f} px, "
        f"{factor:.1f} times the median of its kind{others}",
        stem,
        regions=tuple(region_of(box) for box, _ in found),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateGroup:
    """Images that show the same, none a copy of another by the manifest.

    Parameters
    ----------
    images : tuple of ImageFacts
        Ordered by stem.
    correlation : float
        1 for equal pixels, else that of the least similar pair that was found.
    """

    images: tuple[ImageFacts, ...]
    correlation: float

    @property
    def is_exact(self) -> bool:
        """Whether the pixels are equal."""
        return self.correlation == 1

    @property
    def splits(self) -> tuple[Split, ...]:
        """Splits that the images are in."""
        present = {image.split for image in self.images}
        return tuple(split for split in Split if split in present)

    @property
    def is_leak(self) -> bool:
        """Whether the images are in different splits."""
        return len(self.splits) > 1


def find_duplicates(images: Sequence[ImageFacts]) -> tuple[DuplicateGroup, ...]:
    """Group images with equal pixels, and then those that show the same field.

    Augmented copies of one original are not duplicates of each other.
    """
    exact = _exact_groups(images)
    return (*exact, *_near_groups(images, exact))


def _exact_groups(images: Sequence[ImageFacts]) -> list[DuplicateGroup]:
    by_hash: defaultdict[str, list[ImageFacts]] = defaultdict(list)
    for image in images:
        if image.field_print is not None:
            by_hash[image.field_print.pixel_hash].append(image)
    return [
        DuplicateGroup(images=tuple(group), correlation=1.0)
        for group in by_hash.values()
        if len({image.original for image in group}) > 1
    ]


def _near_groups(
    images: Sequence[ImageFacts], exact: Sequence[DuplicateGroup]
) -> list[DuplicateGroup]:
    stems = {image.stem for image in images}
    repeated = {image.stem for group in exact for image in group.images[1:]}
    # A copy shows nothing that its original does not; a repetition is reported already.
    compared = [
        image
        for image in images
        if image.field_print is not None
        and image.stem not in repeated
        and not (image.is_augmented and image.original in stems)
    ]
    pairs, correlations = pairs_of_same([p.field_print for p in compared if p.field_print])
    is_foreign = np.array(
        [compared[i].original != compared[j].original for i, j in pairs], dtype=np.bool_
    )
    pairs, correlations = pairs[is_foreign], correlations[is_foreign]
    group_of = linked_groups(pairs, len(compared))
    members: defaultdict[int, list[ImageFacts]] = defaultdict(list)
    weakest: defaultdict[int, float] = defaultdict(lambda: 1.0)
    for index, image in enumerate(compared):
        members[int(group_of[index])].append(image)
    for (first, _), correlation in zip(pairs, correlations, strict=True):
        group = int(group_of[first])
        weakest[group] = min(weakest[group], float(correlation))
    # Rounding must not make a near duplicate look exact.
    return [
        DuplicateGroup(images=tuple(members[group]), correlation=min(value, 0.9999))
        for group, value in weakest.items()
    ]


def duplicate_finding(group: DuplicateGroup) -> Finding:
    """Turn a group into a finding."""
    stems = tuple(image.stem for image in group.images)
    if group.is_exact:
        kind, words = "exact-duplicate", "are the same image"
        if len({image.mask_hash for image in group.images if image.mask_hash}) > 1:
            words += ", with different masks"
    else:
        kind = "near-duplicate"
        words = f"show nearly the same (correlation {group.correlation:.2f})"
    if group.is_leak:
        named = [f"{image.stem} ({image.split or 'no split'})" for image in group.images]
        message = f"{listed(named, at_most=5)} {words}, in different splits"
        return finding(f"leak-{kind}", message, *stems)
    return finding(kind, f"{listed(stems, at_most=5)} {words}", *stems)


# Splits of fewer images differ by chance.
_FEWEST_IMAGES = 20
# A class's share of the scored pixels may differ by this factor between a split and the whole.
_BALANCE_FACTOR = 2.0
# Of this share of the masks the brightness has to speak for exchanged channels.
_SWAPPED_SHARE = 0.5
_GAP_GRAY_VALUES = 5.0  # How much darker than cells the background must be to count.


def check_copies(images: Sequence[ImageFacts]) -> list[Finding]:
    """Check that augmented copies stay with their original and out of validation and test."""
    findings = []
    by_stem = {image.stem: image for image in images}
    orphans = []
    for copy in images:
        if not copy.is_augmented:
            continue
        original = by_stem.get(copy.original)
        if original is None:
            orphans.append(copy.stem)
        elif copy.split != original.split and (copy.split or original.split):
            findings.append(
                finding(
                    "leak-copy",
                    f"{copy.stem} ({copy.split or 'no split'}) is an augmented copy of "
                    f"{original.stem} ({original.split or 'no split'})",
                    copy.stem,
                    original.stem,
                )
            )
        elif copy.split in (Split.VAL, Split.TEST):
            findings.append(
                finding(
                    "copy-not-in-train",
                    f"{copy.stem} is an augmented copy in {copy.split}, where only "
                    "originals are used",
                    copy.stem,
                )
            )
    if orphans:
        findings.append(
            finding(
                "copy-without-original",
                f"{len(orphans)} augmented copies have no original here: {listed(orphans)}",
                *tuple(orphans),
            )
        )
    return findings


def check_classes(images: Sequence[ImageFacts]) -> list[Finding]:
    """Check that every split is there, holds every class, and resembles the others."""
    counts = class_pixels_by_split(images)
    whole = sum(counts.values(), start=np.zeros(4, dtype=np.int64))
    findings = []
    named = {split: count for split, count in counts.items() if split is not None}
    for split in Split if named else ():
        if split not in named:
            severity = Severity.ERROR if split == Split.TRAIN else Severity.WARNING
            findings.append(finding("empty-split", f"{split} has no images", severity=severity))
    for name, count in ((str(split or "the folder"), count) for split, count in counts.items()):
        for cell_class in MaskClass:
            if count[cell_class] == 0 and count.sum():
                is_ground = cell_class == MaskClass.BACKGROUND
                findings.append(
                    finding(
                        "missing-class",
                        f"{name} has no pixel of {cell_class.name}"
                        + (": black means not scored, background is red" if is_ground else ""),
                        severity=Severity.ERROR if is_ground else Severity.WARNING,
                    )
                )
    for split, count in named.items():
        if len(named) < 2 or sum(image.split == split for image in images) < _FEWEST_IMAGES:
            continue
        share, expected = scored_shares(count), scored_shares(whole)
        for cell_class in (MaskClass.RBC, MaskClass.WBC):
            part, mean = share[cell_class], expected[cell_class]
            if part > 0 and not mean / _BALANCE_FACTOR <= part <= mean * _BALANCE_FACTOR:
                findings.append(
                    finding(
                        "class-balance",
                        f"{cell_class.name} takes {part:.1%} of the scored pixels of {split}, "
                        f"{mean:.1%} of all",
                    )
                )
    return findings


def check_stain(images: Sequence[ImageFacts]) -> list[Finding]:
    """Check that cells are darker than the background around them."""
    known = [image for image in images if np.isfinite(image.stain_gap)]
    wrong = [image for image in known if image.stain_gap < -_GAP_GRAY_VALUES]
    swapped = [image for image in wrong if image.swapped_gap > _GAP_GRAY_VALUES]
    if known and len(swapped) > _SWAPPED_SHARE * len(known):
        return [
            finding(
                "swapped-channels",
                f"{len(swapped)} of {len(known)} masks fit their images better with red "
                "and blue exchanged",
                *tuple(image.stem for image in swapped),
            )
        ]
    return [
        finding(
            "mask-does-not-fit",
            f"{image.stem}: what its mask calls background is darker than what it calls "
            f"cells, by {-image.stain_gap:.0f} gray values",
            image.stem,
        )
        for image in wrong
    ]


def class_pixels_by_split(images: Sequence[ImageFacts]) -> dict[Split | None, NDArray[np.int64]]:
    """Sum the pixels of background, RBC, WBC and not scored over each split."""
    sums: dict[Split | None, NDArray[np.int64]] = {}
    for image in images:
        if image.class_pixels is not None:
            zero = np.zeros(4, dtype=np.int64)
            sums[image.split] = sums.get(image.split, zero) + image.class_pixels
    return sums


def scored_shares(class_pixels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Shares of background, RBC and WBC of the scored pixels; zeros where none is scored."""
    scored = class_pixels[:3]
    return scored / max(1, int(scored.sum()))
