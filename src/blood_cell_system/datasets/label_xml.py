"""XML of annotation tools, read without trust."""

from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from blood_cell_system.datasets.label_text import read_label_text
from blood_cell_system.errors import AnnotationError


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
    try:
        tree: Element = ElementTree.fromstring(read_label_text(path), forbid_dtd=True)
    except DefusedXmlException as error:
        raise AnnotationError(
            f"{path}: declares entities or a document type ({type(error).__name__}), which "
            "annotations never need and which can be an attack; expected plain XML. "
            "Do not use this file unless you know where it comes from."
        ) from error
    # Expat raises the last two for encodings that it does not know.
    except (ParseError, LookupError, ValueError) as error:
        if isinstance(error, AnnotationError):
            raise
        raise AnnotationError(
            f"{path}: not XML, or cut off ({error}). Copy it again from its source."
        ) from error
    return tree
