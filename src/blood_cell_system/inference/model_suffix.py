"""What runs a model file, by its suffix."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from blood_cell_system.errors import CheckpointError

OfOnnx = TypeVar("OfOnnx")
OfKeras = TypeVar("OfKeras")


def load_by_suffix(
    path: Path, *, onnx: Callable[[Path], OfOnnx], keras: Callable[[Path], OfKeras]
) -> OfOnnx | OfKeras:
    """Load a model file as its suffix says.

    Parameters
    ----------
    path : Path
        Ends in ``.onnx`` or ``.keras``.
    onnx, keras : callable
        What loads such a file.

    Raises
    ------
    CheckpointError
        The suffix is another one.
    """
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        return onnx(path)
    if suffix == ".keras":
        return keras(path)
    raise CheckpointError(
        f"{path}: no model file by its name; expected one that ends in .onnx or .keras."
    )
