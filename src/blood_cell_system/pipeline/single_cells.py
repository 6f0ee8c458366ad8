"""Images of single cells, classified: a row of a table each, whatever becomes of the others."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.analysis.classification import (
    CellClassification,
    ClassificationSettings,
    classify_images,
)
from blood_cell_system.analysis.runtimes import ClassifierRuntime
from blood_cell_system.cells.single_cell import single_cell_image
from blood_cell_system.errors import BloodCellError, MissingDataError
from blood_cell_system.imaging.image_file import IMAGE_SUFFIXES, read_rgba
from blood_cell_system.model_metadata import ModelMetadata

_logger = logging.getLogger(__name__)

_THREADS: Final = 2
_AT_ONCE: Final = 256
_DIGITS: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleCell:
    """An image of one cell, and what became of it.

    Parameters
    ----------
    file : str
        As found: from the folder that was named, or the path that was named.
    classified : CellClassification or None
        None where it failed.
    reason : str
        Why it failed; empty otherwise.
    """

    file: str
    classified: CellClassification | None = None
    reason: str = ""


def find_cell_files(paths: Sequence[Path]) -> list[tuple[Path, str]]:
    """Find the images in folders and the folders within, each with the name for the table.

    Parameters
    ----------
    paths : sequence of Path
        Folders, and single images.

    Returns
    -------
    list of tuple of Path and str
        In the order of the paths; of a folder by name. Hidden files are left out.

    Raises
    ------
    MissingDataError
        There is no image.
    """
    found: list[tuple[Path, str]] = []
    for path in paths:
        if not path.is_dir():
            # A file that is not there fails when it is read, like every other that cannot be.
            found.append((path, str(path)))
            continue
        for file in sorted(path.rglob("*")):
            inner = file.relative_to(path)
            is_hidden = any(part.startswith(".") for part in inner.parts)
            if file.suffix.lower() in IMAGE_SUFFIXES and not is_hidden and file.is_file():
                found.append((file, inner.as_posix()))
    if not found:
        raise MissingDataError(
            f"{', '.join(map(str, paths))}: there is no image; expected PNG, JPEG, TIFF, BMP or "
            "WebP files of single cells. Check the path."
        )
    return found


def classify_files(
    files: Iterable[tuple[Path, str]],
    classifier: ClassifierRuntime,
    settings: ClassificationSettings | None = None,
) -> Iterator[SingleCell]:
    """Classify images of single cells; one that fails does not stop the others.

    Parameters
    ----------
    files : iterable of tuple of Path and str
        As of :func:`find_cell_files`.
    classifier : ClassifierRuntime
    settings : ClassificationSettings, optional

    Yields
    ------
    SingleCell
        In the order of the files.

    Raises
    ------
    CheckpointError
        The network fails.
    """
    cell_type = classifier.metadata.cell_type
    with ThreadPoolExecutor(_THREADS) as pool:
        waiting = iter(files)
        while some := list(islice(waiting, _AT_ONCE)):
            images = list(pool.map(lambda path: _image_of(path, cell_type), some))
            good = (image for image in images if not isinstance(image, str))
            results = classify_images(classifier, good, settings)
            for (_, name), image in zip(some, images, strict=True):
                if isinstance(image, str):
                    yield SingleCell(file=name, reason=image)
                else:
                    yield SingleCell(file=name, classified=next(results))


def columns_of(metadata: ModelMetadata) -> tuple[str, ...]:
    """Columns of the table of a classifier's answers."""
    conditions = ("file", "predicted", "confidence", *(f"p_{name}" for name in metadata.conditions))
    types = ("type", "type_confidence", *(f"p_{name}" for name in metadata.subtypes))
    return (*conditions, *(types if metadata.subtypes else ()), "known", "flags", "reason")


def row_of(cell: SingleCell) -> dict[str, Any]:
    """Row of the table: the most likely condition, all probabilities, and flags.

    Flags, parted by blanks: ``none_of_these`` where the cell is none of the classes, ``uncertain``
    where the calibration leaves several conditions or none, ``failed`` with its reason.
    """
    found = cell.classified
    if found is None:
        return {"file": cell.file, "flags": "failed", "reason": cell.reason}
    flags = {
        "none_of_these": not found.is_known,
        "uncertain": len(found.possible_conditions) != 1,
    }
    row: dict[str, Any] = {
        "file": cell.file,
        "predicted": found.condition,
        "confidence": round(found.confidence, _DIGITS),
        "known": None if found.known is None else round(found.known, _DIGITS),
        "flags": " ".join(name for name, is_set in flags.items() if is_set),
    }
    if found.cell_type is not None:
        row["type"] = found.cell_type
        row["type_confidence"] = round(found.type_probabilities[found.cell_type], _DIGITS)
    for name, value in (*found.probabilities.items(), *found.type_probabilities.items()):
        row[f"p_{name}"] = round(value, _DIGITS)
    return row


def _image_of(file: tuple[Path, str], cell_type: str) -> NDArray[np.uint8] | str:
    """Cell image of a file, or why there is none."""
    path, name = file
    try:
        return single_cell_image(read_rgba(path), cell_type=cell_type)
    except BloodCellError as error:
        message = str(error)
        return message if str(path) in message or name in message else f"{name}: {message}"
    except MemoryError:
        return f"{name}: the memory is full. Use smaller images."
    except Exception as error:  # A fault of this program in one image must not cost the others.
        _logger.exception("%s: a fault of this program", path)
        return f"{name}: a fault of this program ({type(error).__name__}: {error})."
