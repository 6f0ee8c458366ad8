"""All files that are written of one image."""

import io
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blood_cell_system.analysis.image_analysis import ImageAnalysis
from blood_cell_system.atomic_files import csv_text, write_bytes, write_json
from blood_cell_system.cells.table import Cells
from blood_cell_system.cells.unassessed import Reason
from blood_cell_system.errors import ImageReadError, MissingDataError, OutputError, UnknownNameError
from blood_cell_system.imaging.contact_sheet import text_strip
from blood_cell_system.imaging.image_file import read_label_image, write_image
from blood_cell_system.imaging.image_folders import LABEL_ENDINGS, RESULT_ENDINGS
from blood_cell_system.imaging.mask_encoding import encode_class_mask
from blood_cell_system.imaging.overlay import draw_boxes, draw_overlay
from blood_cell_system.reports.report import CellFlag, CellRow, DiagnosticReport
from blood_cell_system.reports.text import is_abnormal
from blood_cell_system.taxonomy import Taxonomy

Colour = tuple[int, int, int]

ABNORMAL_COLOUR: Final[Colour] = (255, 0, 170)
"""RGB of boxes around cells that are not healthy."""
UNSURE_COLOUR: Final[Colour] = (235, 165, 0)
"""RGB of boxes around cells whose condition is open."""
NONE_COLOUR: Final[Colour] = (70, 70, 70)
"""RGB of boxes around cells of none of the classes."""

_ORDER: Final = (NONE_COLOUR, UNSURE_COLOUR, ABNORMAL_COLOUR)
"""What matters most is drawn last, over the others."""
_WHITE: Final[Colour] = (255, 255, 255)
"""RGB of names."""
_INK: Final[Colour] = (40, 40, 40)
"""RGB of the numbers of other cells."""
_BOX_OF_FULL_LETTERS: Final = 160
"""Pixels a side of a box whose number has OpenCV's full size."""
_SMALLEST_FONT_PX: Final = 9
"""Smaller letters cannot be read."""
_LETTER_SHARE: Final = 0.62
"""Width of a letter in font sizes, so that a name fits on its ground."""
_OVERHANG: Final = 1.3
"""Widest name in widths of its cell; a wider one would hide others."""


class Part(StrEnum):
    """What is written of a batch; its summary always is."""

    TABLE = "table"
    """Cells of each image and of all of them as tables."""
    REPORT = "report"
    """Report of each image as JSON and text, and the page of all."""
    OVERLAY = "overlay"
    """Annotated images."""
    MASKS = "masks"
    """Class mask and label image of each image."""
    REVIEW = "review"
    """The page on which a person corrects the cells."""

    @classmethod
    def read(cls, words: str) -> frozenset["Part"]:
        """Read names with commas between them.

        Raises
        ------
        UnknownNameError
            One of them is no part.

        Examples
        --------
        >>> sorted(Part.read("table, report"))
        [<Part.REPORT: 'report'>, <Part.TABLE: 'table'>]
        """
        names = [word.strip().lower() for word in words.split(",")]
        for name in names:
            if name not in frozenset(cls):
                raise UnknownNameError.of("--write", name, [part.value for part in cls])
        return frozenset(cls(name) for name in names)


ALL_PARTS: Final = frozenset(Part)

_PART_OF: Final = {
    "annotated.png": Part.OVERLAY,
    "mask.png": Part.MASKS,
    "cells.csv": Part.TABLE,
    "summary.txt": Part.REPORT,
    "report.json": Part.REPORT,
}


def endings_of(parts: frozenset[Part]) -> tuple[str, ...]:
    """Give the endings of an image's files of some parts, besides its label image."""
    return tuple(ending for ending in RESULT_ENDINGS if _PART_OF[ending] in parts)


def annotated_image(analysis: ImageAnalysis, cells: Cells) -> NDArray[np.uint8]:
    """Draw outlines and numbers; box and name cells that are not healthy, not sure, or unlike any.

    Parameters
    ----------
    cells : Cells
        Of its report.

    Returns
    -------
    ndarray of shape (height, width, 3), dtype uint8
        RGB; where no cell was classified, that of :func:`draw_overlay` without fill, with numbers.
    """
    drawn = draw_overlay(
        analysis.image,
        analysis.class_mask,
        label_image=analysis.cells.label_image,
        cell_types=analysis.cells["cell_type"].tolist(),
        taxonomy=analysis.cells.taxonomy,
        is_filled=False,
    )
    boxes = np.rint(cells["whole_box"]).astype(np.int64)
    named = _names_to_draw(cells)
    for colour in _ORDER:
        rows = [row for row, (of_row, _) in named.items() if of_row == colour]
        if rows:
            drawn = draw_boxes(drawn, boxes[rows].astype(np.float64), colour=colour)
    for row in range(len(cells)):
        if row not in named:
            _write_number(drawn, boxes[row].tolist(), row + 1)
    for row, (colour, name) in sorted(named.items(), key=lambda item: _ORDER.index(item[1][0])):
        _write_name(drawn, boxes[row].tolist(), name, colour, number=row + 1)
    return drawn


