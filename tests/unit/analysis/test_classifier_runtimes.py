import contextlib
import json
import zipfile

import numpy as np
import pytest
from onnx import TensorProto
from support.colour_classifiers import RBC_METADATA, WBC_METADATA, colour_classifier

from blood_cell_system.analysis.model_files import check_keras_archive
from blood_cell_system.analysis.opened_networks import KerasNetwork, OnnxNetwork
from blood_cell_system.analysis.trained_models import NetworkClassifier, load_classifier
from blood_cell_system.errors import CheckpointError, MissingDataError
from blood_cell_system.model_metadata import ClassifierKind, ModelMetadata

RED_GREEN_BLUE = np.float32(255 * np.eye(3))[:, None, None] * np.ones((3, 130, 130, 1), np.float32)
RBC, WBC = ClassifierKind("RBC"), ClassifierKind("WBC")
FOREIGN = ModelMetadata.of_classifier(RBC, subtypes=())


def onnx_classifier(data, kind, **options):
    return NetworkClassifier(OnnxNetwork(data, **options), kind)


def test_an_onnx_classifier_gives_probabilities_and_whether_it_is_any():
    outputs = onnx_classifier(colour_classifier(), RBC).predict(RED_GREEN_BLUE)
    assert outputs.condition.argmax(axis=1).tolist() == [0, 1, 2]
    assert outputs.condition.sum(axis=1) == pytest.approx(1)
    assert outputs.known.shape == (3,)
    assert outputs.cell_type is None


def test_a_classifier_of_white_cells_gives_types():
    data = colour_classifier(WBC_METADATA, outputs=("condition", "type", "known"))
    classifier = onnx_classifier(data, WBC)
    assert classifier.predict(RED_GREEN_BLUE).cell_type.shape == (3, 7)
    assert classifier.metadata.replace(content_sha256="") == WBC_METADATA


def test_a_foreign_onnx_classifier_may_call_its_only_output_as_it_likes():
    data = colour_classifier(outputs=("dense_7",), with_hash=False)
    classifier = onnx_classifier(data, RBC)
    assert classifier.metadata == FOREIGN
    assert classifier.predict(RED_GREEN_BLUE).condition.argmax(axis=1).tolist() == [0, 1, 2]


def test_a_model_without_facts_has_the_usual_classes_for_its_outputs():
    data = colour_classifier(WBC_METADATA, outputs=("condition", "type", "known"), with_hash=False)
    metadata = onnx_classifier(data, WBC).metadata
    assert (metadata.conditions, metadata.subtypes) == (WBC.conditions, WBC.types)
    assert metadata.in_distribution_threshold == 0.5


def test_logits_become_probabilities():
    classifier = onnx_classifier(colour_classifier(outputs=("condition",), softmax=False), RBC)
    condition = classifier.predict(RED_GREEN_BLUE).condition
    power = np.exp(np.float32(0.05 * 255) * np.eye(3, dtype=np.float32))
    assert condition == pytest.approx(power / power.sum(axis=1, keepdims=True), rel=1e-5)


def test_names_follow_the_facts_in_whatever_order():
    metadata = RBC_METADATA.replace(conditions=tuple(reversed(RBC_METADATA.conditions)))
    classifier = onnx_classifier(colour_classifier(metadata), RBC)
    assert classifier.metadata.conditions == ("sickle_RBC", "malaria_RBC", "healthy_RBC")


def test_open_sides_are_those_of_a_cell_image():
    data = colour_classifier(shape=("batch", "height", "width", 3))
    assert onnx_classifier(data, RBC).input_side == (130, 130)
    assert onnx_classifier(colour_classifier(shape=("n", 64, 80, 3)), RBC).input_side == (64, 80)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sizes": {"condition": 4}}, r"condition has the shape \(4,\); expected 3 values, for h"),
        ({"outputs": ("known", "type")}, "none is called 'condition'"),
        ({"sizes": {"known": 2}}, "expected one value, as a sigmoid gives it"),
        ({"shape": (1, 130, 130, 3)}, "with an open batch"),
        ({"shape": ("batch", 130, 130, 1)}, "Is this a classifier of RGB images of cells"),
        ({"kind": TensorProto.UINT8}, "takes inputs of uint8"),
        ({"bias": float("nan")}, "values that are no numbers"),
    ],
)
def test_what_is_no_such_classifier_is_refused(options, message):
    with pytest.raises(CheckpointError, match=message):
        onnx_classifier(colour_classifier(**options), RBC, name="m.onnx")


def test_several_answers_at_once_are_no_condition():
    data = colour_classifier(outputs=("condition",), softmax=False, slope=0.001)
    with pytest.raises(CheckpointError, match="do not add up to 1"):
        onnx_classifier(data, RBC)


def test_facts_that_name_types_need_such_an_output():
    with pytest.raises(CheckpointError, match="has no output 'type'"):
        onnx_classifier(colour_classifier(WBC_METADATA, outputs=("condition", "known")), WBC)


def test_a_file_with_a_changed_weight_is_called_damaged():
    data = bytearray(colour_classifier())
    data[data.index(np.float32(0.05).tobytes())] ^= 1
    with pytest.raises(CheckpointError, match="damaged: its content"):
        onnx_classifier(bytes(data), RBC)


def test_bytes_that_are_no_network_are_refused():
    with pytest.raises(CheckpointError, match="cannot load this model"):
        onnx_classifier(b"nothing", RBC)


def test_a_classifier_of_the_other_cells_is_refused():
    with pytest.raises(
        CheckpointError, match="classifier of RBC cells; expected a classifier of WBC cells"
    ):
        onnx_classifier(colour_classifier(), WBC)


