import subprocess
import sys

import pytest
from support.prepared_cells import ColourRuntime

import blood_cell_system
from blood_cell_system.errors import CheckpointError, ImageReadError, MissingDataError
from blood_cell_system.pipeline import system as system_module
from blood_cell_system.pipeline.files import sha256_of
from blood_cell_system.pipeline.system import BloodCellAnalysisSystem
from blood_cell_system.pipeline.weights import bundled_segmenter, segmenter_in


@pytest.fixture
def loaded(monkeypatch):
    """Give every file a runtime or a classifier of its own without opening it."""
    files = []

    def load(path):
        files.append(path.name)
        return ColourRuntime()

    monkeypatch.setattr(system_module, "load_runtime", load)
    monkeypatch.setattr(system_module, "load_keras_model", lambda path: f"of {path.name}")
    return files


def touch(folder, *names):
    for name in names:
        (folder / name).write_bytes(name.encode())
    return folder


def test_the_package_gives_the_system_only_when_asked_for_it():
    code = (
        "import sys, blood_cell_system; heavy = {'numpy', 'cv2', 'scipy', 'keras'};"
        "assert not heavy & set(sys.modules);"
        "from blood_cell_system import BloodCellAnalysisSystem;"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_other_names_of_the_package_are_refused():
    with pytest.raises(AttributeError, match="no attribute 'Elsewhere'"):
        blood_cell_system.Elsewhere  # noqa: B018


def test_the_names_of_the_guide_can_be_imported():
    import inference_pipeline

    assert set(inference_pipeline.__all__) == {
        "DiagnosticReport",
        "InferencePipeline",
        "batch_process_images",
    }
    assert all(hasattr(inference_pipeline, name) for name in inference_pipeline.__all__)


def test_a_runtime_is_taken_as_it_is():
    system = BloodCellAnalysisSystem()
    system.segmentation_model = runtime = ColourRuntime()
    assert system.segmentation_runtime() is runtime
    assert system.segmentation_model is runtime


def test_what_is_no_model_is_refused():
    system = BloodCellAnalysisSystem()
    system.segmentation_model = "model.keras"
    with pytest.raises(CheckpointError, match="received str; expected a Keras model"):
        system.segmentation_runtime()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("segmentation_model.onnx", "segmentation_model.keras"), "segmentation_model.onnx"),
        (("segmentation_model_best.keras", "segmentation_model.keras"), "segmentation_model.keras"),
        (("segmentation_model_best.keras",), "segmentation_model_best.keras"),
    ],
)
def test_the_segmenter_of_a_folder_is_loaded(tmp_path, loaded, names, expected):
    system = BloodCellAnalysisSystem()
    system.load_models(touch(tmp_path, *names))
    assert loaded == [expected]
    assert system.model_identity() == (expected, sha256_of(tmp_path / expected))
    assert system.rbc_classifier is None


def test_classifiers_are_loaded_where_there_are(tmp_path, loaded):
    system = BloodCellAnalysisSystem()
    system.load_models(touch(tmp_path, "wbc_classifier.keras"))
    assert system.wbc_classifier == "of wbc_classifier.keras"
    assert system.rbc_classifier is None
    assert loaded == []


@pytest.mark.parametrize("folder", ["empty", "missing"])
def test_a_folder_without_models_is_told(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingDataError, match=r"expected one of segmentation_model\.onnx"):
        BloodCellAnalysisSystem().load_models(tmp_path / folder)


def test_step_7_of_the_guide_goes_on_without_classifiers(tmp_path, caplog):
    system = BloodCellAnalysisSystem()
    system.segmentation_model = runtime = ColourRuntime()
    system.load_models(tmp_path / "models")
    assert system.segmentation_runtime() is runtime
    assert "segmented but not classified" in caplog.text


def test_a_model_that_was_set_by_hand_is_not_replaced_by_that_of_a_folder(tmp_path, loaded):
    system = BloodCellAnalysisSystem()
    system.segmentation_model = runtime = ColourRuntime()
    system.load_models(touch(tmp_path, "segmentation_model.onnx", "rbc_classifier.keras"))
    assert system.segmentation_model is runtime
    assert system.rbc_classifier == "of rbc_classifier.keras"
    assert loaded == []


def test_a_second_folder_replaces_the_first(tmp_path, loaded):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        touch(tmp_path / name, "segmentation_model.onnx")
    (tmp_path / "b" / "segmentation_model.onnx").write_bytes(b"other")
    system = BloodCellAnalysisSystem()
    system.load_models(tmp_path / "a")
    first = system.model_identity()
    system.load_models(tmp_path / "b")
    assert system.model_identity() != first


def test_without_any_model_the_built_in_is_used_or_its_lack_told(tmp_path, monkeypatch, loaded):
    monkeypatch.setattr(system_module, "bundled_segmenter", lambda: tmp_path / "built_in.onnx")
    touch(tmp_path, "built_in.onnx")
    system = BloodCellAnalysisSystem()
    system.segmentation_runtime()
    assert loaded == ["built_in.onnx"]


def test_the_lack_of_built_in_weights_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr("blood_cell_system.pipeline.weights.resources.files", lambda _: tmp_path)
    with pytest.raises(MissingDataError, match=r"--model checkpoints/segmentation_model_best\.ker"):
        bundled_segmenter()
    (tmp_path / "weights").mkdir()
    touch(tmp_path / "weights", "segmentation_model.onnx")
    assert bundled_segmenter() == tmp_path / "weights" / "segmentation_model.onnx"
    assert segmenter_in(tmp_path) is None


def test_a_keras_model_is_known_by_its_weights():
    pytest.importorskip("keras", reason="needs the [train] extra")
    from support.tiny_models import plain_model

    def identity_of(model):
        system = BloodCellAnalysisSystem()
        system.segmentation_model = model
        assert system.segmentation_runtime().input_shape is None
        return system.model_identity()[1]

    model = plain_model()
    before = identity_of(model)
    assert identity_of(plain_model()) == before
    model.set_weights([weights + 1 for weights in model.get_weights()])
    assert identity_of(model) != before


def test_files_that_cannot_be_hashed_are_told(tmp_path):
    with pytest.raises(MissingDataError, match="no such file"):
        sha256_of(tmp_path / "gone")
    with pytest.raises(ImageReadError, match="cannot be read"):
        sha256_of(tmp_path)
