from dataclasses import replace

import pytest

from blood_cell_system.errors import TrainingMemoryError
from blood_cell_system.training import segmenter_training
from blood_cell_system.training.presets import PRESETS
from blood_cell_system.training.segmenter_training import (
    available_bytes,
    check_batch_fits,
    estimated_bytes,
    largest_batch_that_fits,
)

ACCURATE = PRESETS["accurate"]


def test_the_estimate_grows_with_batch_crop_and_width():
    base = estimated_bytes(ACCURATE)
    assert estimated_bytes(replace(ACCURATE, batch_size=8)) > base
    assert estimated_bytes(replace(ACCURATE, crop_size_px=512)) > base
    assert estimated_bytes(replace(ACCURATE, widths=(64, 128, 256, 512))) > base


@pytest.mark.parametrize(("name", "gigabytes"), [("fast", 4), ("accurate", 8), ("research", 8)])
def test_presets_stay_within_the_memory_that_is_promised(name, gigabytes):
    assert estimated_bytes(PRESETS[name]) < gigabytes * 1e9


def test_a_batch_beyond_the_memory_is_refused_with_the_guides_advice(monkeypatch):
    monkeypatch.setattr(segmenter_training, "available_bytes", lambda: 1_000_000_000)
    with pytest.raises(TrainingMemoryError, match=r"Batches of 64.*--preset fast"):
        check_batch_fits(replace(ACCURATE, batch_size=64))


def test_where_the_system_does_not_say_nothing_is_refused(monkeypatch):
    monkeypatch.setattr(segmenter_training, "available_bytes", lambda: None)
    check_batch_fits(replace(ACCURATE, batch_size=10_000))


@pytest.mark.parametrize(("gigabytes", "expected"), [(64, 16), (0.1, 1)])
def test_auto_takes_the_largest_batch_that_leaves_half_of_the_memory(
    monkeypatch, gigabytes, expected
):
    monkeypatch.setattr(segmenter_training, "available_bytes", lambda: int(gigabytes * 1e9))
    assert largest_batch_that_fits(ACCURATE) == expected


def test_the_memory_of_this_machine_is_known_or_honestly_unknown():
    available = available_bytes()
    assert available is None or available > 100_000_000
