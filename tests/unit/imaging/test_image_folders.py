import os
from pathlib import Path

import pytest

from blood_cell_system.errors import DatasetError, SettingsError
from blood_cell_system.imaging.image_folders import (
    RESULT_ENDINGS,
    files_below,
    holds_results,
    images_directly_in,
    is_image_name,
    is_left_behind,
    own_results,
    refuse_output_around,
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


def test_an_output_that_is_the_input_file_is_refused(tmp_path: Path):
    put(tmp_path / "a.png")
    with pytest.raises(SettingsError, match="Choose another --output"):
        refuse_output_within(tmp_path / "a.png", tmp_path / "a.png")
    refuse_output_within(tmp_path / "a.csv", tmp_path / "a.png")


def test_an_output_around_the_input_is_refused(tmp_path: Path):
    with pytest.raises(SettingsError, match=r"holds the input folder .* Choose another --fix"):
        refuse_output_around(tmp_path, tmp_path / "data", option="--fix")
    refuse_output_around(tmp_path / "out", tmp_path / "data")


@pytest.mark.parametrize("missing", ["", "report.json", "cells.csv"])
def test_results_beside_images_are_none_of_them(tmp_path: Path, missing):
    put(tmp_path / "a.png")
    for ending in {*RESULT_ENDINGS, "instances.png"} - {missing}:
        put(tmp_path / f"a_{ending}")
    assert [path.name for path in images_directly_in(tmp_path)] == ["a.png"]
    assert walked(tmp_path) == ["a.png"]


def test_a_label_image_of_somebody_is_an_image():
    assert own_results(["a.png", "a_mask.png", "a_instances.png", "b_annotated.png"]) == set()


def test_a_folder_of_results_is_known_without_its_summary(tmp_path: Path):
    for ending in RESULT_ENDINGS:
        put(tmp_path / "results" / "slide" / f"a_{ending}")
    assert holds_results(tmp_path / "results")
    put(tmp_path / "results" / "b.png")
    assert not holds_results(tmp_path / "results")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_passed_over_with_a_warning(tmp_path: Path, caplog):
    put(tmp_path / "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    assert [path.name for path in images_directly_in(tmp_path)] == ["a.png"]
    assert [path.name for path in files_below(tmp_path)] == ["a.png"]
    assert "pipe.png: a named pipe" in caplog.text


def test_a_folder_that_may_not_be_listed_is_named(tmp_path: Path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DatasetError, match=r"cannot be listed .*Check its permissions"):
        list(files_below(tmp_path))
