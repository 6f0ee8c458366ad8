import cv2
import numpy as np
import pytest
from support.colour_classifiers import RBC_METADATA, WBC_METADATA, ChosenClassifier

from blood_cell_system.errors import MissingDataError
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.pipeline import single_cells
from blood_cell_system.pipeline.single_cells import (
    SingleCell,
    classify_files,
    columns_of,
    find_cell_files,
    row_of,
)


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
    cells = list(
        classify_files(find_cell_files([folder]), ChosenClassifier(RBC_METADATA, (0, 1, 0)))
    )
    assert [cell.classified is None for cell in cells] == [True, False, False, True]
    assert all("png" in cell.reason for cell in (cells[0], cells[3]))
    assert cells[1].classified.condition == "malaria_RBC"


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("odd")])
def test_neither_does_a_fault_or_a_full_memory(folder, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(single_cells, "single_cell_image", fail)
    cells = list(
        classify_files(find_cell_files([folder]), ChosenClassifier(RBC_METADATA, (0, 1, 0)))
    )
    assert [cell.classified for cell in cells] == [None] * 3
    assert all(cell.reason.startswith(cell.file) for cell in cells)


def test_a_row_has_a_column_a_class():
    columns = columns_of(RBC_METADATA)
    assert columns[:4] == ("file", "predicted", "confidence", "p_healthy_RBC")
    assert "type" not in columns
    assert "p_lymphocyte" in columns_of(WBC_METADATA)
    assert "type_confidence" in columns_of(WBC_METADATA)


def classified(metadata, condition, **options):
    (found,) = single_cells.classify_images(
        ChosenClassifier(metadata, condition, **options), [np.zeros((130, 130, 4), np.uint8)]
    )
    return SingleCell(file="a.png", classified=found)


def test_a_row_tells_class_probabilities_and_flags():
    row = row_of(classified(RBC_METADATA, (0.1, 0.5, 0.4), known=0.2))
    assert row["predicted"] == "malaria_RBC"
    assert row["confidence"] == row["p_malaria_RBC"] == pytest.approx(0.5)
    assert row["known"] == pytest.approx(0.2)
    assert row["flags"] == "none_of_these uncertain"
    assert set(row) <= set(columns_of(RBC_METADATA))


def test_a_row_of_a_white_cell_tells_its_type():
    row = row_of(classified(WBC_METADATA, (0.9, 0.1), types=(0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1)))
    assert (row["type"], row["type_confidence"]) == ("neutrophil", pytest.approx(0.4))
    assert set(row) <= set(columns_of(WBC_METADATA))


def test_a_row_of_a_failure_tells_its_reason():
    assert row_of(SingleCell(file="x.png", reason="cut off")) == {
        "file": "x.png",
        "flags": "failed",
        "reason": "cut off",
    }
