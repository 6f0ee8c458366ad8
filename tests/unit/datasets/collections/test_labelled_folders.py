import pytest
from support.collections_of_cells import write_pbc, write_taleqani

from blood_cell_system.datasets.collections.labelled_images import collection
from blood_cell_system.errors import DatasetError, MissingDataError


def test_the_folder_of_pbc_is_the_label(tmp_path):
    reading = collection("pbc_wbc_types").read(write_pbc(tmp_path))
    assert {field.label for field in reading.fields} == {"neutrophil", "ig", "platelet"}
    assert len({field.name for field in reading.fields}) == 6
    assert reading.licence.startswith("CC BY 4.0")


def test_blocks_do_not_join_labels(tmp_path):
    reading = collection("taleqani_all").read(write_taleqani(tmp_path))
    by_block = {}
    for field in reading.fields:
        by_block.setdefault(field.block, set()).add(field.label)
    assert all(len(labels) == 1 for labels in by_block.values())


def test_a_damaged_image_is_listed(tmp_path):
    root = write_taleqani(tmp_path)
    (root / "Pre" / "WBC-Pre-001.jpg").write_bytes(b"nothing")
    reading = collection("taleqani_all").read(root)
    assert len(reading.fields) == 7
    assert reading.failed[0].name == "Pre/WBC-Pre-001"


def test_an_unknown_folder_is_refused(tmp_path):
    root = write_pbc(tmp_path, folders=("neutrophil", "ig"))
    (root / "ig").rename(root / "igs")
    with pytest.raises(DatasetError, match=r"holds the folders igs, neutrophil; expected"):
        collection("pbc_wbc_types").read(root)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"\(none\)"):
        collection("pbc_wbc_types").read(tmp_path)


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(MissingDataError, match="there is no such folder"):
        collection("taleqani_all").read(tmp_path / "none")
