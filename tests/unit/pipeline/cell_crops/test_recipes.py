from collections import Counter

import pytest
from support.collections_of_cells import write_collections, write_iml

from blood_cell_system.annotation.splits import Split
from blood_cell_system.datasets.collections.iml_malaria import read_iml_malaria
from blood_cell_system.errors import MissingDataError
from blood_cell_system.model_metadata import ClassifierKind, classifier_kinds
from blood_cell_system.pipeline.cell_crops.cutting import cut_image
from blood_cell_system.pipeline.cell_crops.plan import CutMethod
from blood_cell_system.pipeline.cell_crops.recipes import tasks_of_recipe, with_splits


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_collections(tmp_path_factory.mktemp("collections"))


@pytest.mark.parametrize("kind", classifier_kinds())
def test_tasks_have_names_of_their_own(data, kind):
    tasks, failed, dropped = tasks_of_recipe(kind, data)
    assert len({task.name for task in tasks}) == len(tasks)
    assert (failed, dropped) == ([], [])


def test_healthy_cells_of_uganda_come_from_negative_fields_alone(data):
    tasks, _, _ = tasks_of_recipe(ClassifierKind("RBC"), data)
    for task in tasks:
        if task.source == "uganda":
            conditions = {found.condition for found in task.plan.classes.values()}
            expected = "sickle_RBC" if task.field.label == "positive" else "healthy_RBC"
            assert conditions == {expected}


def test_difficult_cells_of_iml_are_left_out(data):
    tasks, _, _ = tasks_of_recipe(ClassifierKind("RBC"), data)
    iml = next(task for task in tasks if task.source == "iml")
    assert "difficult" not in iml.plan.classes
    assert iml.plan.classes["schizont"].condition == "malaria_RBC"


def test_white_cells_get_types_and_conditions_by_their_source(data):
    tasks, _, _ = tasks_of_recipe(ClassifierKind("WBC"), data)
    found = Counter()
    for task in tasks:
        for record, _ in cut_image(task):
            found[task.source, record.condition, record.cell_type] += 1
    assert found["pbc", "healthy_WBC", "immature_granulocyte"] == 2
    assert found["bccd", "healthy_WBC", "basophil"] == 1
    assert found["bccd", "healthy_WBC", None] == 1
    assert found["taleqani", "cancer_WBC", None] == 12
    assert found["taleqani", "healthy_WBC", None] == 4
    assert sum(count for key, count in found.items() if key[1] is None) > 5


def test_only_some_images_give_outliers(data):
    tasks, _, _ = tasks_of_recipe(ClassifierKind("RBC"), data)
    iml = [task for task in tasks if task.source == "iml"]
    assert 0 < sum(bool(task.plan.extras) for task in iml) < len(iml)


def test_the_segmenter_finds_healthy_red_cells_where_nobody_has_marked_any(data):
    tasks, _, _ = tasks_of_recipe(ClassifierKind("RBC"), data)
    segmented = [task for task in tasks if task.plan.method is CutMethod.SEGMENTER]
    assert {task.source for task in segmented} == {"uganda", "pbc", "taleqani"}
    for task in segmented:
        assert task.plan.classes[task.field.label].condition == "healthy_RBC"


def test_splits_follow_from_names_and_labels_and_hold_out_whole_blocks(tmp_path):
    reading = read_iml_malaria(write_iml(tmp_path, count=60))
    split = with_splits(reading)
    assert split == with_splits(reading)
    of_block = {}
    for field in split.fields:
        of_block.setdefault(field.block, set()).add(field.split)
    assert all(len(found) == 1 for found in of_block.values())
    assert {found for several in of_block.values() for found in several} == set(Split)


def test_a_missing_collection_is_told(tmp_path):
    with pytest.raises(MissingDataError, match="iml_malaria"):
        tasks_of_recipe(ClassifierKind("RBC"), tmp_path)
