"""Readers on the data sets themselves, where they are at hand."""

import os
from pathlib import Path

import pytest

from blood_cell_system.annotation.format_registry import read_folder, recognise
from blood_cell_system.annotation.formats.voc import read_voc_folder
from blood_cell_system.taxonomy import RBC, WBC

pytestmark = [
    pytest.mark.bccd,
    pytest.mark.skipif("BLOOD_CELL_DATA" not in os.environ, reason="BLOOD_CELL_DATA is not set"),
]


@pytest.fixture
def data() -> Path:
    return Path(os.environ["BLOOD_CELL_DATA"])


def test_the_clone_of_bccd_is_recognised_and_read_as_the_guides_mode_reads_it(data: Path):
    clone = data / "BCCD_Dataset"
    assert recognise(clone)[0].reader.name == "voc"
    reading, expected = read_folder(clone), read_voc_folder(clone)
    assert reading.samples == expected.samples
    assert len(reading.dropped) == len(expected.dropped) == 10
    assert (reading.source, reading.licence, reading.failed) == ("bccd", "MIT", ())


def test_the_kaggle_set_is_read_as_its_table_has_it(data: Path):
    folder = data / "bcdd_kaggle"
    assert recognise(folder)[0].reader.name == "kaggle"
    reading = read_folder(folder)
    types = [cell.cell_type for sample in reading.samples for cell in sample.cells or ()]
    assert (types.count(RBC), types.count(WBC)) == (928, 38)
    assert (len(reading.samples), reading.dropped, reading.failed) == (40, (), ())
