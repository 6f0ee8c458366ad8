import json
import os
from pathlib import Path

import numpy as np
import pytest
from support.prepared_pairs import BOX, CLASS_MASK, add_pair, by_stem, row, three_pairs

from blood_cell_system.annotation.splits import Split
from blood_cell_system.datasets.prepared import (
    UNFINISHED_NAME,
    PreparedDataset,
    files_by_stem,
    write_annotations,
    write_manifest,
)
from blood_cell_system.errors import DatasetError, ImageReadError, MaskFormatError, MissingDataError
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.imaging.mask_encoding import encode_class_mask
from blood_cell_system.taxonomy import PLATELET


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return three_pairs(tmp_path)


# Opening


def test_a_folder_made_by_hand_opens(root):
    dataset = PreparedDataset.open(root)
    assert [image.stem for image in dataset.images] == ["a", "b", "c"]
    image = dataset.images[0]
    assert (image.split, image.source, image.original) == (None, "unknown", "a")
    assert image.cells is None
    assert image.instance_path is None
    assert dataset.details == {}


def test_pairs_are_found_by_stem(root):
    (root / "images" / "a.png").rename(root / "images" / "a.JPG")
    image = by_stem(PreparedDataset.open(root))["a"]
    assert image.image_path.name == "a.JPG"
    assert image.mask_path.name == "a.png"


def test_manifest_and_annotations_come_back_as_they_were_written(root):
    rows = [
        row("c", split="train", source="lab", original="b"),
        row("a", split="val", source="lab", original="a"),
        row("b", split=None, source="lab", original="b"),
    ]
    write_manifest(root, rows, {"seed": 3, "settings": {"method": "stain"}})
    write_annotations(root, {"a": [BOX], "b": []})
    dataset = PreparedDataset.open(root)
    images = by_stem(dataset)
    assert [images[s].split for s in "abc"] == [Split.VAL, None, Split.TRAIN]
    assert [images[s].original for s in "abc"] == ["a", "b", "b"]
    assert [images[s].cells for s in "abc"] == [(BOX,), (), None]
    assert {image.source for image in dataset.images} == {"lab"}
    assert dataset.details["seed"] == 3
    assert dataset.details["settings"] == {"method": "stain"}
    assert "images" not in dataset.details


def test_outlines_of_cells_are_found(root):
    write_image(root / "instances" / "b.png", np.zeros((2, 2), np.uint16))
    images = by_stem(PreparedDataset.open(root))
    assert images["b"].instance_path == root / "instances" / "b.png"
    assert images["a"].instance_path is None


@pytest.mark.parametrize("name", ["", "images", "masks"])
def test_a_missing_folder_is_named(root, name):
    (root / name).rename(root.parent / f"{root.name}-moved")
    with pytest.raises(MissingDataError, match="there is no such folder") as caught:
        PreparedDataset.open(root)
    assert str(root / name) in str(caught.value)


