"""Pascal VOC folders, as a clone of BCCD is one.

::

    BCCD_Dataset/BCCD/                     the folder itself or the one above it is opened
    ├── Annotations/BloodImage_00000.xml   boxes, 1-based, both corners included
    ├── JPEGImages/BloodImage_00000.jpg    same stem
    └── ImageSets/Main/{train,val,test}.txt    optional: the official split, a stem a line

Source of BCCD: https://github.com/Shenggan/BCCD_Dataset (MIT licence).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

from blood_cell_system.boxes import Box, LabelledBox
from blood_cell_system.classes import CellType
from blood_cell_system.datasets.label_table import LabelReader
from blood_cell_system.datasets.marks import clean_marks
from blood_cell_system.datasets.prepared import Split, files_by_stem
from blood_cell_system.datasets.sample import (
    DroppedCell,
    FailedPicture,
    LabelledCell,
    Reading,
    Sample,
    hash_of_files,
)
from blood_cell_system.datasets.voc_annotation import VocAnnotation, marks_of, read_voc_annotation
from blood_cell_system.errors import (
    AnnotationError,
    BloodCellError,
    DatasetError,
    MissingDataError,
)
from blood_cell_system.image_io import read_image_shape

BCCD_LABELS: Final[Mapping[str, CellType | None]] = MappingProxyType(
    {"RBC": CellType.RBC, "WBC": CellType.WBC, "Platelets": CellType.PLATELET}
)
"""Type of a cell by its label in the files; None leaves cells with that label out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VocSample:
    """One picture with its boxes.

    Parameters
    ----------
    stem : str
    image_path : Path
    cells : tuple of LabelledBox
        Clipped to the picture, without the dropped ones.
    split : Split or None
    shape : tuple of int
        ``(height, width)`` in pixels, declared and found in the picture's header.
    """

    stem: str
    image_path: Path
    cells: tuple[LabelledBox, ...]
    split: Split | None
    shape: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class VocDataset:
    """A Pascal VOC folder, opened.

    Parameters
    ----------
    root : Path
        The folder that holds ``Annotations/`` and ``JPEGImages/``.
    samples : tuple of VocSample
        Ordered by stem.
    dropped : tuple of DroppedCell
    failed : tuple of FailedPicture
        Pictures left out because they, or their annotation, are missing or damaged.
    """

    root: Path
    samples: tuple[VocSample, ...]
    dropped: tuple[DroppedCell, ...]
    failed: tuple[FailedPicture, ...]

    @classmethod
    def open(cls, root: Path, *, labels: Mapping[str, CellType | None] = BCCD_LABELS) -> Self:
        """Open a Pascal VOC folder.

        A damaged picture or annotation is listed in ``failed``, so that it does not take the
        others with it. A label that is not in the table is an error: it would be missing
        everywhere.

        Parameters
        ----------
        root : Path
            The folder with ``Annotations/`` and ``JPEGImages/``, or the one above it.
        labels : mapping of str to CellType or None
            Label table; None leaves cells with that label out.

        Raises
        ------
        MissingDataError
            There is no such folder.
        DatasetError
            It is no VOC folder, has no annotations, names a picture in two splits, or holds no
            picture that can be used.
        AnnotationError
            A label is not in the table.
        """
        folder = _find_voc_folder(Path(root))
        annotations = {path.stem: path for path in sorted(folder.glob("Annotations/*.xml"))}
        if not annotations:
            raise DatasetError(
                f"{folder / 'Annotations'}: no XML files in this folder; expected one for every "
                "picture. Clone the data set again."
            )
        images = files_by_stem(folder / "JPEGImages")
        splits = read_voc_splits(folder / "ImageSets" / "Main")
        reader = LabelReader(labels=labels, is_exact=True)
        samples: list[VocSample] = []
        dropped: list[DroppedCell] = []
        failed: list[FailedPicture] = []
        for stem in sorted(annotations.keys() | images.keys() | splits.keys()):
            try:
                annotation_path, image_path = _pair(folder, stem, annotations, images)
                annotation = read_voc_annotation(annotation_path)
                shape = _agreed_shape(annotation, annotation_path, image_path)
            except BloodCellError as error:
                failed.append(FailedPicture(stem=stem, reason=str(error)))
                continue
            clean = clean_marks(
                marks_of(annotation),
                file=f"{annotation_path.parent.name}/{annotation_path.name}",
                where=str(annotation_path),
                shape=shape,
                labels=reader,
            )
            dropped += clean.dropped
            samples.append(
                VocSample(
                    stem=stem,
                    image_path=image_path,
                    cells=tuple(map(_boxed, clean.cells)),
                    split=splits.get(stem),
                    shape=shape,
                )
            )
        reader.check()
        if not samples:
            raise DatasetError(
                f"{folder}: none of {len(failed)} pictures can be used; the first because of "
                f"{failed[0].reason}"
            )
        return cls(
            root=folder, samples=tuple(samples), dropped=tuple(dropped), failed=tuple(failed)
        )

    def source_hash(self) -> str:
        """SHA-256 over the names and bytes of all annotations, pictures and split lists."""
        return hash_of_files(self.root, self.files())

    def files(self) -> tuple[Path, ...]:
        """All annotations, pictures and split lists."""
        return tuple(
            path
            for name in ("Annotations", "JPEGImages", "ImageSets")
            for path in sorted((self.root / name).rglob("*"))
            if path.is_file()
        )

    def to_reading(self) -> Reading:
        """Give what was read in the form that all readers give."""
        name = self.root.resolve().name
        return Reading(
            root=self.root,
            format_name="voc",
            source="bccd" if name.upper().startswith("BCCD") else name,
            samples=tuple(
                Sample(
                    stem=sample.stem,
                    image_path=sample.image_path,
                    shape=sample.shape,
                    cells=tuple(map(_labelled, sample.cells)),
                    split=sample.split,
                )
                for sample in self.samples
            ),
            dropped=self.dropped,
            failed=self.failed,
            files=self.files(),
            licence="MIT" if name.upper().startswith("BCCD") else None,
        )


