from pathlib import Path

import numpy as np
import pytest

from blood_cell_system.annotation.sample import Annotation, Origin
from blood_cell_system.annotation.splits import Split
from blood_cell_system.atomic_files import write_json
from blood_cell_system.augmentation.augmentation_settings import AugmentationSettings
from blood_cell_system.augmentation.augmented_folder import write_augmented_folder
from blood_cell_system.boxes import Box
from blood_cell_system.cli.prepare import main
from blood_cell_system.datasets.prepared import (
    PreparedDataset,
    write_annotations,
    write_manifest,
)
from blood_cell_system.errors import (
    DatasetError,
    ImageReadError,
    MaskFormatError,
    MissingDataError,
    OutputError,
    SettingsError,
)
from blood_cell_system.imaging.image_file import read_image, read_label_image, write_image
from blood_cell_system.imaging.mask_encoding import encode_class_mask
from blood_cell_system.taxonomy import RBC, WBC

SHAPE = (64, 96)
SPLITS = {"a": "train", "b": "train", "c": "val", "d": "test"}
CELLS = (
    Annotation(cell_type=RBC, box=Box(8, 8, 28, 28)),
    Annotation(cell_type=WBC, box=Box(40, 20, 70, 50), origin=Origin.STAIN),
)


def labels_of(cells=CELLS) -> np.ndarray:
    rows, columns = np.indices(SHAPE) + 0.5
    labels = np.zeros(SHAPE, np.uint16)
    for number, cell in enumerate(cells, start=1):
        x, y = cell.centre
        inside = ((columns - x) / cell.width) ** 2 + ((rows - y) / cell.height) ** 2 <= 0.25
        labels[inside] = number
    return labels