def _write_number(image: NDArray[np.uint8], box: list[int], number: int) -> None:
    """Write the id of a cell into the corner of its box, beside what is seen within the cell."""
    x_min, y_min, x_max, y_max = box
    font = cv2.FONT_HERSHEY_SIMPLEX
    size = float(np.clip(min(x_max - x_min, y_max - y_min) / _BOX_OF_FULL_LETTERS, 0.25, 0.6))
    words = str(number)
    _, height = cv2.getTextSize(words, font, size, 1)[0]
    place = (max(x_min, 0), max(y_min, 0) + height)
    cv2.putText(image, words, place, font, size, _WHITE, 2, cv2.LINE_AA)
    cv2.putText(image, words, place, font, size, _INK, 1, cv2.LINE_AA)


def _names_to_draw(cells: Cells) -> dict[int, tuple[Colour, str]]:
    found: dict[int, tuple[Colour, str]] = {}
    columns = (cells[name] for name in ("condition", "reason", "flags"))
    for row, (condition, why, flags, abnormal) in enumerate(
        zip(*columns, is_abnormal(cells), strict=True)
    ):
        is_uncertain = CellFlag.UNCERTAIN in flags
        if condition is None:
            continue
        if CellFlag.NONE_OF_THESE in flags:
            found[row] = NONE_COLOUR, "?"
        elif why == Reason.UNDECIDED:
            found[row] = UNSURE_COLOUR, f"{cells.taxonomy.word(condition)}?"
        elif abnormal:
            name = cells.taxonomy.word(condition)
            found[row] = ABNORMAL_COLOUR, f"{name}?" if is_uncertain else name
        elif is_uncertain:
            found[row] = UNSURE_COLOUR, "?"
    return found


