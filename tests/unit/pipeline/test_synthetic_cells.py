import hashlib

import numpy as np
import pytest

from blood_cell_system.annotation.splits import Split
from blood_cell_system.cells.single_cell import is_cell_image
from blood_cell_system.cli.main import main
from blood_cell_system.datasets.cell_folder import CellFolder
from blood_cell_system.datasets.synthetic import SmearSettings
from blood_cell_system.errors import OutputError, SettingsError
from blood_cell_system.imaging.image_file import read_rgba
from blood_cell_system.model_metadata import ClassifierKind
from blood_cell_system.pipeline.synthetic_cells import write_synthetic_cells

SMALL = SmearSettings(shape=(160, 200), cell_diameter_px=32)
RBC, WBC = ClassifierKind("RBC"), ClassifierKind("WBC")


def hashes(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def red_cells(tmp_path_factory):
    root = tmp_path_factory.mktemp("cells") / "rbc"
    write_synthetic_cells(root, kind=RBC, fields=4, settings=SMALL)
    return root


def test_a_folder_of_red_cells_can_be_opened_with_all_classes_and_splits(red_cells):
    folder = CellFolder.open(red_cells, kind=RBC)
    assert {record.condition for record in folder.records} == {*RBC.conditions, None}
    assert any(record.is_outlier for record in folder.records)
    assert {record.split for record in folder.records} == set(Split)
    assert folder.sources == ("synthetic",)


def test_cells_of_a_field_are_in_one_split(red_cells):
    splits = {}
    for record in CellFolder.open(red_cells, kind=RBC).records:
        splits.setdefault(record.field, set()).add(record.split)
    assert all(len(of_field) == 1 for of_field in splits.values())


def test_each_file_is_a_cell_image(red_cells):
    for path in red_cells.glob("*/*.png"):
        assert is_cell_image(read_rgba(path)), path


def roundness(path):
    opaque = read_rgba(path)[..., 3] > 127
    return opaque.sum() / (np.pi * 52**2)


def test_sickles_are_slender_and_parasites_are_darker_than_their_cells(red_cells):
    mean = {
        name: np.mean([roundness(path) for path in (red_cells / name).glob("*.png")])
        for name in RBC.conditions
    }
    assert mean["sickle_RBC"] < 0.6 * mean["healthy_RBC"]

    def spread(path):
        image = read_rgba(path)
        return np.std(image[45:85, 45:85, 0].astype(float))

    healthy, malaria = (
        np.median([spread(path) for path in (red_cells / name).glob("*.png")])
        for name in ("healthy_RBC", "malaria_RBC")
    )
    assert malaria > 1.5 * healthy


def test_white_cells_have_types_and_blasts_are_cancer(tmp_path):
    records = write_synthetic_cells(tmp_path, kind=WBC, fields=8, settings=SMALL)
    types = {record.cell_type for record in records if record.condition == "healthy_WBC"}
    assert types <= set(WBC.types)
    assert len(types) >= 5
    assert {r.cell_type for r in records if r.condition == "cancer_WBC"} == {None}
    assert CellFolder.open(tmp_path, kind=WBC).records


def test_the_same_seed_gives_the_same_files_and_removes_those_of_a_former_run(tmp_path, red_cells):
    write_synthetic_cells(tmp_path, kind=RBC, fields=5, settings=SMALL, seed=3)
    write_synthetic_cells(tmp_path, kind=RBC, fields=4, settings=SMALL)
    assert hashes(tmp_path) == hashes(red_cells)


@pytest.mark.parametrize("options", [{"fields": 3}, {"fields": 4, "seed": -1}])
def test_numbers_that_make_no_sense_are_refused(tmp_path, options):
    with pytest.raises(SettingsError, match="expected"):
        write_synthetic_cells(tmp_path, kind=RBC, **options)


def test_other_files_are_not_written_over(tmp_path):
    (tmp_path / "healthy_RBC").mkdir()
    (tmp_path / "healthy_RBC" / "mine.png").write_bytes(b"")
    with pytest.raises(OutputError, match=r"for instance healthy_RBC/mine\.png"):
        write_synthetic_cells(tmp_path, kind=RBC, fields=4)


def test_the_command_draws_cells(tmp_path, capsys):
    words = ["--count", "4", "--size", "160x200", "--cell-diameter", "32", "--jobs", "1"]
    out = str(tmp_path / "out")
    assert main(["synthesize", "--layout", "cells-wbc", "--output", out, *words]) == 0
    assert "cancer_WBC" in capsys.readouterr().out
