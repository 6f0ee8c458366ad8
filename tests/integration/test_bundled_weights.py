"""The weights that come with the package do what their card says."""

import os
from pathlib import Path

import numpy as np
import pytest

from blood_cell_system.analysis.image_analysis import AnalysisSettings, analyze_image
from blood_cell_system.analysis.model_files import read_model
from blood_cell_system.analysis.opened_networks import int8_file, read_metadata
from blood_cell_system.analysis.trained_models import load_runtime
from blood_cell_system.annotation.formats.voc import BCCD_LABELS, read_voc_folder
from blood_cell_system.annotation.splits import Split
from blood_cell_system.datasets.synthetic import SmearSettings, draw_smear
from blood_cell_system.imaging.image_file import read_image
from blood_cell_system.masks.refine import stain_class_mask
from blood_cell_system.metrics.confusion import ConfusionMatrix
from blood_cell_system.model_metadata import content_hash
from blood_cell_system.pipeline.model_slots import bundled_segmenter, weights_folder

DATA = os.environ.get("BLOOD_CELL_DATA")


@pytest.fixture(scope="module")
def runtime():
    return load_runtime(bundled_segmenter())


def confusion_of(runtime, images):
    confusion = ConfusionMatrix()
    for image, class_mask in images:
        found = analyze_image(runtime, image, AnalysisSettings())
        is_judged = found.class_mask != 255
        confusion.update(
            np.where(is_judged, class_mask, 255), np.where(is_judged, found.class_mask, 0)
        )
    return confusion


def test_drawn_smears_of_the_trained_stain_are_outlined(runtime):
    settings = SmearSettings(stain="wright-giemsa", white_cell_counts=(0, 1))
    smears = [draw_smear(settings, np.random.default_rng(seed)) for seed in range(3)]
    confusion = confusion_of(runtime, [(smear.image, smear.class_mask) for smear in smears])
    assert confusion.mean_iou > 0.9


@pytest.mark.bccd
@pytest.mark.skipif(DATA is None, reason="BLOOD_CELL_DATA is not set")
def test_unseen_bccd_images_are_outlined(runtime):
    samples = read_voc_folder(Path(DATA) / "BCCD_Dataset", labels=BCCD_LABELS).samples
    unseen = [sample for sample in samples if sample.split == Split.TEST][::6]
    images = []
    for sample in unseen:
        image = read_image(sample.image_path)
        images.append((image, stain_class_mask(image, sample.cells).class_mask))
    assert confusion_of(runtime, images).mean_iou > 0.95


@pytest.mark.parametrize("stem", ["segmentation_model", "rbc_classifier", "wbc_classifier"])
def test_the_network_of_8_bits_is_of_this_very_network(stem):
    path = weights_folder() / f"{stem}.onnx"
    record = read_metadata(int8_file(path)).quantisation
    assert record.of_sha256 == content_hash(read_model(path)), f"bloodcells quantize --model {path}"
    assert record.passes


@pytest.mark.parametrize("stem", ["segmentation_model", "rbc_classifier", "wbc_classifier"])
def test_both_files_of_a_model_carry_the_record_of_its_network(stem):
    keras = pytest.importorskip("keras", reason="needs the [train] extra")
    from blood_cell_system.networks.architectures import classifier_named, segmenter_named

    path = weights_folder() / f"{stem}.keras"
    record, exported = read_metadata(path), read_metadata(path.with_suffix(".onnx"))
    assert record.replace(content_sha256="") == exported.replace(content_sha256="")
    named = segmenter_named if record.kind == "segmenter" else classifier_named
    architecture = named(record.architecture.name)
    built = architecture.build(architecture.configured(None, **record.architecture.arguments))
    saved = keras.saving.load_model(path, compile=False)
    assert [w.shape for w in built.weights] == [w.shape for w in saved.weights]
    assert [layer.name for layer in built.layers][-5:] == [layer.name for layer in saved.layers][
        -5:
    ]
