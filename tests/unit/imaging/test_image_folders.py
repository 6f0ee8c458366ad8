from pathlib import Path

import pytest

from blood_cell_system.errors import SettingsError
from blood_cell_system.imaging.image_folders import (
    is_image_name,
    is_left_behind,
    refuse_output_within,
    walk_folders,
)


def walked(root: Path) -> list[str]:
    def refuse(error: OSError) -> None:
        raise error

    return sorted(
        (folder / name).relative_to(root).as_posix()
        for folder, _, names in walk_folders(root, onerror=refuse)
        for name in names
    )


def put(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")


@pytest.mark.parametrize(
    "name", ["@eaDir", "#recycle", "$RECYCLE.BIN", ".ipynb_checkpoints", "__MACOSX", "Thumbs.db"]
)
def test_what_systems_leave_behind_is_passed_over(tmp_path: Path, name: str):
    assert is_left_behind(name)
    put(tmp_path / "a.png")
    put(tmp_path / "slide" / name / "b.png")
    assert walked(tmp_path) == ["a.png"]


@pytest.mark.parametrize(
    ("name", "is_image"),
    [
        ("a.JFIF", True),
        ("a.jpe", True),
        ("mine_contact_sheet.png", False),
        (".a.png", False),
        ("a.txt", False),
    ],
)
def test_images_are_known_by_their_names(name: str, is_image):
    assert is_image_name(Path(name)) == is_image


def test_linked_folders_are_followed_once(tmp_path: Path):
    root, outside = tmp_path / "root", tmp_path / "nas"
    put(root / "own" / "a.png")
    put(outside / "b.png")
    for name in ("first", "second"):
        (root / name).symlink_to(outside)
    (root / "own" / "loop").symlink_to(root)
    (root / "again").symlink_to(root / "own")
    (outside / "back").symlink_to(root)
    assert walked(root) == ["first/b.png", "own/a.png"]


def test_an_output_within_the_input_is_refused(tmp_path: Path):
    source = tmp_path / "data"
    source.mkdir()
    for output in (source, source / "prepared", source / "x" / ".." / "y"):
        with pytest.raises(SettingsError, match="lies in"):
            refuse_output_within(output, source)
    refuse_output_within(tmp_path / "data2", source)
