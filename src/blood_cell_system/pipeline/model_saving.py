"""The models of a system as files of a folder."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from blood_cell_system.atomic_files import make_folder, replacing
from blood_cell_system.errors import OutputError, SettingsError
from blood_cell_system.pipeline.classifier_slot import ClassifierSlot
from blood_cell_system.pipeline.keras_likeness import is_keras, unwrap
from blood_cell_system.pipeline.segmenter_slot import SEGMENTER_STEM, SegmenterSlot


def save_all(
    folder: Path, *, segmenter: SegmenterSlot, classifiers: Iterable[ClassifierSlot]
) -> tuple[Path, ...]:
    """Save what models there are: ``.keras`` with facts beside it, or the loaded ``.onnx``.

    Parameters
    ----------
    folder : Path
        Made when it is not there.
    segmenter : SegmenterSlot
    classifiers : iterable of ClassifierSlot

    Returns
    -------
    tuple of Path
        The models' files.

    Raises
    ------
    SettingsError
        There is nothing to save.
    OutputError
        A file cannot be written, or one of another format would be loaded in its place.
    """
    present = [slot for slot in classifiers if slot.model is not None]
    if segmenter.model is None and not present:
        raise SettingsError(
            "save_models: there is no model to save; expected one that was set, built or loaded. "
            "Call build_all_models or load_models first."
        )
    make_folder(folder)
    saved = [_save_classifier(folder, slot) for slot in present]
    if segmenter.model is not None:
        saved.insert(0, _save_segmenter(folder, segmenter))
    return tuple(saved)


def _save_segmenter(folder: Path, slot: SegmenterSlot) -> Path:
    model = unwrap(slot.model)
    if not is_keras(model):
        return _copy(slot.path, _target(folder, SEGMENTER_STEM, ".onnx"), model)
    target = _target(folder, SEGMENTER_STEM, ".keras")
    with replacing(target) as temporary:
        model.save(temporary)
    return target


def _save_classifier(folder: Path, slot: ClassifierSlot) -> Path:
    model = unwrap(slot.model)
    if not is_keras(model):
        return _copy(slot.path, _target(folder, slot.kind.file_stem, ".onnx"), model)
    # Here, not above: this imports Keras.
    from blood_cell_system.models.classifier_export import save_classifier

    target = _target(folder, slot.kind.file_stem, ".keras")
    save_classifier(model, target, facts=slot.known_facts())
    return target


def _target(folder: Path, stem: str, suffix: str) -> Path:
    target = folder / f"{stem}{suffix}"
    other = target.with_suffix(".keras" if suffix == ".onnx" else ".onnx")
    if other.exists():
        raise OutputError(
            f"{other}: there is a model of another format here, and one of the two would be "
            "loaded by chance. Choose an empty folder, or remove it."
        )
    return target


def _copy(source: Path | None, target: Path, model: Any) -> Path:
    if source is None:
        raise SettingsError(
            f"save_models: {target.stem} is a {type(model).__name__} that came from no file; "
            "expected a Keras model, or one that was loaded."
        )
    if not (target.exists() and target.samefile(source)):
        with replacing(target) as temporary:
            shutil.copyfile(source, temporary)
    return target
