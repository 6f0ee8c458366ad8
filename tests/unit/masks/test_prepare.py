import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.damaged_jpeg import damaged_jpeg
from support.voc_folder import SHAPE, add_image, smear_image, write_voc_folder

from blood_cell_system.annotation.mask_files import MaskFile
from blood_cell_system.annotation.sample import Annotation, FailedImage, Origin, Reading, Sample
from blood_cell_system.annotation.splits import Split
from blood_cell_system.boxes import Box
from blood_cell_system.cli.prepare import main
from blood_cell_system.datasets.prepared import PreparedDataset
from blood_cell_system.errors import AnnotationError, DatasetError, OutputError, SettingsError
from blood_cell_system.imaging.image_file import read_image, write_image
from blood_cell_system.imaging.mask_encoding import encode_class_mask
from blood_cell_system.masks.prepare_folder import PrepareSummary, prepare_reading, prepare_voc
from blood_cell_system.taxonomy import PLATELET, RBC


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_voc_folder(tmp_path / "clone")


def prepare(source: Path, output: Path, *, method: str = "ellipse", jobs: int = 1):
    return prepare_voc(source, output, mask_method=method, jobs=jobs)


def contents(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_the_prepared_folder_has_the_images_with_their_splits(source: Path, tmp_path: Path):
    prepare(source, tmp_path / "out")
    dataset = PreparedDataset.open(tmp_path / "out")
    assert [(image.stem, image.split) for image in dataset.images] == [
        ("pic_0", Split.TRAIN),
        ("pic_1", Split.VAL),
        ("pic_2", Split.TEST),
    ]
    assert {image.source for image in dataset.images} == {"bccd"}


def test_images_are_kept_pixel_by_pixel(source: Path, tmp_path: Path):
    prepare(source, tmp_path / "out")
    before = read_image(source / "JPEGImages" / "pic_0.jpg")
    assert np.array_equal(read_image(tmp_path / "out" / "images" / "pic_0.png"), before)


def test_damaged_images_are_named(source: Path, tmp_path: Path):
    path = source / "JPEGImages" / "pic_0.jpg"
    path.write_bytes(damaged_jpeg(read_image(path)))
    (note,) = prepare(source, tmp_path / "out").notes
    assert note.startswith("1 file is damaged")
    assert f"{path} (Corrupt" in note


def test_mixed_magnifications_are_named(source: Path, tmp_path: Path):
    for stem, size in (("pic_0", 8), ("pic_1", 27)):
        places = [(4 + 29 * number, 4) for number in range(3)]
        add_image(source, stem, [("RBC", x, y, x + size, y + size) for x, y in places])
    (note,) = prepare(source, tmp_path / "out").notes
    assert "in some images (such as pic_0)" in note
    assert "in others (such as pic_1)" in note


def test_ellipse_masks_show_the_annotated_cells(source: Path, tmp_path: Path):
    prepare(source, tmp_path / "out")
    image = PreparedDataset.open(tmp_path / "out").images[0]
    _, class_mask = image.read()
    assert [class_mask[15, 15], class_mask[35, 70], class_mask[3, 90]] == [1, 2, 0]
    assert [cell.cell_type for cell in image.cells][-1] == PLATELET
    assert image.instance_path is None


def test_stain_masks_come_with_a_label_image(source: Path, tmp_path: Path):
    prepare(source, tmp_path / "out", method="stain")
    image = PreparedDataset.open(tmp_path / "out").images[0]
    _, class_mask = image.read()
    labels = cv2.imread(str(image.instance_path), cv2.IMREAD_UNCHANGED)
    assert class_mask[35, 70] == 2
    assert labels.dtype == np.uint16
    assert labels[35, 70] > 0


@pytest.mark.parametrize("method", ["stain", "ellipse"])
def test_running_it_again_changes_nothing(source: Path, tmp_path: Path, method: str):
    prepare(source, tmp_path / "out", method=method)
    before = contents(tmp_path / "out")
    prepare(source, tmp_path / "out", method=method)
    assert contents(tmp_path / "out") == before


def test_the_number_of_processes_changes_nothing(source: Path, tmp_path: Path):
    prepare(source, tmp_path / "one", method="stain", jobs=1)
    prepare(source, tmp_path / "two", method="stain", jobs=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_other_settings_leave_nothing_of_the_former_run(source: Path, tmp_path: Path):
    prepare(source, tmp_path / "out", method="stain")
    prepare(source, tmp_path / "out", method="ellipse")
    prepare(source, tmp_path / "fresh", method="ellipse")
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


def test_an_image_that_left_the_source_leaves_the_output(source: Path, tmp_path: Path):
    prepare(source, tmp_path / "out")
    for path in (*source.rglob("pic_2.*"), source / "ImageSets" / "Main" / "test.txt"):
        path.unlink()
    prepare(source, tmp_path / "out")
    assert len(PreparedDataset.open(tmp_path / "out").images) == 2


def test_a_run_that_was_stopped_is_completed_by_the_next(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("blood_cell_system.masks.prepare_folder.encode_class_mask", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare(source, tmp_path / "out")
    prepare(source, tmp_path / "out")
    prepare(source, tmp_path / "fresh")
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_an_image_cut_in_half_is_listed_and_the_others_prepared(source: Path, tmp_path: Path):
    cut_in_half(source / "JPEGImages" / "pic_1.jpg")
    summary = prepare(source, tmp_path / "out")
    assert [source.name for source in summary.failed] == ["pic_1"]
    dataset = PreparedDataset.open(tmp_path / "out")
    assert [image.stem for image in dataset.images] == ["pic_0", "pic_2"]
    assert dataset.details["failed"][0]["stem"] == "pic_1"


def test_failures_are_told_in_the_order_of_the_images(source: Path, tmp_path: Path):
    cut_in_half(source / "JPEGImages" / "pic_0.jpg")
    (source / "Annotations" / "pic_1.xml").write_text("")
    summary = prepare(source, tmp_path / "out")
    assert [image.name for image in summary.failed] == ["pic_0", "pic_1"]


def test_the_command_ends_with_1_when_an_image_failed(source: Path, tmp_path: Path, capsys):
    words = ["--mode", "bccd", "--input", str(source), "--output", str(tmp_path / "out")]
    words += ["--mask-method", "ellipse", "--jobs", "1"]
    assert main(words) == 0
    cut_in_half(source / "JPEGImages" / "pic_1.jpg")
    assert main(words) == 1
    assert "pic_1.jpg: the image is cut off or damaged" in capsys.readouterr().out


def test_no_image_that_can_be_prepared_is_an_error(source: Path, tmp_path: Path):
    for path in (source / "JPEGImages").iterdir():
        cut_in_half(path)
    with pytest.raises(DatasetError, match=r"no image could be prepared; .*pic_0\.jpg"):
        prepare(source, tmp_path / "out")


def test_an_unknown_label_stops_before_anything_is_written(source: Path, tmp_path: Path):
    add_image(source, "pic_2", [("Platelet", 5, 5, 25, 25)])
    with pytest.raises(AnnotationError, match="labelled 'Platelet'"):
        prepare(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unknown_method_is_an_error(source: Path, tmp_path: Path):
    with pytest.raises(SettingsError, match="received 'magic'; expected one of stain, ellipse"):
        prepare(source, tmp_path / "out", method="magic")


def test_a_negative_number_of_processes_is_an_error(source: Path, tmp_path: Path):
    with pytest.raises(SettingsError, match="received -1"):
        prepare(source, tmp_path / "out", jobs=-1)
    assert not (tmp_path / "out").exists()


def test_the_sources_own_folder_is_no_output(source: Path):
    for output in (source, source / "prepared"):
        with pytest.raises(SettingsError, match="is the input, or lies in it"):
            prepare(source, output)


def test_a_full_disk_is_told_in_words(source: Path, tmp_path: Path, monkeypatch):
    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match=r"No space left on device.*Make room on the disk"):
        prepare(source, tmp_path / "out")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere"
)
def test_a_read_only_output_is_told_in_words(source: Path, tmp_path: Path):
    (tmp_path / "out").mkdir(mode=0o555)
    with pytest.raises(OutputError):
        prepare(source, tmp_path / "out")


def test_a_path_below_a_file_is_told_in_words(source: Path, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot make this folder"):
        prepare(source, tmp_path / "file" / "out")


def test_another_voc_folder_gives_its_name_to_its_images(source: Path, tmp_path: Path):
    shutil.copytree(source, tmp_path / "Our Lab")
    prepare(tmp_path / "Our Lab", tmp_path / "out")
    assert PreparedDataset.open(tmp_path / "out").images[0].source == "Our Lab"


def test_the_summary_counts_and_lists(source: Path, tmp_path: Path):
    add_image(source, "pic_0", [("RBC", 6, 6, 25, 25), ("RBC", 9, 9, 9, 9)])
    summary = prepare(source, tmp_path / "out")
    assert summary.split_counts == {"train": 1, "val": 1, "test": 1}
    assert summary.cell_counts[RBC, Origin.ANNOTATED] == 5
    lines = summary.to_text().splitlines()
    assert "3 images prepared (train 1, val 1, test 1)" in lines[0]
    assert lines[-2:] == [
        "1 box dropped:",
        "  Annotations/pic_0.xml: object 2: too small for a cell: 1×1 px in the image",
    ]


def test_the_summary_tells_cells_that_only_the_stain_shows():
    counts = {(RBC, Origin.ANNOTATED): 7, (RBC, Origin.STAIN): 5}
    summary = PrepareSummary(
        output=Path("out"),
        mask_method="stain",
        split_counts={"no split": 1},
        cell_counts=counts,
        dropped=(),
        failed=(),
    )
    assert "  RBC: 7 annotated, 5 more found by their stain" in summary.to_text()


def reading_of(root: Path, *samples: Sample, **more: object) -> Reading:
    for sample in samples:
        write_image(sample.image_path, smear_image())
    return Reading(root=root, format_name="masks", source="lab", samples=samples, **more)


def image(root: Path, stem: str, **more: object) -> Sample:
    return Sample(stem=stem, image_path=root / f"{stem}.png", shape=SHAPE, **more)


def with_mask(root: Path, stem: str, *, shape: tuple[int, int] = SHAPE) -> Sample:
    write_image(root / "given" / f"{stem}.png", encode_class_mask(np.ones(shape, np.uint8)))
    return image(root, stem, class_mask=MaskFile(path=root / "given" / f"{stem}.png"))


def test_given_masks_are_taken_and_nothing_is_said_about_cells(tmp_path: Path):
    summary = prepare_reading(
        reading_of(tmp_path / "in", with_mask(tmp_path / "in", "a")), tmp_path / "out", jobs=1
    )
    (image,) = PreparedDataset.open(tmp_path / "out").images
    assert (image.read()[1] == 1).all()
    assert (image.cells, image.instance_path, image.unmarked_types) == (None, None, ())
    assert "1 masks as they were given" in summary.to_text()
    assert "where single cells are, nobody has said" in summary.to_text()


def test_given_masks_and_marks_live_in_one_folder(tmp_path: Path):
    cell = Annotation(cell_type=RBC, box=Box(5, 5, 25, 25))
    samples = with_mask(tmp_path / "in", "a"), image(tmp_path / "in", "b", cells=(cell,))
    summary = prepare_reading(reading_of(tmp_path / "in", *samples), tmp_path / "out", jobs=1)
    first, second = PreparedDataset.open(tmp_path / "out").images
    assert first.instance_path is None
    assert second.instance_path is not None
    assert (
        "1 masks as they were given; the others: outlines as given, boxes by the stain method"
        in summary.to_text()
    )


def test_a_given_mask_of_another_size_fails_its_image_alone(tmp_path: Path):
    samples = with_mask(tmp_path / "in", "a", shape=(9, 9)), with_mask(tmp_path / "in", "b")
    summary = prepare_reading(reading_of(tmp_path / "in", *samples), tmp_path / "out", jobs=1)
    assert [failed.name for failed in summary.failed] == ["a"]
    assert "(9, 9), the image (60, 96)" in summary.failed[0].reason
    assert [image.stem for image in PreparedDataset.open(tmp_path / "out").images] == ["b"]


def test_the_manifest_has_what_the_reader_knew(tmp_path: Path):
    sample = image(tmp_path / "in", "a", cells=(), split=Split.VAL)
    reading = reading_of(tmp_path / "in", sample, licence="CC BY 4.0", notes=("Mind the gap.",))
    summary = prepare_reading(reading, tmp_path / "out", jobs=1)
    details = PreparedDataset.open(tmp_path / "out").details
    assert (details["licence"], details["notes"]) == ("CC BY 4.0", ["Mind the gap."])
    assert details["command"] == "prepare --mode masks"
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["images"][0]["split"] == "val"
    assert "Mind the gap." in summary.to_text()


def test_a_folder_that_another_format_wrote_is_not_overwritten(source: Path, tmp_path: Path):
    prepare(source, tmp_path / "out")
    with pytest.raises(OutputError, match="was written by 'prepare --mode bccd'"):
        prepare_reading(
            reading_of(tmp_path / "in", with_mask(tmp_path / "in", "a")), tmp_path / "out", jobs=1
        )


def test_an_unknown_treatment_of_the_unlabelled_is_an_error(tmp_path: Path):
    with pytest.raises(SettingsError, match=r"unlabelled: received 'guess'; expected one of stain"):
        prepare_reading(reading_of(tmp_path), tmp_path / "out", unlabelled="guess")


def test_long_lists_are_cut_in_the_summary():
    failed = tuple(FailedImage(name=f"p{i}", reason=f"p{i}: damaged") for i in range(25))
    summary = PrepareSummary(
        output=Path("out"),
        mask_method="stain",
        split_counts={"no split": 1},
        cell_counts={},
        dropped=(),
        failed=failed,
    )
    lines = summary.to_text().splitlines()
    assert lines[-1] == "  and 5 more: see manifest.json"
    assert lines[-2] == "  p19: damaged"
