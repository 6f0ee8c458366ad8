import hashlib
import json
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blood_cell_system.model_metadata import (
    NO_HASH,
    Architecture,
    ClassifierKind,
    ModelMetadata,
    Standing,
    UnseenSource,
    Validation,
    add_to_archive,
    as_properties,
    content_hash,
    diameter_in_name,
    metadata_in_archive,
    metadata_in_properties,
    model_name,
    with_content_hash,
)
from blood_cell_system.taxonomy import BUILT_IN, RBC, WBC

SEGMENTER = ModelMetadata(
    kind="segmenter",
    architecture=Architecture(name="small_unet", arguments={"base_width": 4}),
    taxonomy=BUILT_IN,
    training_diameter_px=100.0,
    software_version="1.2.3",
    source_sha256="ab" * 32,
)
CLASSIFIER = ModelMetadata.of_classifier(
    ClassifierKind("WBC"),
    conditions=("cancer_WBC", "healthy_WBC"),
    subtypes=("lymphocyte", "monocyte"),
    in_distribution_threshold=0.25,
    condition_thresholds={"cancer_WBC": 0.2, "healthy_WBC": 0.1},
    subtype_thresholds={"lymphocyte": 0.3, "monocyte": 0.4},
    coverage=0.95,
    preset="fast",
    seed=7,
    data_sha256="ab",
    measured={"test": {"auroc": 0.9}},
    data="drawn cells",
    licence="MIT",
    software_version="1.2.3",
)
VALIDATED = CLASSIFIER.replace(
    validation={
        "cancer_WBC": Validation(
            sources=(
                UnseenSource(source="a", auroc=0.97, positives=40, negatives=300, groups=9),
                UnseenSource(source="b", auroc=0.87, auroc_interval=(0.8, 0.9)),
                UnseenSource(source="healthy alone", false_alarm_rate=0.02),
            ),
            method="left out one by one",
        )
    }
)
OLD_HASH_PLACE = b"blood_cell_system.content_sha256\x12\x40"
HASH_PLACE = b'"content_sha256": "'


@pytest.mark.parametrize("metadata", [SEGMENTER, CLASSIFIER, VALIDATED])
def test_metadata_come_back_from_their_json(metadata):
    assert ModelMetadata.from_text(json.dumps(metadata.to_json())) == metadata


@pytest.mark.parametrize("metadata", [SEGMENTER, CLASSIFIER])
def test_both_kinds_of_file_hold_the_same_record(tmp_path, metadata):
    in_onnx = metadata_in_properties(as_properties(metadata))
    path = tmp_path / "m.keras"
    keras_archive(path)
    add_to_archive(path, metadata)
    with zipfile.ZipFile(path) as archive:
        in_keras = metadata_in_archive(archive)
    assert in_onnx.replace(content_sha256="") == in_keras.replace(content_sha256="") == metadata


def keras_archive(path, config=None, weights=b"weights"):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config or {}))
        archive.writestr("model.weights.h5", weights)


def test_the_worst_laboratory_decides_whether_a_class_is_proven():
    found = VALIDATED.validation["cancer_WBC"]
    assert (found.mean_auroc, found.worst_auroc) == (pytest.approx(0.92), 0.87)
    assert found.standing == Standing.PROVEN
    worse = UnseenSource(source="c", auroc=0.84)
    unproven = Validation(sources=(*found.sources, worse))
    assert unproven.standing == Standing.UNPROVEN


def test_a_class_without_a_laboratory_of_both_classes_is_not_proven():
    found = Validation(sources=VALIDATED.validation["cancer_WBC"].sources[2:])
    assert found.standing == Standing.UNMEASURED
    assert Validation().mean_auroc is None


def test_a_laboratory_counts_once():
    one = UnseenSource(source="a", auroc=0.97)
    with pytest.raises(ValueError, match="sources a, a; expected each once"):
        Validation(sources=(one, one))


def test_a_second_record_takes_the_place_of_the_first(tmp_path):
    path = tmp_path / "m.keras"
    keras_archive(path)
    add_to_archive(path, SEGMENTER)
    add_to_archive(path, CLASSIFIER)
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist().count("blood_cell_system.json") == 1
        assert metadata_in_archive(archive).cell_type == WBC


def test_a_record_of_other_weights_is_refused(tmp_path):
    path = tmp_path / "m.keras"
    keras_archive(path)
    add_to_archive(path, SEGMENTER)
    with zipfile.ZipFile(path) as archive:
        record = archive.read("blood_cell_system.json")
    keras_archive(path, weights=b"others")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("blood_cell_system.json", record)
        with pytest.raises(ValueError, match="not what was saved"):
            metadata_in_archive(archive)


def test_files_of_another_program_have_none(tmp_path):
    assert metadata_in_properties({"author": "somebody"}) is None
    keras_archive(tmp_path / "m.keras", {"config": {"name": "model_1", "layers": []}})
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        assert metadata_in_archive(archive) is None


