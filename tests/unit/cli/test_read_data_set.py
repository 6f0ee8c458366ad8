import json
import runpy
import zipfile
from pathlib import Path

import pytest
from support.reader_contract import draw_images
from support.voc_folder import BOXES, write_voc_folder

from blood_cell_system.annotation import format_registry
from blood_cell_system.annotation.format_registry import readable_formats
from blood_cell_system.cli.prepare import FORMATS, UNLABELLED, main
from blood_cell_system.datasets.prepared import PreparedDataset
from blood_cell_system.masks.sample_mask import Unlabelled


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_voc_folder(tmp_path / "Our Lab").parent


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out"


def prepare(source: Path, output: Path, *words: str) -> int:
    place = ["--input", str(source), "--output", str(output), "--jobs", "1"]
    return main([*(words or ("--format", "auto")), *place])


def manifest(output: Path) -> dict:
    return json.loads((output / "manifest.json").read_text())


def test_the_formats_of_the_command_are_those_of_the_registry():
    assert readable_formats() == FORMATS
    assert set(UNLABELLED) == set(Unlabelled)


def test_a_folder_is_recognised_and_it_is_told_why(source: Path, output: Path, capsys):
    assert prepare(source, output) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert "Our Lab: read as Pascal VOC (voc): 3 XML files of an image each" in first
    assert len(PreparedDataset.open(output).images) == 3


def test_a_zip_file_is_as_good_as_its_folder(source: Path, output: Path, tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "Our Lab.zip", "w") as archive:
        for path in source.rglob("*"):
            archive.write(path, path.relative_to(source))
    assert prepare(tmp_path / "Our Lab.zip", output) == 0
    assert prepare(source, tmp_path / "same") == 0
    for path in (tmp_path / "same").rglob("*.png"):
        copy = output / path.relative_to(tmp_path / "same")
        assert copy.read_bytes() == path.read_bytes()
    assert manifest(output) == manifest(tmp_path / "same")


def test_the_guides_mode_takes_a_zip_file_as_well(source: Path, output: Path, tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "clone.zip", "w") as archive:
        for path in source.rglob("*"):
            archive.write(path, path.relative_to(source))
    assert prepare(tmp_path / "clone.zip", output, "--mode", "bccd") == 0


def test_another_format_that_fits_is_told(source: Path, output: Path, capsys):
    (source / "annotations.csv").write_text("image,xmin,ymin,xmax,ymax,label\n")
    prepare(source, output)
    assert "it could be table of boxes (CSV) as well" in capsys.readouterr().out


def test_unknown_labels_are_explained_by_a_label_map(tmp_path: Path, output: Path, capsys):
    boxes = [("zebra" if label == "WBC" else label, *corners) for label, *corners in BOXES]
    source = write_voc_folder(tmp_path / "lab", boxes=boxes)
    assert prepare(source, output) == 1
    assert "'zebra' (3). Say what they are, perhaps with --label-map" in capsys.readouterr().err
    assert prepare(source, output, "--mode", "voc", "--label-map", "zebra=WBC") == 0
    cells = PreparedDataset.open(output).images[0].cells
    assert [str(cell.cell_type) for cell in cells][:4] == ["RBC", "RBC", "WBC", "Platelet"]


def test_a_label_map_may_be_a_file(tmp_path: Path, output: Path):
    boxes = [("zebra" if label == "WBC" else label, *corners) for label, *corners in BOXES]
    source = write_voc_folder(tmp_path / "lab", boxes=boxes)
    (tmp_path / "map.txt").write_text("# ours\nzebra = WBC\n")
    words = ("--mode", "voc", "--label-map", str(tmp_path / "map.txt"))
    assert prepare(source, output, *words) == 0


def test_a_copy_of_the_kaggle_set_in_another_format_is_read_as_that(
    source: Path, output: Path, capsys
):
    assert prepare(source, output, "--mode", "kaggle") == 0
    assert "read as Pascal VOC (voc)" in capsys.readouterr().out


def test_what_nobody_marked_can_be_background(source: Path, output: Path):
    assert prepare(source, output, "--mode", "voc", "--unlabelled", "background") == 0
    assert manifest(output)["settings"]["unlabelled"] == "background"


def test_types_that_nobody_marked_are_not_said_to_be_nowhere(tmp_path: Path, output: Path):
    source = write_voc_folder(tmp_path / "lab", boxes=BOXES[:3])
    prepare(source, output)
    assert manifest(output)["images"][0]["unmarked_types"] == ["Platelet"]


def test_an_image_that_failed_makes_the_exit_code_1(source: Path, output: Path, capsys):
    (source / "BCCD" / "JPEGImages" / "pic_1.jpg").unlink()
    assert prepare(source, output) == 1
    assert "1 image failed and left out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--format", "auto"], "no input was named; expected a folder or a zip file"),
        (["--mode", "voc", "--input", "a", "b"], "2 folders to read; expected one"),
        (["--mode", "voc", "--input", "nowhere"], "nowhere: there is no such folder or zip file"),
    ],
)
def test_an_input_that_makes_no_sense_is_told(words: list[str], message: str, capsys):
    assert main(words) == 1
    assert message in capsys.readouterr().err


def test_a_folder_that_nothing_recognises_is_told_with_what_is_known(
    tmp_path: Path, output: Path, capsys
):
    (tmp_path / "notes.docx").write_text("")
    assert prepare(tmp_path, output) == 1
    message = capsys.readouterr().err
    assert "0 images and files .docx, but no labels in a known format" in message
    assert "coco, labelme" in message


def test_the_format_of_the_documents_is_one_file(tmp_path: Path, output: Path, monkeypatch, capsys):
    page = (Path(__file__).parents[3] / "docs" / "adding.md").read_text(encoding="utf-8")
    code = next(part for part in page.split("```python\n") if "@reads(" in part).partition("```")[0]
    (tmp_path / "dots.py").write_text(code, encoding="utf-8")
    folder = tmp_path / "smears"
    draw_images(folder)
    (folder / "a.dots").write_text("RBC 15.5 15.5 9.5\nwhite 60 60\n")
    (folder / "b.dots").write_text("RBC 15.5 15.5 9.5\nWBC 70.5 35.5 14.5\n")
    readable_formats()
    monkeypatch.setattr(format_registry, "_readers", dict(format_registry._readers))
    runpy.run_path(str(tmp_path / "dots.py"))
    assert prepare(folder, output) == 1
    out = capsys.readouterr().out
    assert "read as dots of Our Lab (dots): 2 files of dots, for instance a.dots" in out
    assert "a.dots: line 2: there are more or fewer values" in out
    (folder / "a.dots").write_text("erythro_x 15.5 15.5 9.5\n")
    assert prepare(folder, output, "--format", "auto", "--label-map", "erythro_x=RBC") == 0
    cells = {image.stem: image.cells for image in PreparedDataset.open(output).images}
    assert cells["a"][0].box == (6, 6, 25, 25)
    assert {cell.cell_type for cell in cells["b"][:2]} == {"RBC", "WBC"}
