"""Formats that models are exported to, by name. A format is one file of ``exported/``.

The file registers an :class:`ExportFormat`; the command, the parity check, messages and documents
take everything from it. Nothing here needs Keras before a format is used.
"""

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

import blood_cell_system.networks.exported
from blood_cell_system.errors import SettingsError, UnknownNameError
from blood_cell_system.model_metadata import ModelMetadata

Run = Callable[[NDArray[np.float32]], dict[str, NDArray[np.float32]]]
"""Takes a batch of shape (batch, height, width, 3), gives the outputs by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFormat:
    """One format.

    Parameters
    ----------
    name : str
        As for ``--format``.
    title : str
        Name for people.
    suffix : str
        Of its file; empty for a folder.
    extra : str
        What of this package has to be installed to write it.
    packages : tuple of str
        Modules that are then there.
    is_of_keras : bool
        Whether it is written from a ``.keras`` file alone; else from the bytes of an ``.onnx``.
    is_analysed : bool
        Whether ``analyze`` runs it.
    write : callable
        Writes a Keras model, or the bytes of an ONNX file, to a path, with metadata.
    open : callable
        Opens a written path in the format's own runtime, in float32.
    read_metadata : callable
        Reads what a path says about itself, without its runtime; None where it says nothing, and
        ``ValueError`` where it is damaged or says what cannot be.
    """

    name: str
    title: str
    suffix: str
    extra: str
    packages: tuple[str, ...]
    is_of_keras: bool
    is_analysed: bool
    write: Callable[[Any, Path, ModelMetadata], None]
    open: Callable[[Path], Run]
    read_metadata: Callable[[Path], ModelMetadata | None]

    def check_installed(self) -> None:
        """Refuse what this installation cannot write.

        Raises
        ------
        SettingsError
            Naming the extra.
        """
        missing = [name for name in self.packages if importlib.util.find_spec(name) is None]
        if missing:
            raise SettingsError(
                f"format: received {self.name}, for which {missing[0]} is not installed. Install "
                f"the extra: pip install 'blood-cell-system[{self.extra}]', or choose another "
                "--format."
            )


_FORMATS: Final[dict[str, ExportFormat]] = {}


def register_format(one: ExportFormat) -> None:
    """Register a format."""
    _FORMATS[one.name] = one


@cache
def export_formats() -> tuple[ExportFormat, ...]:
    """Give all formats, in the order of their names."""
    package = blood_cell_system.networks.exported
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return tuple(_FORMATS[name] for name in sorted(_FORMATS))


def format_named(name: str) -> ExportFormat:
    """Look a format up.

    Raises
    ------
    UnknownNameError
        There is none of that name.
    """
    known = {one.name: one for one in export_formats()}
    if name not in known:
        raise UnknownNameError.of("format", name, known)
    return known[name]


def format_of(path: Path) -> ExportFormat | None:
    """Find the format of a written file or folder by its name; None for any other."""
    formats = export_formats()
    if path.is_dir():
        return next((one for one in formats if not one.suffix), None)
    return next((one for one in formats if one.suffix == path.suffix.lower()), None)
