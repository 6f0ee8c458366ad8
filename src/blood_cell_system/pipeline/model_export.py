"""Models in the formats of other programs, each tried in its own runtime before it is kept."""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

import blood_cell_system
from blood_cell_system.analysis.model_files import first_line, read_model
from blood_cell_system.analysis.opened_networks import Network, open_network
from blood_cell_system.analysis.trained_models import (
    PROBE_SIDE,
    NetworkClassifier,
    NetworkSegmenter,
)
from blood_cell_system.atomic_files import replacing_folder, write_bytes
from blood_cell_system.datasets.synthetic import SmearSettings, draw_smear
from blood_cell_system.errors import CheckpointError, OutputError, SettingsError
from blood_cell_system.model_metadata import (
    CELL_EXTENT_PX,
    CONDITION_OUTPUT,
    HEAD_STRIDE,
    KNOWN_OUTPUT,
    SIZE_UNIT_PX,
    STRIDE,
    TRAINING_DIAMETER_PX,
    TYPE_OUTPUT,
    Interface,
    ModelMetadata,
)
from blood_cell_system.networks.export_registry import ExportFormat
from blood_cell_system.pipeline.model_slots import sha256_of
from blood_cell_system.seeding import generator_for
from blood_cell_system.taxonomy import BUILT_IN, MaskClass

MAX_DIFFERENCE: Final = 1e-4
"""Largest difference of an output. Rounding differs between runtimes by some 1e-6; a conversion
gone wrong, or a runtime that computes in bfloat16, by far more."""

_SHAPES: Final = ((480, 640), (576, 416))
"""Heights and widths, in pixels, of the drawn smears that both networks are shown: as BCCD's, and
one on its side."""

_BATCHES: Final = (1, 3)

_FOLDER_SIGN: Final = "saved_model.pb"
"""What a folder holds that an export may take the place of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written.

    Parameters
    ----------
    path : Path
    size_bytes : int
        Of all its files.
    difference : float
        Largest one from the model that it was made of.
    tried_on : tuple of tuple of int
        Shapes ``(batch, height, width)`` of the images that this was measured on.
    """

    path: Path
    size_bytes: int
    difference: float
    tried_on: tuple[tuple[int, int, int], ...]


def export_model(
    model: Path,
    output: Path | None,
    *,
    to: ExportFormat,
    training_diameter_px: float | None = None,
) -> Exported:
    """Write a trained model in another format, if it then gives what it gave before.

    Parameters
    ----------
    model : Path
        Segmenter or classifier, ``.keras``; ``.onnx`` for formats that are not of Keras.
    output : Path, optional
        Beside the model by default.
    training_diameter_px : float, optional
        Of a segmenter; by default what the model says of itself, else 100.

    Raises
    ------
    SettingsError
        The format cannot be made of such a file, is not installed, or has another suffix.
    CheckpointError
        The model cannot be opened or converted, or differs by more than ``MAX_DIFFERENCE``; then
        nothing is written.
    OutputError
        The output cannot be written.
    """
    is_keras = model.suffix.lower() == ".keras"
    _check_source(model, to, is_keras=is_keras)
    to.check_installed()
    output = output or model.with_name(f"{model.stem}{to.suffix or '_saved_model'}")
    _check_output(output, to)
    network: Any = open_network(model)
    metadata = _metadata(network, model, training_diameter_px)
    form = network.model if is_keras else read_model(model)
    if is_keras and not to.is_of_keras:
        from blood_cell_system.networks.onnx_export import onnx_bytes, onnx_form

        form = onnx_bytes(onnx_form(network.model, metadata), metadata)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / output.name
        to.write(form, made, metadata)
        tried_on, difference = _difference(network, made, to)
        if not difference <= MAX_DIFFERENCE:
            raise CheckpointError(
                f"{model}: as {to.title} it gives values that differ by {difference:.2g}; expected "
                f"{MAX_DIFFERENCE:g} at most. {output} was not written; use the model as it is, or "
                "choose another --format."
            )
        size = sum(part.stat().st_size for part in Path(folder).rglob("*") if part.is_file())
        _keep(made, output)
    return Exported(path=output, size_bytes=size, difference=difference, tried_on=tried_on)


def _check_source(model: Path, to: ExportFormat, *, is_keras: bool) -> None:
    if is_keras or model.suffix.lower() != ".onnx":
        return
    if to.is_of_keras or to.suffix == ".onnx":
        beside = model.with_suffix(".keras")
        why = "is ONNX already" if to.suffix == ".onnx" else f"{to.title} is not made of ONNX"
        remedy = f"Name {beside}" if beside.is_file() else "Name the .keras file of the training"
        raise SettingsError(f"{model}: {why}; expected a .keras file. {remedy}: --model")


def _check_output(output: Path, to: ExportFormat) -> None:
    if to.suffix and output.suffix.lower() != to.suffix:
        raise SettingsError(
            f"{output}: expected a file name that ends in {to.suffix}, for {to.title}."
        )
    is_other = output.is_file() or (
        output.is_dir() and any(output.iterdir()) and not (output / _FOLDER_SIGN).is_file()
    )
    if not to.suffix and is_other:
        raise OutputError(
            f"{output}: is there, and no SavedModel; expected a new folder, or one that an export "
            "has written. Choose another --output."
        )


