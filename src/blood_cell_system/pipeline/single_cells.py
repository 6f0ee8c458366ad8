"""Images of single cells, classified: a row of a table each, whatever becomes of the others."""

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.analysis.classification import (
    ClassificationSettings,
    classifier_columns,
    predict_images,
    unclassified,
)
from blood_cell_system.analysis.trained_models import ClassifierRuntime
from blood_cell_system.cells.single_cell import has_no_slide, single_cell_image
from blood_cell_system.cells.table import Cells
from blood_cell_system.cells.unassessed import Reason
from blood_cell_system.datasets.cell_folder import is_contact_sheet
from blood_cell_system.errors import BloodCellError, MissingDataError, is_memory_full
from blood_cell_system.imaging.image_file import read_rgba
from blood_cell_system.imaging.image_folders import files_below, is_folder, is_image_name
from blood_cell_system.model_metadata import ModelMetadata
from blood_cell_system.parallel import with_progress

_logger = logging.getLogger(__name__)

_THREADS: Final = 2
"""Threads that read images: as many as the reference machine has cores."""
_AT_ONCE: Final = 256
"""Images that are read ahead of the network, so that the memory of a large folder is bounded."""
_DIGITS: Final = 6
"""Decimal places of probabilities in the table."""


class CellImage(NamedTuple):
    """Cell image of a file, or why there is none; and whether its surround had to be filled."""

    image: NDArray[np.uint8] | None
    reason: str = ""
    surround_filled: bool = False


def find_cell_files(paths: Sequence[Path]) -> list[tuple[Path, str]]:
    """Find the images in folders and the folders within, each with the name for the table.

    Parameters
    ----------
    paths : sequence of Path
        Folders, and single images.

    Returns
    -------
    list of tuple of Path and str
        In the order of the paths; of a folder by name. Hidden files are left out, and so are the
        contact sheets of a folder of cells.

    Raises
    ------
    MissingDataError
        There is no image.
    """
    found: list[tuple[Path, str]] = []
    for path in paths:
        if not is_folder(path):
            # A file that is not there fails when it is read, like every other that cannot be.
            found.append((path, str(path)))
            continue
        found += [
            (file, file.relative_to(path).as_posix())
            for file in sorted(files_below(path))
            if is_image_name(file) and not is_contact_sheet(file)
        ]
    if not found:
        raise MissingDataError(
            f"{', '.join(map(str, paths))}: there is no image; expected PNG, JPEG, TIFF, BMP or "
            "WebP files of single cells. Check the path."
        )
    return found


def classify_files(
    files: Sequence[tuple[Path, str]],
    classifier: ClassifierRuntime,
    settings: ClassificationSettings | None = None,
) -> Cells:
    """Classify images of single cells; one that fails does not stop the others.

    Parameters
    ----------
    files : sequence of tuple of Path and str
        As of :func:`find_cell_files`.

    Returns
    -------
    Cells
        A row a file, in their order, with the columns ``file``, ``reason`` (why it failed, empty
        otherwise), ``surround_filled`` (whether the cell was cut out before) and those of
        :func:`~blood_cell_system.analysis.classification.unclassified`. Its label image has no
        pixels, as each cell has an image of its own.

    Raises
    ------
    CheckpointError
        The network fails.
    """
    metadata = classifier.metadata
    reasons: list[str] = []
    is_filled: list[bool] = []

    def good_images() -> Iterator[NDArray[np.uint8]]:
        images = _load(files, metadata.cell_type)
        for loaded in with_progress(images, total=len(files), description="Classifying"):
            reasons.append(loaded.reason)
            is_filled.append(loaded.surround_filled)
            if loaded.image is not None:
                yield loaded.image

    found = classifier_columns(predict_images(classifier, good_images(), settings), metadata)
    columns = unclassified(len(files), [metadata])
    rows = [row for row, reason in enumerate(reasons) if not reason]
    for name, values in found.items():
        columns[name][rows] = values
    is_undecided = columns["reason"] == Reason.UNDECIDED
    names = [name for _, name in files]
    no_image = Cells(label_image=np.zeros((0, 0), dtype=np.int32))
    # Here the reason is why a file could not be read.
    named = columns | {"file": names, "reason": reasons}
    return no_image.with_columns(**named, is_undecided=is_undecided, surround_filled=is_filled)


def table_of(cells: Cells, metadata: ModelMetadata) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
    """Lay classified single cells out as a table.

    Flags, separated by blanks: ``none_of_these`` where the cell is none of the classes,
    ``undecided`` where its likeliest condition is less probable than is needed to call it,
    ``uncertain`` where the calibration leaves several conditions or none, ``surround_filled`` where
    the cell was cut out before, ``failed`` where there is a reason.

    Returns
    -------
    tuple of str, list of dict
        Names of the columns, and a row a cell.
    """
    heads = [("condition", "confidence", metadata.conditions)]
    if metadata.subtypes:
        heads.append(("subtype", "subtype_confidence", metadata.subtypes))
    named = [name for name, share, classes in heads for name in (name, share, *_probs(classes))]
    rows = []
    for row, (file, reason) in enumerate(zip(cells["file"], cells["reason"], strict=True)):
        if reason:
            rows.append({"file": file, "flags": "failed", "reason": reason})
            continue
        flags = {
            "none_of_these": not cells["is_known"][row],
            "undecided": cells["is_undecided"][row],
            "uncertain": len(cells["possible_conditions"][row]) != 1,
            "surround_filled": cells["surround_filled"][row],
        }
        values: dict[str, Any] = {
            "file": file,
            "in_distribution": _rounded(cells["in_distribution"][row]),
            "flags": " ".join(name for name, is_set in flags.items() if is_set),
        }
        for name, share, classes in heads:
            if cells[name][row] is not None:
                values[name] = cells[name][row]
                values |= {one: _rounded(cells[one][row]) for one in _probs(classes)}
                values[share] = values[f"{values[name]}_prob"]
        rows.append(values)
    return ("file", *named, "in_distribution", "flags", "reason"), rows


def _probs(classes: Sequence[str]) -> list[str]:
    return [f"{name}_prob" for name in classes]


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), _DIGITS)


def _load(files: Sequence[tuple[Path, str]], cell_type: str) -> Iterator[CellImage]:
    """Read images some at a time; threads read while the network runs."""
    with ThreadPoolExecutor(_THREADS) as pool:
        waiting = iter(files)
        while some := list(islice(waiting, _AT_ONCE)):
            yield from pool.map(lambda file: _image_of(file, cell_type), some)


def _image_of(file: tuple[Path, str], cell_type: str) -> CellImage:
    """Cell image of a file, or why there is none."""
    path, name = file
    try:
        pixels = read_rgba(path)
        image = single_cell_image(pixels, cell_type=cell_type)
        return CellImage(image, surround_filled=has_no_slide(pixels))
    except BloodCellError as error:
        message = str(error)
        is_named = str(path) in message or name in message
        return CellImage(None, message if is_named else f"{name}: {message}")
    except Exception as error:  # A fault of this program in one image must not cost the others.
        if is_memory_full(error):
            return CellImage(None, f"{name}: the memory is full. Use smaller images.")
        _logger.exception("%s: a fault of this program", path)
        words = f"{name}: a fault of this program ({type(error).__name__}: {error})."
        return CellImage(None, words)
