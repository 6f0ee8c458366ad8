import importlib.util
import json
import shutil
from dataclasses import replace
from importlib import metadata as installed
from pathlib import Path

import numpy as np
import pytest

from blood_cell_system.analysis import execution as execution_module
from blood_cell_system.analysis.execution import Execution
from blood_cell_system.analysis.opened_networks import read_metadata
from blood_cell_system.analysis.trained_models import largest_difference, load_runtime
from blood_cell_system.errors import CheckpointError, OutputError, SettingsError, UnknownNameError
from blood_cell_system.model_metadata import NO_HASH, Interface, ModelMetadata, as_text, sealed
from blood_cell_system.networks.export_registry import export_formats, format_named, format_of
from blood_cell_system.pipeline import model_export
from blood_cell_system.pipeline.model_export import export_model
from blood_cell_system.taxonomy import BUILT_IN

keras = pytest.importorskip("keras", reason="needs the [train] extra")
pytest.importorskip("tf2onnx", reason="needs the [train] extra")
pytest.importorskip("openvino", reason="needs the [openvino] extra")

from keras import layers  # noqa: E402
from support.tiny_classifiers import metadata_of, tiny_classifier  # noqa: E402

from blood_cell_system.networks.onnx_export import save_classifier, save_model  # noqa: E402

NAMES = {"onnx": "m.onnx", "openvino": "m.xml", "tflite": "m.tflite", "saved_model": "m"}
SEALED = ("openvino", "tflite", "saved_model")
ANALYSED = ("openvino", "tflite")


@pytest.fixture(autouse=True)
def small_smears(monkeypatch):
    monkeypatch.setattr(model_export, "_SHAPES", ((64, 96), (96, 64)))


def small_segmenter():
    """Heads at a quarter of the size, and classes upsampled from there."""
    keras.utils.set_random_seed(5)
    pixels = keras.Input((None, None, 3), name="pixels")
    maps = layers.AveragePooling2D(4)(layers.Rescaling(1 / 255)(pixels))
    for _ in range(3):
        maps = layers.Conv2D(48, 3, padding="same", activation="relu")(maps)
    finer = layers.Conv2D(3, 3, padding="same")(layers.UpSampling2D(4)(maps))
    return keras.Model(
        pixels,
        {
            "classes": layers.Softmax()(finer),
            "centres": layers.Conv2D(3, 1, activation="sigmoid")(maps),
            "log_size": layers.Conv2D(2, 1)(maps),
        },
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("trained") / "m.keras"
    metadata = ModelMetadata(kind="segmenter", training_diameter_px=64)
    save_model(small_segmenter(), path, metadata=metadata)
    return path


class Exports(dict):
    """Results of exports by the format's name, each made when it is first needed."""

    def __init__(self, trained, folder):
        self._trained, self._folder = trained, folder

    def __missing__(self, name):
        to = format_named(name)
        self[name] = export_model(self._trained, self._folder / NAMES[name], to=to)
        return self[name]


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    return Exports(trained, tmp_path_factory.mktemp("exported"))


@pytest.fixture
def copied(exported, tmp_path):
    """Give a copy of an exported model that may be damaged."""

    def copy(name):
        source = exported[name].path
        if source.is_dir():
            return shutil.copytree(source, tmp_path / source.name)
        if name == "openvino":
            shutil.copy(source.with_suffix(".bin"), tmp_path / "m.bin")
        return Path(shutil.copy(source, tmp_path / source.name))

    return copy


def test_every_format_is_tried():
    assert {one.name for one in export_formats()} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_gives_the_same_in_every_format_at_all_sizes_and_batches(exported, name):
    assert exported[name].difference <= 1e-5
    shapes = [(1, 64, 96), (3, 64, 96), (1, 96, 64), (3, 96, 64)]
    assert sorted(exported[name].tried_on) == sorted(shapes)


@pytest.mark.parametrize("name", NAMES)
def test_every_format_says_how_the_network_is_used(exported, name):
    metadata = format_named(name).read_metadata(exported[name].path)
    assert (metadata.training_diameter_px, metadata.taxonomy) == (64, BUILT_IN)
    interface = metadata.interface
    assert interface.stride_px == 32
    assert "reflect" in interface.padding
    assert "0..255" in interface.normalisation
    assert interface.outputs["classes"] == ("background", "rbc", "wbc")
    assert interface.outputs["centres"] == tuple(BUILT_IN.names)
    assert interface.peak_thresholds["RBC"] == BUILT_IN["RBC"].detection.peak_threshold


@pytest.mark.parametrize("name", ANALYSED)
def test_an_exported_model_is_analysed_with(trained, exported, name):
    runtime = load_runtime(exported[name].path)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 64, 192, 3)).astype(np.float32)
    assert largest_difference(load_runtime(trained), runtime, pixels) <= 1e-4
    assert runtime.input_shape is None
    assert runtime.training_diameter_px == 64


