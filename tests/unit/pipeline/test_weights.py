import pytest

from blood_cell_system.errors import MissingDataError
from blood_cell_system.pipeline import model_slots


def test_the_trainable_segmenter_is_the_keras_file(tmp_path, monkeypatch):
    monkeypatch.setattr(model_slots, "weights_folder", lambda: tmp_path)
    (tmp_path / "segmentation_model.onnx").touch()
    with pytest.raises(MissingDataError, match="can analyse images, but not be trained on"):
        model_slots.bundled_trainable_segmenter()
    (tmp_path / "segmentation_model.keras").touch()
    assert model_slots.bundled_trainable_segmenter() == tmp_path / "segmentation_model.keras"
