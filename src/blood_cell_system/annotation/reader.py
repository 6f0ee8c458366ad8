"""What a reader of a data set is, and the work that is the same for all of them."""

import re
from abc import ABC
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, ClassVar

from blood_cell_system.annotation.clean import clean_annotations, joined_parts, shifted
from blood_cell_system.annotation.folder_listing import FolderListing
from blood_cell_system.annotation.label_map import LabelReader, Labels, common_labels
from blood_cell_system.annotation.mask_files import MaskFiles, Value
from blood_cell_system.annotation.sample import (
    Annotation,
    DroppedCell,
    FailedImage,
    Reading,
    Sample,
)
from blood_cell_system.annotation.split_lists import listed_splits
from blood_cell_system.annotation.splits import Split, split_of_folders
from blood_cell_system.annotation.text_files import declared_shape, errors_located_at
from blood_cell_system.errors import AnnotationError, BloodCellError, DatasetError
from blood_cell_system.imaging.image_file import IMAGE_SUFFIXES, read_image_shape
from blood_cell_system.taxonomy import BUILT_IN, Taxonomy
from blood_cell_system.wording import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """What a person may have to say about the files.

    Parameters
    ----------
    label_map : mapping of str to str or None
        Labels in addition to those that the reader knows; None leaves cells out.
    has_all_labels : bool
        Whether labels must be in the label map, letter by letter.
    mask_values : mapping of int or colour to int, optional
        What the values of an index mask stand for: values of ``MaskClass``, or 255.
    first_pixel : {0, 1} or None
        What the files of a format that may count from 0 or 1 call the first pixel; None takes what
        the format says.
    taxonomy : Taxonomy
        Types that labels may mean.
    """

    label_map: Labels = field(default_factory=lambda: MappingProxyType({}))
    has_all_labels: bool = False
    mask_values: Mapping[Value, int] | None = None
    first_pixel: int | None = None
    taxonomy: Taxonomy = BUILT_IN


ReadMark = Callable[[Any, tuple[int, int]], Iterable[Annotation]]
"""Reads a mark of a label file in an image of ``(height, width)`` pixels."""


