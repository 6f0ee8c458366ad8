from dataclasses import replace

import numpy as np
import pytest
from support.tiny_cells import small_cell_folder

from blood_cell_system.annotation.splits import Split
from blood_cell_system.errors import DatasetError
from blood_cell_system.training.classifier_data import CellClasses, read_cells, with_stain_domains

WBC_LABELS = ("healthy_WBC", "cancer_WBC", "neutrophil", "lymphocyte")


def test_a_classifier_tells_apart_what_it_has_cells_of(tmp_path):
    classes = CellClasses.of(small_cell_folder(tmp_path, labels=WBC_LABELS, per_class=4))
    assert classes.conditions == ("healthy_WBC", "cancer_WBC")
    assert classes.types == ("neutrophil", "lymphocyte")


def test_one_type_alone_is_no_type_to_tell_apart(tmp_path):
    classes = CellClasses.of(small_cell_folder(tmp_path, labels=WBC_LABELS[:3], per_class=4))
    assert classes.types == ()


def test_labels_are_numbered_by_the_classes_that_there_are(tmp_path):
    folder = small_cell_folder(
        tmp_path, labels=("healthy_RBC", "sickle_RBC", "not_a_cell"), per_class=4
    )
    classes = CellClasses.of(folder)
    assert classes.conditions == ("healthy_RBC", "sickle_RBC")
    train = read_cells(folder, Split.TRAIN, classes)
    by_label = dict(
        zip((r.label for r in train.cells.records), train.labels.condition, strict=True)
    )
    assert by_label == {"healthy_RBC": 0, "sickle_RBC": 1, "not_a_cell": -1}


def test_a_class_that_the_classifier_does_not_know_is_not_labelled(tmp_path):
    folder = small_cell_folder(tmp_path, labels=WBC_LABELS, per_class=4)
    classes = CellClasses(
        conditions=("healthy_WBC", "cancer_WBC"), types=("neutrophil", "monocyte")
    )
    train = read_cells(folder, Split.TRAIN, classes)
    is_lymphocyte = [record.cell_type == "lymphocyte" for record in train.cells.records]
    assert set(train.labels.cell_type[is_lymphocyte]) == {-1}


def test_fields_of_two_sources_are_two_fields(tmp_path):
    folder = small_cell_folder(tmp_path, per_class=4)
    test = read_cells(folder, Split.TEST, CellClasses.of(folder))
    assert set(test.fields) == {("one", "field-3"), ("two", "field-3")}


def test_images_that_cannot_be_read_are_told(tmp_path, caplog):
    folder = small_cell_folder(tmp_path)
    record = folder.select(Split.TRAIN)[0]
    folder.path_of(record).write_bytes(b"nothing")
    train = read_cells(folder, Split.TRAIN, CellClasses.of(folder))
    assert len(train) == 23
    assert f"1 of 24 images are left out, for instance {record.file}" in caplog.text


def test_a_split_without_cells_is_an_error(tmp_path):
    folder = small_cell_folder(tmp_path, per_class=3)
    with pytest.raises(DatasetError, match="no cells to measure on"):
        read_cells(folder, Split.TEST, CellClasses.of(folder))


def test_groups_of_stain_are_numbered_alike_in_both_splits(tmp_path):
    folder = small_cell_folder(tmp_path)
    classes = CellClasses.of(folder)
    # The parasite's colour would be a stain of its own.
    sets = [
        read_cells(
            folder,
            split,
            classes,
            records=[r for r in folder.select(split) if r.condition == "healthy_RBC"],
        )
        for split in (Split.TRAIN, Split.VAL)
    ]
    regrouped = with_stain_domains(*sets, seed=0)
    groups = {}
    for cell_set in regrouped:
        assert cell_set.labels.sources == regrouped[0].labels.sources
        for record, group in zip(cell_set.cells.records, cell_set.labels.source, strict=True):
            groups.setdefault(record.source, set()).add(int(group))
    assert not groups["one"] & groups["two"]


def test_grouping_leaves_the_classes_as_they_are(tmp_path):
    folder = small_cell_folder(tmp_path, per_class=4)
    classes = CellClasses.of(folder)
    sets = [read_cells(folder, split, classes) for split in (Split.TRAIN, Split.VAL)]
    for before, after in zip(sets, with_stain_domains(*sets, seed=0), strict=True):
        unchanged = replace(after.labels, source=before.labels.source, sources=())
        np.testing.assert_array_equal(unchanged.condition, before.labels.condition)
        np.testing.assert_array_equal(unchanged.known, before.labels.known)


def test_a_parasite_does_not_make_a_stain_of_its_own(tmp_path):
    folder = small_cell_folder(tmp_path)
    classes = CellClasses.of(folder)
    sets = [read_cells(folder, split, classes) for split in (Split.TRAIN, Split.VAL)]
    for cell_set in with_stain_domains(*sets, seed=0):
        groups = {}
        for field, group in zip(cell_set.fields, cell_set.labels.source, strict=True):
            groups.setdefault(field, set()).add(int(group))
        assert all(len(found) == 1 for found in groups.values())
