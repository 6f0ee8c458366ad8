"""What a ``.keras`` file says before Keras opens it: whether it is whole, and carries no code."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from blood_cell_system.errors import CheckpointError, MissingDataError

# Layers that run Python, or load another file, of whoever saved the model. Keras's safe mode
# refuses the first ones by itself; this refuses them all, and says what to do.
_LAYERS_WITH_CODE: Final = frozenset(
    {"Lambda", "__lambda__", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "TFSMLayer"}
)


def check_keras_archive(path: Path) -> None:
    """Refuse what cannot be opened, or must not be; nothing in the file is run.

    Parameters
    ----------
    path : Path

    Raises
    ------
    MissingDataError
        There is no such file.
    CheckpointError
        It is cut off, damaged, no Keras model, or holds code.
    """
    if not path.is_file():
        raise MissingDataError(
            f"{path}: there is no such model; expected a file that was saved with "
            "model.save('name.keras'). Train one, or name another."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            is_model = "config.json" in archive.namelist()
            damaged = archive.testzip()
            config = archive.read("config.json") if is_model and damaged is None else b""
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, ValueError) as error:
        raise CheckpointError(
            f"{path}: not a .keras file, or cut off ({error}). Copy it again, or use a model "
            "that was saved with model.save('name.keras')."
        ) from error
    except Exception as error:  # A damaged stream leads its decompressor to errors of its own.
        raise _damaged(path, f"{type(error).__name__}: {error}") from error
    if damaged is not None:
        raise _damaged(path, damaged)
    if not is_model:
        raise CheckpointError(
            f"{path}: no Keras model (config.json is missing). Copy it again, or use a model that "
            "was saved with model.save('name.keras')."
        )
    try:
        found = sorted(set(_names_of_code(json.loads(config))))
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"config.json: {error}") from error
    if found:
        raise CheckpointError(
            f"{path}: holds code of its own ({', '.join(found)}), which is never "
            "run; expected Keras's built-in layers alone. Build the model without them, for "
            "instance with keras.ops in place of Lambda, and save it again."
        )


def _names_of_code(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        name = value.get("class_name")
        if isinstance(name, str) and name in _LAYERS_WITH_CODE:
            yield name
        for inner in value.values():
            yield from _names_of_code(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _names_of_code(inner)


def _damaged(path: Path, found: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: damaged ({found}). Copy it again, or use a model that was saved with "
        "model.save('name.keras')."
    )
