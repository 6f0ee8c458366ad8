import subprocess
import sys

import numpy as np
import pytest
from support.colour_classifiers import (
    RBC_METADATA,
    WBC_METADATA,
    ChosenClassifier,
    colour_classifier,
)
from support.prepared_cells import ColourRuntime
from support.tiny_onnx import colour_model

from blood_cell_system.errors import (
    CheckpointError,
    ImageReadError,
    MissingDataError,
    OutputError,
    SettingsError,
)
from blood_cell_system.model_metadata import ClassifierKind, ModelMetadata
from blood_cell_system.pipeline import model_slots
from blood_cell_system.pipeline.model_slots import (
    bundled_classifier,
    bundled_segmenter,
    segmenter_in,
    sha256_of,
)
from blood_cell_system.pipeline.system import BloodCellAnalysisSystem
from blood_cell_system.taxonomy import BUILT_IN, CellType, Condition


class _AnyClassifier(ChosenClassifier):
    """Stands in for what a file holds."""

    def __init__(self, path, kind, execution=None):
        super().__init__(RBC_METADATA if kind == ClassifierKind("RBC") else WBC_METADATA, (1, 0, 0))
        self.name = f"of {path.name}"


@pytest.fixture
def loaded(monkeypatch):
    """Give every file a runtime or a classifier of its own without opening it."""
    files = []

    def load(path, execution=None):
        files.append(path.name)
        return ColourRuntime()

    monkeypatch.setattr(model_slots, "load_runtime", load)
    monkeypatch.setattr(model_slots, "load_classifier", _AnyClassifier)
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


def test_what_analysing_does_not_need_is_not_loaded_with_it():
    code = (
        "import sys, blood_cell_system.pipeline.batch;"
        "heavy = {'scipy', 'skimage', 'pandas', 'matplotlib', 'pyarrow', 'tensorflow'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


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
    assert system.wbc_classifier.name == "of wbc_classifier.keras"
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
    assert "The classifiers of this package are used" in caplog.text


def test_a_model_that_was_set_by_hand_is_not_replaced_by_that_of_a_folder(tmp_path, loaded):
    system = BloodCellAnalysisSystem()
    system.segmentation_model = runtime = ColourRuntime()
    system.load_models(touch(tmp_path, "segmentation_model.onnx", "rbc_classifier.keras"))
    assert system.segmentation_model is runtime
    assert system.rbc_classifier.name == "of rbc_classifier.keras"
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
    monkeypatch.setattr(model_slots, "bundled_segmenter", lambda: tmp_path / "built_in.onnx")
    touch(tmp_path, "built_in.onnx")
    system = BloodCellAnalysisSystem()
    system.segmentation_runtime()
    assert loaded == ["built_in.onnx"]


def test_the_lack_of_built_in_weights_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "blood_cell_system.pipeline.model_slots.resources.files", lambda _: tmp_path
    )
    with pytest.raises(MissingDataError, match=r"--model checkpoints/segmentation_model_best\.ker"):
        bundled_segmenter()
    (tmp_path / "weights").mkdir()
    touch(tmp_path / "weights", "segmentation_model.onnx")
    assert bundled_segmenter() == tmp_path / "weights" / "segmentation_model.onnx"
    assert segmenter_in(tmp_path) is None
    assert bundled_classifier(ClassifierKind("RBC")) is None
    touch(tmp_path / "weights", "rbc_classifier.keras", "rbc_classifier.onnx")
    assert bundled_classifier(ClassifierKind("RBC")).name == "rbc_classifier.onnx"


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


def without_bundled_classifiers(monkeypatch):
    monkeypatch.setattr(model_slots, "bundled_classifier", lambda kind: None)


def test_without_a_classifier_there_is_none(monkeypatch):
    without_bundled_classifiers(monkeypatch)
    assert BloodCellAnalysisSystem().ready_classifiers() == {}


