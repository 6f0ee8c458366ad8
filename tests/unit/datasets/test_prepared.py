import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blood_cell_system.boxes import BoxOrigin, LabelledBox
from blood_cell_system.classes import CellType
from blood_cell_system.datasets.prepared import (
    UNFINISHED_NAME,
    PreparedDataset,
    PreparedImage,
    Split,
    files_by_stem,
    read_versioned_json,
    write_annotations,
    write_manifest,
)
from blood_cell_system.errors import DatasetError, ImageReadError, MaskFormatError, MissingDataError
from blood_cell_system.image_io import write_image
from blood_cell_system.mask_encoding import encode_class_mask

CLASS_MASK = np.array([[0, 1], [2, 255]], np.uint8)
BOX = LabelledBox(
    cell_type=CellType.PLATELET, x_min=0.5, y_min=0, x_max=2, y_max=1.25, origin=BoxOrigin.DRAWN
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for stem in ("a", "b", "c"):
        add_pair(tmp_path, stem)
    return tmp_path


def add_pair(root: Path, stem: str) -> None:
    write_image(root / "images" / f"{stem}.png", np.full((2, 2, 3), 200, np.uint8))
    write_image(root / "masks" / f"{stem}.png", encode_class_mask(CLASS_MASK))


def row(stem: str, **others: str | None) -> dict[str, str | None]:
    return {"stem": stem, **others}


def by_stem(dataset: PreparedDataset) -> dict[str, PreparedImage]:
    return {image.stem: image for image in dataset.images}


def drawn(count: int, copies: int = 0, **splits: Split) -> PreparedDataset:
    """Make a data set of so many originals, each with its copies, that is on no disk."""
    names = [
        (f"p{number}{f'_aug{copy}' if copy else ''}", f"p{number}")
        for number in range(count)
        for copy in range(copies + 1)
    ]
    images = tuple(
        PreparedImage(
            stem=stem,
            image_path=Path(stem),
            mask_path=Path(stem),
            original=original,
            split=splits.get(stem),
        )
        for stem, original in sorted(names)
    )
    return PreparedDataset(root=Path("nowhere"), images=images)


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


def test_equal_input_gives_equal_files(root):
    contents = []
    for order in ("abc", "cba"):
        write_manifest(root, [row(stem, split="train") for stem in order], {"seed": 0})
        contents.append((root / "manifest.json").read_bytes())
    assert contents[0] == contents[1]


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


def test_a_folder_without_pictures_is_an_error(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(DatasetError, match="no pictures in this folder"):
        PreparedDataset.open(tmp_path)


@pytest.mark.parametrize("folder", ["images", "masks"])
def test_a_picture_or_mask_without_its_partner_is_named(root, folder):
    (root / folder / "b.png").unlink()
    with pytest.raises(DatasetError, match=r"1 files without their partner, for instance \['b'\]"):
        PreparedDataset.open(root)


def test_a_folder_that_a_killed_command_left_is_an_error(root):
    (root / UNFINISHED_NAME).write_text("{}")
    with pytest.raises(DatasetError, match="has not finished"):
        PreparedDataset.open(root)


@pytest.mark.parametrize("name", ["manifest.json", "annotations.json"])
@pytest.mark.parametrize("text", ["{", "", "\udcff", '{"format_version": 1, "iou": NaN}'])
def test_a_file_that_is_not_json_is_an_error(root, name, text):
    (root / name).write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(DatasetError, match=rf"{name}: not a JSON file"):
        PreparedDataset.open(root)


def test_a_json_file_that_cannot_be_read_is_an_error(root, monkeypatch):
    (root / "manifest.json").write_text("{}")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(DatasetError, match="Permission denied"):
        PreparedDataset.open(root)


@pytest.mark.parametrize("name", ["manifest.json", "annotations.json"])
@pytest.mark.parametrize("value", [[], {}, {"format_version": 2}, {"format_version": "1"}])
def test_a_json_file_of_another_version_is_an_error(root, name, value):
    (root / name).write_text(json.dumps(value))
    with pytest.raises(DatasetError, match=rf"{name}: expected an object with format_version 1"):
        PreparedDataset.open(root)


def test_a_json_file_that_is_not_there_is_empty(tmp_path):
    assert read_versioned_json(tmp_path / "manifest.json") == {}


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


def test_a_picture_that_is_listed_twice_is_an_error(root):
    write_manifest(root, [row("a", split="train"), row("a", split="test")], {})
    with pytest.raises(DatasetError, match="lists 1 pictures twice"):
        PreparedDataset.open(root)


def test_a_listed_picture_that_is_not_there_is_an_error(root):
    write_manifest(root, [row("z", split="train")], {})
    with pytest.raises(DatasetError, match=r"lists 1 pictures that are not in images/.*\['z'\]"):
        PreparedDataset.open(root)


def test_an_entry_without_an_original_is_an_original(root):
    write_manifest(root, [row("a", split="val", original=None)], {})
    assert not by_stem(PreparedDataset.open(root))["a"].is_augmented


@pytest.mark.parametrize(
    "cell",
    [
        {"cell_type": "rbc", "bbox": [0, 0, 1, 1]},
        {"cell_type": "RBC", "bbox": [0, 0, 1]},
        {"cell_type": "RBC", "bbox": [0, 0, 1, 1, 1]},
        {"cell_type": "RBC", "bbox": [0, 0, 1, "x"]},
        {"cell_type": "RBC"},
        {"cell_type": "RBC", "bbox": [0, 0, 1, 1], "origin": "guess"},
        "RBC",
    ],
)
def test_a_cell_that_cannot_be_read_is_an_error(root, cell):
    value = {"format_version": 1, "images": {"a": [cell]}}
    (root / "annotations.json").write_text(json.dumps(value))
    with pytest.raises(DatasetError, match=r"annotations\.json: a cell cannot be read"):
        PreparedDataset.open(root)


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


def test_two_pictures_of_one_stem_are_an_error(tmp_path):
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
    with pytest.raises(MaskFormatError, match=r"a\.png: the mask has .* \(3, 2\), the picture"):
        PreparedDataset.open(root).images[0].read()


def test_a_mask_outside_the_format_is_named(root):
    write_image(root / "masks" / "a.png", np.ones((2, 2, 3), np.uint8))
    with pytest.raises(MaskFormatError, match=r"masks/a\.png: Mask: 1 values besides 0 and 255"):
        PreparedDataset.open(root).images[0].read()


def test_a_damaged_picture_is_named(root):
    (root / "images" / "a.png").write_bytes(b"no picture")
    with pytest.raises(ImageReadError, match=r"images/a\.png"):
        PreparedDataset.open(root).images[0].read()


# Splits


@given(st.integers(1, 40), st.integers(0, 3), st.integers(0, 5))
def test_copies_stay_with_their_original(count, copies, seed):
    splits = {}
    for image in drawn(count, copies).with_splits(seed).images:
        assert image.split is not None
        assert splits.setdefault(image.original, image.split) == image.split


@given(st.integers(3, 60), st.integers(0, 5))
def test_with_three_originals_or_more_no_split_is_empty(count, seed):
    counts = Counter(image.split for image in drawn(count).with_splits(seed).images)
    assert set(counts) == set(Split)
    assert counts[Split.VAL] == counts[Split.TEST] == max(1, round(0.15 * count))


@pytest.mark.parametrize(("count", "expected"), [(1, {"train"}), (2, {"train", "val"})])
def test_few_originals_are_learned_from_first(count, expected):
    assert {image.split for image in drawn(count).with_splits(0).images} == expected


def test_the_splits_depend_on_the_seed_alone():
    first, again, other = (drawn(30).with_splits(seed).images for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_splits_that_are_known_are_kept():
    dataset = drawn(9, 1, p0=Split.TEST, p1=Split.TRAIN, p1_aug1=Split.TRAIN).with_splits(0)
    images = by_stem(dataset)
    assert images["p0"].split == images["p0_aug1"].split == Split.TEST
    assert images["p1"].split == images["p1_aug1"].split == Split.TRAIN


def test_a_copy_without_a_split_follows_its_original_when_all_others_are_known():
    assert by_stem(drawn(1, 1, p0=Split.VAL).with_splits(0))["p0_aug1"].split == Split.VAL


def test_a_data_set_with_all_splits_stays_as_it_is():
    dataset = drawn(5).with_splits(0)
    assert dataset.with_splits(1) is dataset


def test_copies_are_learned_from_but_never_measured_on():
    dataset = drawn(12, 2).with_splits(0)
    assert any(image.is_augmented for image in dataset.of_split(Split.TRAIN))
    for split in (Split.VAL, Split.TEST):
        assert dataset.of_split(split)
        assert not any(image.is_augmented for image in dataset.of_split(split))


# Fewer pictures


def test_fewer_originals_are_kept_with_their_copies_and_the_other_splits_whole():
    dataset = drawn(20, 1).with_splits(0)
    few = dataset.limited(3, seed=0)
    assert Counter(i.original for i in few.of_split(Split.TRAIN)).most_common() == [
        (original, 2) for original in dict.fromkeys(i.original for i in few.of_split(Split.TRAIN))
    ]
    assert len({image.original for image in few.of_split(Split.TRAIN)}) == 3
    for split in (Split.VAL, Split.TEST):
        assert few.of_split(split) == dataset.of_split(split)


def test_which_are_kept_depends_on_the_seed_alone():
    dataset = drawn(40).with_splits(0)
    first, again, other = (dataset.limited(5, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_more_pictures_contain_the_fewer():
    dataset = drawn(40).with_splits(0)
    assert set(dataset.limited(5, seed=0).images) < set(dataset.limited(9, seed=0).images)


@pytest.mark.parametrize("count", [-1, 0, 15])
def test_a_number_of_pictures_that_there_is_not_is_an_error(count):
    with pytest.raises(DatasetError, match=rf"{count} pictures asked for.*has 14 originals"):
        drawn(20).with_splits(0).limited(count, seed=0)


# Hash of the contents


def test_the_hash_of_equal_contents_is_equal(root):
    assert PreparedDataset.open(root).content_hash() == PreparedDataset.open(root).content_hash()


def test_the_hash_does_not_depend_on_where_the_folder_is(root, tmp_path_factory):
    before = PreparedDataset.open(root).content_hash()
    moved = root.rename(tmp_path_factory.mktemp("elsewhere") / "moved")
    assert PreparedDataset.open(moved).content_hash() == before


@pytest.mark.parametrize("name", ["images/a.png", "masks/c.png", "instances/b.png"])
def test_the_hash_changes_with_any_byte_of_a_file(root, name):
    write_image(root / "instances" / "b.png", np.zeros((2, 2), np.uint16))
    path = root / name
    dataset = PreparedDataset.open(root)
    hashes, data = {dataset.content_hash()}, path.read_bytes()
    for position in range(0, len(data), 7):
        changed = bytearray(data)
        changed[position] ^= 1
        path.write_bytes(changed)
        hashes.add(dataset.content_hash())
    assert len(hashes) == 1 + len(range(0, len(data), 7))


def test_the_hash_changes_when_bytes_move_from_picture_to_mask(root):
    image, mask = root / "images" / "a.png", root / "masks" / "a.png"
    dataset = PreparedDataset.open(root)
    before = dataset.content_hash()
    data = image.read_bytes()
    image.write_bytes(data[:-1])
    mask.write_bytes(data[-1:] + mask.read_bytes())
    assert dataset.content_hash() != before


def test_the_hash_changes_with_boxes_splits_and_originals(root):
    hashes = {PreparedDataset.open(root).content_hash()}
    write_annotations(root, {"a": [BOX]})
    hashes.add(PreparedDataset.open(root).content_hash())
    write_manifest(root, [row("a", split="train")], {})
    hashes.add(PreparedDataset.open(root).content_hash())
    write_manifest(root, [row("a", split="train", original="b")], {})
    hashes.add(PreparedDataset.open(root).content_hash())
    assert len(hashes) == 4


def test_a_file_that_has_gone_is_missing(root):
    dataset = PreparedDataset.open(root)
    (root / "masks" / "a.png").unlink()
    with pytest.raises(MissingDataError, match=r"masks/a\.png"):
        dataset.content_hash()


def test_unmarked_types_and_groups_come_back_from_the_manifest(root):
    rows = [
        row("a"),
        {"stem": "b", "unmarked_types": ["Platelet"], "group": "slide 3"},
        row("c"),
    ]
    write_manifest(root, rows, {})
    before = PreparedDataset.open(root)
    image = by_stem(before)["b"]
    assert (image.unmarked_types, image.group) == ((CellType.PLATELET,), "slide 3")
    write_manifest(root, [image.manifest_row() for image in before.images], {})
    assert PreparedDataset.open(root).images == before.images


def test_a_type_that_nobody_knows_is_no_unmarked_type(root):
    write_manifest(root, [row("a", unmarked_types=["Parasite"])], {})
    with pytest.raises(DatasetError, match="an entry of 'images' cannot be read"):
        PreparedDataset.open(root)


def test_what_is_not_marked_is_part_of_what_can_be_learned_from(root):
    before = PreparedDataset.open(root).content_hash()
    write_manifest(root, [row("a", unmarked_types=["Platelet"]), row("b"), row("c")], {})
    assert PreparedDataset.open(root).content_hash() != before
