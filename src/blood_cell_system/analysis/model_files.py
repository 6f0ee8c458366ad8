"""Model files: whether there is one, whether it is whole, and whether it holds code."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from blood_cell_system.analysis.execution import RUN_SUFFIXES
from blood_cell_system.errors import (
    CheckpointError,
    MissingDataError,
    is_memory_full,
    system_words,
    value_words,
)
from blood_cell_system.input_files import read_bytes
from blood_cell_system.model_metadata import ModelMetadata, check_archive_size, metadata_in_archive
from blood_cell_system.quiet_import import import_tensorflow

# Layers that run Python code of the file, or load another file. Keras's safe mode refuses the first
# ones; this refuses them all, and names the remedy.
_LAYERS_WITH_CODE: Final = frozenset(
    {"Lambda", "__lambda__", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "TFSMLayer"}
)


def check_keras_archive(path: Path) -> ModelMetadata | None:
    """Refuse a file that cannot be opened, or must not be; nothing in the file is run.

    Returns the metadata of the file, if it holds any; errors as of ``open_network``.
    """
    _check_is_there(path)
    try:
        with zipfile.ZipFile(path) as archive:
            check_archive_size(archive, path)
            is_model = "config.json" in archive.namelist()
            damaged = archive.testzip()
            if is_model and damaged is None:
                config = json.loads(archive.read("config.json"))
                found = sorted(set(_names_of_code(config)))
                metadata = None if found else _metadata_of(archive, name=str(path))
    except CheckpointError:
        raise
    except PermissionError as error:
        raise CheckpointError(f"{path}: cannot be read: {system_words(error)}") from error
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError) as error:
        raise CheckpointError(
            f"{path}: not a .keras file, or cut off ({error}). Copy it again, or use a model "
            "that was saved with model.save('name.keras')."
        ) from error
    except Exception as error:  # A damaged stream leads its decompressor to errors of its own.
        if is_memory_full(error):
            raise MemoryError from error
        raise _damaged(path, value_words(error)) from error
    if damaged is not None:
        raise _damaged(path, damaged)
    if not is_model:
        raise CheckpointError(
            f"{path}: no Keras model (config.json is missing). Copy it again, or use a model that "
            "was saved with model.save('name.keras')."
        )
    if found:
        raise CheckpointError(
            f"{path}: holds code of its own ({', '.join(found)}), which is never "
            "run; expected Keras's built-in layers alone. Build the model without them, for "
            "instance with keras.ops in place of Lambda, and save it again."
        )
    return metadata


def _metadata_of(archive: zipfile.ZipFile, *, name: str) -> ModelMetadata | None:
    try:
        return metadata_in_archive(archive)
    except ValueError as error:
        raise invalid_metadata(name, error) from error


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


def load_keras_model(path: Path) -> Any:
    """Load a ``.keras`` file as Keras gives it; errors as of ``open_network``."""
    path = Path(path)
    check_keras_archive(path)
    # Here, not above: analysing with another runtime must not wait for TensorFlow.
    import_tensorflow()
    import keras

    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # A broken configuration can fail in any of Keras's parts.
        if is_memory_full(error):
            raise MemoryError from error
        raise CheckpointError(
            f"{path}: Keras cannot load this model ({first_line(error)}). "
            "It is damaged, of a newer Keras, or carries code of its own, which is not run."
        ) from error


def check_is_model(path: Path) -> None:
    """Refuse what is no model file that can be run, by its name; nothing is opened."""
    _check_is_there(path)
    if path.suffix.lower() not in RUN_SUFFIXES:
        raise CheckpointError(
            f"{path}: not the name of a model file; expected one that ends in "
            f"{', '.join(RUN_SUFFIXES)}. bloodcells export writes them."
        )


def _check_is_there(path: Path) -> None:
    if path.is_dir() and (path / "saved_model.pb").is_file():
        raise CheckpointError(
            f"{path}: a SavedModel, which is for other programs: it may hold operations that read "
            f"and write files. Models are run that end in {', '.join(RUN_SUFFIXES)}; write one "
            "with bloodcells export."
        )
    if not path.is_file():
        raise MissingDataError(
            f"{path}: there is no such model; expected a file that ends in "
            f"{', '.join(RUN_SUFFIXES)}. Train one, make one with bloodcells export, or name "
            "another with --model."
        )


def read_model(path: Path) -> bytes:
    """Give the bytes of a model file; errors as of ``open_network``."""
    _check_is_there(path)
    return read_bytes(path, error=CheckpointError)


def _damaged(path: Path, found: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: damaged ({found}). Copy it again, or use a model that was saved with "
        "model.save('name.keras')."
    )


def invalid_metadata(name: str, error: Exception) -> CheckpointError:
    """Say what is wrong with what a file says about itself."""
    return CheckpointError(
        f"{name}: its metadata are not valid ({error}). Use the file that was written with the "
        "model, or export the model again with bloodcells export."
    )


def first_line(error: Exception) -> str:
    """Give the first line of what an error says."""
    return value_words(error).partition("\n")[0]
