"""Domain adaptation of the segmenter, from the folder to the model file."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
from support.smears import small_prepared_folder
from support.tiny_training import TINY, train_tiny

from blood_cell_system.datasets.prepared import (
    PreparedDataset,
    write_manifest,
)
from blood_cell_system.training.state import SEGMENTER_FILES, TrainingState

pytestmark = pytest.mark.slow

ADAPTED = replace(
    TINY, epochs=1, crops_per_epoch=8, d_reduced=0, widths=(4, 4, 8), has_domain_adaptation=True
)


def test_two_sources_are_adapted_and_the_model_keeps_no_head(tmp_path):
    data = tmp_path / "data"
    small_prepared_folder(data, count=6)
    images = PreparedDataset.open(data).images
    rows = [
        {**image.manifest_row(), "source": ("one", "two")[number % 2]}
        for number, image in enumerate(images)
    ]
    write_manifest(data, rows, {})
    result = train_tiny(data, tmp_path, settings=ADAPTED)
    assert 0 < result.history[0]["train_domain_loss"] < 5
    run = json.loads((tmp_path / "checkpoints" / "run.json").read_text())
    assert run["domains"] == ["one", "two"]
    model = keras.saving.load_model(result.model_path)
    assert set(model(np.zeros((1, 32, 32, 3), np.float32))) == {"classes", "centres", "log_size"}
    state = TrainingState.load(tmp_path / "checkpoints" / SEGMENTER_FILES.state)
    assert any(name.startswith("domain_head/") for name in state.arrays)
