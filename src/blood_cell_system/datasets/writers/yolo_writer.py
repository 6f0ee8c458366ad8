"""YOLO text files: one for each picture."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from blood_cell_system.atomic_files import write_text
from blood_cell_system.classes import CELL_TYPES
from blood_cell_system.datasets.marks import Mark
from blood_cell_system.datasets.prepared import Split
from blood_cell_system.datasets.rings import joined_ring
from blood_cell_system.datasets.sample import Sample
from blood_cell_system.datasets.writers.writer import (
    NOT_SCORED_LABEL,
    LabelledPicture,
    WriteStyle,
    rings_to_write,
)

_LABELS: Final = (*map(str, CELL_TYPES), NOT_SCORED_LABEL)
# A billionth of the longest side is far less than a thousandth of a pixel.
_DECIMALS: Final = 9


class YoloWriter:
    """Writes ``images/SPLIT/``, ``labels/SPLIT/`` and ``data.yaml``.

    An outline of several parts, or with a hole, is one polygon with cuts between them. Cells of
    which only the centre is known are left out: YOLO has no points. Training YOLO itself wants
    boxes only or outlines only; take ``OutlineForm.BOXES`` where some cells have no outline.
    """

    def __init__(self, root: Path, style: WriteStyle) -> None:
        self._root = root
        self._style = style
        self._splits: set[Split | None] = set()
        self._has_regions = False

    def picture_folder(self, sample: Sample) -> Path:
        """Folder of the split's pictures."""
        return self._root / "images" / str(sample.split or "")

    def add(self, picture: LabelledPicture) -> int:
        """Write a picture's labels."""
        marks = [mark for mark in picture.marks if mark.outline is not None or mark.box is not None]
        lines = [_line(mark, picture.sample.shape, self._style) for mark in marks]
        inner = picture.path.relative_to(self._root / "images").with_suffix(".txt")
        write_text(self._root / "labels" / inner, "".join(f"{line}\n" for line in lines))
        self._splits.add(picture.sample.split)
        self._has_regions |= any(not mark.is_definite for mark in marks)
        return len(picture.marks) - len(marks)

    def finish(self) -> None:
        """Write the list of classes and folders."""
        # Ultralytics asks for both of the first two.
        folders = {
            split: f"images/{split}" if split in self._splits else "images"
            for split in (Split.TRAIN, Split.VAL, Split.TEST)
            if split in self._splits or split is not Split.TEST
        }
        labels = _LABELS if self._has_regions else _LABELS[:-1]
        names = "".join(f"  {number}: {label}\n" for number, label in enumerate(labels))
        lines = "".join(f"{split}: {folder}\n" for split, folder in folders.items())
        write_text(self._root / "data.yaml", f"path: .\n{lines}names:\n{names}")


def _line(mark: Mark, shape: tuple[int, int], style: WriteStyle) -> str:
    height, width = shape
    if mark.outline is not None:
        corners = joined_ring(rings_to_write(mark.outline, shape, style)) / (width, height)
        numbers = corners.ravel().tolist()
    else:
        assert mark.box is not None
        x_min, y_min, x_max, y_max = mark.box
        numbers = [
            (x_min + x_max) / 2 / width,
            (y_min + y_max) / 2 / height,
            (x_max - x_min) / width,
            (y_max - y_min) / height,
        ]
    return f"{_LABELS.index(mark.label)} {' '.join(_fractions(numbers))}"


def _fractions(numbers: Iterable[float]) -> Iterable[str]:
    return (f"{number:.{_DECIMALS}f}".rstrip("0").rstrip(".") for number in numbers)
