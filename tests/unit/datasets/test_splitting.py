import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.smears import small_prepared_folder

from blood_cell_system.annotation.splits import Split
from blood_cell_system.datasets.prepared import (
    PreparedDataset,
    PreparedImage,
    write_manifest,
)
from blood_cell_system.datasets.splitting import GroupBy, groups_by, split_folder
from blood_cell_system.errors import DatasetError, MissingDataError, SettingsError
from blood_cell_system.imaging.image_file import read_image, write_image

COUNT = 8


@pytest.fixture
def folder(tmp_path):
    """Eight smears of four slides: s0_f0, s0_f1, s1_f0, ..."""
    root = small_prepared_folder(tmp_path / "data", count=COUNT, shape=(96, 112))
    for number in range(COUNT):
        for kind in ("images", "masks", "instances"):
            (root / kind / f"smear_{number:05d}.png").rename(root / kind / f"{stem(number)}.png")
    for name in ("manifest.json", "annotations.json"):
        text = (root / name).read_text()
        for number in range(COUNT):
            text = text.replace(f"smear_{number:05d}", stem(number))
        (root / name).write_text(text)
    return root


def stem(number):
    return f"s{number // 2}_f{number % 2}"


def splits(root):
    return {image.stem: image.split for image in PreparedDataset.open(root).images}


def image(name, *, source="a", group=None):
    return PreparedImage(
        stem=name,
        image_path=Path("i"),
        mask_path=Path("m"),
        original=name,
        source=source,
        group=group,
    )


def test_a_slide_is_never_parted(folder):
    summary = split_folder(
        folder, by=GroupBy.SLIDE, pattern=r"s(\d+)", val_share=0.25, test_share=0.25, jobs=1
    )
    after = splits(folder)
    for slide in range(4):
        assert after[f"s{slide}_f0"] == after[f"s{slide}_f1"]
    assert summary.counts == {"train": (4, 2), "val": (2, 1), "test": (2, 1)}


def test_the_manifest_keeps_what_it_said_and_learns_the_slides(folder):
    before = json.loads((folder / "manifest.json").read_text())
    split_folder(folder, by=GroupBy.SLIDE, pattern=r"s\d+", jobs=1)
    after = json.loads((folder / "manifest.json").read_text())
    for name in ("command", "settings", "software_version", "versions"):
        assert after[name] == before[name]
    assert {row["group"] for row in after["images"]} == {"s0", "s1", "s2", "s3"}
    # Which is enough to do it again without the pattern.
    split_folder(folder, by=GroupBy.SLIDE, seed=1, jobs=1)


def test_the_same_seed_deals_the_same_splits(folder):
    split_folder(folder, seed=3, jobs=1)
    first = splits(folder)
    split_folder(folder, seed=4, jobs=1)
    split_folder(folder, seed=3, jobs=1)
    assert splits(folder) == first


def test_a_check_writes_nothing_and_finds_what_is_parted(folder):
    dataset = PreparedDataset.open(folder)
    rows = [
        replace(i, split=Split.TEST if i.stem == "s1_f1" else Split.TRAIN).manifest_row()
        for i in dataset.images
    ]
    write_manifest(folder, rows, dataset.details)
    before = (folder / "manifest.json").read_bytes()
    summary = split_folder(folder, by=GroupBy.SLIDE, pattern=r"s\d+", is_check=True, jobs=1)
    assert (folder / "manifest.json").read_bytes() == before
    (leak,) = summary.leaks_before
    assert (leak.what, leak.splits) == ("s1", (Split.TRAIN, Split.TEST))
    assert "leaks now: 1" in summary.to_text()
    assert "s1: in train, test, for instance s1_f0, s1_f1" in summary.to_text()


def test_the_same_field_on_two_slides_joins_them(folder):
    field = read_image(folder / "images" / "s0_f0.png")
    write_image(folder / "images" / "s3_f1.png", field[::-1].copy())
    summary = split_folder(folder, by=GroupBy.SLIDE, pattern=r"s\d+", jobs=1)
    after = splits(folder)
    assert after["s0_f1"] == after["s3_f0"]
    assert summary.same_field_count == 1


