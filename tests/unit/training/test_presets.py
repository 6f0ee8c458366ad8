from dataclasses import replace

import pytest

from blood_cell_system.errors import SettingsError
from blood_cell_system.training.presets import PRESETS, SegmentationSettings, preset_named


@pytest.mark.parametrize(
    ("name", "d_reduced", "epochs", "batch_size"),
    [
        ("fast", 32, 10, 16),
        ("balanced", 64, 50, 8),
        ("accurate", 128, 100, 4),
        ("research", 128, 150, 4),
    ],
)
def test_presets_are_those_of_the_guide(name, d_reduced, epochs, batch_size):
    preset = preset_named(name)
    assert (preset.d_reduced, preset.epochs, preset.batch_size) == (d_reduced, epochs, batch_size)
    preset.check()


@pytest.mark.parametrize("name", PRESETS)
def test_presets_set_the_heights_of_peaks(name):
    assert preset_named(name).calibrates_peaks


def test_settings_that_do_not_say_take_every_image_as_often():
    # So do states of trainings that were begun before there was the choice.
    bare = SegmentationSettings(preset="", epochs=1, batch_size=1, crops_per_epoch=1, d_reduced=0)
    assert bare.source_evenness == 0
    assert not bare.calibrates_peaks


def test_an_unknown_preset_is_an_error_that_names_the_known_ones():
    with pytest.raises(SettingsError, match="fast, balanced, accurate, research"):
        preset_named("fastest")


def test_the_table_cannot_be_changed():
    with pytest.raises(TypeError):
        PRESETS["fast"] = PRESETS["accurate"]


@pytest.mark.parametrize(
    ("option", "change"),
    [
        ("--epochs 0", {"epochs": 0}),
        ("--batch-size -1", {"batch_size": -1}),
        ("3 examples an epoch", {"crops_per_epoch": 3}),
        ("--crop-size 100", {"crop_size_px": 100}),
        ("--d-reduced -1", {"d_reduced": -1}),
        ("--dropout 1.0", {"dropout": 1.0}),
        ("--learning-rate 0", {"learning_rate": 0}),
        ("--weight-decay -1", {"weight_decay": -1}),
        ("--patience -2", {"patience": -2}),
        ("--seed -1", {"seed": -1}),
        ("--source-evenness 1.5", {"source_evenness": 1.5}),
    ],
)
def test_values_that_make_no_sense_are_refused(option, change):
    with pytest.raises(SettingsError, match=option):
        replace(PRESETS["fast"], **change).check()
