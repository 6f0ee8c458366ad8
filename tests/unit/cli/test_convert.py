import json
import shutil
from pathlib import Path
from typing import get_args

import pytest
from support.reader_contract import SHAPE, draw_images

from blood_cell_system.annotation.format_registry import read_folder, writable_formats
from blood_cell_system.annotation.writer import OutlineForm
from blood_cell_system.cli import convert
from blood_cell_system.cli.main import main
from blood_cell_system.datasets.synthetic.folder import write_synthetic_folder
from blood_cell_system.datasets.synthetic.smear_settings import SmearSettings


@pytest.fixture
def labelme(tmp_path: Path) -> Path:
    root = tmp_path / "labelme"
    draw_images(root, ["a.png"])
    square = [[10, 10], [30, 10], [30, 30], [10, 30]]
    content = {
        "shapes": [{"label": "RBC", "points": square}],
        "imagePath": "a.png",
        "imageHeight": SHAPE[0],
        "imageWidth": SHAPE[1],
    }
    (root / "a.json").write_text(json.dumps(content))
    return root


def run(source: Path, output: Path, *words: str, to: str = "coco") -> int:
    return main(["convert", str(source), "--to", to, "--output", str(output), *words])


def test_a_data_set_of_one_tool_becomes_one_of_another(labelme: Path, tmp_path: Path, capsys):
    assert run(labelme, tmp_path / "out") == 0
    (sample,) = read_folder(tmp_path / "out").samples
    assert len(sample.cells) == 1
    told = capsys.readouterr().out
    assert "1 image as COCO JSON (RBC 1)" in told
    assert "bloodcells prepare --format coco" in told


def test_a_named_format_is_read_where_the_folders_look_like_a_prepared_one(
    labelme: Path, tmp_path: Path
):
    for name in ("images", "masks"):
        (labelme / name).mkdir()
    assert run(labelme, tmp_path / "out", "--format", "labelme") == 0
    (sample,) = read_folder(tmp_path / "out").samples
    assert len(sample.cells) == 1


@pytest.mark.parametrize("words", [["--images", "."], ["--with-not-scored"]])
def test_an_option_of_another_kind_of_source_is_refused(
    labelme: Path, tmp_path: Path, capsys, words: list[str]
):
    assert run(labelme, tmp_path / "out", *words) == 2
    assert "which SOURCE is not" in " ".join(capsys.readouterr().err.split())


def test_labels_of_a_prepared_folder_need_no_map(tmp_path: Path, capsys):
    settings = SmearSettings(shape=(96, 96), cell_diameter_px=30.0)
    write_synthetic_folder(tmp_path / "prepared", count=1, seed=0, settings=settings, jobs=1)
    assert run(tmp_path / "prepared", tmp_path / "out", "--label-map", "RBC=WBC") == 2
    assert "--label-map" in capsys.readouterr().err


def test_a_zip_file_is_opened(labelme: Path, tmp_path: Path):
    archive = shutil.make_archive(str(tmp_path / "labels"), "zip", labelme)
    assert run(Path(archive), tmp_path / "out", to="cvat") == 0
    assert (tmp_path / "out" / "annotations.xml").is_file()


def test_a_prepared_folder_is_written_with_its_splits(tmp_path: Path):
    settings = SmearSettings(shape=(96, 96), cell_diameter_px=30.0)
    write_synthetic_folder(tmp_path / "prepared", count=3, seed=0, settings=settings, jobs=1)
    assert run(tmp_path / "prepared", tmp_path / "out", to="yolo") == 0
    samples = read_folder(tmp_path / "out").samples
    assert len({sample.split for sample in samples}) == 3


def test_images_that_are_left_out_are_told_and_the_exit_code_says_so(
    labelme: Path, tmp_path: Path, capsys
):
    draw_images(labelme, ["b.png"])
    assert run(labelme, tmp_path / "out") == 1
    assert "left out: " in capsys.readouterr().out


def test_what_labels_mean_can_be_told(labelme: Path, tmp_path: Path, capsys):
    path = labelme / "a.json"
    path.write_text(path.read_text().replace("RBC", "zebra"))
    assert run(labelme, tmp_path / "out") == 1
    assert run(labelme, tmp_path / "out", "--label-map", "zebra=WBC") == 0
    assert "(WBC 1)" in capsys.readouterr().out


def test_marks_that_are_dropped_are_told(labelme: Path, tmp_path: Path, capsys):
    content = json.loads((labelme / "a.json").read_text())
    content["shapes"].append({"label": "RBC", "points": [[1, 1], [2, 2]]})
    (labelme / "a.json").write_text(json.dumps(content))
    assert run(labelme, tmp_path / "out") == 0
    assert "dropped: a.json: object 2" in capsys.readouterr().out


def test_the_choices_are_those_of_the_writers():
    assert (*writable_formats(), "qupath") == get_args(convert.Format)
    assert tuple(OutlineForm) == get_args(convert.Outlines)
