"""ALL-IDB: leukaemic and healthy blood, with the centres of blasts."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from blood_cell_system.annotation.folder_listing import FolderListing
from blood_cell_system.annotation.format_registry import reads
from blood_cell_system.annotation.reader import Reader, ReadingBuilder
from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.annotation.text_files import read_label_text, shortened
from blood_cell_system.errors import AnnotationError
from blood_cell_system.imaging.image_file import read_image_shape
from blood_cell_system.wording import counted

_IMAGE: Final = re.compile(r"im\d+_([01])", re.IGNORECASE)
_BLAST: Final = "blast"
_WHITE_CELL: Final = "WBC"
# Images of one cell are small.
_LARGEST_CROP_PX: Final = 400


@reads("allidb", title="ALL-IDB", order=90)
class AllIdbReader(Reader):
    """Both versions of ALL-IDB: fields with the centres of blasts, and images of one cell.

    ::

        ALL-IDB1/                        ALL-IDB2/
        ├── im/Im001_1.jpg               └── img/Im001_1.tif
        └── xyc/Im001_1.xyc

    The last digit of a name is 1 for leukaemia (a field with blasts, a cell that is one) and 0 for
    healthy. A file ``.xyc`` has a line ``x y`` for each blast, in pixels from 0; the other cells of
    the field are not marked. An image of ALL-IDB2 shows one white cell in its middle. All are WBC
    here: points, of which the class is known and the outline is not.

    Labati, Piuri, Scotti, *ALL-IDB: the acute lymphoblastic leukemia image database for image
    processing*, ICIP 2011. https://homes.di.unimi.it/scotti/all/: for research, ask the authors.
    """

    source = "allidb"
    licence = "for research; ask the authors"
    missing = (
        "no images named as in ALL-IDB (Im001_1.jpg, Im001_1.tif); expected im/ with xyc/ "
        "(ALL-IDB1) or img/ (ALL-IDB2). Unpack the data set again."
    )

    def files(self, listing: FolderListing) -> list[Path]:
        """Images named as in ALL-IDB: their names are labels."""
        return [path for path in listing.images() if _IMAGE.fullmatch(path.stem)]

    def recognise(self, listing: FolderListing) -> str | None:
        """Ask for the names of all images, and count files of centres."""
        images = self.files(listing)
        centres = listing.with_suffix(".xyc")
        if not images or len(images) < len(listing.images()):
            return None
        return (
            f"{counted(len(images), 'image')} named Im…_0 and Im…_1, and "
            f"{counted(len(centres), 'file')} of centres"
        )

    def read_files(self, files: Sequence[Path], builder: ReadingBuilder) -> None:
        """Read images, and the files of centres beside them."""
        listing = builder.listing
        centres = {path.stem.casefold(): path for path in listing.with_suffix(".xyc")}
        stems = {path.stem.casefold() for path in files}
        for stem, path in centres.items():
            if stem not in stems:
                builder.fail_named(
                    path.stem,
                    AnnotationError(
                        f"{path}: there is no image of that name. Copy it again from its source, "
                        "or remove the file."
                    ),
                    label_file=path,
                )
        for image in files:
            with builder.listing_failures(image, label_file=image):
                annotations, label_file = _annotations(image, centres.get(image.stem.casefold()))
                builder.add(image, annotations, label_file=label_file)


def _annotations(image: Path, centres: Path | None) -> tuple[list[Annotation], Path]:
    """Find the marks of an image, and the file that they come from."""
    found = _IMAGE.fullmatch(image.stem)
    is_leukaemic = found is not None and found[1] == "1"
    if centres is not None:
        return _centres(centres), centres
    height, width = read_image_shape(image)
    if max(height, width) <= _LARGEST_CROP_PX:
        label = _BLAST if is_leukaemic else _WHITE_CELL
        return [Annotation(cell_type=label, point=(width / 2, height / 2))], image
    if is_leukaemic:
        raise AnnotationError(
            f"{image}: a field of leukaemia without a file of centres; expected "
            f"xyc/{image.stem}.xyc. Copy it again from its source, or remove the image."
        )
    return [], image


def _centres(path: Path) -> list[Annotation]:
    annotations = []
    for number, line in enumerate(read_label_text(path).splitlines(), start=1):
        words = line.replace(",", " ").replace(";", " ").split()
        if not words:
            continue
        try:
            x, y = (float(word) for word in words[:2])
        except ValueError as error:
            raise AnnotationError(
                f"{path}: line {number} is {shortened(line.strip())}; expected x and y of a blast. "
                "Correct the line, or remove it."
            ) from error
        # The middle of the pixel that they name.
        annotations.append(Annotation(cell_type=_BLAST, point=(x + 0.5, y + 0.5)))
    return annotations