def write_pair(root: Path, stem: str, *, suffix: str = ".png") -> None:
    labels = labels_of()
    image = np.array([(230, 225, 228), (200, 130, 140), (100, 70, 150)], np.uint8)[labels]
    write_image(root / "images" / f"{stem}{suffix}", image)
    write_image(root / "masks" / f"{stem}.png", encode_class_mask(labels.astype(np.uint8)))


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A folder made by hand: images and masks."""
    for stem in SPLITS:
        write_pair(tmp_path / "plain", stem, suffix=".jpg" if stem == "a" else ".png")
    return tmp_path / "plain"


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """A folder with splits, boxes and label images."""
    root = tmp_path / "full"
    for stem in SPLITS:
        write_pair(root, stem)
        write_image(root / "instances" / f"{stem}.png", labels_of())
    write_annotations(root, dict.fromkeys(SPLITS, CELLS))
    rows = [
        {"stem": stem, "split": split, "source": "lab", "original": stem}
        for stem, split in SPLITS.items()
    ]
    write_manifest(root, rows, {"command": "test", "seed": 4})
    return root


def augment(source: Path, output: Path, *, copies: int = 2, seed: int = 1, **options):
    return write_augmented_folder(source, output, copies=copies, seed=seed, **options)


def contents(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def copies_in(root: Path):
    return [image for image in PreparedDataset.open(root).images if image.is_augmented]


def test_only_training_images_have_copies(full: Path, tmp_path: Path):
    augment(full, tmp_path / "out")
    images = PreparedDataset.open(tmp_path / "out").images
    assert [image.stem for image in images] == [
        "a", "a_aug1", "a_aug2", "b", "b_aug1", "b_aug2", "c", "d",
    ]  # fmt: skip


def test_copies_know_their_original_its_split_and_its_source(full: Path, tmp_path: Path):
    augment(full, tmp_path / "out")
    known = {(copy.original, copy.split, copy.source) for copy in copies_in(tmp_path / "out")}
    assert known == {("a", Split.TRAIN, "lab"), ("b", Split.TRAIN, "lab")}


def test_originals_are_the_same_bytes(plain: Path, tmp_path: Path):
    augment(plain, tmp_path / "out")
    written = contents(tmp_path / "out")
    assert all(written[name] == data for name, data in contents(plain).items())


def test_copies_have_the_size_of_their_original_and_valid_masks(full: Path, tmp_path: Path):
    augment(full, tmp_path / "out", copies=6)
    for copy in copies_in(tmp_path / "out"):
        image, class_mask = copy.read()
        assert image.shape == (*SHAPE, 3)
        assert class_mask.shape == SHAPE


def test_copies_differ_from_their_original_and_from_each_other(full: Path, tmp_path: Path):
    augment(full, tmp_path / "out")
    names = ("a", "a_aug1", "a_aug2", "b_aug1")
    images = [read_image(tmp_path / "out" / "images" / f"{name}.png") for name in names]
    assert len({image.tobytes() for image in images}) == 4


def test_labels_boxes_and_masks_of_a_copy_agree(full: Path, tmp_path: Path):
    settings = AugmentationSettings(scale_range=(0.9, 1.1), elastic_share=0.5)
    augment(full, tmp_path / "out", copies=10, settings=settings)
    for copy in copies_in(tmp_path / "out"):
        _, class_mask = copy.read()
        labels = read_label_image(copy.instance_path)
        assert labels.max(initial=0) <= len(copy.cells)
        for number, cell in enumerate(copy.cells, start=1):
            rows, columns = np.nonzero(labels == number)
            assert set(class_mask[rows, columns]) == {1 if cell.cell_type == RBC else 2}
            found = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            given = cell.x_min, cell.y_min, cell.x_max, cell.y_max
            if cell.origin == Origin.STAIN:
                assert found == given
            elif min(found[:2]) > 0 and found[2] < SHAPE[1] and found[3] < SHAPE[0]:
                assert np.abs(np.subtract(found, given)).max() <= 2


def test_pixels_of_a_cell_without_a_box_have_no_number(full: Path, tmp_path: Path):
    settings = AugmentationSettings(scale_range=(4, 4), any_angle_share=0, elastic_share=0)
    augment(full, tmp_path / "out", copies=1, settings=settings)
    copy = copies_in(tmp_path / "out")[0]
    assert [cell.cell_type for cell in copy.cells] == [WBC]
    labels = read_label_image(copy.instance_path)
    assert set(np.unique(labels)) <= {0, 1}


def test_a_plain_folder_gets_splits_that_copies_keep(plain: Path, tmp_path: Path):
    summary = augment(plain, tmp_path / "out")
    dataset = PreparedDataset.open(tmp_path / "out")
    assert {image.split for image in dataset.images} == set(Split)
    splits = {image.stem: image.split for image in dataset.images}
    assert all(splits[image.original] == image.split for image in dataset.images)
    assert "given one" in summary.to_text()


def test_a_plain_folder_stays_without_boxes_and_label_images(plain: Path, tmp_path: Path):
    augment(plain, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "images", "masks", "manifest.json",
    }  # fmt: skip


def test_the_number_of_processes_changes_nothing(full: Path, tmp_path: Path):
    augment(full, tmp_path / "one", jobs=1)
    augment(full, tmp_path / "two", jobs=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_running_it_again_changes_nothing(full: Path, tmp_path: Path):
    augment(full, tmp_path / "out")
    before = contents(tmp_path / "out")
    augment(full, tmp_path / "out")
    assert contents(tmp_path / "out") == before


def test_another_seed_gives_other_copies(full: Path, tmp_path: Path):
    augment(full, tmp_path / "one", seed=1)
    augment(full, tmp_path / "two", seed=2)
    first, second = (contents(tmp_path / name)["images/a_aug1.png"] for name in ("one", "two"))
    assert first != second


def test_more_copies_keep_the_first_ones(full: Path, tmp_path: Path):
    augment(full, tmp_path / "one", copies=1)
    augment(full, tmp_path / "two", copies=2)
    first, second = (contents(tmp_path / name)["images/a_aug1.png"] for name in ("one", "two"))
    assert first == second


def test_fewer_copies_leave_none_of_a_former_run(full: Path, tmp_path: Path):
    augment(full, tmp_path / "out", copies=3)
    augment(full, tmp_path / "out", copies=1)
    augment(full, tmp_path / "fresh", copies=1)
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


def test_copies_of_copies_are_not_made(full: Path, tmp_path: Path):
    augment(full, tmp_path / "once", copies=1)
    summary = augment(tmp_path / "once", tmp_path / "twice", copies=2)
    assert len(copies_in(tmp_path / "twice")) == 4
    assert {copy.original for copy in copies_in(tmp_path / "twice")} == {"a", "b"}
    assert "2 copies of a former augmentation were left out" in summary.to_text()


def test_a_copy_that_no_manifest_knows_is_an_error(full: Path, tmp_path: Path):
    write_pair(full, "a_aug1")
    with pytest.raises(DatasetError, match="a_aug1, and no manifest says that it is a copy of a;"):
        augment(full, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_manifest_tells_how_the_folder_was_made(full: Path, tmp_path: Path):
    augment(full, tmp_path / "out", copies=2, seed=7)
    details = PreparedDataset.open(tmp_path / "out").details
    assert details["seed"] == 7
    assert details["settings"]["copies"] == 2
    assert details["source_hash"] == PreparedDataset.open(full).content_hash()
    assert details["source_details"]["seed"] == 4


@pytest.mark.parametrize("copies", [0, -1])
def test_no_copies_are_an_error(full: Path, tmp_path: Path, copies: int):
    with pytest.raises(SettingsError, match=f"received {copies}; expected 1 or more"):
        augment(full, tmp_path / "out", copies=copies)


@pytest.mark.parametrize("place", [".", "augmented", "../full/images"])
def test_an_output_in_the_input_is_an_error(full: Path, place: str):
    with pytest.raises(SettingsError, match=r"is the input, or lies in it"):
        augment(full, full / place)


def test_a_missing_input_is_an_error(tmp_path: Path):
    with pytest.raises(MissingDataError):
        augment(tmp_path / "nowhere", tmp_path / "out")


def test_a_mask_of_another_size_is_an_error(full: Path, tmp_path: Path):
    write_image(full / "masks" / "a.png", np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(MaskFormatError, match=r"masks/a\.png: the mask has"):
        augment(full, tmp_path / "out")


def test_a_damaged_mask_of_an_image_without_copies_is_an_error(full: Path, tmp_path: Path):
    (full / "masks" / "d.png").write_bytes(b"no mask")
    with pytest.raises(ImageReadError, match=r"d\.png"):
        write_augmented_folder(full, tmp_path / "out", copies=1, jobs=1)


def test_a_label_image_of_another_size_is_an_error(full: Path, tmp_path: Path):
    write_image(full / "instances" / "a.png", np.zeros((9, 9), np.uint16))
    with pytest.raises(MaskFormatError, match=r"instances/a\.png: has .* \(9, 9\), the image"):
        augment(full, tmp_path / "out")


def test_a_stopped_run_leaves_a_mark_and_the_next_completes_it(full: Path, tmp_path: Path):
    mask = (full / "masks" / "b.png").read_bytes()
    (full / "masks" / "b.png").write_bytes(mask[:40])
    with pytest.raises(OSError, match="not an image"):
        augment(full, tmp_path / "out")
    with pytest.raises(DatasetError, match="has not finished"):
        PreparedDataset.open(tmp_path / "out")
    (full / "masks" / "b.png").write_bytes(mask)
    augment(full, tmp_path / "out")
    augment(full, tmp_path / "fresh")
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


def test_a_folder_of_something_else_is_no_output(full: Path, tmp_path: Path):
    write_pair(tmp_path / "out", "mine")
    with pytest.raises(OutputError, match="has not written"):
        augment(full, tmp_path / "out")


def test_a_label_that_no_box_stands_for_loses_its_number(full: Path, tmp_path: Path):
    write_annotations(full, dict.fromkeys(SPLITS, CELLS[:1]))
    augment(full, tmp_path / "out")
    for copy in copies_in(tmp_path / "out"):
        assert read_label_image(copy.instance_path).max() <= 1


def test_label_images_without_boxes_keep_their_numbers(full: Path, tmp_path: Path):
    write_json(full / "annotations.json", {"format_version": 1, "images": {}})
    augment(full, tmp_path / "out")
    copy = copies_in(tmp_path / "out")[0]
    assert copy.cells is None
    assert read_label_image(copy.instance_path).max() == 2


def test_the_command_says_what_it_made(full: Path, tmp_path: Path, capsys):
    words = ["--mode", "augment", "--input", str(full), "--output", str(tmp_path / "out")]
    assert main([*words, "--aug-factor", "3", "--jobs", "1"]) == 0
    text = capsys.readouterr().out
    assert "10 images" in text
    assert "4 originals (train 2, val 1, test 1)" in text
    assert "6 augmented copies, 3 of every training image" in text
