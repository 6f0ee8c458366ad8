import csv
import json

import cv2
import numpy as np
import pytest
from support.analysed_images import analysis_of, report_of

from blood_cell_system.errors import (
    ImageReadError,
    MissingDataError,
    OutputError,
    UnknownNameError,
)
from blood_cell_system.imaging.image_file import read_image, read_label_image
from blood_cell_system.imaging.image_folders import RESULT_ENDINGS
from blood_cell_system.imaging.mask_encoding import decode_class_mask
from blood_cell_system.reports.image_files import (
    ALL_PARTS,
    Part,
    endings_of,
    read_labels,
    write_image_files,
    write_label_image,
)


@pytest.fixture
def written(tmp_path):
    analysis = analysis_of()
    report = report_of(analysis)
    write_image_files(tmp_path, "field", analysis, report)
    return tmp_path, analysis, report


def test_every_file_is_written(written):
    root, _, _ = written
    expected = {f"field_{ending}" for ending in (*RESULT_ENDINGS, "instances.png")}
    assert {path.name for path in root.iterdir()} == expected


def test_the_mask_is_in_the_guide_s_format(written):
    root, analysis, _ = written
    mask = decode_class_mask(read_image(root / "field_mask.png"))
    assert (mask == analysis.class_mask).all()


def test_the_label_image_has_the_cells_numbers(written):
    root, analysis, _ = written
    assert (read_label_image(root / "field_instances.png") == analysis.cells.label_image).all()
    assert cv2.imread(str(root / "field_instances.png"), cv2.IMREAD_UNCHANGED).dtype == np.uint16


def test_the_outlined_image_has_the_size_of_the_image(written):
    root, analysis, _ = written
    drawn = read_image(root / "field_annotated.png")
    assert drawn.shape == analysis.image.shape
    assert (drawn != analysis.image).any()


def test_report_summary_and_table_say_the_same(written):
    root, _, report = written
    value = json.loads((root / "field_report.json").read_text("utf-8"))
    assert value == json.loads(json.dumps(report.to_json()))
    assert (root / "field_summary.txt").read_text("utf-8") == report.to_summary_text()
    with (root / "field_cells.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["cell_id"]) for row in rows] == report.cells.ids.tolist()
    for row, cell in zip(rows, value["cells"], strict=True):
        assert [int(row[k]) for k in ("x_min", "y_min", "x_max", "y_max")] == cell["bbox"]
        assert row["equivalent_diameter_um"] == ""
        assert row["touching_border"] == str(int(cell["touching_border"]))
        assert row["flags"].split() == cell["flags"]


def test_the_same_twice_gives_the_same_bytes(written, tmp_path_factory):
    root, _, _ = written
    again = tmp_path_factory.mktemp("again")
    analysis = analysis_of()
    write_image_files(again, "field", analysis, report_of(analysis))
    for path in root.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes()


def test_the_outlined_image_can_be_left_out(tmp_path):
    analysis = analysis_of()
    write_image_files(
        tmp_path, "field", analysis, report_of(analysis), parts=ALL_PARTS - {Part.OVERLAY}
    )
    assert not (tmp_path / "field_annotated.png").exists()


@pytest.mark.parametrize("name", ["slide 1/field", "Größe", "-rf", "two\nlines", "x\udcff"])
def test_names_of_any_kind_and_in_folders_work(tmp_path, name):
    analysis = analysis_of()
    write_image_files(tmp_path, name, analysis, report_of(analysis, name=f"{name}.png"))
    value = json.loads((tmp_path / f"{name}_report.json").read_bytes())
    assert value["image"]["file_name"] == f"{name}.png"
    assert (tmp_path / f"{name}_summary.txt").is_file()


def labels_up_to(count):
    return np.arange(300 * 300, dtype=np.int32).clip(0, count).reshape(300, 300)


@pytest.mark.parametrize(("count", "kind"), [(255, "png"), (65535, "png"), (65536, "tif")])
def test_labels_come_back_however_many_there_are(tmp_path, count, kind):
    for former in (255, 70000):
        write_label_image(tmp_path, "f", labels_up_to(former))
        path = write_label_image(tmp_path, "f", labels_up_to(count))
        assert [file.name for file in tmp_path.iterdir()] == [f"f_instances.{kind}"]
        assert path.suffix == f".{kind}"
        assert (read_labels(tmp_path, "f") == labels_up_to(count)).all()


def test_a_report_is_gone_while_its_files_are_written_anew(written, monkeypatch):
    root, analysis, report = written

    def fail(*_):
        raise OutputError("the disk is full")

    monkeypatch.setattr("blood_cell_system.reports.image_files.write_label_image", fail)
    with pytest.raises(OutputError):
        write_image_files(root, "field", analysis, report)
    assert not (root / "field_report.json").exists()


def test_missing_and_damaged_labels_are_told(tmp_path):
    with pytest.raises(MissingDataError):
        read_labels(tmp_path, "f")
    (tmp_path / "f_instances.tif").write_bytes(b"II*\0damaged")
    with pytest.raises(ImageReadError, match="damaged"):
        read_labels(tmp_path, "f")


def test_what_cannot_be_replaced_is_told(tmp_path):
    (tmp_path / "f_report.json" / "inner").mkdir(parents=True)
    analysis = analysis_of()
    with pytest.raises(OutputError, match="cannot be replaced"):
        write_image_files(tmp_path, "f", analysis, report_of(analysis))


def test_an_unknown_part_lists_the_choices():
    with pytest.raises(
        UnknownNameError,
        match=r"--write 'tabel'.*table, report, overlay, masks.*Did you mean 'table'",
    ):
        Part.read("report,tabel")


@pytest.mark.parametrize("part", Part)
def test_what_is_left_out_is_not_written_and_goes(tmp_path, part):
    analysis = analysis_of()
    write_image_files(tmp_path, "field", analysis, report_of(analysis))
    parts = ALL_PARTS - {part}
    write_image_files(tmp_path, "field", analysis, report_of(analysis), parts=parts)
    labels = ("instances.png",) if part is not Part.MASKS else ()
    expected = {f"field_{ending}" for ending in (*endings_of(parts), *labels)}
    assert {path.name for path in tmp_path.iterdir()} == expected
    assert (part is Part.REVIEW) == (endings_of(parts) == RESULT_ENDINGS)


def test_a_label_image_that_was_left_out_is_asked_for(tmp_path):
    with pytest.raises(MissingDataError, match="with masks among --write"):
        read_labels(tmp_path, "field")
