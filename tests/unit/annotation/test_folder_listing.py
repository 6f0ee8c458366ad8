import os
from pathlib import Path

import pytest

from blood_cell_system.annotation.folder_listing import FolderListing
from blood_cell_system.errors import AnnotationError, DatasetError, MissingDataError


def listed(root: Path, *names: str) -> FolderListing:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    return FolderListing.of(root)


def named(listing: FolderListing, reference: str, beside: str = "") -> str:
    found = listing.image_named(reference, beside=listing.root / beside, where="a.json")
    return found.relative_to(listing.root).as_posix()


def test_files_come_in_order_without_what_is_hidden(tmp_path: Path):
    listing = listed(tmp_path, "b.PNG", "x/a.jpg", ".hidden.png", "__MACOSX/a.png", "Thumbs.db")
    assert [path.name for path in listing.files] == ["b.PNG", "a.jpg"]
    assert len(listing.images()) == 2


@pytest.mark.parametrize(
    "reference",
    ["a.png", "A.PNG", "a", "a.tif", "old/a.png", "C:\\x\\a.png", "/x/a.png", "../../a.png"],
)
def test_an_image_is_found_by_the_end_of_any_path(tmp_path: Path, reference: str):
    assert named(listed(tmp_path, "images/a.png", "images/b.png"), reference) == "images/a.png"


def test_the_images_nearest_to_the_labels_belong_to_them(tmp_path: Path):
    listing = listed(tmp_path, "x/images/a.png", "y/images/a.png")
    assert named(listing, "a.png", beside="y/labels") == "y/images/a.png"
    assert named(listing, "a.png", beside="x") == "x/images/a.png"


def test_folders_of_the_reference_tell_images_of_one_name_apart(tmp_path: Path):
    listing = listed(tmp_path, "x/a.png", "y/a.png")
    assert named(listing, "D:\\smears\\y\\a.png") == "y/a.png"


def test_the_image_beside_the_label_file_comes_first(tmp_path: Path):
    listing = listed(tmp_path, "x/a.png", "y/a.png")
    assert named(listing, "a.png", beside="y") == "y/a.png"


def test_a_name_that_two_images_fit_is_an_error(tmp_path: Path):
    with pytest.raises(AnnotationError, match=r"x/a\.png and .*y/a\.png both fit"):
        named(listed(tmp_path, "x/a.png", "y/a.png"), "a.png")


@pytest.mark.parametrize("reference", ["b.png", "", "/"])
def test_an_image_that_is_not_there_is_an_error(tmp_path: Path, reference: str):
    with pytest.raises(MissingDataError, match="which is not in"):
        named(listed(tmp_path, "a.png"), reference)


def test_names_are_unlike_all_others(tmp_path: Path):
    listing = listed(
        tmp_path, "set/x/a.png", "set/y/a.png", "set/y/a.jpg", "set/y/b.png", "set/z/A.png"
    )
    stems = [listing.stem_of(path) for path in listing.files]
    assert stems == ["x_a", "y_a_jpg", "y_a_png", "b", "z_A"]


def test_names_stay_unlike_where_they_meet_another(tmp_path: Path):
    listing = listed(tmp_path, "x/a.png", "y/a.png", "x_a.png")
    stems = [listing.stem_of(path) for path in listing.files]
    assert len({stem.casefold() for stem in stems}) == 3


def test_a_missing_folder_is_an_error(tmp_path: Path):
    with pytest.raises(MissingDataError):
        FolderListing.of(tmp_path / "nowhere")


def test_a_folder_that_cannot_be_listed_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(_):
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DatasetError, match="cannot be listed"):
        FolderListing.of(tmp_path)


def test_the_beginning_of_a_file_in_another_encoding_is_recognised(tmp_path: Path):
    (tmp_path / "a.json").write_bytes('{"shapes": "细胞"'.encode("gbk"))
    listing = FolderListing.of(tmp_path)
    assert listing.head(tmp_path / "a.json").startswith('{"shapes": ')
    assert listing.head(tmp_path / "nowhere.json") == ""


@pytest.mark.parametrize("text", ["abc", "ä" * 70_000, "x" + "ä" * 70_000, "€" * 70_000])
def test_the_beginning_of_a_file_is_text(tmp_path: Path, text: str):
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    head = FolderListing.of(tmp_path).head(tmp_path / "a.json")
    assert text.startswith(head)
    assert len(head) >= min(len(text), 20_000)