def _metadata(network: Network, model: Path, diameter: float | None) -> ModelMetadata:
    """Say of an exported model what another program has to know."""
    metadata = network.metadata or ModelMetadata(kind="segmenter")
    if metadata.quantisation is not None:
        raise CheckpointError(f"{model}: is of 8 bits; expected a model in float32.")
    changes: dict[str, Any] = {
        "taxonomy": metadata.taxonomy or BUILT_IN,
        "software_version": blood_cell_system.__version__,
        "source_sha256": sha256_of(model),
    }
    if metadata.kind == "segmenter":
        segmenter = NetworkSegmenter(network)
        known = diameter or metadata.training_diameter_px or TRAINING_DIAMETER_PX
        interface = _segmenter_interface(segmenter, metadata)
        return metadata.replace(**changes, training_diameter_px=known, interface=interface)
    if diameter is not None:
        raise SettingsError(
            f"{model}: is a classifier, which has no --training-diameter. Leave it out."
        )
    classifier = NetworkClassifier(network, metadata.classifier_kind)
    height, width = classifier.input_side
    on = "with what lies around it" if metadata.sees_surround else "on white"
    found = network.run(np.zeros((1, height, width, 3), np.float32))
    outputs = {
        CONDITION_OUTPUT: metadata.conditions,
        TYPE_OUTPUT: metadata.subtypes,
        KNOWN_OUTPUT: ("in distribution",),
    }
    interface = Interface(
        normalisation=(
            "RGB of 0..255 as float32, divided by the light of the empty slide and multiplied by "
            "255; the network does the rest"
        ),
        stride_px=1,
        padding=(
            f"one cell {on}, in the middle of {height}×{width} pixels, resampled so that the "
            f"longer side of its box is {CELL_EXTENT_PX}"
        ),
        outputs={name: outputs[name] for name in outputs if len(found) > 1 and name in found}
        or {CONDITION_OUTPUT: metadata.conditions},
    )
    return metadata.replace(**changes, interface=interface)


def _segmenter_interface(segmenter: NetworkSegmenter, metadata: ModelMetadata) -> Interface:
    taxonomy = metadata.taxonomy or BUILT_IN
    unit = f"{SIZE_UNIT_PX:g} px), at {HEAD_STRIDE} px a place"
    fixed = segmenter.input_shape
    height, width = fixed or (PROBE_SIDE, PROBE_SIDE)
    found = segmenter.network.run(np.zeros((1, height, width, 3), np.float32))
    outputs = {
        "classes": tuple(entry.name.lower() for entry in MaskClass),
        "centres": tuple(taxonomy.names),
        "log_size": (f"ln(width / {unit}", f"ln(height / {unit}"),
    }
    return Interface(
        normalisation=(
            "RGB of 0..255 as float32, resampled so that a red cell has the training diameter; the "
            "network does the rest"
        ),
        stride_px=1 if fixed else STRIDE,
        padding=(
            f"reflect at the right and at the bottom, to {fixed[0]}×{fixed[1]} pixels"
            if fixed
            else f"reflect at the right and at the bottom, to multiples of {STRIDE} pixels"
        )
        + "; cut the outputs back",
        outputs={name: outputs[name] for name in outputs if len(found) > 1 or name == "classes"},
        peak_thresholds={entry.name: entry.detection.peak_threshold for entry in taxonomy},
    )


def _difference(
    network: Network, made: Path, to: ExportFormat
) -> tuple[tuple[tuple[int, int, int], ...], float]:
    """Compare an exported model with its source on drawn smears of two sizes and batches."""
    try:
        if to.read_metadata(made) is None:
            raise ValueError("it says nothing about itself")
        run = to.open(made)
    except Exception as error:  # Runtimes have no errors in common.
        raise CheckpointError(
            f"{network.name}: cannot be opened as {to.title} ({first_line(error)}). Nothing was "
            "written; choose another --format."
        ) from error
    batch_size, height, width = network.input_shapes[0][:3]
    largest, tried_on = 0.0, []
    for shape in _SHAPES if height is None or isinstance(height, str) else ((height, width),):
        smear = _drawn(shape)
        for count in _BATCHES if not isinstance(batch_size, int) else (batch_size,):
            batch = np.stack([np.roll(smear, 40 * place, axis=1) for place in range(count)])
            largest = max(largest, _largest(network.run(batch), run(batch)))
            tried_on.append((count, *shape))
    return tuple(tried_on), largest


def _drawn(shape: tuple[int, int]) -> NDArray[np.float32]:
    """Give a window of a drawn smear."""
    drawn = draw_smear(SmearSettings(shape=_SHAPES[0]), generator_for(0, "export", *shape)).image
    height, width = shape
    tiles = -(-height // drawn.shape[0]), -(-width // drawn.shape[1]), 1
    return np.tile(drawn, tiles)[:height, :width].astype(np.float32)


def _largest(before: Mapping[str, Any], after: Mapping[str, Any]) -> float:
    """Largest difference of any value; infinite where an output is missing or of another shape."""
    if len(before) == len(after) == 1:
        after = dict(zip(before, after.values(), strict=True))
    if before.keys() != after.keys() or any(before[n].shape != after[n].shape for n in before):
        return float("inf")
    differences = [float(np.abs(before[name] - after[name]).max()) for name in before]
    return max(differences) if np.isfinite(differences).all() else float("inf")


def _keep(made: Path, output: Path) -> None:
    """Bring what was made to its place, the main file last."""
    if made.is_dir():
        with replacing_folder(output) as temporary:
            shutil.copytree(made, temporary)
        return
    for part in sorted(made.parent.iterdir(), key=lambda part: part.name == made.name):
        write_bytes(output.with_name(part.name), part.read_bytes())