def test_the_classifier_of_the_package_is_used_where_none_is_set(tmp_path, monkeypatch):
    path = tmp_path / "rbc_classifier.onnx"
    path.write_bytes(colour_classifier())
    monkeypatch.setattr(
        model_slots,
        "bundled_classifier",
        lambda kind: path if kind == ClassifierKind("RBC") else None,
    )
    ready = BloodCellAnalysisSystem().ready_classifiers()
    assert list(ready) == ["rbc"]
    assert (ready["rbc"].name, ready["rbc"].sha256) == (path.name, sha256_of(path))


def test_a_runtime_of_a_classifier_is_taken_as_it_is(monkeypatch):
    without_bundled_classifiers(monkeypatch)
    system = BloodCellAnalysisSystem()
    system.wbc_classifier = chosen = ChosenClassifier(WBC_METADATA, (1, 0))
    assert system.ready_classifiers()["wbc"].runtime is chosen
    system.wbc_classifier = None
    assert system.ready_classifiers() == {}


@pytest.mark.parametrize("model", ["model.keras", ChosenClassifier(WBC_METADATA, (1, 0))])
def test_what_is_no_classifier_of_red_cells_is_refused(model):
    system = BloodCellAnalysisSystem()
    system.rbc_classifier = model
    with pytest.raises(CheckpointError, match="rbc_classifier: received"):
        system.ready_classifiers()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seg_input_shape": (500, 512, 3)}, "seg_input_shape: .* multiples of 32"),
        ({"clf_input_shape": (130, 130, 1)}, "clf_input_shape"),
        ({"clf_input_shape": (0, 130, 3)}, "clf_input_shape"),
        ({"d_reduced": -1}, "d_reduced"),
    ],
)
def test_shapes_that_make_no_network_are_refused(options, message):
    with pytest.raises(SettingsError, match=message):
        BloodCellAnalysisSystem(**options)


def test_loaded_onnx_models_are_saved_as_they_are(tmp_path):
    source, target = tmp_path / "from", tmp_path / "to"
    source.mkdir()
    (source / "segmentation_model.onnx").write_bytes(colour_model())
    (source / "rbc_classifier.onnx").write_bytes(colour_classifier())
    system = BloodCellAnalysisSystem()
    system.load_models(source)
    assert {path.name for path in system.save_models(target)} == {
        "segmentation_model.onnx",
        "rbc_classifier.onnx",
    }
    for path in target.iterdir():
        assert path.read_bytes() == (source / path.name).read_bytes()
    # Into the same folder again is no harm.
    system.save_models(source)


def test_nothing_to_save_or_to_compile_is_told(tmp_path):
    with pytest.raises(SettingsError, match="no model to save"):
        BloodCellAnalysisSystem().save_models(tmp_path)
    with pytest.raises(SettingsError, match="no Keras model to compile"):
        BloodCellAnalysisSystem().compile_models()
    with pytest.raises(SettingsError, match="learning_rate"):
        BloodCellAnalysisSystem().compile_models(learning_rate=0)


def test_a_model_in_memory_that_is_no_keras_model_cannot_be_saved(tmp_path):
    system = BloodCellAnalysisSystem()
    system.segmentation_model = ColourRuntime()
    with pytest.raises(SettingsError, match="came from no file"):
        system.save_models(tmp_path)


def test_a_model_of_another_format_is_not_left_beside_the_saved_one(tmp_path):
    (tmp_path / "segmentation_model.onnx").write_bytes(colour_model())
    system = BloodCellAnalysisSystem()
    system.load_models(tmp_path)
    touch(tmp_path, "segmentation_model.keras")
    with pytest.raises(OutputError, match=r"_model\.keras: there is a model of another"):
        system.save_models(tmp_path)


def test_the_summary_of_nothing_says_so():
    told = []
    text = BloodCellAnalysisSystem(d_reduced=8).summary(told.append)
    assert told == [text]
    assert text.count("none set") == 3
    assert "Reynolds width 8, domain adaptation off" in text


