import json
import shutil
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.smears import small_prepared_folder
from support.tiny_training import TINY

from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.boxes import Box
from blood_cell_system.datasets.prepared import PreparedDataset
from blood_cell_system.errors import CheckpointError, MissingDataError
from blood_cell_system.model_metadata import diameter_in_name, model_name
from blood_cell_system.networks.reynolds_unet import ReynoldsUNetConfig, build_reynolds_unet
from blood_cell_system.taxonomy import BUILT_IN, RBC, WBC
from blood_cell_system.training.fine_tuning import (
    fine_tuning_settings,
    first_feature_shift,
    load_starting_point,
    unlikeness_warnings,
)
from blood_cell_system.training.loop import StepRates
from blood_cell_system.training.presets import FINE_TUNING, PRESETS
from blood_cell_system.training.segmenter_training import SegmenterLearner, train_segmenter
from blood_cell_system.training.state import TrainingState

CONFIG = ReynoldsUNetConfig(widths=(4, 4, 8, 8), d_reduced=4, dropout=0.2)


@pytest.fixture(scope="module")
def model_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "segmentation_model_best.keras"
    keras.utils.set_random_seed(0)
    model = build_reynolds_unet(CONFIG)
    model.name = model_name(56)
    model.save(path)
    return path


@pytest.fixture(scope="module")
def start(model_path):
    return load_starting_point(model_path)


def tiny(start, **changes):
    sizes = {"epochs": 1, "batch_size": 2, "crops_per_epoch": 4, "crop_size_px": 64}
    return replace(fine_tuning_settings(start), **sizes, **changes)


def test_the_architecture_and_the_size_of_cells_come_from_the_file(start):
    assert start.config == CONFIG
    assert start.cell_diameter_px == 56
    settings = fine_tuning_settings(start)
    assert (settings.widths, settings.d_reduced, settings.dropout) == ((4, 4, 8, 8), 4, 0.2)
    assert settings.cell_diameter_px == 56


def test_a_model_without_bottleneck_dropout_and_head_is_read_as_such(tmp_path):
    config = ReynoldsUNetConfig(widths=(4, 8), d_reduced=0, has_instance_head=False)
    build_reynolds_unet(config).save(tmp_path / "m.keras")
    start = load_starting_point(tmp_path / "m.keras")
    assert start.config == config
    assert start.cell_diameter_px == 100


def test_a_preset_gives_epochs_and_crops_but_not_the_rate(start):
    settings = fine_tuning_settings(start, PRESETS["balanced"])
    assert settings.epochs == PRESETS["balanced"].epochs
    assert settings.learning_rate == FINE_TUNING.learning_rate
    assert settings.keeps_statistics
    settings.check()


def test_learning_begins_with_the_weights_of_the_file(start):
    learner = SegmenterLearner(tiny(start), start=start.model.get_weights())
    for model in (learner.model, learner.averaged):
        for mine, theirs in zip(model.get_weights(), start.model.get_weights(), strict=True):
            assert np.array_equal(mine, theirs)


@pytest.fixture(scope="module")
def fine_tuned(model_path, tmp_path_factory):
    """A fine-tuning of one epoch at a high rate, whose beginning is gone afterwards."""
    root = tmp_path_factory.mktemp("fine_tuning")
    small_prepared_folder(root / "data", count=4)
    begin = load_starting_point(shutil.copy(model_path, root / "begin.keras"))
    settings = tiny(begin, learning_rate=0.1)
    train(root, settings, start=begin)
    (root / "begin.keras").unlink()
    return root, settings


def train(root, settings, **more):
    return train_segmenter(
        PreparedDataset.open(root / "data"),
        settings,
        checkpoint_dir=root / "checkpoints",
        log_dir=root / "logs",
        **more,
    )


def trained_model(root):
    path = root / "checkpoints" / "segmentation_model_best.keras"
    return keras.models.load_model(path, compile=False)


def test_the_first_levels_and_all_statistics_stay_as_they_are(start, fine_tuned):
    learned = [layer for layer in trained_model(fine_tuned[0]).layers if layer.weights]
    for layer in learned:
        before = start.model.get_layer(layer.name).get_weights()
        # The running average of equal numbers is rounded.
        is_same = all(map(np.allclose, before, layer.get_weights()))
        is_norm = isinstance(layer, keras.layers.BatchNormalization)
        if layer.name.startswith(("down_0_", "down_1_")) or is_norm:
            assert is_same, layer.name
        elif layer.name in ("class_logits", "down_2_a_conv"):
            assert not is_same, layer.name


def test_the_record_says_where_it_began_and_how_good_that_was(start, fine_tuned):
    run = json.loads((fine_tuned[0] / "checkpoints" / "run.json").read_text())
    assert run["init_from"] == {"file": "begin.keras", "sha256": start.sha256}
    assert 0 <= run["val_mean_iou_before"] <= 1
    assert run["magnifications"]["synthetic"] == pytest.approx(56 / 28, rel=0.15)


def test_a_fine_tuning_goes_on_without_the_file_it_began_with(fine_tuned):
    root, settings = fine_tuned
    state = TrainingState.load(root / "checkpoints" / "segmentation_training_state.npz")
    assert train(root, replace(settings, epochs=2), resume=state).epochs == 2
    assert diameter_in_name(trained_model(root).name) == 56


