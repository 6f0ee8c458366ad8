import pytest

from blood_cell_system.errors import MissingDataError
from blood_cell_system.pipeline import model_slots


def test_the_trainable_segmenter_is_the_keras_file(tmp_path, monkeypatch):
    monkeypatch.setattr(model_slots, "weights_folder", lambda: tmp_path)
    (tmp_path / "segmentation_model.onnx").touch()
    with pytest.raises(MissingDataError, match="no such model that can be trained on"):
        model_slots.bundled_trainable()
    (tmp_path / "segmentation_model.keras").touch()
    assert model_slots.bundled_trainable() == tmp_path / "segmentation_model.keras"