def test_a_kind_knows_its_cells_and_its_files():
    assert ClassifierKind("RBC").cell_type == RBC
    assert ClassifierKind("WBC").cell_type == WBC
    assert ClassifierKind("wbc").file_stem == "wbc_classifier"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conditions": ("healthy_WBC", "sick_WBC")}, "sick_WBC; expected each at most once"),
        ({"conditions": ("healthy_WBC", "healthy_WBC")}, "expected each at most once"),
        ({"conditions": ("healthy_WBC",), "condition_thresholds": {}}, "1 conditions; expected"),
        ({"subtypes": ("neutrophile",), "subtype_thresholds": {}}, "neutrophile; expected"),
        ({"condition_thresholds": {"healthy_WBC": 0.5}}, "condition_thresholds of healthy_WBC"),
        ({"call_thresholds": {"malaria_RBC": 0.5}}, "call_thresholds of malaria_RBC"),
        ({"call_thresholds": {"cancer_WBC": 1.5}}, "less than or equal to 1"),
        ({"validation": {"malaria_RBC": Validation()}}, "validation of malaria_RBC; expected"),
        ({"in_distribution_threshold": 1.5}, "less than or equal to 1"),
        ({"coverage": float("nan")}, "finite"),
        ({"cell_type": "Parasite"}, "cell_type Parasite; expected one of RBC, WBC, Platelet"),
        ({"training_diameter_px": -1}, "greater than 0"),
        ({"training_diameter_px": float("inf")}, "finite"),
    ],
)
def test_metadata_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        CLASSIFIER.replace(**changes)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "list; expected an object"),
        ({"format_version": 99}, "format_version 99; expected 2 or 1"),
        ({"format_version": 1, "kind": "rbc"}, "0 conditions; expected two or more"),
        ({"format_version": 1, "kind": "rbc", "conditions": 3}, "conditions: .* tuple"),
        ({"format_version": 1, "kind": "abc", "conditions": []}, "abc"),
        ({"format_version": 2, "kind": "segmenter", "licens": ""}, "licens: Extra inputs"),
    ],
)
def test_json_of_something_else_is_refused(value, message):
    with pytest.raises(ValueError, match=message) as caught:
        ModelMetadata.from_json(value)
    assert "\n" not in str(caught.value)


def test_text_that_is_no_json_is_refused():
    with pytest.raises(ValueError, match="Expecting property name"):
        ModelMetadata.from_text("{facts")


# --- Files of version 0.2.0 ---

OLD_CLASSIFIER = {
    "format_version": 1,
    "kind": "wbc",
    "conditions": ["cancer_WBC", "healthy_WBC"],
    "types": ["lymphocyte", "monocyte"],
    "type_thresholds": {"lymphocyte": 0.3, "monocyte": 0.4},
    "known_threshold": 0.25,
}


def test_the_json_of_an_old_classifier_is_read():
    metadata = ModelMetadata.from_json(OLD_CLASSIFIER)
    assert (metadata.kind, metadata.cell_type) == ("classifier", WBC)
    assert metadata.subtypes == ("lymphocyte", "monocyte")
    assert metadata.subtype_thresholds == {"lymphocyte": 0.3, "monocyte": 0.4}
    assert metadata.in_distribution_threshold == 0.25


def test_the_properties_of_old_onnx_files_are_read():
    old = {"blood_cell_system.content_sha256": "cd" * 32}
    diameter = {"blood_cell_system.training_diameter_px": "61.0"}
    segmenter = metadata_in_properties(old | diameter)
    assert (segmenter.kind, segmenter.training_diameter_px) == ("segmenter", 61)
    classifier = {"blood_cell_system.classifier": json.dumps(OLD_CLASSIFIER)}
    assert metadata_in_properties(old | classifier).conditions == ("cancer_WBC", "healthy_WBC")
    assert segmenter.content_sha256 == "cd" * 32
    for wrong in ("0", "-3", "inf", "nan", "wide"):
        with pytest.raises(ValueError):
            metadata_in_properties(old | {"blood_cell_system.training_diameter_px": wrong})


def test_an_old_keras_segmenter_is_known_by_its_layers(tmp_path):
    layers = [
        {"name": f"down_{level}_a_conv", "config": {"filters": 4 * 2**level}} for level in range(3)
    ]
    layers += [
        {"name": "reynolds_reduce", "config": {"filters": 16}},
        {"name": "class_logits", "config": {"filters": 3}},
    ]
    config = {"config": {"name": "blood_cell_segmenter_64px", "layers": layers}}
    keras_archive(tmp_path / "m.keras", config)
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        metadata = metadata_in_archive(archive)
    assert metadata.training_diameter_px == 64
    assert metadata.architecture.name == "reynolds_unet"
    arguments = metadata.architecture.arguments
    assert (arguments["widths"], arguments["d_reduced"]) == ([4, 8, 16], 16)
    assert not arguments["has_instance_head"]


@given(st.floats(1, 2000))
def test_a_name_gives_the_diameter_to_the_pixel(diameter):
    assert diameter_in_name(model_name(diameter)) == pytest.approx(diameter, abs=0.5)


@pytest.mark.parametrize(
    "name",
    ["blood_cell_segmenter", "functional_1", "blood_cell_segmenter_0px", "my_64px", "", "64px"],
)
def test_other_names_give_no_diameter(name):
    assert diameter_in_name(name) is None


# --- Hash of an ONNX file ---


@pytest.mark.parametrize("place", [HASH_PLACE, OLD_HASH_PLACE])
@given(st.binary(max_size=50), st.binary(max_size=50))
def test_a_file_with_its_hash_has_that_hash(place, before, after):
    data = with_content_hash(before + place + NO_HASH.encode() + after)
    assert content_hash(data).encode() in data
    assert len(data) == len(before) + len(place) + 64 + len(after)


@pytest.mark.parametrize("place", [HASH_PLACE, OLD_HASH_PLACE])
def test_the_hash_is_that_of_the_file_with_zeros_in_its_place(place):
    data = b"weights" + place + NO_HASH.encode() + b"end"
    assert content_hash(with_content_hash(data)) == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("place", [0, 7 + len(HASH_PLACE) + 64])
def test_one_changed_byte_changes_the_hash(place):
    data = bytearray(with_content_hash(b"weights" + HASH_PLACE + NO_HASH.encode() + b"end"))
    before = content_hash(bytes(data))
    data[place] ^= 1
    assert content_hash(bytes(data)) != before