def _write_name(
    image: NDArray[np.uint8], box: list[int], name: str, colour: Colour, *, number: int
) -> None:
    """Write a name and the number of its cell at a box's upper left corner, in place.

    What is wider than its cell would hide others: then only the first letter is written, and the
    number where there is room for it.
    """
    x_min, y_min, x_max, y_max = box
    font_size = max(_SMALLEST_FONT_PX, min(x_max - x_min, y_max - y_min) // 6)
    letter = name[0] + ("?" if name.endswith("?") and len(name) > 1 else "")
    widest = _OVERHANG * (x_max - x_min)
    shorter = (f"{name} {number}", f"{letter} {number}", letter)
    name = next((one for one in shorter if _width_px(one, font_size) <= widest), letter)
    width = _width_px(name, font_size)
    strip = text_strip(name, width, font_size=font_size, colour=_WHITE, background=colour)
    top, left = max(y_min, 0), max(x_min, 0)
    room = image[top : top + strip.shape[0], left : left + strip.shape[1]]
    room[:] = strip[: room.shape[0], : room.shape[1]]


def _width_px(name: str, font_size: int) -> int:
    return round(len(name) * font_size * _LETTER_SHARE) + max(4, font_size // 2) + 2


_SPLIT: Final = {
    "bbox": ("x_min", "y_min", "x_max", "y_max"),
    "centroid": ("centroid_x", "centroid_y"),
}
"""Fields of a row whose values have a column each."""
_NO_COLUMN: Final = (
    *("probabilities", "type_probabilities", "possible_conditions"),
    *("box", "possible_subtypes", "measures"),
)


def _columns_of(taxonomy: Taxonomy) -> list[str]:
    """Columns of ``NAME_cells.csv``: the fields of a row, and ``p_NAME`` for each class."""
    classes = [f"p_{one.name}" for one in taxonomy.conditions]
    classes += [f"p_{one.name}" for one in taxonomy.subtypes]
    columns: list[str] = []
    for name in CellRow.model_fields:
        if name == "flags":
            columns += classes
        if name not in _NO_COLUMN:
            columns += _SPLIT.get(name, (name,))
    return columns


def cells_to_csv(cells: Sequence[dict[str, Any]], taxonomy: Taxonomy) -> str:
    """Lay the cells in the JSON of a report out as comma-separated values.

    A row a cell; flags are separated by blanks, truth is 0 or 1, and what has no value is empty.
    """
    rows = []
    for cell in cells:
        row = dict(cell)
        for name, parts in _SPLIT.items():
            row |= zip(parts, row.pop(name), strict=True)
        classes = row["probabilities"] | row["type_probabilities"]
        row |= {f"p_{name}": value for name, value in classes.items()}
        row |= {"touching_border": int(row["touching_border"]), "flags": " ".join(row["flags"])}
        rows.append(row)
    return table_to_csv(_columns_of(taxonomy), rows)


def table_to_csv(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> str:
    """Write rows with a heading; other keys are left out, None is empty."""
    return csv_text([columns, *([row.get(name) for name in columns] for row in rows)])


MAX_16_BIT_LABEL: Final = 65535
"""Cells that a PNG of 16 bits can number."""


def write_image_files(
    output_dir: Path,
    name: str,
    analysis: ImageAnalysis,
    report: DiagnosticReport,
    *,
    parts: frozenset[Part] = ALL_PARTS,
) -> dict[str, Any]:
    """Write what was found in an image; the report's JSON comes last, when all else is there.

    Files of other parts, which a former run may have left, go.

    Parameters
    ----------
    output_dir : Path
        Made when it is not there.
    name : str
        What the files' names begin with; may have folders in it.
    report : DiagnosticReport
        Of the same image.
    parts : frozenset of Part
        What to write.

    Returns
    -------
    dict
        The report's JSON.

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    # A report beside files of another run would vouch for them.
    remove_file(file_of(output_dir, name, "report.json"))
    if parts != ALL_PARTS:
        _remove_others(output_dir, name, parts)
    if Part.OVERLAY in parts:
        drawn = annotated_image(analysis, report.cells)
        write_image(file_of(output_dir, name, "annotated.png"), drawn)
    if Part.MASKS in parts:
        write_image(file_of(output_dir, name, "mask.png"), encode_class_mask(analysis.class_mask))
        write_label_image(output_dir, name, analysis.cells.label_image)
    return write_report(output_dir, name, report, parts=parts)


def _remove_others(output_dir: Path, name: str, parts: frozenset[Part]) -> None:
    """Remove what another run has written of parts that this one leaves out."""
    labels = () if Part.MASKS in parts else LABEL_ENDINGS
    for ending in (*endings_of(ALL_PARTS - parts), *labels):
        remove_file(file_of(output_dir, name, ending))


def write_report(
    output_dir: Path,
    name: str,
    report: DiagnosticReport,
    *,
    parts: frozenset[Part] = ALL_PARTS,
) -> dict[str, Any]:
    """Write a report as table, text and JSON, of these what the parts hold; gives the JSON.

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    value = report.to_json()
    if Part.TABLE in parts:
        table = cells_to_csv(value["cells"], report.cells.taxonomy)
        write_words(file_of(output_dir, name, "cells.csv"), table)
    if Part.REPORT in parts:
        write_words(file_of(output_dir, name, "summary.txt"), report.text)
        write_json(file_of(output_dir, name, "report.json"), value)
    return value


def file_of(output_dir: Path, name: str, ending: str) -> Path:
    """Path of one of an image's files."""
    return output_dir / f"{name}_{ending}"


def write_label_image(output_dir: Path, name: str, label_image: NDArray[np.int32]) -> Path:
    """Write cells as a label image: PNG of 16 bits, or TIFF of 32 where there are more cells.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    as_png, as_tiff = (file_of(output_dir, name, f"instances.{kind}") for kind in ("png", "tif"))
    if label_image.max(initial=0) <= MAX_16_BIT_LABEL:
        write_image(as_png, label_image.astype(np.uint16))
        remove_file(as_tiff)
        return as_png
    data = io.BytesIO()
    labels = Image.fromarray(label_image.astype(np.int32))
    labels.save(data, format="TIFF", compression="tiff_adobe_deflate")
    write_bytes(as_tiff, data.getvalue())
    remove_file(as_png)
    return as_tiff


def read_labels(output_dir: Path, name: str) -> NDArray[np.integer]:
    """Read what :func:`write_label_image` has written.

    Returns
    -------
    ndarray of int, shape (height, width)

    Raises
    ------
    MissingDataError
        There is none.
    ImageReadError
        It is damaged.
    """
    as_tiff = file_of(output_dir, name, "instances.tif")
    as_png = file_of(output_dir, name, "instances.png")
    if not as_tiff.is_file() and not as_png.exists():
        raise MissingDataError(
            f"{as_png}: there is no label image: it was removed, or left out of the analysis with "
            "--write. Analyse the image again, with masks among --write."
        )
    if not as_tiff.is_file():
        return read_label_image(as_png)
    try:
        with Image.open(as_tiff, formats=("TIFF",)) as image:
            return np.asarray(image, dtype=np.int32)
    except Exception as error:  # Damaged bytes lead Pillow to errors of almost any kind.
        raise ImageReadError(
            f"{as_tiff}: the label image is damaged ({error}). Analyse the image again."
        ) from error


def remove_file(path: Path) -> None:
    """Remove a file, if it is there.

    Raises
    ------
    OutputError
        It cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be replaced ({error.strerror or error}). Choose a folder that you may "
            "write to."
        ) from error


def write_words(path: Path, text: str) -> None:
    """Write text in UTF-8; what a file name has that is no text is escaped."""
    write_bytes(path, as_written(text))


def as_written(text: str) -> bytes:
    """Give the bytes that :func:`write_words` writes."""
    return text.encode("utf-8", errors="backslashreplace")
