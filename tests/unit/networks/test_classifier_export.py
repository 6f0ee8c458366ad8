import json

import numpy as np
import pytest

from blood_cell_system.analysis.opened_networks import read_metadata
from blood_cell_system.errors import SettingsError
from blood_cell_system.model_metadata import (
    ClassifierKind,
    ModelMetadata,
    UnseenSource,
    Validation,
    content_hash,
    metadata_in_properties,
)

keras = pytest.importorskip("keras", reason="needs the [train] extra")
pytest.importorskip("tf2onnx", reason="needs the [train] extra")
onnxruntime = pytest.importorskip("onnxruntime")

from support.tiny_classifiers import metadata_of, random_cells, tiny_classifier  # noqa: E402

from blood_cell_system.networks.onnx_export import (  # noqa: E402
    export_onnx,
    replace_metadata,
    save_classifier,
)


@pytest.fixture(scope="module")
def classifier():
    return tiny_classifier()


@pytest.fixture(scope="module")
def exported(classifier, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "wbc_classifier.onnx"
    export_onnx(classifier, path, metadata=metadata_of())
    return path


def session_of(path):
    return onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("count", [1, 5])
def test_an_exported_classifier_gives_what_keras_gives(classifier, exported, count):
    cells = random_cells(count)
    session = session_of(exported)
    names = [output.name for output in session.get_outputs()]
    values = dict(zip(names, session.run(names, {"cells": cells}), strict=True))
    expected = classifier(cells)
    assert set(values) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(values[name], np.asarray(value), atol=1e-5)


def test_the_batch_is_open_and_the_image_is_not(exported):
    session = session_of(exported)
    assert session.get_inputs()[0].shape == ["batch", 32, 32, 3]
    assert {output.name: output.shape for output in session.get_outputs()} == {
        "condition": ["batch", 2],
        "type": ["batch", 7],
        "known": ["batch", 1],
    }


def test_the_file_knows_its_classes_and_its_own_hash(exported):
    properties = session_of(exported).get_modelmeta().custom_metadata_map
    metadata = metadata_in_properties(properties)
    digest = content_hash(exported.read_bytes())
    assert metadata == metadata_of().replace(content_sha256=digest)


def test_two_exports_of_one_classifier_are_equal(classifier, exported, tmp_path):
    again = tmp_path / "again.onnx"
    export_onnx(classifier, again, metadata=metadata_of())
    assert again.read_bytes() == exported.read_bytes()


def test_a_foreign_model_of_one_softmax_is_exported_too(tmp_path):
    cells = keras.Input((8, 8, 3))
    flat = keras.layers.Flatten()(cells)
    model = keras.Model(cells, keras.layers.Dense(3, activation="softmax")(flat))
    path = tmp_path / "rbc_classifier.onnx"
    metadata = metadata_of(ClassifierKind("RBC")).replace(subtypes=())
    export_onnx(model, path, metadata=metadata)
    (values,) = session_of(path).run(None, {"cells": random_cells(2, 8)})
    np.testing.assert_allclose(values, np.asarray(model(random_cells(2, 8))), atol=1e-5)


def test_metadata_of_another_model_are_refused(classifier, tmp_path):
    for write, name in ((export_onnx, "a.onnx"), (save_classifier, "a.keras")):
        with pytest.raises(SettingsError, match="metadata name"):
            write(classifier, tmp_path / name, metadata=metadata_of(ClassifierKind("RBC")))
    assert not list(tmp_path.iterdir())


def test_another_suffix_is_refused(classifier, tmp_path):
    with pytest.raises(SettingsError, match=r"ends in \.onnx"):
        export_onnx(classifier, tmp_path / "a.keras", metadata=metadata_of())
    with pytest.raises(SettingsError, match=r"ends in \.keras"):
        save_classifier(classifier, tmp_path / "a.onnx", metadata=metadata_of())


def test_a_saved_classifier_has_its_metadata_beside_it(classifier, tmp_path):
    path = tmp_path / "wbc_classifier.keras"
    save_classifier(classifier, path, metadata=metadata_of())
    assert (
        ModelMetadata.from_json(json.loads(path.with_suffix(".json").read_text())) == metadata_of()
    )
    cells = random_cells(2)
    np.testing.assert_allclose(
        np.asarray(keras.models.load_model(path)(cells)["condition"]),
        np.asarray(classifier(cells)["condition"]),
        atol=1e-6,
    )


def test_another_record_leaves_the_network_as_it_is(classifier, exported, tmp_path):
    record = {"cancer_WBC": Validation(sources=(UnseenSource(source="a", auroc=0.9),))}
    saved, onnx_file = tmp_path / "wbc_classifier.keras", tmp_path / "wbc_classifier.onnx"
    save_classifier(classifier, saved, metadata=metadata_of())
    onnx_file.write_bytes(exported.read_bytes())
    before = read_metadata(saved).content_sha256
    for path in (saved, onnx_file):
        replace_metadata(path, read_metadata(path).replace(validation=record))
        assert read_metadata(path).validation == record
    assert read_metadata(saved).content_sha256 == before
    beside = ModelMetadata.from_json(json.loads(saved.with_suffix(".json").read_text()))
    assert beside.validation == record
    cells = {"cells": random_cells(2)}
    for one, other in zip(
        session_of(exported).run(None, cells), session_of(onnx_file).run(None, cells), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_a_record_goes_into_a_model_alone(tmp_path):
    with pytest.raises(SettingsError, match=r"ends in \.keras or \.onnx"):
        replace_metadata(tmp_path / "a.json", metadata_of())
