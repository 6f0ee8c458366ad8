"""Images and masks in folders of their own, as many programs write them."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from blood_cell_system.annotation.folder_listing import FolderListing
from blood_cell_system.annotation.format_registry import reads
from blood_cell_system.annotation.label_map import (
    COMMON_LABELS,
    DROP,
    Labels,
    common_labels,
    plain_name,
)
from blood_cell_system.annotation.mask_files import (
    COLOUR,
    BinaryMaskFiles,
    MaskFile,
    MaskFiles,
    Value,
    read_values,
)
from blood_cell_system.annotation.reader import Reader, ReadingBuilder, ReadOptions
from blood_cell_system.errors import BloodCellError, DatasetError
from blood_cell_system.taxonomy import NOT_SCORED, MaskClass, Taxonomy

_MASK_FOLDER: Final = re.compile(
    r"(?:masks?|labels?|gt|ground[ _-]?truth|segmentations?|segmentationclass|annotations?)"
    r"(?:[ _-](.+))?",
    re.IGNORECASE,
)
_IMAGE_FOLDER: Final = re.compile(r"images?|imgs?|images?|originals?|jpegimages", re.IGNORECASE)
_MASK_NAME: Final = re.compile(r"(.+?)[ _-](?:masks?|labels?|gt|seg|segmentation)", re.IGNORECASE)
# Masks that are read to find the kind of all of them.
_LOOKED_AT: Final = 12
_MOST_CLASSES: Final = 8  # Values of masks; more are numbers of cells.


@dataclass(frozen=True, slots=True, kw_only=True)
class _FoundMask:
    path: Path
    stem: str
    label: str | None


@reads("masks", title="folders of images and masks", order=100)
class MaskFolderReader(Reader):
    """A folder of images and a folder of masks of the same names.

    ::

        folder/
        ├── images/a.png
        └── masks/a.png            or a_mask.png; the class of every pixel
            masks/RBC/a.png        or masks/a_RBC.png, masks_RBC/a.png: one black and white
            masks/WBC/a.png        image a class

    A mask is in the guide's colours (red background, green RBC, blue WBC, black not scored), also
    with 1 in the place of 255; or has numbers or other colours, of which ``--mask-values`` says
    what they mean. Nothing is known about single cells.

    Format and licence are those of the folder.
    """

    missing = (
        "no folder of masks; expected images/ and masks/ with files of the same names. Rename the "
        "folders."
    )

    def files(self, listing: FolderListing) -> list[Path]:
        """Images in a folder of masks, or named as masks."""
        return [mask.path for mask in _masks_in(listing, COMMON_LABELS)]

    def recognise(self, listing: FolderListing) -> str | None:
        """Look for masks that are named as images are."""
        masks = _masks_in(listing, COMMON_LABELS)
        images = _images_beside(listing, [mask.path for mask in masks])
        stems = {unicodedata.normalize("NFC", path.stem) for path in images}
        fitting = [mask for mask in masks if mask.stem in stems]
        if not fitting:
            return None
        where = fitting[0].path.relative_to(listing.root).parent.as_posix()
        return f"{len(fitting)} masks named as images are, in {where}"

    def builder(
        self, listing: FolderListing, files: Sequence[Path], options: ReadOptions
    ) -> ReadingBuilder:
        """Leave out the masks, whose names are those of the images."""
        _refuse_prepared(listing)
        images = _images_beside(listing, files)
        # Lists of splits stay.
        lists = listing.with_suffix(".txt", ".yaml", ".yml")
        kept = tuple(sorted({*images, *lists}))
        return super().builder(replace(listing, files=kept), files, options)

    def read_files(self, files: Sequence[Path], builder: ReadingBuilder) -> None:
        """Pair masks with images."""
        listing, options = builder.listing, builder.options
        labels = {**common_labels(options.taxonomy), **options.label_map}
        masks = _masks_in(replace(listing, files=tuple(files)), labels)
        by_image = _paired(masks, listing.images(), builder)
        table = _table(masks, options)
        for image, found in by_image.items():
            builder.add(
                image,
                None,
                label_file=found[0].path,
                class_mask=_mask_files(found, labels, table, options.taxonomy),
            )


def _refuse_prepared(listing: FolderListing) -> None:
    manifest = listing.root / "manifest.json"
    if '"format_version"' in listing.head(manifest):
        raise DatasetError(
            f"{listing.root}: is a prepared folder already (it has {manifest.name}); expected "
            "images and masks as another program wrote them. Train with it as it is, or put it "
            "together with others with bloodcells combine."
        )


def _masks_in(listing: FolderListing, labels: Labels) -> list[_FoundMask]:
    known = {plain_name(label) for label in (*labels, "background")}
    found = []
    for path in listing.images():
        folders = path.relative_to(listing.root).parent.parts
        positions = [i for i, name in enumerate(folders) if _MASK_FOLDER.fullmatch(name)]
        is_named = _MASK_NAME.fullmatch(path.stem)
        if not positions and not is_named:
            continue
        stem = unicodedata.normalize("NFC", is_named[1] if is_named else path.stem)
        label = None
        if positions:
            own = _MASK_FOLDER.fullmatch(folders[positions[-1]])
            words = [*reversed(folders[positions[-1] + 1 :]), (own[1] or "") if own else ""]
            label = next((word for word in words if plain_name(word) in known), None)
        head, separator, tail = stem.rpartition("_")
        if label is None and separator and plain_name(tail) in known:
            stem, label = head, tail
        found.append(_FoundMask(path=path, stem=stem, label=label))
    return found


def _images_beside(listing: FolderListing, masks: Sequence[Path]) -> list[Path]:
    """Images that are no masks: those in a folder of images, if there is one."""
    are_masks = set(masks)
    others = [path for path in listing.images() if path not in are_masks]
    in_images = [
        path
        for path in others
        if any(map(_IMAGE_FOLDER.fullmatch, path.relative_to(listing.root).parent.parts))
    ]
    return in_images or others


def _paired(
    masks: Sequence[_FoundMask], images: Sequence[Path], builder: ReadingBuilder
) -> dict[Path, list[_FoundMask]]:
    """Masks of each image; of images of one name, that in the nearest folder."""
    by_stem: dict[str, list[Path]] = defaultdict(list)
    for image in images:
        by_stem[unicodedata.normalize("NFC", image.stem)].append(image)
    paired: dict[Path, list[_FoundMask]] = defaultdict(list)
    alone = {mask.stem: mask.path for mask in masks if mask.stem not in by_stem}
    for stem, path in alone.items():
        builder.fail(
            stem,
            f"{path}: there is no image of that name for this mask. Copy it again from its "
            "source, or remove the mask.",
        )
    for mask in masks:
        if mask.stem in alone:
            continue
        folders = set(mask.path.parent.parts)
        nearest = max(by_stem[mask.stem], key=lambda path: len(folders & set(path.parent.parts)))
        paired[nearest].append(mask)
    return paired


def _mask_files(
    found: Sequence[_FoundMask],
    labels: Labels,
    table: Mapping[Value, int] | None,
    taxonomy: Taxonomy,
) -> MaskFiles:
    plain = {plain_name(label): cell_type for label, cell_type in labels.items()}
    files = []
    for mask in found:
        cell_type = plain.get(plain_name(mask.label or ""))
        if mask.label is not None and cell_type not in (None, DROP):
            files.append((taxonomy[cell_type].mask_class, mask.path))
    if files:
        return BinaryMaskFiles(files=tuple(sorted(files)))
    path = found[0].path
    if table is None:
        return MaskFile(path=path)
    classes = set(table.values())
    if len(table) == 2 and MaskClass.BACKGROUND in classes and NOT_SCORED not in classes:
        # Of two values the brighter is set, so that blurred borders do no harm.
        (cell_class,) = classes - {MaskClass.BACKGROUND} or {MaskClass.BACKGROUND}
        return BinaryMaskFiles(files=((MaskClass(cell_class), path),))
    return MaskFile(path=path, table=tuple(table.items()))


def _table(masks: Sequence[_FoundMask], options: ReadOptions) -> Mapping[Value, int] | None:
    """Tell what the values of masks without a class mean; None for the guide's colours."""
    if options.mask_values is not None:
        return options.mask_values
    plain = [mask.path for mask in masks if mask.label is None]
    values: set[int] = set()
    for path in plain[:: max(1, len(plain) // _LOOKED_AT)]:
        try:
            values.update(np.unique(read_values(path)).tolist())
        except BloodCellError:
            # Its image will be listed when it is prepared.
            continue
    has_colours = any(value & COLOUR for value in values)
    if has_colours or not values:
        return None
    if len(values) > _MOST_CLASSES:
        raise DatasetError(
            f"{plain[0].parent}: the masks have {len(values)} values up to {max(values)}, as label "
            "images of Cellpose or StarDist have, in which every cell has a number of its own; "
            "expected classes, and nothing says of which type the cells are. Save what is not 0 as "
            "255, in a folder for each type, for instance masks/RBC and masks/WBC. If the values "
            "are classes, say so with --mask-values 0=background,1=RBC,…"
        )
    shown = ", ".join(str(value) for value in sorted(values)[:8])
    raise DatasetError(
        f"{plain[0].parent}: the masks have the values {shown}, and nothing says which class each "
        "is. Say it, for instance with --mask-values "
        f"'{_suggestion(sorted(values))}' (background, RBC, WBC or unscored)."
    )


def _suggestion(values: Sequence[int]) -> str:
    names = ["background", "WBC"] if len(values) == 2 else ["background", "RBC", "WBC"]
    named = zip(values, [*names, *["unscored"] * len(values)], strict=False)
    return ",".join(f"{value}={name}" for value, name in named)
