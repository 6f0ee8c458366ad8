import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.reader_contract import SHAPE, draw_images

from blood_cell_system.annotation import writer
from blood_cell_system.annotation.format_registry import writable_formats
from blood_cell_system.annotation.sample import Annotation, Sample
from blood_cell_system.annotation.splits import Split
from blood_cell_system.annotation.writer import WriteStyle, write_labels
from blood_cell_system.boxes import Box
from blood_cell_system.errors import DatasetError, OutputError, SettingsError
from blood_cell_system.folder_lock import locked_folder
from blood_cell_system.imaging.image_file import read_image
from blood_cell_system.taxonomy import RBC, WBC

BOXED = Annotation(cell_type=RBC, box=Box(5, 5, 25, 25))


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    draw_images(tmp_path / "images", ["a.png"])
    path = tmp_path / "images" / "a.png"
    return Sample(stem="a", image_path=path, shape=SHAPE, cells=(BOXED,))


def test_images_are_copied_byte_for_byte(sample: Sample, tmp_path: Path):
    write_labels([sample], tmp_path / "out", format_name="labelme")
    copy = tmp_path / "out" / "a.png"
    assert copy.read_bytes() == sample.image_path.read_bytes()


def test_an_image_that_exif_data_turn_is_written_upright(sample: Sample, tmp_path: Path):
    turned = sample.image_path.with_suffix(".jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(read_image(sample.image_path)).save(turned, exif=exif)
    expected = read_image(turned)
    sample = replace(sample, image_path=turned, shape=expected.shape[:2])
    write_labels([sample], tmp_path / "out", format_name="coco")
    np.testing.assert_array_equal(read_image(tmp_path / "out" / "images" / "a.png"), expected)


def test_the_summary_counts_images_and_marks(sample: Sample, tmp_path: Path):
    summary = write_labels([sample], tmp_path / "out", format_name="cvat")
    assert summary.to_text() == (f"{tmp_path / 'out'}: 1 image as CVAT XML for images 1.1 (RBC 1)")


def test_images_of_which_nothing_is_known_are_left_out_and_told(sample: Sample, tmp_path: Path):
    unknown = replace(sample, stem="b", cells=None)
    summary = write_labels([sample, unknown], tmp_path / "out", format_name="coco")
    assert summary.unknown == ("b",)
    assert "1 image was left out" in summary.to_text()


def test_images_without_cells_are_written(sample: Sample, tmp_path: Path):
    summary = write_labels([replace(sample, cells=())], tmp_path / "out", format_name="yolo")
    assert (tmp_path / "out" / "labels" / "a.txt").read_text() == ""
    assert "(no cells)" in summary.to_text()


def test_cells_that_a_format_cannot_hold_are_told(sample: Sample, tmp_path: Path):
    point = Annotation(cell_type=WBC, point=(50.0, 20.0))
    sample = replace(sample, cells=(BOXED, point))
    summary = write_labels([sample], tmp_path / "out", format_name="yolo")
    assert summary.not_held == 1
    assert "the format has no points" in summary.to_text()


def test_nothing_known_of_any_image_is_an_error_and_leaves_nothing(sample: Sample, tmp_path: Path):
    with pytest.raises(DatasetError, match="nothing to write"):
        write_labels([replace(sample, cells=None)], tmp_path / "out", format_name="coco")
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_a_format_that_is_not_known_is_refused(sample: Sample, tmp_path: Path):
    with pytest.raises(SettingsError, match="expected one of coco, labelme"):
        write_labels([sample], tmp_path / "out", format_name="paint")


@pytest.mark.parametrize("tolerance_px", [-1.0, float("nan"), float("inf")])
def test_a_tolerance_that_is_none_is_refused(tolerance_px: float):
    with pytest.raises(SettingsError, match="expected a number of 0 or more"):
        WriteStyle(tolerance_px=tolerance_px)


def test_a_folder_with_corrections_is_never_written_over(sample: Sample, tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.json").write_text("corrected")
    with pytest.raises(OutputError, match="new or empty folder"):
        write_labels([sample], tmp_path / "out", format_name="labelme")
    assert (tmp_path / "out" / "a.json").read_text() == "corrected"


def test_an_empty_folder_is_taken(sample: Sample, tmp_path: Path):
    (tmp_path / "out").mkdir()
    write_labels([sample], tmp_path / "out", format_name="labelme")
    assert (tmp_path / "out" / "a.json").is_file()


def test_work_that_fails_leaves_nothing_behind(sample: Sample, tmp_path: Path):
    missing = replace(sample, stem="b", image_path=tmp_path / "gone.png")
    with pytest.raises(FileNotFoundError):
        write_labels([sample, missing], tmp_path / "out", format_name="coco")
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_a_place_that_cannot_be_taken_is_told(sample: Sample, tmp_path: Path, monkeypatch):
    def refuse(self: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(writer.Path, "rename", refuse)
    with pytest.raises(OutputError, match="cannot take its place"):
        write_labels([sample], tmp_path / "out", format_name="coco")


def test_the_same_data_give_the_same_bytes(sample: Sample, tmp_path: Path):
    samples = [sample, replace(sample, stem="b", split=Split.TEST)]
    for format_name in writable_formats():
        roots = [tmp_path / f"{format_name}_{number}" for number in range(2)]
        for root in roots:
            write_labels(samples, root, format_name=format_name)
        first, second = (
            {path.relative_to(root): path.read_bytes() for path in root.rglob("*.*")}
            for root in roots
        )
        assert first == second


def test_what_a_killed_run_left_goes_and_what_another_one_writes_stays(
    sample: Sample, tmp_path: Path
):
    dead, alive, foreign = (
        tmp_path / name
        for name in (
            ".out.0123456789abcdef.partial",
            ".out.fedcba9876543210.partial",
            ".other.0123456789abcdef.partial",
        )
    )
    (dead / "images").mkdir(parents=True)
    foreign.mkdir()
    refused = []

    def second() -> None:
        write_labels([sample], tmp_path / "out", format_name="labelme")
        refused.append(alive.is_dir())

    with locked_folder(alive, command="convert"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert refused == [True]
    assert not dead.exists()
    assert foreign.is_dir()
    assert not list((tmp_path / "out").glob(".*"))
