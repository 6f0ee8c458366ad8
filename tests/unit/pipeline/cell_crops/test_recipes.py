from collections import Counter

import pytest
from support.collections_of_cells import write_collections, write_iml, write_pbc
from support.manifest_collections import (
    red_cell_image,
    red_cell_on_black,
    white_cell_image,
    write_collection,
)

from blood_cell_system.annotation.splits import Split
from blood_cell_system.datasets.collections.marked_images import read_iml_malaria
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
    assert iml.plan.classes["schizont"] == ("malaria_RBC", "schizont", False)


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


def test_a_folder_without_collections_is_refused(tmp_path):
    with pytest.raises(MissingDataError, match=r"none of the collections.*iml_malaria"):
        tasks_of_recipe(ClassifierKind("RBC"), tmp_path)


def test_collections_that_are_not_there_are_left_out_and_named(tmp_path, caplog):
    write_pbc(tmp_path / "pbc_wbc_types")
    tasks, _, _ = tasks_of_recipe(ClassifierKind("WBC"), tmp_path)
    assert {task.source for task in tasks} == {"pbc"}
    assert "taleqani_all" in caplog.text


def classes_of(kind, data):
    tasks, failed, dropped = tasks_of_recipe(ClassifierKind(kind), data)
    assert (failed, dropped) == ([], [])
    return Counter(
        (record.condition, record.cell_type, record.is_outlier, record.source_label)
        for task in tasks
        if task.plan.method in (CutMethod.LONE, CutMethod.BOXES)
        for record, _ in cut_image(task)
    )


def test_basophils_of_raabin_have_a_type_and_no_condition(tmp_path):
    write_collection(tmp_path / "raabin_wbc", ("basophil", "monocyte"), white_cell_image)
    assert classes_of("wbc", tmp_path) == {
        (None, "basophil", False, "basophil"): 2,
        ("healthy_WBC", "monocyte", False, "monocyte"): 2,
    }


def test_smudges_of_johns_hopkins_are_none_of_the_classes(tmp_path):
    labels = ("AML_BL", "APL_PMY", "APL_SMU", "AML_LY")
    write_collection(tmp_path / "jhu_apl_aml", labels, white_cell_image, count=1)
    assert classes_of("wbc", tmp_path) == {
        ("cancer_WBC", None, False, "AML_BL"): 1,
        ("cancer_WBC", None, False, "APL_PMY"): 1,
        (None, None, True, "APL_SMU"): 1,
        ("healthy_WBC", "lymphocyte", False, "AML_LY"): 1,
    }


def test_white_cells_of_chula_are_cut_by_their_boxes(tmp_path):
    write_collection(
        tmp_path / "chula_wbc", ("basophil",), white_cell_image, cells=[(44, 44, 72, 72)]
    )
    assert classes_of("wbc", tmp_path) == {("healthy_WBC", "basophil", False, "basophil"): 2}


def test_untyped_cells_of_sigtuple_and_cells_on_black_of_c_nmc_have_a_condition(tmp_path):
    write_collection(tmp_path / "sigtuple_wbc", ("wbc", "mask_wbc"), white_cell_image, count=1)
    write_collection(tmp_path / "cnmc_sbilab", ("all", "hem"), red_cell_on_black, count=1)
    assert classes_of("wbc", tmp_path) == {
        ("healthy_WBC", None, False, "wbc"): 1,
        ("cancer_WBC", None, False, "all"): 1,
        ("healthy_WBC", None, False, "hem"): 1,
    }


def test_white_cells_of_promyelocytic_fields_are_leukaemic_whoever_finds_them(tmp_path):
    write_collection(tmp_path / "acrs_apml", ("apml_field",), white_cell_image)
    tasks, _, _ = tasks_of_recipe(ClassifierKind("WBC"), tmp_path)
    assert {task.plan.method for task in tasks} == {CutMethod.SEGMENTER}
    assert {one for task in tasks for one in task.plan.classes.values()} == {
        ("cancer_WBC", None, False)
    }


def test_a_patient_of_both_folders_of_the_nih_is_in_one_split(tmp_path):
    labels = ("malaria", "healthy")
    write_collection(tmp_path / "nih_cells", labels, red_cell_on_black, count=9)
    write_collection(
        tmp_path / "nih_in_field", labels, red_cell_image, count=9, cells=[(28, 28, 64, 64)]
    )
    tasks, _, _ = tasks_of_recipe(ClassifierKind("RBC"), tmp_path)
    assert {task.source for task in tasks} == {"nih"}
    splits = {}
    for task in tasks:
        splits.setdefault(task.field.block, set()).add(task.field.split)
    assert all(len(found) == 1 for found in splits.values())
    records = [record for task in tasks for record, _ in cut_image(task)]
    by_label = Counter((one.condition, one.surround_filled) for one in records)
    assert by_label == {
        (condition, is_filled): 9
        for condition in ("malaria_RBC", "healthy_RBC")
        for is_filled in (True, False)
    }


def test_shapes_of_chula_are_subtypes_and_fields_of_anaemias_have_none(tmp_path):
    root = write_collection(tmp_path / "chula_rbc12", ("field", "HE"), red_cell_image, cells=[])
    rows = ["file,x,y,w,h,class", "field/field_0.png,60,60,,,hypochromia"]
    (root / "cells.csv").write_text("\n".join(rows))
    tasks, _, _ = tasks_of_recipe(ClassifierKind("RBC"), tmp_path)
    by_method = {task.plan.method: task.plan.classes for task in tasks}
    assert by_method[CutMethod.POINTS]["hypochromia"] == ("healthy_RBC", "hypochromic", False)
    assert by_method[CutMethod.POINTS]["uncategorised"] == ("healthy_RBC", None, False)
    assert by_method[CutMethod.SEGMENTER]["HE"] == ("healthy_RBC", None, False)


@pytest.mark.parametrize("kind", ["rbc", "wbc"])
def test_red_cells_of_laboratories_of_white_cells_are_healthy(tmp_path, kind):
    labels = {
        "raabin_wbc": ("monocyte",),
        "jhu_apl_aml": ("AML_BL",),
        "acrs_apml": ("apml_field",),
        "sigtuple_wbc": ("wbc", "field"),
    }
    for folder, classes in labels.items():
        write_collection(tmp_path / folder, classes, white_cell_image)
    write_collection(
        tmp_path / "chula_wbc", ("basophil",), white_cell_image, cells=[(44, 44, 72, 72)]
    )
    tasks, _, _ = tasks_of_recipe(ClassifierKind(kind), tmp_path)
    assert {task.source for task in tasks} == {"raabin", "jhu", "acrs", "sigtuple", "chula_wbc"}
    if kind == "rbc":
        conditions = {one.condition for task in tasks for one in task.plan.classes.values()}
        assert conditions == {"healthy_RBC"}