@pytest.mark.parametrize("name", ["m.onnx", "m.keras"])
def test_a_file_that_is_not_there_is_told(tmp_path, name):
    with pytest.raises(MissingDataError, match="there is no such model"):
        load_classifier(tmp_path / name, RBC)


def test_another_ending_is_refused(tmp_path):
    (tmp_path / "m.h5").touch()
    with pytest.raises(CheckpointError, match=r"ends in \.onnx, \.keras, \.xml, \.tflite"):
        load_classifier(tmp_path / "m.h5", RBC)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"format_version": 1, "kind": "rbc", "conditions": ["a", "b"]}']
)
def test_facts_that_make_no_sense_are_told(tmp_path, text):
    (tmp_path / "rbc_classifier.json").write_text(text)
    archive(tmp_path / "rbc_classifier.keras", "{}")
    with pytest.raises(CheckpointError, match=r"rbc_classifier\.json: its metadata are not valid"):
        load_classifier(tmp_path / "rbc_classifier.keras", RBC)


def test_facts_that_cannot_be_read_are_told(tmp_path, monkeypatch):
    path = tmp_path / "rbc_classifier.json"
    path.write_text("{}")
    archive(path.with_suffix(".keras"), "{}")

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "read_bytes", refuse)
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_classifier(tmp_path / "rbc_classifier.keras", RBC)


def archive(path, config):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", config)
    return path


@pytest.mark.parametrize("name", ["Lambda", "TorchModuleWrapper", "TFSMLayer"])
def test_layers_with_code_are_refused_before_keras_sees_them(tmp_path, name):
    inner = {"class_name": name, "module": "keras.layers", "config": {}}
    config = json.dumps({"class_name": "Functional", "config": {"layers": [[inner]]}})
    with pytest.raises(CheckpointError, match=rf"code of its own \({name}\), which is never run"):
        check_keras_archive(archive(tmp_path / "m.keras", config))


def test_a_record_of_a_newer_version_is_refused_as_such(tmp_path):
    path = archive(tmp_path / "m.keras", "{}")
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("blood_cell_system.json", '{"format_version": 3}')
    with pytest.raises(CheckpointError, match=r"m\.keras: its metadata are not valid \(format_ver"):
        check_keras_archive(path)


@pytest.mark.parametrize("config", ["{", "[" * 100_000])
def test_a_damaged_configuration_is_told(tmp_path, config):
    with pytest.raises(CheckpointError, match="damaged"):
        check_keras_archive(archive(tmp_path / "m.keras", config))


def test_any_damaged_byte_is_told_or_does_no_harm(tmp_path):
    path = archive(tmp_path / "m.keras", json.dumps({"layers": ["x"] * 50}))
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        # Nothing but a CheckpointError comes out.
        with contextlib.suppress(CheckpointError):
            check_keras_archive(path)


@pytest.fixture(scope="module")
def keras_model():
    keras = pytest.importorskip("keras", reason="needs the [train] extra")
    cells = keras.Input((130, 130, 3))
    mean = keras.layers.GlobalAveragePooling2D()(cells)
    condition = keras.layers.Dense(3, activation="softmax", use_bias=False)
    known = keras.layers.Dense(1, activation="sigmoid")
    model = keras.Model(cells, {"condition": condition(mean), "known": known(mean)})
    condition.set_weights([0.05 * np.eye(3, dtype=np.float32)])
    return model


def test_a_keras_classifier_runs_in_the_order_of_the_file_beside_it(tmp_path, keras_model):
    path = tmp_path / "rbc_classifier.keras"
    keras_model.save(path)
    metadata = RBC_METADATA.replace(conditions=("malaria_RBC", "healthy_RBC", "sickle_RBC"))
    path.with_suffix(".json").write_text(json.dumps(metadata.to_json()))
    classifier = load_classifier(path, RBC)
    assert classifier.metadata.conditions[0] == "malaria_RBC"
    outputs = classifier.predict(RED_GREEN_BLUE)
    assert outputs.condition.argmax(axis=1).tolist() == [0, 1, 2]
    assert outputs.known.shape == (3,)


def test_a_foreign_keras_model_with_one_softmax_is_a_classifier(keras_model):
    import keras

    plain = keras.Model(keras_model.inputs, keras_model.output["condition"])
    outputs = NetworkClassifier(KerasNetwork(plain), RBC).predict(RED_GREEN_BLUE)
    assert outputs.condition.argmax(axis=1).tolist() == [0, 1, 2]
    assert outputs.known is None


def test_a_keras_model_of_other_classes_is_refused(keras_model):
    with pytest.raises(CheckpointError, match="expected 2 values, for healthy_WBC, cancer_WBC"):
        NetworkClassifier(KerasNetwork(keras_model, name="m"), WBC)


def test_a_function_of_another_module_in_a_keras_file_is_not_run(tmp_path, keras_model):
    path, trap = tmp_path / "m.keras", tmp_path / "trap"
    keras_model.save(path)
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    config = json.loads(parts["config.json"])
    call = {"module": "os", "class_name": "function", "config": "mkdir", "registered_name": "mkdir"}
    config["config"]["layers"].append(
        {
            "module": "keras.layers",
            "class_name": "Activation",
            "config": {"name": "trap", "activation": call},
            "registered_name": None,
            "name": "trap",
            "inbound_nodes": [{"args": [str(trap)], "kwargs": {}}],
        }
    )
    parts["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as file:
        for name, data in parts.items():
            file.writestr(name, data)
    with pytest.raises(CheckpointError, match="Keras cannot load this model"):
        load_classifier(path, RBC)
    assert not trap.exists()
