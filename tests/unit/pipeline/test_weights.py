import pytest

from blood_cell_system.errors import MissingDataError
from blood_cell_system.pipeline import weights


def test_the_trainable_segmenter_is_the_keras_file(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "weights_folder", lambda: tmp_path)
    (tmp_path / "segmentation_model.onnx").touch()
    with pytest.raises(MissingDataError, match="can analyse pictures, but not be trained on"):
        weights.bundled_trainable_segmenter()
    (tmp_path / "segmentation_model.keras").touch()
    assert weights.bundled_trainable_segmenter() == tmp_path / "segmentation_model.keras"