def _boxed(cell: LabelledCell) -> LabelledBox:
    x_min, y_min, x_max, y_max = cell.box or Box(0, 0, 0, 0)
    return LabelledBox(cell_type=cell.cell_type, x_min=x_min, y_min=y_min, x_max=x_max, y_max=y_max)


def _labelled(box: LabelledBox) -> LabelledCell:
    return LabelledCell(
        cell_type=box.cell_type, box=Box(box.x_min, box.y_min, box.x_max, box.y_max)
    )


def _find_voc_folder(root: Path) -> Path:
    if not root.is_dir():
        raise MissingDataError(
            f"{root}: there is no such folder. Expected a Pascal VOC folder, for instance a clone "
            "of https://github.com/Shenggan/BCCD_Dataset; check --input."
        )
    candidates = [root, *sorted(path for path in root.iterdir() if path.is_dir())]
    found = [
        path
        for path in candidates
        if (path / "Annotations").is_dir() and (path / "JPEGImages").is_dir()
    ]
    if root in found:
        return root
    if len(found) != 1:
        what = (
            f"several VOC folders ({', '.join(path.name for path in found)})"
            if found
            else "no folders Annotations/ and JPEGImages/"
        )
        raise DatasetError(
            f"{root}: {what} here or one level below; expected one Pascal VOC folder. "
            "Give the folder that holds Annotations/ as --input; if the clone is incomplete, "
            "clone it again."
        )
    return found[0]


def read_voc_splits(folder: Path) -> dict[str, Split]:
    """Read the lists of a folder ``ImageSets/Main``: splits by stem; nothing where there are none.

    Raises
    ------
    DatasetError
        A picture is in two splits.
    """
    splits: dict[str, Split] = {}
    for split in Split:
        path = folder / f"{split}.txt"
        if not path.is_file():
            continue
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            # VOC's lists of one class have a second column.
            stem = next(iter(line.split()), None)
            if stem is None:
                continue
            if splits.setdefault(stem, split) != split:
                raise DatasetError(
                    f"{path}: {stem} is in {splits[stem]}.txt as well; expected every picture in "
                    "one split only. Remove it from one of the two lists."
                )
    return splits


def _pair(
    folder: Path, stem: str, annotations: Mapping[str, Path], images: Mapping[str, Path]
) -> tuple[Path, Path]:
    if stem not in images:
        raise MissingDataError(
            f"{folder / 'JPEGImages' / stem}: there is no such picture, but an annotation or a "
            "split list names it. Copy it again from its source."
        )
    if stem not in annotations:
        raise MissingDataError(
            f"{folder / 'Annotations' / stem}.xml: there is no such file, but a picture of that "
            "name. Annotate it, or remove the picture."
        )
    return annotations[stem], images[stem]


def _agreed_shape(
    annotation: VocAnnotation, annotation_path: Path, image_path: Path
) -> tuple[int, int]:
    found = read_image_shape(image_path)
    if annotation.shape not in (None, found):
        raise AnnotationError(
            f"{annotation_path}: says (height, width) {annotation.shape}, but {image_path} has "
            f"{found}; expected the same. Was the picture resized or turned after it was "
            "annotated? Use the original, or annotate it again."
        )
    return found