def test_a_folder_without_images_is_an_error(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(DatasetError, match="no images in this folder"):
        PreparedDataset.open(tmp_path)


@pytest.mark.parametrize("folder", ["images", "masks"])
def test_an_image_or_mask_without_its_partner_is_named(root, folder):
    (root / folder / "b.png").unlink()
    with pytest.raises(DatasetError, match=r"1 file without a partner, for instance \['b'\]"):
        PreparedDataset.open(root)


def test_a_folder_that_a_killed_command_left_is_an_error(root):
    (root / UNFINISHED_NAME).write_text("{}")
    with pytest.raises(DatasetError, match="has not finished"):
        PreparedDataset.open(root)


@pytest.mark.parametrize(
    "rows", [[{"stem": "a", "split": "validation"}], [{"split": "val"}], ["a"], [{"stem": []}], 5]
)
def test_an_entry_that_cannot_be_read_is_an_error(root, rows):
    value = {"format_version": 1, "images": rows}
    (root / "manifest.json").write_text(json.dumps(value))
    with pytest.raises(DatasetError, match=r"manifest\.json: an entry of 'images' cannot be read"):
        PreparedDataset.open(root)


def test_an_unknown_split_is_named_with_those_that_are_known(root):
    write_manifest(root, [row("a", split="valid")], {})
    with pytest.raises(DatasetError, match=r"'valid'.*\['train', 'val', 'test'\]"):
        PreparedDataset.open(root)


def test_an_image_that_is_listed_twice_is_an_error(root):
    write_manifest(root, [row("a", split="train"), row("a", split="test")], {})
    with pytest.raises(DatasetError, match="lists 1 image twice"):
        PreparedDataset.open(root)


def test_a_listed_image_that_is_not_there_is_an_error(root):
    write_manifest(root, [row("z", split="train")], {})
    with pytest.raises(DatasetError, match=r"lists 1 image that is not in images/.*\['z'\]"):
        PreparedDataset.open(root)


def test_an_entry_without_an_original_is_an_original(root):
    write_manifest(root, [row("a", split="val", original=None)], {})
    assert not by_stem(PreparedDataset.open(root))["a"].is_augmented


def test_without_a_manifest_copies_are_known_by_their_names(root):
    for stem in ("a_aug1", "a_aug12", "z_aug1", "b_aug"):
        add_pair(root, stem)
    originals = {i.stem: i.original for i in PreparedDataset.open(root).images if i.is_augmented}
    assert originals == {"a_aug1": "a", "a_aug12": "a"}


def test_with_a_manifest_only_it_says_what_is_a_copy(root):
    add_pair(root, "a_aug1")
    write_manifest(root, [row("a"), row("a_aug1")], {})
    assert not any(image.is_augmented for image in PreparedDataset.open(root).images)


# Files of a folder


def test_hidden_files_folders_and_other_files_are_passed_over(tmp_path):
    for name in ("a.png", ".b.png", "notes.txt", "c.PNG", "._a.png"):
        (tmp_path / name).touch()
    (tmp_path / "d.png").mkdir()
    assert list(files_by_stem(tmp_path)) == ["a", "c"]


def test_two_images_of_one_stem_are_an_error(tmp_path):
    for name in ("a.png", "a.jpg"):
        (tmp_path / name).touch()
    with pytest.raises(DatasetError, match=r"a\.jpg and a\.png differ in nothing but their ending"):
        files_by_stem(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="names of bytes")
def test_a_name_that_is_not_utf_8_goes_all_the_way(root):
    stem = os.fsdecode(b"M\xfcller")
    add_pair(root, stem)
    write_manifest(root, [row(stem, split="test", original=stem)], {})
    write_annotations(root, {stem: [BOX]})
    dataset = PreparedDataset.open(root)
    assert by_stem(dataset)[stem].split == Split.TEST
    assert by_stem(dataset)[stem].cells == (BOX,)
    assert len(dataset.content_hash()) == 64


# Reading a pair


def test_a_pair_is_read(root):
    image, class_mask = PreparedDataset.open(root).images[0].read()
    assert image.shape == (2, 2, 3)
    np.testing.assert_array_equal(class_mask, CLASS_MASK)


def test_a_mask_of_another_size_is_an_error(root):
    write_image(root / "masks" / "a.png", encode_class_mask(np.zeros((3, 2), np.uint8)))
    with pytest.raises(MaskFormatError, match=r"a\.png: the mask has .* \(3, 2\), the image"):
        PreparedDataset.open(root).images[0].read()


def test_a_mask_outside_the_format_is_named(root):
    write_image(root / "masks" / "a.png", np.ones((2, 2, 3), np.uint8))
    with pytest.raises(MaskFormatError, match=r"masks/a\.png: Mask: 1 values besides 0 and 255"):
        PreparedDataset.open(root).images[0].read()


def test_a_damaged_image_is_named(root):
    (root / "images" / "a.png").write_bytes(b"no image")
    with pytest.raises(ImageReadError, match=r"images/a\.png"):
        PreparedDataset.open(root).images[0].read()


def test_unmarked_types_and_groups_come_back_from_the_manifest(root):
    rows = [
        row("a"),
        {"stem": "b", "unmarked_types": ["Platelet"], "group": "slide 3"},
        row("c"),
    ]
    write_manifest(root, rows, {})
    before = PreparedDataset.open(root)
    image = by_stem(before)["b"]
    assert (image.unmarked_types, image.group) == ((PLATELET,), "slide 3")
    write_manifest(root, [image.manifest_row() for image in before.images], {})
    assert PreparedDataset.open(root).images == before.images


def test_a_type_that_nobody_knows_is_no_unmarked_type(root):
    write_manifest(root, [row("a", unmarked_types=["Parasite"])], {})
    with pytest.raises(DatasetError, match="an entry of 'images' cannot be read"):
        PreparedDataset.open(root)


@pytest.mark.parametrize("name", ["annotations.json", "manifest.json"])
def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path: Path, name):
    add_pair(tmp_path, "a")
    (tmp_path / name).mkdir()
    with pytest.raises(DatasetError, match=f"{name}: cannot be read: a folder, not a file"):
        PreparedDataset.open(tmp_path)


@pytest.mark.parametrize("name", ["source", "original"])
def test_a_row_whose_text_is_none_is_refused(tmp_path: Path, name):
    add_pair(tmp_path, "a")
    rows = [{"stem": "a", name: ["x"]}]
    (tmp_path / "manifest.json").write_text(json.dumps({"format_version": 1, "images": rows}))
    with pytest.raises(DatasetError, match=r"an entry of 'images' cannot be read.*valid string"):
        PreparedDataset.open(tmp_path)
