import json

import pytest
from support.prepared_cells import write_cells_folder

from blood_cell_system.cli.main import main

pytest.importorskip("keras", reason="needs the [train] extra")

from support.tiny_models import plain_model


@pytest.fixture(scope="module")
def model_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "m.keras"
    plain_model().save(path)
    return path


def test_it_prints_tables_and_writes_json_and_sheet(tmp_path, model_path, capsys):
    root = write_cells_folder(tmp_path / "data", splits=["train", "train", "val", "test"])
    written = tmp_path / "scores.json", tmp_path / "worst.png"
    words = ["evaluate", "--model", str(model_path), "--data-dir", str(root)]
    assert main([*words, "--json", str(written[0]), "--contact-sheet", str(written[1])]) == 0
    assert "mean IoU" in capsys.readouterr().out
    value = json.loads(written[0].read_text())
    assert value["split"] == "test"
    assert [row["stem"] for row in value["images"]] == ["img_3"]
    assert value["pixels"]["mean_iou"] == 1.0
    assert value["cells"][0]["types"]["RBC"]["counts"]["training_constant"] == 1
    assert written[1].is_file()


def test_a_folder_without_splits_gets_them_by_the_seed(tmp_path, model_path):
    root = write_cells_folder(tmp_path / "data", splits=["test"] * 8, with_manifest=False)
    words = ["evaluate", "--model", str(model_path), "--data-dir", str(root)]
    stems = []
    for name in ("first.json", "second.json"):
        assert main([*words, "--json", str(tmp_path / name)]) == 0
        value = json.loads((tmp_path / name).read_text())
        stems.append([row["stem"] for row in value["images"]])
    assert stems[0] == stems[1]
    assert len(stems[0]) == 1


def test_an_empty_split_is_an_error(tmp_path, model_path, capsys):
    root = write_cells_folder(tmp_path / "data", splits=["train", "train"])
    words = ["evaluate", "--model", str(model_path), "--data-dir", str(root), "--split", "val"]
    assert main(words) == 1
    assert "the split 'val' has no images" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--json", "--contact-sheet"])
def test_an_output_among_the_images_is_refused(tmp_path, model_path, capsys, option):
    root = write_cells_folder(tmp_path / "data", splits=["test"] * 3)
    words = ["evaluate", "--model", str(model_path), "--data-dir", str(root)]
    assert main([*words, option, str(root / "images" / "out.png")]) == 1
    assert f"Choose another {option}." in capsys.readouterr().err


def test_an_image_that_cannot_be_read_is_listed_and_the_exit_code_is_1(
    tmp_path, model_path, capsys
):
    root = write_cells_folder(tmp_path / "data", splits=["test"] * 3)
    (root / "images" / "img_1.png").write_bytes(b"no image")
    assert main(["evaluate", "--model", str(model_path), "--data-dir", str(root)]) == 1
    printed = capsys.readouterr().out
    assert "1 image failed" in printed
    assert "mean IoU" in printed
