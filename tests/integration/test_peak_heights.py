"""A short training's peaks, brought to the heights that separating cells expects."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
from support.smears import small_prepared_folder
from support.tiny_training import TINY, train_tiny

from blood_cell_system.taxonomy import BUILT_IN, WBC
from blood_cell_system.training import segmenter_training
from blood_cell_system.training.state import SEGMENTER_FILES

pytestmark = pytest.mark.slow

QUICK = replace(TINY, d_reduced=0, widths=(4, 4, 8), epochs=1, calibrates_peaks=False)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return small_prepared_folder(tmp_path_factory.mktemp("smears"), count=8)


def centre_bias(folder):
    model = keras.saving.load_model(folder / "checkpoints" / SEGMENTER_FILES.model)
    return np.asarray(model.get_layer("centre_logits").bias)


def test_peaks_of_the_best_model_are_brought_to_the_usual_heights(data_dir, tmp_path, monkeypatch):
    train_tiny(data_dir, tmp_path / "as it is", settings=QUICK)
    found = {WBC: 0.2}
    monkeypatch.setattr(
        segmenter_training, "best_thresholds", lambda images, peaks_in, *, taxonomy: found
    )
    train_tiny(data_dir, tmp_path / "set", settings=replace(QUICK, calibrates_peaks=True))
    shift = centre_bias(tmp_path / "set") - centre_bias(tmp_path / "as it is")
    usual = BUILT_IN[WBC].detection.peak_threshold
    expected = np.log(usual / (1 - usual)) - np.log(0.2 / 0.8)
    np.testing.assert_allclose(shift, [0, expected, 0], atol=1e-6)
    run = json.loads((tmp_path / "set" / "checkpoints" / "run.json").read_text())
    assert run["peak_thresholds_before"] == {"WBC": 0.2}
