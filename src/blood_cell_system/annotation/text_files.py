"""Text, JSON and XML of annotation tools, read without trust."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from xml.etree.ElementTree import Element, ParseError

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from blood_cell_system.errors import AnnotationError, value_words
from blood_cell_system.imaging.image_file import MAX_PIXELS
from blood_cell_system.input_files import parsed_json, read_bytes
from blood_cell_system.text_encoding import decoded


def read_label_text(path: Path) -> str:
    """Read a label file, whatever its encoding (:mod:`text_encoding`).

    Raises
    ------
    MissingDataError
        There is no such file.
    AnnotationError
        It cannot be read, or nothing tells its encoding.
    """
    return decode_label_text(path, read_bytes(path, error=AnnotationError))


def decode_label_text(path: Path, data: bytes) -> str:
    """Decode the bytes of a label file, as :func:`read_label_text` does.

    Parameters
    ----------
    path : Path
        Where it was read, for messages.

    Raises
    ------
    AnnotationError
        Nothing tells the encoding of the bytes.
    """
    try:
        return decoded(data, path)
    except ValueError as error:
        raise AnnotationError(f"{path}: {error}. Save the file as UTF-8.") from error


def read_label_xml(path: Path) -> Element:
    """Read an XML file of labels.

    Entities and document type definitions are refused: a few bytes of them can fill the memory.

    Raises
    ------
    MissingDataError
        There is no such file.
    AnnotationError
        It cannot be read, is not XML, or declares entities.
    """
    text = read_label_text(path)
    try:
        tree: Element = ElementTree.fromstring(text, forbid_dtd=True)
    except DefusedXmlException as error:
        raise AnnotationError(
            f"{path}: declares entities or a document type ({type(error).__name__}), which "
            "annotations never need and which can be an attack; expected plain XML. "
            "Do not use this file unless you know where it comes from."
        ) from error
    # Expat raises the second for characters that no text has.
    except (ParseError, ValueError) as error:
        raise AnnotationError(
            f"{path}: not XML, or cut off ({error}). Copy it again from its source."
        ) from error
    return tree


def read_label_json(path: Path) -> Any:
    """Read a JSON file of labels.

    Raises
    ------
    MissingDataError
        There is no such file.
    AnnotationError
        It cannot be read, or is not JSON.
    """
    return parsed_json(read_label_text(path), path, error=AnnotationError)


@contextmanager
def errors_located_at(where: str, *, expected: str) -> Iterator[None]:
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
            f"{where}: {value_words(error)}; expected {expected}. Correct the file, or export it "
            "again."
        ) from error


_SHOWN: Final = 60  # Characters of a value that messages show.


def shortened(value: object) -> str:
    """Write a value for a message: files hold labels and names of a megabyte.

    Examples
    --------
    >>> shortened("RBC"), len(shortened("R" * 1_000_000))
    ("'RBC'", 64)
    """
    text = str(value)
    return repr(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!r} …"


def declared_shape(height: object, width: object) -> tuple[int, int] | None:
    """Size of an image as a label file declares it.

    Returns
    -------
    tuple of int or None
        ``(height, width)`` in pixels; None where the file does not say: the size is missing, empty
        or 0, as programs write it that do not know.

    Raises
    ------
    AnnotationError
        They are no numbers of pixels that an image can have.
    """
    try:
        sides = [0.0 if side is None else float(str(side).strip() or 0) for side in (height, width)]
        shape = int(sides[0]), int(sides[1])
        is_whole = shape == tuple(sides)
    except (OverflowError, ValueError):
        shape, is_whole = (-1, -1), False
    if is_whole and min(shape) == 0:
        return None
    if not is_whole or min(shape) < 1 or shape[0] * shape[1] > MAX_PIXELS:
        raise AnnotationError(
            f"the image's (height, width) is given as ({height}, {width}); expected numbers of "
            f"pixels, {MAX_PIXELS:,} in all at most. Correct the file."
        )
    return shape