class Reader(ABC):
    """A reader of one format; ``reads`` of the format registry registers it.

    A subclass says by ``suffixes`` and ``signs`` which files are its own, and has
    :meth:`read_file`; where its folder is more than label files beside images, it replaces
    :meth:`files`, :meth:`recognise`, :meth:`builder` or :meth:`read_files`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    order: ClassVar[int]
    suffixes: ClassVar[tuple[str, ...]] = ()
    """Endings of its label files."""

    signs: ClassVar[tuple[re.Pattern[str], ...]] = ()
    """What the beginning of a label file has, all of it."""

    may_count_from_one: ClassVar[bool] = False
    """Whether files may call the first pixel 1, which ``--first-pixel`` then says."""

    seen: ClassVar[str] = "{count} files"
    """What :meth:`recognise` says; ``{count}`` files, of which ``{first}`` is the first."""

    mark: ClassVar[str] = "object"
    """What messages call a mark of a label file, before its number."""

    source: ClassVar[str | None] = None
    """Name of the data set; None takes that of the folder."""

    licence: ClassVar[str | None] = None

    labels: ClassVar[Labels] = MappingProxyType({})
    """Further labels that the format has."""

    missing: ClassVar[str]
    """What :meth:`read` says of a folder without label files: found, expected, what to do."""

    def files(self, listing: FolderListing) -> Sequence[Path]:
        """Label files of this format, by names and the beginning of the files."""
        return [
            path
            for path in listing.with_suffix(*self.suffixes)
            if not self.signs or self.is_signed(listing.head(path))
        ]

    def is_signed(self, head: str) -> bool:
        """Whether a file that begins so has all that files of this format have."""
        return all(sign.search(head) for sign in self.signs)

    def read_files(self, files: Sequence[Path], builder: "ReadingBuilder") -> None:
        """Add the images of all label files to the builder, or list why that cannot be."""
        for path in files:
            self.read_file(path, builder)

    def read_file(self, path: Path, builder: "ReadingBuilder") -> None:
        """Add the images of one label file to the builder, or list why that cannot be."""
        raise NotImplementedError

    def recognise(self, listing: FolderListing) -> str | None:
        """Say in words what of this format is in a folder; None where it is another.

        Looks at names and at the beginning of few files, whatever the folder's size.
        """
        files = self.files(listing)
        return self.seen.format(count=len(files), first=files[0].name) if files else None

    def builder(
        self, listing: FolderListing, files: Sequence[Path], options: ReadOptions
    ) -> "ReadingBuilder":
        """Builder of the reading, with what is known about the data set."""
        del files
        return ReadingBuilder(listing, self, options=options)

    def read(self, root: Path, options: ReadOptions) -> Reading:
        """Read a folder.

        Raises
        ------
        MissingDataError
            There is no such folder.
        DatasetError
            It is of another format, or holds nothing that can be used.
        AnnotationError
            Labels are not known.
        """
        listing = FolderListing.of(root)
        files = self.files(listing)
        if not files:
            others = [
                path.name for path in listing.files if path.suffix.lower() not in IMAGE_SUFFIXES
            ]
            found = f" Found: {', '.join(others[:5])}." if others else ""
            raise DatasetError(f"{root}: {self.missing}{found}")
        builder = self.builder(listing, files, options)
        self.read_files(files, builder)
        return builder.finish()


class ReadingBuilder:
    """Gathers what a reader finds, image by image.

    An image that cannot be used is listed and does not take the others with it. Labels that are
    not known are gathered from all files and refused at the end.

    Attributes
    ----------
    source, licence : str
        Name and licence of the data set.
    """

    def __init__(self, listing: FolderListing, reader: Reader, *, options: ReadOptions) -> None:
        self.listing = listing
        self.options = options
        self.source = reader.source or listing.root.resolve().name
        self.licence = reader.licence
        known = (
            {} if options.has_all_labels else {**common_labels(options.taxonomy), **reader.labels}
        )
        self.labels = LabelReader(
            labels={**known, **options.label_map}, is_exact=options.has_all_labels
        )
        self._reader = reader
        self._samples: dict[Path, Sample] = {}
        self._dropped: list[DroppedCell] = []
        self._failed: list[FailedImage] = []
        self._notes: list[str] = []
        self._label_files: set[Path] = set()
        self._named: set[Path] = set()
        self._crossing: Counter[str] = Counter()
        self._joined = 0
        self._listed_splits: dict[Path, Split] | None = None

    def note(self, sentence: str) -> None:
        """Add something that a person should know."""
        self._notes.append(sentence)

    def fail(self, stem: str, error: BloodCellError | str) -> None:
        """List an image, or a label file, that cannot be used.

        Parameters
        ----------
        error : BloodCellError or str
            Where, what was found, what was expected, what to do.
        """
        self._failed.append(FailedImage(name=stem, reason=str(error)))

    def fail_named(self, reference: str | Path, error: BloodCellError, *, label_file: Path) -> None:
        """List the image that a label file names: its labels, or itself, cannot be used.

        Parameters
        ----------
        reference : str or Path
            How the label file names the image, or the image.
        """
        self._label_files.add(label_file)
        try:
            image = self._image_of(reference, label_file)
        except BloodCellError:
            name = re.split(r"[\\/]", str(reference))[-1]
            self.fail(Path(name).stem or label_file.stem, error)
            return
        self._named.add(image)
        self.fail(self.listing.stem_of(image), error)

    @contextmanager
    def listing_failures(self, reference: str | Path, *, label_file: Path) -> Iterator[None]:
        """List the image that a label file names when anything about it fails in the block."""
        try:
            yield
        except BloodCellError as error:
            self.fail_named(reference, error, label_file=label_file)

    def _image_of(self, reference: str | Path, label_file: Path) -> Path:
        if isinstance(reference, Path):
            return reference
        return self.listing.image_named(reference, beside=label_file.parent, where=str(label_file))

    def used(self, *label_files: Path) -> None:
        """Remember files for the hash of the data set, and images as named by labels."""
        self._label_files.update(label_files)
        self._named.update(label_files)

    def add(
        self,
        reference: str | Path,
        marks: Iterable[Any] | None,
        *,
        label_file: Path,
        read_mark: ReadMark | None = None,
        expected: str = "",
        where: str | None = None,
        size: tuple[object, object] = (None, None),
        class_mask: MaskFiles | None = None,
        split: Split | None = None,
    ) -> None:
        """Add an image with its annotations, or list why that cannot be.

        Parameters
        ----------
        reference : str or Path
            An image of the folder (a ``Path``), or how a label file names it (a ``str``).
        marks : iterable or None
            Annotations, or what ``read_mark`` makes annotations of; None where nobody has said
            where the cells are.
        label_file : Path
            Where they stand.
        read_mark : callable, optional
            Reads a mark, given the image's ``(height, width)`` in pixels. What the values of a
            damaged mark lead to becomes an error that names the mark.
        expected : str
            What a mark should have, for messages.
        where : str, optional
            Place of the image in the label file, for messages; the file itself by default.
        size : tuple of object
            Height and width, where the label file has them, as they stand there.
        """
        self._label_files.add(label_file)
        where = where or str(label_file)
        with self.listing_failures(reference, label_file=label_file):
            with errors_located_at(where, expected="a height and a width in pixels"):
                declared = declared_shape(*size)
            image = self._image_of(reference, label_file)
            self._named.add(image)
            shape = _agreed_shape(declared, label_file, image)
            if image in self._samples:
                raise AnnotationError(
                    f"{label_file}: labels {image}, which another label file or entry does as "
                    "well; expected one. Remove one of the two."
                )
            annotations: list[Annotation] = []
            for number, mark in enumerate(marks or (), start=1):
                with errors_located_at(f"{where}: {self._reader.mark} {number}", expected=expected):
                    annotations += read_mark(mark, shape) if read_mark else (mark,)
            shift = -float(self.options.first_pixel or 0) * self._reader.may_count_from_one
            whole, joined = joined_parts((shifted(one, shift) for one in annotations), shape)
            clean = clean_annotations(
                whole,
                file=label_file.relative_to(self.listing.root).as_posix(),
                where=str(label_file),
                shape=shape,
                labels=self.labels,
            )
            self._joined += joined
            self._dropped += clean.dropped
            self._crossing[str(label_file)] += clean.crossing
            self._samples[image] = Sample(
                stem=self.listing.stem_of(image),
                image_path=image,
                shape=shape,
                cells=None if marks is None else tuple(clean.cells),
                unscored=tuple(clean.unscored),
                class_mask=class_mask,
                split=split or self._split_of(image, reference, label_file),
            )

    def _split_of(self, image: Path, reference: str | Path, label_file: Path) -> Split | None:
        """Split by lists of images, or the folders of the label file, the image or its name."""
        if self._listed_splits is None:
            self._listed_splits, files, notes = listed_splits(self.listing)
            self._notes += notes
            self.used(*files)
        if image in self._listed_splits:
            return self._listed_splits[image]
        named = PurePosixPath(str(reference).replace("\\", "/"))
        root = self.listing.root
        folders = (
            label_file.relative_to(root),
            image.relative_to(root),
            *(() if isinstance(reference, Path) else (named,)),
        )
        return next(filter(None, map(split_of_folders, folders)), None)

    def finish(self) -> Reading:
        """Close the reading; images that no label file names are listed as failed.

        Raises
        ------
        AnnotationError
            Labels are not known.
        DatasetError
            No image can be used.
        """
        self.labels.check()
        for image in self.listing.images():
            if image not in self._named:
                self.fail(
                    self.listing.stem_of(image),
                    f"{image}: there are no labels for this image. Label it, or remove it.",
                )
        if not self._samples:
            because = f"; the first because of {self._failed[0].reason}" if self._failed else ""
            raise DatasetError(
                f"{self.listing.root}: none of {counted(len(self._failed), 'image')} can be "
                "used as "
                f"{self._reader.title}{because}"
            )
        if self._dropped and not any(
            sample.cells or sample.unscored or sample.class_mask
            for sample in self._samples.values()
        ):
            first_dropped = self._dropped[0]
            raise DatasetError(
                f"{self.listing.root}: none of {len(self._dropped)} annotations can be used as "
                f"{self._reader.title}; the first is {first_dropped.file}: object "
                f"{first_dropped.object_index}: {first_dropped.reason}. Are they those of other "
                "images, or of images of another size? Export them again."
            )
        if self._joined:
            self.note(
                f"{self._joined} outlines have the group and the label of an earlier one, and were "
                "taken for parts of the same cell."
            )
        crossing = sum(self._crossing.values())
        if crossing:
            first = next(name for name, count in self._crossing.items() if count)
            self.note(
                f"{crossing} outlines cross themselves, for instance in {first}: they are filled "
                "where an odd number of turns goes round. Look at them."
            )
        return Reading(
            root=self.listing.root,
            format_name=self._reader.name,
            source=self.source,
            samples=tuple(sorted(self._samples.values(), key=lambda sample: sample.stem)),
            dropped=tuple(self._dropped),
            failed=tuple(sorted(self._failed, key=lambda image: image.name)),
            notes=tuple(self._notes),
            files=tuple(sorted(self._label_files | self._mask_files() | self._samples.keys())),
            licence=self.licence,
            taxonomy=self.options.taxonomy,
        )

    def _mask_files(self) -> set[Path]:
        masks = (sample.class_mask for sample in self._samples.values())
        return {path for mask in masks if mask is not None for path in mask.paths}


def _agreed_shape(
    declared: tuple[int, int] | None, label_file: Path, image: Path
) -> tuple[int, int]:
    """``(height, width)`` of an image; AnnotationError where its label file says another."""
    found = read_image_shape(image)
    if declared not in (None, found):
        raise AnnotationError(
            f"{label_file}: says (height, width) {declared}, but {image} has {found}; expected "
            "the same. Was the image resized or turned after it was labelled? Use the original, "
            "or label it again."
        )
    return found
