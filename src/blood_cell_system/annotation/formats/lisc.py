"""LISC: white cells with expert's outlines, in folders by type."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

import cv2
import numpy as np

from blood_cell_system.annotation.folder_listing import FolderListing
from blood_cell_system.annotation.format_registry import reads
from blood_cell_system.annotation.mask_files import read_brightness
from blood_cell_system.annotation.outline import PixelOutline
from blood_cell_system.annotation.reader import Reader, ReadingBuilder, ReadOptions
from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.errors import MaskFormatError
from blood_cell_system.imaging.image_file import read_image_shape
from blood_cell_system.taxonomy import WBC

_EXPERT: Final = re.compile(r"(.+)_expert", re.IGNORECASE)
_AREA_FOLDER: Final = "areaforexpert1"
# Cytoplasm is drawn in a darker gray than the nucleus.
_CYTOPLASM: Final = 0.2
# Of the image: less is a slip of the pen.
_SMALLEST_SHARE: Final = 2e-4


@reads("lisc", title="LISC", order=80)
class LiscReader(Reader):
    """White blood cells outlined by an expert; the other cells of the image are not marked.

    ::

        LISC Database/
        ├── Main Dataset/{Baso,eosi,lymp,mixt,mono,neut}/1.bmp
        └── Ground Truth Segmentation/{Baso,…}/areaforexpert1/1_expert.bmp

    A mask is black around the cell, gray in its cytoplasm and white in its nucleus; cells that do
    not touch are single ones. All are WBC here; the folder is the type of white cell. What else
    there is in an image comes from the stain. A second expert's masks (``areaforexpert2``) are
    passed over.

    Rezatofighi, Soltanian-Zadeh, *Automatic recognition of five types of white blood cells in
    peripheral blood*, Computerized Medical Imaging and Graphics 35(4), 2011.
    https://users.cecs.anu.edu.au/~hrezatofighi/Data/Leukocyte%20Data.htm: for research, ask the
    authors.
    """

    source = "lisc"
    licence = "for research; ask the authors"
    labels = MappingProxyType({"mixt": WBC})
    seen = f"{{count}} masks *_expert in folders {_AREA_FOLDER}"
    missing = (
        f"no masks {_AREA_FOLDER}/*_expert.bmp; expected LISC's folders Main Dataset and Ground "
        "Truth Segmentation. Unpack both again."
    )

    def files(self, listing: FolderListing) -> list[Path]:
        """Masks of the first expert."""
        return [
            path
            for path in listing.images()
            if path.parent.name.casefold() == _AREA_FOLDER and _EXPERT.fullmatch(path.stem)
        ]

    def builder(
        self, listing: FolderListing, files: Sequence[Path], options: ReadOptions
    ) -> ReadingBuilder:
        """Leave out the masks, of which two experts' have the same names."""
        images = replace(listing, files=tuple(_images(listing).values()))
        return super().builder(images, files, options)

    def read_files(self, files: Sequence[Path], builder: ReadingBuilder) -> None:
        """Read one mask an image."""
        images = _images(builder.listing)
        for mask in files:
            # …/Baso/areaforexpert1/1_expert.bmp is of …/Baso/1.bmp.
            folder, stem = mask.parent.parent.name, _EXPERT.sub(r"\1", mask.stem)
            key = (folder.casefold(), stem.casefold())
            if key not in images:
                builder.fail(
                    stem,
                    f"{mask}: there is no image {folder}/{stem} for this mask. Copy it again "
                    "from its source, or remove the mask.",
                )
                continue
            image = images[key]
            with builder.listing_failures(image, label_file=image):
                annotations = _annotations(mask, folder, read_image_shape(image))
                builder.add(image, annotations, label_file=mask)


def _images(listing: FolderListing) -> dict[tuple[str, str], Path]:
    """Images by the names of their folder and their own."""
    return {
        (path.parent.name.casefold(), path.stem.casefold()): path
        for path in listing.images()
        if not path.parent.name.casefold().startswith("areaforexpert")
        and "segmentation" not in path.relative_to(listing.root).as_posix().casefold()
    }


def _annotations(mask: Path, label: str, shape: tuple[int, int]) -> list[Annotation]:
    brightness = read_brightness(mask)
    if brightness.shape != shape:
        raise MaskFormatError(
            f"{mask}: the mask has (height, width) {brightness.shape}, the image {shape}; expected "
            "the same size. Copy both again from their source."
        )
    is_cell = brightness > _CYTOPLASM * max(int(brightness.max(initial=0)), 1)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(is_cell.view(np.uint8), connectivity=8)
    return [
        Annotation(cell_type=label, outline=PixelOutline.from_pixels(labels == index))
        for index in range(1, len(stats))
        if stats[index, cv2.CC_STAT_AREA] >= _SMALLEST_SHARE * is_cell.size
    ]
