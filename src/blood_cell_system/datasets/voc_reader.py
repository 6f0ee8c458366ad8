"""Any Pascal VOC data set, however its folders are called."""

import re
from pathlib import Path
from typing import Final

from blood_cell_system.datasets.folder_listing import FolderListing
from blood_cell_system.datasets.reader import ReadingBuilder, ReadOptions
from blood_cell_system.datasets.sample import Reading
from blood_cell_system.datasets.split_names import split_of_folders
from blood_cell_system.datasets.voc import read_voc_splits
from blood_cell_system.datasets.voc_annotation import (
    VocAnnotation,
    marks_of,
    read_voc_annotation,
)
from blood_cell_system.errors import BloodCellError, DatasetError, MissingDataError

_ROOT: Final = re.compile(r"<annotation[\s>]")
_LOOKED_AT: Final = 20


class VocReader:
    """Boxes in the XML of Pascal VOC, of BCCD, LabelImg, Roboflow, and copies of Kaggle sets.

    ::

        BCCD/
        ├── Annotations/a.xml               anywhere in the folder, also beside the pictures
        ├── JPEGImages/a.jpg                of the same name, or as <filename> says
        └── ImageSets/Main/{train,val,test}.txt    optional; a folder train/, val/ or test/ does too

    Corners are 1-based and both included. Some tools count from 0: where a corner is 0 all are
    taken so, and that is told. Usual names of cells are known, in any spelling.

    BCCD: https://github.com/Shenggan/BCCD_Dataset, MIT licence; labels RBC, WBC, Platelets.
    """

    name = "voc"
    title = "Pascal VOC"

    def recognise(self, listing: FolderListing) -> str | None:
        """Look for XML files of one picture each."""
        files = listing.with_suffix(".xml")
        seen = [path for path in files[:_LOOKED_AT] if _ROOT.search(listing.head(path))]
        if not seen:
            return None
        return f"{len(files)} XML files of a picture each, for instance {seen[0].name}"

    def read(self, root: Path, options: ReadOptions) -> Reading:
        """Read the folder, as :class:`Reader` says."""
        listing = FolderListing.of(root)
        files = listing.with_suffix(".xml")
        if not files:
            raise DatasetError(
                f"{root}: no XML files; expected one for every picture. Unpack the data set again, "
                "or name its format with --format."
            )
        is_bccd = any(part.upper().startswith("BCCD") for part in listing.root.resolve().parts[-2:])
        builder = ReadingBuilder(
            listing,
            self,
            options=options,
            source="bccd" if is_bccd else None,
            licence="MIT" if is_bccd else None,
        )
        annotations: dict[Path, VocAnnotation] = {}
        for path in files:
            try:
                annotations[path] = read_voc_annotation(path)
            except BloodCellError as error:
                builder.fail_named(path.stem, error, label_file=path)
        first_pixel = _first_pixel(annotations, options, builder)
        lists = {path.parent for path in listing.with_suffix(".txt") if path.parent.name == "Main"}
        splits = {
            stem: split for main in sorted(lists) for stem, split in read_voc_splits(main).items()
        }
        for path, annotation in annotations.items():
            try:
                picture = _picture_of(path, annotation, listing)
            except BloodCellError as error:
                builder.fail_named(annotation.filename or path.stem, error, label_file=path)
                continue
            builder.add(
                picture,
                marks_of(annotation, first_pixel=first_pixel),
                label_file=path,
                declared_shape=annotation.shape,
                split=splits.get(path.stem) or split_of_folders(path.relative_to(listing.root)),
            )
        builder.used(*(path for path in listing.with_suffix(".txt") if path.parent in lists))
        return builder.finish()


def _picture_of(path: Path, annotation: VocAnnotation, listing: FolderListing) -> Path:
    """Picture of an annotation: of its own name, else of the name that stands in it."""
    folders = path.relative_to(listing.root).parent.parts
    try:
        return listing.picture_named(
            "/".join((*folders, path.stem)), beside=path.parent, where=str(path)
        )
    except MissingDataError:
        if not annotation.filename:
            raise
    return listing.picture_named(annotation.filename, beside=path.parent, where=str(path))


def _first_pixel(
    annotations: dict[Path, VocAnnotation], options: ReadOptions, builder: ReadingBuilder
) -> int:
    if options.first_pixel is not None:
        return options.first_pixel
    at_zero = [
        path
        for path, annotation in annotations.items()
        if any(0 in item.corners[:2] for item in annotation.objects)
    ]
    if not at_zero:
        return 1
    builder.note(
        f"{len(at_zero)} files have boxes that begin at 0, for instance {at_zero[0]}: all boxes "
        "are taken to count pixels from 0, unlike Pascal VOC. If that is wrong, say "
        "--first-pixel 1."
    )
    return 0
