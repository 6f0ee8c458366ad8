import cv2
import numpy as np
import pytest
from support.colour_classifiers import RBC_METADATA, WBC_METADATA, ChosenClassifier
from support.single_cells import draw_red_cell, piece_of_smear

from blood_cell_system.errors import MissingDataError
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.imaging.image_folders import RESULT_ENDINGS
from blood_cell_system.pipeline import single_cells
from blood_cell_system.pipeline.single_cells import classify_files, find_cell_files, table_of


def cell_on_clear(colour=(190, 90, 100)):
    image = np.zeros((80, 80, 4), np.uint8)
    cv2.circle(image, (40, 40), 30, (*colour, 255), -1)
    return image


@pytest.fixture
def folder(tmp_path):
    for name in ("b/2.png", "a.png", "b/1.png"):
        write_image(tmp_path / name, cell_on_clear())
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / ".hidden.png").write_bytes(b"")
    return tmp_path


def test_images_of_all_folders_within_are_found_in_order(folder):
    assert [name for _, name in find_cell_files([folder])] == ["a.png", "b/1.png", "b/2.png"]


def test_an_image_can_be_named_itself(folder):
    path = folder / "b" / "1.png"
    assert find_cell_files([path]) == [(path, str(path))]


def test_a_folder_without_images_is_told(tmp_path):
    with pytest.raises(MissingDataError, match="there is no image"):
        find_cell_files([tmp_path])


def test_a_bad_file_does_not_stop_the_others(folder):
    (folder / "a.png").write_bytes(b"no image")
    (folder / "b" / "3.png").write_bytes(b"")
    cells = classify_files(find_cell_files([folder]), ChosenClassifier(RBC_METADATA, (0, 1, 0)))
    assert cells["condition"].tolist() == [None, "malaria_RBC", "malaria_RBC", None]
    assert ["png" in reason for reason in cells["reason"]] == [True, False, False, True]


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("odd")])
def test_neither_does_a_fault_or_a_full_memory(folder, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(single_cells, "single_cell_image", fail)
    cells = classify_files(find_cell_files([folder]), ChosenClassifier(RBC_METADATA, (0, 1, 0)))
    assert cells["condition"].tolist() == [None] * 3
    for file, reason in zip(cells["file"], cells["reason"], strict=True):
        assert reason.startswith(file)


def table_of_one(folder, metadata, condition, **options):
    """Columns, and the only row, of the table of one cell."""
    files = [(folder / "a.png", "a.png")]
    cells = classify_files(files, ChosenClassifier(metadata, condition, **options))
    columns, (row,) = table_of(cells, metadata)
    assert set(row) <= set(columns)
    return columns, row


def test_a_row_has_class_probabilities_and_flags(folder):
    columns, row = table_of_one(folder, RBC_METADATA, (0.1, 0.5, 0.4), known=0.2)
    assert columns[:4] == ("file", "condition", "confidence", "healthy_RBC_prob")
    assert "subtype" not in columns
    assert row["condition"] == "malaria_RBC"
    assert row["confidence"] == row["malaria_RBC_prob"] == pytest.approx(0.5)
    assert row["in_distribution"] == pytest.approx(0.2)
    assert row["flags"] == "none_of_these uncertain surround_filled"


def test_a_cell_that_is_not_called_sick_enough_is_flagged(folder):
    metadata = RBC_METADATA.replace(call_thresholds={"malaria_RBC": 0.9})
    _, row = table_of_one(folder, metadata, (0.1, 0.8, 0.1))
    assert "undecided" in row["flags"].split()


def test_a_cell_in_its_surround_is_not_flagged_as_filled(tmp_path):
    write_image(tmp_path / "a.png", draw_red_cell(piece_of_smear(160), 80, 80, 28))
    _, row = table_of_one(tmp_path, RBC_METADATA, (0.9, 0.1, 0.0))
    assert row["flags"] == ""


def test_a_row_of_a_white_cell_has_its_subtype(folder):
    shares = (0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1)
    columns, row = table_of_one(folder, WBC_METADATA, (0.9, 0.1), types=shares)
    assert (row["subtype"], row["subtype_confidence"]) == ("neutrophil", pytest.approx(0.4))
    assert "lymphocyte_prob" in columns


def test_a_row_of_a_failure_has_its_reason(folder):
    (folder / "a.png").write_bytes(b"no image")
    _, row = table_of_one(folder, RBC_METADATA, (0.1, 0.5, 0.4))
    assert row.pop("reason").endswith(".")
    assert row == {"file": "a.png", "flags": "failed"}


def test_contact_sheets_of_cut_cells_are_no_cells(folder):
    (folder / "cells.csv").write_text("file\n")
    for name in ("sheets/healthy_RBC.png", "b_contact_sheet.png"):
        write_image(folder / name, cell_on_clear())
    assert [name for _, name in find_cell_files([folder])] == ["a.png", "b/1.png", "b/2.png"]


def test_what_is_no_image_of_somebody_is_passed_over(folder):
    for name in ("@eaDir/a.png", ".ipynb_checkpoints/a.png", "b/#recycle/2.png"):
        write_image(folder / name, cell_on_clear())
    for ending in RESULT_ENDINGS:
        (folder / f"a_{ending}").write_bytes(b"")
    (folder / "b" / "loop").symlink_to(folder)
    assert [name for _, name in find_cell_files([folder])] == ["a.png", "b/1.png", "b/2.png"]


def test_a_path_that_is_too_long_fails_alone(folder):
    files = find_cell_files([folder / "a.png", folder / ("x" * 300 + ".png")])
    cells = classify_files(files, ChosenClassifier(RBC_METADATA, (0, 1, 0)))
    assert [bool(reason) for reason in cells["reason"]] == [False, True]
