import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blood_cell_system.errors import OutputError
from blood_cell_system.imaging.image_folders import RESULT_ENDINGS
from blood_cell_system.pipeline.batch import _named, find_inputs


def make(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


def names_in(inputs):
    return [image.name for image in inputs.images]


def test_images_of_a_folder_come_by_name(tmp_path):
    make(tmp_path / "in", "b.png", "a.JPG", "sub/c.png", "notes.txt", ".hidden.png")
    inputs = find_inputs([tmp_path / "in"], output_dir=tmp_path / "out")
    assert names_in(inputs) == ["a", "b"]
    assert [path.name for path in inputs.passed_over] == ["notes.txt"]
    assert inputs.failed == ()


def test_folders_within_are_searched_when_asked_for(tmp_path):
    make(tmp_path / "in", "s1/field.png", "s2/field.png", "field.png", ".git/x.png")
    inputs = find_inputs([tmp_path / "in"], output_dir=tmp_path / "out", recursive=True)
    assert names_in(inputs) == ["field", "s1/field", "s2/field"]


def test_equal_stems_get_numbers(tmp_path):
    make(tmp_path, "x/a.png", "y/a.png", "y/a.jpg", "z/A.png", "z/a_2.png")
    paths = [tmp_path / name for name in ("x/a.png", "y/a.png", "y/a.jpg", "z/A.png", "z/a_2.png")]
    assert names_in(find_inputs(paths, output_dir=tmp_path / "out")) == [
        "a",
        "a_2",
        "a_3",
        "A_4",
        "a_2_2",
    ]


def test_an_image_that_is_named_twice_is_analysed_once(tmp_path):
    make(tmp_path, "in/a.png")
    paths = [tmp_path / "in", tmp_path / "in" / "a.png", tmp_path / "in" / ".." / "in" / "a.png"]
    assert names_in(find_inputs(paths, output_dir=tmp_path / "out")) == ["a"]


def test_results_of_a_former_run_are_not_taken_for_images(tmp_path):
    make(tmp_path / "in", "a.png", "out/a_annotated.png")
    inputs = find_inputs([tmp_path / "in"], output_dir=tmp_path / "in" / "out", recursive=True)
    assert names_in(inputs) == ["a"]


@pytest.mark.parametrize("recursive", [False, True])
def test_of_a_prepared_folder_only_the_images_are_images(tmp_path, recursive):
    make(tmp_path / "in", "images/a.png", "masks/a.png", "instances/a.png", "manifest.json")
    inputs = find_inputs([tmp_path / "in"], output_dir=tmp_path / "out", recursive=recursive)
    assert names_in(inputs) == ["images/a"]
    passed_over = {path.name for path in inputs.passed_over}
    assert passed_over == {"masks", "instances", "manifest.json"}


def test_a_folder_beside_those_of_a_prepared_one_is_searched_when_asked_for(tmp_path):
    make(tmp_path / "in", "images/a.png", "masks/a.png", "more/b.png")
    assert names_in(find_inputs([tmp_path / "in"], output_dir=tmp_path / "out")) == ["images/a"]
    inputs = find_inputs([tmp_path / "in"], output_dir=tmp_path / "out", recursive=True)
    assert names_in(inputs) == ["images/a", "more/b"]


def test_folders_of_masks_without_images_are_as_good_as_any(tmp_path):
    make(tmp_path / "in", "masks/a.png")
    inputs = find_inputs([tmp_path / "in"], output_dir=tmp_path / "out", recursive=True)
    assert names_in(inputs) == ["masks/a"]


def test_results_of_another_analysis_are_not_taken_for_images(tmp_path):
    make(tmp_path / "in", "a.png", "old/batch_summary.json", "old/a_mask.png", "old/s/b_mask.png")
    inputs = find_inputs([tmp_path / "in"], output_dir=tmp_path / "out", recursive=True)
    assert names_in(inputs) == ["a"]
    assert inputs.passed_over == (tmp_path / "in" / "old" / "batch_summary.json",)


def test_results_that_are_named_as_images_are_a_failed_input(tmp_path):
    make(tmp_path / "old", "batch_summary.json", "a_mask.png")
    inputs = find_inputs([tmp_path / "old"], output_dir=tmp_path / "out")
    assert inputs.images == ()
    assert "holds the results of an analysis" in inputs.failed[0].reason


def test_results_beside_the_images_of_a_folder_are_refused(tmp_path):
    make(tmp_path / "in", "a.png")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    with pytest.raises(OutputError, match="folder of the images"):
        find_inputs([tmp_path / "in"], output_dir=tmp_path / "link")


def test_a_folder_without_images_is_a_failed_input(tmp_path):
    make(tmp_path / "in", "sub/a.png", "notes.txt")
    (failed,) = find_inputs([tmp_path / "in"], output_dir=tmp_path / "out").failed
    assert "Add --recursive" in failed.reason
    make(tmp_path / "none", "x.txt")
    (failed,) = find_inputs([tmp_path / "none"], output_dir=tmp_path / "out", recursive=True).failed
    assert failed.reason.endswith("Found: 1 other files.")
    assert ".png" in failed.reason


def test_a_folder_that_cannot_be_listed_is_a_failed_input(tmp_path, monkeypatch):
    make(tmp_path / "in", "a.png")

    def refuse(folder, onerror, followlinks):
        onerror(PermissionError(13, "Permission denied", str(folder)))
        return iter(())

    monkeypatch.setattr(os, "walk", refuse)
    (failed,) = find_inputs([tmp_path / "in"], output_dir=tmp_path / "out").failed
    assert "cannot be listed (Permission denied)" in failed.reason


def test_a_path_that_is_not_there_is_a_failed_input(tmp_path):
    make(tmp_path / "in", "a.png")
    paths = [tmp_path / "gone.png", tmp_path / "in" / "a.png" / "b", tmp_path / "in"]
    inputs = find_inputs(paths, output_dir=tmp_path / "out")
    assert names_in(inputs) == ["a"]
    assert [failed.name for failed in inputs.failed] == [str(path) for path in paths[:2]]
    assert "there is no such file or folder" in inputs.failed[0].reason


def test_images_of_folders_that_are_not_searched_are_counted(tmp_path):
    make(tmp_path / "in", "a.png", "one/b.png", "one/two/c.tif", "one/notes.txt", "out/d.png")
    inputs = find_inputs([tmp_path / "in"], output_dir=tmp_path / "in" / "out")
    assert (names_in(inputs), inputs.deeper) == (["a"], 2)
    deep = find_inputs([tmp_path / "in"], output_dir=tmp_path / "in" / "out", recursive=True)
    assert (len(deep.images), deep.deeper) == (3, 0)


@pytest.mark.parametrize("stem", ["two\nlines", "-rf", "Größe 1", "x\udcff", "a.b", "血" * 80])
def test_names_of_any_kind_are_kept_as_far_as_files_can_have_them(tmp_path, stem):
    make(tmp_path, f"{stem}.png")
    (image,) = find_inputs([tmp_path / f"{stem}.png"], output_dir=tmp_path / "out").images
    assert stem.startswith(image.name)
    assert len(os.fsencode(image.name)) <= 180
    if len(stem) < 80:
        assert image.name == stem


@given(st.lists(st.text("aAbB_2", min_size=1, max_size=4), max_size=12))
def test_names_are_unique_even_where_capitals_do_not_count(stems):
    images = _named((Path(f"/{number}/{stem}"), stem) for number, stem in enumerate(stems))
    assert len(images) == len(stems)
    assert len({image.name.casefold() for image in images}) == len(stems)


def test_results_beside_an_image_that_is_named_are_refused(tmp_path):
    make(tmp_path, "a.png", "b.png")
    with pytest.raises(OutputError, match="this is the folder of the images"):
        find_inputs([tmp_path / "a.png"], output_dir=tmp_path / "x" / "..")
    assert find_inputs([tmp_path / "a.png"], output_dir=tmp_path / "out").images


@pytest.mark.parametrize("summary", [(), ("in/old/batch_summary.json",)])
def test_results_without_a_summary_do_not_block_the_images_beside_them(tmp_path, summary):
    files = [f"in/{place}_{ending}" for place in ("a", "old/b") for ending in RESULT_ENDINGS]
    make(tmp_path, "in/a.png", *files, *summary)
    inputs = find_inputs([tmp_path / "in"], output_dir=tmp_path / "out", recursive=True)
    assert names_in(inputs) == ["a"]
    assert inputs.failed == ()


def test_a_folder_of_results_without_a_summary_is_called_so(tmp_path):
    make(tmp_path / "old", *(f"a_{ending}" for ending in RESULT_ENDINGS))
    (failed,) = find_inputs([tmp_path / "old"], output_dir=tmp_path / "out").failed
    assert "holds the results of an analysis" in failed.reason


def test_a_path_that_is_too_long_fails_alone(tmp_path):
    make(tmp_path, "a.png")
    paths = [tmp_path / ("x" * 300), tmp_path / "a.png", tmp_path / "/".join(["y" * 200] * 30)]
    inputs = find_inputs(paths, output_dir=tmp_path / "out")
    assert names_in(inputs) == ["a"]
    assert all("too long" in failed.reason for failed in inputs.failed)
    assert len(inputs.failed) == 2
