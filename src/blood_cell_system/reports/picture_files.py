"""All files that are written of one picture."""

import io
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blood_cell_system.atomic_files import write_bytes, write_json
from blood_cell_system.errors import ImageReadError, OutputError
from blood_cell_system.image_io import read_label_image, write_image
from blood_cell_system.inference.analysis import PictureAnalysis
from blood_cell_system.mask_encoding import encode_class_mask
from blood_cell_system.reports.annotated_picture import annotated_picture
from blood_cell_system.reports.cells_csv import cells_to_csv
from blood_cell_system.reports.diagnostic import DiagnosticReport

MAX_16_BIT_LABEL: Final = 65535

PICTURE_ENDINGS: Final = ("annotated.png", "mask.png", "cells.csv", "summary.txt", "report.json")
"""What every picture has, besides its label picture."""


def write_picture_files(
    output_dir: Path,
    name: str,
    analysis: PictureAnalysis,
    report: DiagnosticReport,
    *,
    with_picture: bool = True,
) -> dict[str, Any]:
    """Write what was found in a picture; the report's JSON comes last, when all else is there.

    Parameters
    ----------
    output_dir : Path
        Made when it is not there.
    name : str
        What the files' names begin with; may have folders in it.
    analysis : PictureAnalysis
    report : DiagnosticReport
        Of the same picture.
    with_picture : bool
        Whether to write ``NAME_annotated.png``.

    Returns
    -------
    dict
        The report's JSON.

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    value = report.to_json()
    found = analysis.separated
    # A report beside files of another run would vouch for them.
    report_path = file_of(output_dir, name, "report.json")
    _remove(report_path)
    if with_picture:
        drawn = annotated_picture(analysis, report.cells)
        write_image(file_of(output_dir, name, "annotated.png"), drawn)
    write_image(file_of(output_dir, name, "mask.png"), encode_class_mask(analysis.class_mask))
    write_label_image(output_dir, name, found.label_image)
    write_words(file_of(output_dir, name, "cells.csv"), cells_to_csv(value["cells"]))
    write_words(file_of(output_dir, name, "summary.txt"), report.to_summary_text())
    write_json(report_path, value)
    return value


def file_of(output_dir: Path, name: str, ending: str) -> Path:
    """Path of one of a picture's files."""
    return output_dir / f"{name}_{ending}"


def write_label_image(output_dir: Path, name: str, label_image: NDArray[np.int32]) -> Path:
    """Write cells as a label picture: PNG of 16 bits, or TIFF of 32 where there are more cells.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    as_png, as_tiff = (file_of(output_dir, name, f"instances.{kind}") for kind in ("png", "tif"))
    if label_image.max(initial=0) <= MAX_16_BIT_LABEL:
        write_image(as_png, label_image.astype(np.uint16))
        _remove(as_tiff)
        return as_png
    write_tiff(as_tiff, label_image)
    _remove(as_png)
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
    if not as_tiff.is_file():
        return read_label_image(file_of(output_dir, name, "instances.png"))
    try:
        with Image.open(as_tiff, formats=("TIFF",)) as picture:
            return np.asarray(picture, dtype=np.int32)
    except Exception as error:  # Damaged bytes lead Pillow to errors of almost any kind.
        raise ImageReadError(
            f"{as_tiff}: the label picture is damaged ({error}). Analyse the picture again."
        ) from error


def write_tiff(path: Path, label_image: NDArray[np.int32]) -> None:
    """Write 32-bit labels, losslessly compressed.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    data = io.BytesIO()
    Image.fromarray(label_image.astype(np.int32)).save(
        data, format="TIFF", compression="tiff_adobe_deflate"
    )
    write_bytes(path, data.getvalue())


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be replaced ({error.strerror or error}). Choose a folder that you may "
            "write to."
        ) from error


def write_words(path: Path, text: str) -> None:
    """Write text in UTF-8; what a file name has that is no text is escaped."""
    write_bytes(path, text.encode("utf-8", errors="backslashreplace"))