def test_built_models_are_told_compiled_fitted_saved_and_loaded(tmp_path):
    pytest.importorskip("keras", reason="needs the [train] extra")
    system = BloodCellAnalysisSystem(clf_input_shape=(32, 32, 3), d_reduced=4)
    system.build_all_models()
    text = system.summary(lambda words: None)
    assert text.count(" parameters, takes ") == 3
    assert "any × any × 3 (such as 512 × 512 × 3)" in text
    assert "takes 32 × 32 × 3, gives condition, known, type" in text
    system.compile_models(learning_rate=1e-2)
    cells = np.zeros((4, 32, 32, 3), np.float32)
    truth = {"condition": np.eye(3, dtype=np.float32)[[0, 1, 2, 0]], "known": np.ones((4, 1))}
    assert np.isfinite(system.rbc_classifier.train_on_batch(cells, truth)).all()
    saved = system.save_models(tmp_path)
    assert [path.name for path in saved] == [
        "segmentation_model.keras",
        "rbc_classifier.keras",
        "wbc_classifier.keras",
    ]
    again = BloodCellAnalysisSystem()
    again.load_models(tmp_path)
    kept = again.ready_classifiers()["wbc"].runtime
    assert kept.metadata.subtypes == ClassifierKind("WBC").types
    made = system.wbc_classifier.predict_on_batch(cells)
    assert kept.predict(cells).condition == pytest.approx(made["condition"], abs=1e-6)


def test_a_folder_of_models_may_have_a_classifier_of_a_type_of_ones_own(tmp_path):
    parasite = CellType(
        name="Parasite",
        display_name="free parasites",
        colour=(1, 2, 3),
        conditions=(
            Condition(name="young", display_name="young parasites", is_healthy=True),
            Condition(name="old", display_name="old parasites"),
        ),
    )
    kind = ClassifierKind("parasite", BUILT_IN.extended([parasite]))
    metadata = ModelMetadata.of_classifier(kind)
    (tmp_path / "parasite_classifier.onnx").write_bytes(
        colour_classifier(metadata, outputs=("condition",))
    )
    (tmp_path / "my_classifier.onnx").write_bytes(colour_classifier())
    system = BloodCellAnalysisSystem()
    system.segmentation_model = ColourRuntime()
    system.load_models(tmp_path)
    ready = system.ready_classifiers()
    assert ready["parasite"].name == "parasite_classifier.onnx"
    assert ready["parasite"].runtime.metadata.conditions == ("young", "old")
    assert "my" not in ready
    system.load_classifier(tmp_path / "parasite_classifier.onnx", "Parasite")
    with pytest.raises(
        SettingsError, match=r"kind 'nobody': .* expected one of rbc, wbc, parasite"
    ):
        system.load_classifier(tmp_path / "parasite_classifier.onnx", "nobody")


def chosen(metadata, data):
    return ChosenClassifier(metadata.replace(data=data), (1, 0, 0))


def segmenter_of(data):
    runtime = ColourRuntime()
    runtime.metadata = ModelMetadata(kind="segmenter", data=data)
    return runtime


def test_a_segmenter_for_research_is_refused_where_only_commercial_use_is_allowed():
    system = BloodCellAnalysisSystem()
    system.segmentation_model = segmenter_of("bccd, taleqani")
    with pytest.raises(SettingsError, match=r"for research \(taleqani: Kaggle, for research\)"):
        system.keep_commercial()


def test_the_segmenter_of_this_package_is_for_research():
    with pytest.raises(SettingsError, match=r"segmentation_model\.onnx is for research"):
        BloodCellAnalysisSystem().keep_commercial()


def test_classifiers_for_research_are_left_out_with_a_warning(caplog):
    system = BloodCellAnalysisSystem()
    system.segmentation_model = segmenter_of("bccd, synthetic")
    system.rbc_classifier = chosen(RBC_METADATA, "iml")
    system.wbc_classifier = chosen(WBC_METADATA, "bccd, pbc")
    system.keep_commercial()
    assert list(system.ready_classifiers()) == ["wbc"]
    assert "rbc cells are not classified" in caplog.text