@pytest.mark.parametrize("name", ANALYSED)
def test_a_gpu_that_is_not_there_is_refused(exported, name):
    with pytest.raises(SettingsError, match=r"received gpu; openvino .* finds cpu"):
        load_runtime(exported[name].path, execution=Execution(device="gpu"))


@pytest.mark.parametrize("name", ANALYSED)
def test_analysing_without_the_runtime_names_the_extra(exported, name, monkeypatch):
    def missing(package):
        raise installed.PackageNotFoundError(package)

    monkeypatch.setattr(execution_module, "version", missing)
    with pytest.raises(SettingsError, match=r"blood-cell-system\[openvino\]"):
        load_runtime(exported[name].path)


@pytest.mark.parametrize(("runtime", "words"), [("onnx", r"\.onnx file"), ("keras", "Name the")])
def test_another_runtime_than_the_formats_is_refused(exported, runtime, words):
    with pytest.raises(SettingsError, match=words):
        load_runtime(exported["openvino"].path, execution=Execution(runtime=runtime))


def test_a_saved_model_is_not_analysed_with(exported):
    with pytest.raises(CheckpointError, match=r"for other programs.*\.onnx, \.keras, \.xml"):
        load_runtime(exported["saved_model"].path)


@pytest.mark.parametrize("name", NAMES)
def test_exporting_without_what_it_needs_names_the_extra(trained, name, monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    with pytest.raises(SettingsError, match=r"not installed.*pip install 'blood-cell-system\["):
        export_model(trained, tmp_path / NAMES[name], to=format_named(name))


def weights_of(path):
    """Find the file with most of the weights."""
    files = [path, path.with_suffix(".bin"), *path.rglob("*.data*")]
    return max((file for file in files if file.is_file()), key=lambda file: file.stat().st_size)


@pytest.mark.parametrize("name", SEALED)
def test_damaged_weights_are_found(copied, name):
    path = copied(name)
    data = bytearray(weights_of(path).read_bytes())
    data[len(data) // 2] ^= 1
    weights_of(path).write_bytes(data)
    with pytest.raises(ValueError, match="not what was exported"):
        format_named(name).read_metadata(path)


@pytest.mark.parametrize("name", ANALYSED)
def test_damage_is_told_with_a_remedy(copied, name):
    path = copied(name)
    weights_of(path).write_bytes(weights_of(path).read_bytes()[:-3000])
    with pytest.raises(CheckpointError, match=rf"{path.name}: damaged.*Copy it again"):
        load_runtime(path)


@pytest.mark.parametrize("name", ANALYSED)
@pytest.mark.parametrize("data", [b"", b"no model at all, but some words instead"])
def test_a_file_that_is_no_model_is_refused(tmp_path, name, data):
    path = tmp_path / NAMES[name]
    path.write_bytes(data)
    (tmp_path / "m.bin").write_bytes(b"")
    with pytest.raises(CheckpointError, match=f"{path.name}: damaged"):
        load_runtime(path)


def test_weights_that_are_missing_are_named(copied):
    path = copied("openvino")
    path.with_suffix(".bin").unlink()
    with pytest.raises(CheckpointError, match=r"m\.bin is not beside it"):
        load_runtime(path)


def with_record(path, change):
    """Change the record of an exported model where it stands."""
    for file in [path] if path.is_file() else path.rglob("*.json"):
        data = file.read_bytes()
        assert change[0] in data
        file.write_bytes(data.replace(*change))
    return path


@pytest.mark.parametrize(
    ("name", "version"),
    [("openvino", b"version&quot;: 2,"), ("saved_model", b'version": 2,')],
)
def test_a_record_of_another_version_is_refused(copied, name, version):
    path = with_record(copied(name), (version, version.replace(b"2", b"9")))
    with pytest.raises(ValueError, match="format_version 9; expected 2 or 1"):
        format_named(name).read_metadata(path)


def test_a_record_that_was_edited_is_refused(copied):
    path = with_record(copied("openvino"), (b"px&quot;: 64.0", b"px&quot;: 65.0"))
    with pytest.raises(CheckpointError, match="not what was exported"):
        load_runtime(path)


@pytest.mark.parametrize("name", ANALYSED)
def test_a_model_that_lies_about_its_classes_is_refused(exported, tmp_path, name):
    """Its record is whole, and of one cell type less than the network has heat maps."""
    fewer = replace(BUILT_IN, cell_types=BUILT_IN.cell_types[:2])
    to, path = format_named(name), tmp_path / NAMES[name]
    form = small_segmenter() if to.is_of_keras else exported["onnx"].path.read_bytes()
    to.write(form, path, ModelMetadata(kind="segmenter", taxonomy=fewer))
    with pytest.raises(CheckpointError, match="centres of shape"):
        load_runtime(path)


def test_a_record_whose_outputs_are_not_its_classes_makes_no_sense():
    interface = Interface(
        normalisation="", stride_px=32, padding="", outputs={"centres": ("WBC", "RBC", "Platelet")}
    )
    with pytest.raises(ValueError, match="output centres of WBC, RBC"):
        ModelMetadata(kind="segmenter", interface=interface)


def test_a_record_without_a_hash_is_of_no_exported_model():
    record = as_text(ModelMetadata(kind="segmenter"))
    with pytest.raises(ValueError, match="not what was exported"):
        sealed(record, [b"weights"])
    assert NO_HASH not in record


def test_a_conversion_that_gives_other_values_is_not_kept(trained, tmp_path):
    to = format_named("saved_model")

    def write_other_weights(model, path, metadata):
        model.set_weights([weight + 0.01 for weight in model.get_weights()])
        to.write(model, path, metadata)
        model.set_weights([weight - 0.01 for weight in model.get_weights()])

    with pytest.raises(CheckpointError, match=r"differ by .* 0\.0001 at most.*was not written"):
        export_model(trained, tmp_path / "m", to=replace(to, write=write_other_weights))
    assert not list(tmp_path.iterdir())


def test_a_runtime_that_refuses_what_was_written_is_told(trained, tmp_path):
    to = format_named("onnx")

    def write_words(data, path, metadata):
        path.write_bytes(b"no model")

    with pytest.raises(CheckpointError, match=r"cannot be opened as ONNX.*Nothing was written"):
        export_model(trained, tmp_path / "m.onnx", to=replace(to, write=write_words))
    assert not list(tmp_path.iterdir())


def test_onnx_becomes_openvino_without_keras(exported, tmp_path):
    made = export_model(exported["onnx"].path, tmp_path / "a.xml", to=format_named("openvino"))
    assert made.difference <= 1e-5
    assert read_metadata(made.path).training_diameter_px == 64


@pytest.mark.parametrize("name", ["tflite", "saved_model", "onnx"])
def test_what_is_not_made_of_onnx_names_the_keras_file(exported, tmp_path, name):
    source = Path(shutil.copy(exported["onnx"].path, tmp_path))
    with pytest.raises(SettingsError, match=r"expected a \.keras file. Name the \.keras file"):
        export_model(source, None, to=format_named(name))
    source.with_suffix(".keras").touch()
    with pytest.raises(SettingsError, match=r"Name .*m\.keras"):
        export_model(source, None, to=format_named(name))


def test_another_suffix_than_the_formats_is_refused(trained, tmp_path):
    with pytest.raises(SettingsError, match=r"ends in \.xml"):
        export_model(trained, tmp_path / "m.onnx", to=format_named("openvino"))


def test_a_folder_of_something_else_is_not_replaced(trained, tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(OutputError, match="no SavedModel; expected a new folder"):
        export_model(trained, tmp_path, to=format_named("saved_model"))


def test_a_network_of_8_bits_is_refused(exported, tmp_path):
    record = {"of_sha256": "", "kept": "", "calibrated_on": "", "measured_on": ""}
    of_8_bits = ModelMetadata.from_json(
        {
            "format_version": 2,
            "kind": "segmenter",
            "quantisation": {**record, "falls": {}, "bounds": {}},
        }
    )
    path = tmp_path / "m.onnx"
    format_named("onnx").write(exported["onnx"].path.read_bytes(), path, of_8_bits)
    with pytest.raises(CheckpointError, match="of 8 bits; expected a model in float32"):
        export_model(path, None, to=format_named("openvino"))


def test_a_classifier_is_exported_with_its_thresholds(tmp_path):
    path = tmp_path / "wbc_classifier.keras"
    save_classifier(tiny_classifier(), path, metadata=metadata_of())
    made = export_model(path, None, to=format_named("openvino"))
    metadata = read_metadata(made.path)
    assert metadata.condition_thresholds == metadata_of().condition_thresholds
    assert metadata.interface.outputs["condition"] == metadata_of().conditions
    assert json.loads(as_text(metadata))["interface"]["stride_px"] == 1
    with pytest.raises(SettingsError, match="is a classifier, which has no --training-diameter"):
        export_model(path, None, to=format_named("openvino"), training_diameter_px=60)


def test_formats_are_found_by_name(tmp_path):
    assert format_of(Path("a.tflite")).name == "tflite"
    assert format_of(tmp_path).name == "saved_model"
    assert format_of(Path("a.txt")) is None
    with pytest.raises(UnknownNameError, match="tflit"):
        format_named("tflit")