def test_a_table_tells_the_patients(folder, tmp_path):
    table = tmp_path / "patients.csv"
    lines = [f"images\\{stem(n)}.jpg,p{n // 4}" for n in range(COUNT)]
    table.write_text("\n".join(["image,patient", *lines]), encoding="utf-8-sig")
    split_folder(folder, by=GroupBy.PATIENT, table=table, val_share=0.5, test_share=0, jobs=1)
    after = splits(folder)
    assert len({after[f"s{n}_f0"] for n in (0, 1)}) == 1
    assert set(after.values()) == {Split.TRAIN, Split.VAL}


def test_a_folder_without_a_manifest_gets_one(folder):
    (folder / "manifest.json").unlink()
    split_folder(folder, jobs=1)
    assert set(splits(folder).values()) == set(Split)


def test_sources_are_groups_of_their_own():
    images = [image("a", source="x"), image("b", source="y")]
    assert groups_by(images, GroupBy.SOURCE) == ["x", "y"]


def test_a_pattern_without_parentheses_gives_all_that_it_matches():
    assert groups_by([image("s12_f1")], GroupBy.SLIDE, pattern=r"s\d+") == ["s12"]


def test_an_image_of_unknown_slide_is_an_error():
    with pytest.raises(DatasetError, match=r"the slide of 1 of 2 images is not known.* of odd"):
        groups_by([image("s1"), image("odd")], GroupBy.SLIDE, pattern=r"s\d")


def test_a_pattern_that_is_none_is_an_error():
    with pytest.raises(SettingsError, match="not a regular expression"):
        groups_by([image("a")], GroupBy.SLIDE, pattern="(")


def test_pattern_and_table_together_are_an_error(tmp_path):
    with pytest.raises(SettingsError, match="expected one of them"):
        groups_by([image("a")], GroupBy.SLIDE, pattern="a", table=tmp_path / "t.csv")


def test_a_missing_table_is_an_error(tmp_path):
    with pytest.raises(MissingDataError, match="no such file"):
        groups_by([image("a")], GroupBy.SLIDE, table=tmp_path / "t.csv")


def test_a_table_of_other_columns_is_an_error(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("a;b\n1;2\n")
    with pytest.raises(DatasetError, match="no column image, group; found a, b"):
        groups_by([image("a")], GroupBy.SLIDE, table=table)


def test_a_table_of_older_spreadsheets_is_read(tmp_path):
    table = tmp_path / "t.csv"
    table.write_bytes("image,slide\na,Träger 1\n".encode("latin-1"))
    assert groups_by([image("a")], GroupBy.SLIDE, table=table) == ["Träger 1"]


def test_a_table_in_an_unknown_encoding_is_an_error(tmp_path):
    table = tmp_path / "t.csv"
    table.write_bytes(b"image,slide\na,\x80\x81\x82\x83\n")
    with pytest.raises(DatasetError, match="not text in UTF-8"):
        groups_by([image("a")], GroupBy.SLIDE, table=table)


def test_shares_that_leave_nothing_are_an_error(folder):
    with pytest.raises(SettingsError, match="leave something to learn from"):
        split_folder(folder, val_share=0.6, test_share=0.5)


def test_fewer_groups_than_splits_are_an_error(folder):
    with pytest.raises(SettingsError, match="1 group cannot be split into 3 splits"):
        split_folder(folder, by=GroupBy.SOURCE, jobs=1)


@pytest.mark.parametrize(
    ("line", "words"),
    [("b", "line 3 has fewer columns"), (f"b,{'1' * 200_000}", "line 3 is no row of a table")],
)
def test_a_row_of_a_table_that_cannot_be_read_is_an_error(tmp_path, line, words):
    table = tmp_path / "t.csv"
    table.write_text(f"image,slide\na,1\n{line}\n")
    with pytest.raises(DatasetError, match=words):
        groups_by([image("a")], GroupBy.SLIDE, table=table)


def test_a_first_line_that_is_no_row_is_an_error(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text(f"image,{'s' * 200_000}\na,1\n")
    with pytest.raises(DatasetError, match="line 1 is no row of a table"):
        groups_by([image("a")], GroupBy.SLIDE, table=table)
