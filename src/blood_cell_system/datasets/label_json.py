"""JSON of annotation tools, read without trust."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from blood_cell_system.datasets.label_text import read_label_text
from blood_cell_system.errors import AnnotationError
from blood_cell_system.image_opening import MAX_PIXELS


def read_label_json(path: Path) -> Any:
    """Read a JSON file of labels.

    Raises
    ------
    MissingDataError
        There is no such file.
    AnnotationError
        It cannot be read, or is not JSON.
    """
    try:
        return json.loads(read_label_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise AnnotationError(
            f"{path}: not JSON, or cut off ({error}). Copy it again from its source."
        ) from error


@contextmanager
def telling_where(where: str, *, expected: str) -> Iterator[None]:
    """Say of whatever is missing or of another kind in the block where it stands.

    Parameters
    ----------
    where : str
        File, and object within it.
    expected : str
        What should be there.

    Raises
    ------
    AnnotationError
        In the place of the errors that values of other kinds lead to.
    """
    try:
        yield
    except AnnotationError as error:
        raise AnnotationError(f"{where}: {error}") from error
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise AnnotationError(
            f"{where}: cannot be read ({type(error).__name__}: {error}); expected {expected}. "
            "Correct the file, or export it again."
        ) from error


def declared_shape(height: object, width: object) -> tuple[int, int]:
    """Size of a picture as a label file tells it.

    Returns
    -------
    tuple of int
        ``(height, width)`` in pixels.

    Raises
    ------
    AnnotationError
        They are no numbers of pixels that a picture can have.
    """
    try:
        shape = int(str(height)), int(str(width))
    except ValueError:
        shape = 0, 0
    if min(shape) < 1 or shape[0] * shape[1] > MAX_PIXELS:
        raise AnnotationError(
            f"the picture's (height, width) is told as ({height}, {width}); expected numbers of "
            f"pixels, {MAX_PIXELS:,} in all at most. Correct the file."
        )
    return shape
