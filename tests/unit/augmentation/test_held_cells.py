from functools import partial

import cv2
import numpy as np
import pytest
from support.single_cells import write_red_cell_folder

from blood_cell_system.augmentation.cell_batches import HeldCells
from blood_cell_system.cells.single_cell import single_cell_image
from blood_cell_system.datasets.cell_folder import CellFolder
from blood_cell_system.errors import DatasetError
from blood_cell_system.model_metadata import ClassifierKind
from blood_cell_system.taxonomy import RBC

TO_CELL = partial(single_cell_image, cell_type=RBC)


@pytest.fixture
def folder(tmp_path):
    root = write_red_cell_folder(tmp_path / "cells", count=2)
    return CellFolder.open(root, kind=ClassifierKind("RBC"))


def read(folder, **options):
    return HeldCells.read(folder, folder.records, to_cell_image=TO_CELL, **options)


def test_images_come_with_their_records(folder):
    cells = read(folder)
    assert len(cells) == 10
    assert cells.records == folder.records
    assert cells[0].shape == (130, 130, 4)


def test_beyond_the_budget_images_are_the_same(folder):
    plenty, none = read(folder), read(folder, budget_bytes=3 * 130 * 130 * 4)
    for position in range(len(plenty)):
        np.testing.assert_array_equal(plenty[position], none[position])


def test_unreadable_and_tiny_images_are_listed_and_left_out(folder):
    folder.path_of(folder.records[0]).write_bytes(b"no image")
    tiny = np.full((3, 3, 3), 90, np.uint8)
    cv2.imwrite(str(folder.path_of(folder.records[1])), tiny)
    cells = read(folder)
    assert len(cells) == 8
    assert [failure.name for failure in cells.failed] == [r.file for r in folder.records[:2]]
    assert "16×16" in cells.failed[1].reason


def test_a_folder_of_which_most_cannot_be_used_is_refused(folder):
    for record in folder.records[:6]:
        folder.path_of(record).write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"6 of 10 images cannot be used.*bloodcells crops"):
        read(folder)


def test_no_images_at_all_are_refused(folder):
    with pytest.raises(DatasetError, match="0 of 0"):
        HeldCells.read(folder, (), to_cell_image=TO_CELL)