def batch_of_noise():
    generator = np.random.default_rng(0)
    heat = np.zeros((2, 16, 16, 3), np.float32)
    return {
        "pixels": generator.integers(0, 255, (2, 64, 64, 3), dtype=np.uint8),
        "class_mask": generator.integers(0, 3, (2, 64, 64), dtype=np.uint8),
        "heat_map": heat,
        "heat_weight": heat + 1,
        "log_size": heat[..., :2],
        "size_weight": heat[..., 0],
    }


def test_what_gets_used_lies_between_the_beginning_and_what_was_learned(start):
    settings = replace(tiny(start, learning_rate=0.1), kept_share=0.75)
    learner = SegmenterLearner(settings, start=start.model.get_weights())
    # A running average that forgets at once shows the weights themselves.
    rates = StepRates(tf.constant(0.1), tf.constant(0.0), tf.constant(0.0))
    learner.train_step({k: tf.constant(v) for k, v in batch_of_noise().items()}, rates)
    weights = (start.model.get_weights(), learner.model.get_weights())
    for begun, learned, used in zip(*weights, learner.averaged.get_weights(), strict=True):
        assert np.allclose(used, 0.75 * begun + 0.25 * learned, atol=1e-6)
    assert any(not np.allclose(begun, learned) for begun, learned in zip(*weights, strict=True))


def test_a_state_holds_the_weights_of_the_beginning(start):
    learner = SegmenterLearner(tiny(start), start=start.model.get_weights())
    other = SegmenterLearner(tiny(start))
    other.restore(learner.arrays())
    for index, weight in enumerate(start.model.get_weights()):
        assert np.array_equal(other.arrays()[f"start/{index}"], weight)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(MissingDataError, match="no such model"):
        load_starting_point(tmp_path / "m.keras")


def test_an_onnx_file_cannot_be_trained_on(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"1")
    with pytest.raises(CheckpointError, match=r"\.onnx cannot be trained on"):
        load_starting_point(tmp_path / "m.onnx")


def test_a_damaged_file_is_told(tmp_path):
    (tmp_path / "m.keras").write_bytes(b"not a zip")
    with pytest.raises(CheckpointError, match="Keras cannot open this model"):
        load_starting_point(tmp_path / "m.keras")


def test_a_model_from_elsewhere_is_told(tmp_path):
    pixels = keras.Input((None, None, 3))
    outputs = keras.layers.Conv2D(3, 1, activation="softmax")(pixels)
    keras.Model(pixels, outputs).save(tmp_path / "m.keras")
    with pytest.raises(CheckpointError, match="no segmenter of this program"):
        load_starting_point(tmp_path / "m.keras")


def test_a_segmenter_of_other_layers_is_told(tmp_path):
    model = build_reynolds_unet(ReynoldsUNetConfig(widths=(4, 8), d_reduced=0))
    more = keras.layers.Conv2D(3, 1)(model.get_layer("class_logits").output)
    keras.Model(model.input, {"classes": more}).save(tmp_path / "m.keras")
    with pytest.raises(CheckpointError, match="do not fit the segmenter of this version"):
        load_starting_point(tmp_path / "m.keras")


def noise(seed=0, factor=1.0):
    pixels = np.random.default_rng(seed).normal(170, 30, (64, 64, 3)) * factor
    return np.clip(pixels, 0, 255).astype(np.uint8)


@pytest.fixture
def accustomed():
    """A model whose first statistics are those of some images."""
    keras.utils.set_random_seed(0)
    model = build_reynolds_unet(ReynoldsUNetConfig(widths=(4, 8), d_reduced=0))
    norm = model.get_layer("down_0_a_norm")
    seen = np.asarray(keras.Model(model.input, norm.input)(noise()[None].astype(np.float32)))
    norm.moving_mean.assign(seen.mean(axis=(0, 1, 2)))
    norm.moving_variance.assign(seen.var(axis=(0, 1, 2)))
    return model


def test_images_like_the_learned_ones_shift_no_feature(accustomed):
    assert first_feature_shift(accustomed, [noise(1), noise(2)]) < 0.1


def test_darker_images_shift_the_first_features(accustomed):
    assert first_feature_shift(accustomed, [noise(1, 0.3)]) > 1


def cells(*types):
    return tuple(Annotation(cell_type=cell_type, box=Box(0, 0, 9, 9)) for cell_type in types)


def warnings_of(start, model, *, magnification=1.0, image=None, types=BUILT_IN.names):
    return unlikeness_warnings(
        replace(start, model=model),
        magnifications={"mine": magnification},
        images=[noise(1) if image is None else image],
        cells=[cells(*types)],
    )


def test_familiar_images_give_no_warning(start, accustomed):
    assert warnings_of(start, accustomed) == []


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({"magnification": None}, "mine: the labels show too few whole red cells"),
        ({"magnification": 4.0}, "mine: red cells are 14 px wide and are enlarged 4.0 times"),
        ({"image": noise(1, 0.3)}, "Stain or light are unlike what the model learned from"),
        ({"types": (RBC,)}, "No WBC is labelled"),
        ({"types": (WBC,)}, "No RBC is labelled"),
    ],
)
def test_what_is_unlike_is_told_with_a_remedy(start, accustomed, what, message):
    (warning,) = warnings_of(start, accustomed, **what)
    assert message in warning
    assert "bloodcells combine" in warning or "higher magnification" in warning


def test_tiny_settings_are_not_those_of_fine_tuning():
    # A new training freezes nothing.
    assert (TINY.frozen_levels, TINY.keeps_statistics, TINY.cell_diameter_px) == (0, False, None)
