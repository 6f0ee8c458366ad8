import cv2
import numpy as np
import pytest
from support.colours import colour_image

from blood_cell_system.cli.main import main
from blood_cell_system.imaging.image_file import read_image, write_image
from blood_cell_system.imaging.mask_encoding import decode_class_mask

pytest.importorskip("keras", reason="needs the [train] extra")

from support.tiny_models import head_model, plain_model

from blood_cell_system.model_metadata import model_name


@pytest.fixture
def class_mask():
    mask = np.zeros((90, 130), dtype=np.uint8)
    cv2.circle(mask, (40, 45), 30, 1, -1)
    cv2.circle(mask, (100, 45), 25, 2, -1)
    return mask


@pytest.fixture
def image(tmp_path, class_mask):
    write_image(tmp_path / "sample.png", colour_image(class_mask))
    return tmp_path / "sample.png"


def test_it_writes_the_three_images_and_prints_what_is_there(tmp_path, image, class_mask, capsys):
    head_model().save(tmp_path / "m.keras")
    out = tmp_path / "results"
    words = ["test", "--model", str(tmp_path / "m.keras"), "--image", str(image)]
    assert main([*words, "--output-dir", str(out)]) == 0
    assert (read_image(out / "sample_original.png") == read_image(image)).all()
    assert (decode_class_mask(read_image(out / "sample_mask.png")) == class_mask).all()
    assert read_image(out / "sample_segmented.png").shape == (90, 130, 3)
    printed = capsys.readouterr().out
    assert f"RBC {(class_mask == 1).mean():.1%}" in printed
    assert "1 RBC, 1 WBC, 0 platelets" in printed
    assert "Research use only; not a medical device." in printed


def test_a_plain_model_says_that_it_knows_no_platelets(tmp_path, image, capsys):
    plain_model().save(tmp_path / "m.keras")
    words = ["test", "--model", str(tmp_path / "m.keras"), "--image", str(image)]
    assert main([*words, "--output-dir", str(tmp_path / "results")]) == 0
    assert "1 RBC, 1 WBC, separated by shape; this model knows no platelets" in (
        capsys.readouterr().out
    )


def test_cells_at_the_border_are_told(tmp_path, capsys):
    mask = np.zeros((64, 64), dtype=np.uint8)
    cv2.circle(mask, (0, 32), 20, 1, -1)
    write_image(tmp_path / "edge.png", colour_image(mask))
    plain_model().save(tmp_path / "m.keras")
    words = ["test", "--model", str(tmp_path / "m.keras"), "--image", str(tmp_path / "edge.png")]
    assert main([*words, "--output-dir", str(tmp_path / "results")]) == 0
    assert "1 of them is cut off" in capsys.readouterr().out


@pytest.mark.parametrize("missing", ["image", "model"])
def test_a_missing_file_is_named_and_nothing_is_written(tmp_path, image, missing, capsys):
    path = tmp_path / "gone.png" if missing == "image" else image
    words = ["test", "--model", str(tmp_path / "gone.keras"), "--image", str(path)]
    assert main([*words, "--output-dir", str(tmp_path / "results")]) == 1
    assert f"gone.{'png' if missing == 'image' else 'keras'}" in capsys.readouterr().err
    assert not list((tmp_path / "results").glob("*"))


@pytest.fixture
def model_of_60_px(tmp_path):
    model = head_model()
    model.name = model_name(60)
    model.save(tmp_path / "m.keras")
    return tmp_path / "m.keras"


def test_an_image_is_shown_at_the_size_that_the_model_knows(
    tmp_path, image, class_mask, model_of_60_px, capsys
):
    words = ["test", "--model", str(model_of_60_px), "--image", str(image)]
    words += ["--output-dir", str(tmp_path / "results"), "--cell-diameter", "30"]
    assert main(words) == 0
    mask = decode_class_mask(read_image(tmp_path / "results" / "sample_mask.png"))
    assert mask.shape == class_mask.shape
    assert (mask == class_mask).mean() > 0.97
    assert "at 2.00 of its size" in capsys.readouterr().out


def test_cells_as_large_as_in_training_are_not_resampled(
    tmp_path, image, class_mask, model_of_60_px, capsys
):
    words = ["test", "--model", str(model_of_60_px), "--image", str(image)]
    words += ["--output-dir", str(tmp_path / "results"), "--cell-diameter", "61"]
    assert main(words) == 0
    mask = decode_class_mask(read_image(tmp_path / "results" / "sample_mask.png"))
    assert (mask == class_mask).all()
    assert "of its size" not in capsys.readouterr().out
