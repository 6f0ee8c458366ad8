import json
from pathlib import Path

import numpy as np
import pytest

from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.boxes import Box
from blood_cell_system.datasets.folder_build import finish_build, start_build
from blood_cell_system.datasets.prepared import PreparedDataset
from blood_cell_system.errors import DatasetError, OutputError
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.imaging.mask_encoding import encode_class_mask
from blood_cell_system.taxonomy import RBC

CELL = Annotation(cell_type=RBC, box=Box(0, 0, 2, 2))


def write_pair(root: Path, stem: str) -> set[str]:
    for folder in ("images", "masks"):
        mask = encode_class_mask(np.zeros((4, 4), np.uint8))
        write_image(root / folder / f"{stem}.png", mask)
    return {f"images/{stem}.png", f"masks/{stem}.png"}


def build(root: Path, *stems: str, command: str = "test", cells: bool = True) -> None:
    start_build(root, command=command, stems=stems)
    files = set().union(*(write_pair(root, stem) for stem in stems))
    finish_build(
        root,
        command=command,
        files=files,
        images=[
            {"stem": stem, "split": "train", "source": "s", "original": stem} for stem in stems
        ],
        cells={stem: [CELL] for stem in stems} if cells else {},
        details={"seed": 3},
    )


def stems(root: Path) -> list[str]:
    return [image.stem for image in PreparedDataset.open(root).images]


def test_a_finished_folder_opens_with_its_details(tmp_path: Path):
    build(tmp_path / "out", "a", "b")
    dataset = PreparedDataset.open(tmp_path / "out")
    assert dataset.details["seed"] == 3
    assert dataset.images[0].cells == (CELL,)


def test_a_second_run_removes_what_is_no_longer_part_of_it(tmp_path: Path):
    build(tmp_path, "a", "b")
    write_image(tmp_path / "instances" / "b.png", np.zeros((4, 4), np.uint16))
    build(tmp_path, "b", "c", cells=False)
    assert stems(tmp_path) == ["b", "c"]
    assert not list((tmp_path / "instances").iterdir())
    assert not (tmp_path / "annotations.json").exists()


def test_an_unfinished_folder_does_not_open(tmp_path: Path):
    build(tmp_path, "a")
    start_build(tmp_path, command="test", stems=["a"])
    with pytest.raises(DatasetError, match="has not finished"):
        PreparedDataset.open(tmp_path)


def test_a_killed_run_is_completed_by_the_next(tmp_path: Path):
    build(tmp_path, "old")
    start_build(tmp_path, command="test", stems=["a", "b"])
    write_pair(tmp_path, "a")
    (tmp_path / "images" / ".b.x1.partial.png").write_bytes(b"half")
    build(tmp_path, "b")
    assert stems(tmp_path) == ["b"]
    assert not (tmp_path / "images" / ".b.x1.partial.png").exists()


def test_images_of_another_hand_are_refused(tmp_path: Path):
    write_pair(tmp_path, "mine")
    with pytest.raises(OutputError, match=r"instance images/mine\.png"):
        start_build(tmp_path, command="test", stems=["a"])
    assert not (tmp_path / "unfinished.json").exists()


def test_images_added_to_a_finished_folder_are_refused(tmp_path: Path):
    build(tmp_path, "a")
    write_pair(tmp_path, "mine")
    with pytest.raises(OutputError, match="has not written"):
        start_build(tmp_path, command="test", stems=["a"])
    assert (tmp_path / "manifest.json").exists()


def test_a_folder_of_another_command_is_refused(tmp_path: Path):
    build(tmp_path, "a")
    with pytest.raises(OutputError, match=r"was written by 'test'; expected .* 'other' wrote"):
        start_build(tmp_path, command="other", stems=["a"])


def test_a_damaged_manifest_is_refused(tmp_path: Path):
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(DatasetError, match="not JSON, or cut off"):
        start_build(tmp_path, command="test", stems=["a"])


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path):
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match="cannot make this folder"):
        start_build(tmp_path / "out", command="test", stems=["a"])


def test_a_former_file_that_cannot_be_removed_is_an_error(tmp_path: Path, monkeypatch):
    build(tmp_path, "a")

    def deny(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", deny)
    with pytest.raises(OutputError, match="cannot remove this file of a former run"):
        start_build(tmp_path, command="test", stems=["a"])


def test_equal_runs_write_equal_manifests(tmp_path: Path):
    build(tmp_path / "one", "a")
    build(tmp_path / "two", "a")
    first, second = (tmp_path / name / "manifest.json" for name in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()
    assert json.loads(first.read_text())["versions"].keys() >= {"numpy", "opencv", "python"}


def test_files_that_were_removed_meanwhile_are_reported_and_the_mark_stays(tmp_path: Path):
    start_build(tmp_path, command="test", stems=["a"])
    files = write_pair(tmp_path, "a")
    (tmp_path / "masks" / "a.png").unlink()
    with pytest.raises(OutputError, match=r"1 of 2 files were removed .* masks/a\.png"):
        finish_build(tmp_path, command="test", files=files, images=[], cells={}, details={})
    assert not (tmp_path / "manifest.json").exists()
    build(tmp_path, "a")
    assert stems(tmp_path) == ["a"]
