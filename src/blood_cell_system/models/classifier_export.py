"""A trained classifier as files: an ONNX file that knows its classes, or ``.keras`` and JSON."""

import json
from pathlib import Path
from typing import Any, Final

from blood_cell_system.atomic_files import replacing, write_bytes, write_json
from blood_cell_system.classifier_facts import (
    CONDITION_OUTPUT,
    FACTS_KEY,
    TYPE_OUTPUT,
    ClassifierFacts,
)
from blood_cell_system.errors import SettingsError
from blood_cell_system.models.cell_classifier import CELLS_INPUT
from blood_cell_system.models.onnx_form import onnx_form
from blood_cell_system.onnx_metadata import HASH_KEY, NO_HASH, with_content_hash

_INPUT_KEY: Final = "blood_cell_system.input"


def export_classifier(model: Any, path: Path, *, facts: ClassifierFacts) -> None:
    """Write a classifier as an ONNX file, whole or not at all.

    The batch stays open. The metadata hold the facts, and a hash of the whole file.

    Parameters
    ----------
    model : keras.Model
        Of one input of shape (batch, height, width, 3).
    path : Path
        Ends in ``.onnx``.
    facts : ClassifierFacts
        Its classes and thresholds.

    Raises
    ------
    SettingsError
        The path does not end in ``.onnx``, or the model has other classes than the facts.
    CheckpointError
        The model has a layer that cannot be converted.
    OutputError
        The place cannot be written to.
    """
    _check(model, Path(path), facts, suffix=".onnx")
    converted = onnx_form(model, input_name=CELLS_INPUT, graph_name=facts.kind.file_stem)
    height, width = tuple(model.inputs[0].shape)[1:3]
    properties = {
        FACTS_KEY: json.dumps(facts.to_json(), sort_keys=True, ensure_ascii=False),
        _INPUT_KEY: f"float32 (batch, {height}, {width}, 3), RGB of 0..255, one cell on white",
        HASH_KEY: NO_HASH,
    }
    for key, value in properties.items():
        converted.metadata_props.add(key=key, value=value)
    write_bytes(Path(path), with_content_hash(converted.SerializeToString(deterministic=True)))


def save_classifier(model: Any, path: Path, *, facts: ClassifierFacts) -> None:
    """Write a classifier as a ``.keras`` file and its facts as a ``.json`` beside it.

    Parameters
    ----------
    model : keras.Model
    path : Path
        Ends in ``.keras``.
    facts : ClassifierFacts
        Its classes and thresholds.

    Raises
    ------
    SettingsError
        The path does not end in ``.keras``, or the model has other classes than the facts.
    OutputError
        The place cannot be written to.
    """
    path = Path(path)
    _check(model, path, facts, suffix=".keras")
    # Facts of another model must not stand beside this one, not even for a moment.
    path.with_suffix(".json").unlink(missing_ok=True)
    with replacing(path) as temporary:
        model.save(temporary)
    write_json(path.with_suffix(".json"), facts.to_json())


def _check(model: Any, path: Path, facts: ClassifierFacts, *, suffix: str) -> None:
    if path.suffix.lower() != suffix:
        raise SettingsError(f"{path}: expected a file name that ends in {suffix}.")
    sizes = _output_sizes(model)
    expected = {CONDITION_OUTPUT: len(facts.conditions)}
    if facts.types:
        expected[TYPE_OUTPUT] = len(facts.types)
    wrong = {name: sizes.get(name) for name, size in expected.items() if sizes.get(name) != size}
    if wrong:
        raise SettingsError(
            f"{path}: the model has outputs {sizes}; its facts name {expected}. Give the facts of "
            "this very model."
        )


def _output_sizes(model: Any) -> dict[str, int]:
    """Classes of each output by name; a single one is the condition, whatever it is called."""
    sizes = [tensor.shape[-1] for tensor in model.outputs]
    names = [CONDITION_OUTPUT] if len(sizes) == 1 else model.output_names
    return dict(zip(names, sizes, strict=True))
