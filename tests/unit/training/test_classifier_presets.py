from dataclasses import replace

import pytest

from blood_cell_system.errors import SettingsError
from blood_cell_system.training.presets import (
    CLASSIFIER_PRESETS,
    classifier_preset_named,
)


def test_the_reynolds_width_of_the_presets_is_that_of_the_segmenters():
    widths = {name: settings.d_reduced for name, settings in CLASSIFIER_PRESETS.items()}
    assert widths == {"fast": 32, "balanced": 64, "accurate": 128, "research": 128}


@pytest.mark.parametrize("name", CLASSIFIER_PRESETS)
def test_every_preset_makes_sense(name):
    classifier_preset_named(name).check()


def test_no_preset_adapts_domains_unless_asked_to():
    assert not any(settings.has_domain_adaptation for settings in CLASSIFIER_PRESETS.values())


def test_a_preset_that_does_not_exist_is_an_error():
    with pytest.raises(SettingsError, match="expected one of fast, balanced"):
        classifier_preset_named("quick")


@pytest.mark.parametrize(
    ("change", "option"),
    [
        ({"epochs": 0}, "--epochs 0"),
        ({"batch_size": 1}, "--batch-size 1"),
        ({"cells_per_epoch": 3}, "3 examples an epoch in batches of 64"),
        ({"d_reduced": -1}, "--d-reduced -1"),
        ({"dropout": 1.0}, "--dropout 1.0"),
        ({"label_smoothing": 0.5}, "--label-smoothing 0.5"),
        ({"type_weight": -1.0}, "--type-weight -1.0"),
        ({"known_weight": -1.0}, "--known-weight -1.0"),
        ({"learning_rate": 0.0}, "--learning-rate 0.0"),
        ({"weight_decay": -0.1}, "--weight-decay -0.1"),
        ({"patience": -1}, "--patience -1"),
        ({"seed": -1}, "--seed -1"),
    ],
)
def test_a_value_that_makes_no_sense_is_an_error_with_its_option(change, option):
    with pytest.raises(SettingsError, match=f"^{option}: expected"):
        replace(CLASSIFIER_PRESETS["fast"], **change).check()
