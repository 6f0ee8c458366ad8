import json

import pytest
from support.collections_of_cells import field_of_red_cells
from support.smears import small_prepared_folder
from support.voc_folder import write_voc_folder

from blood_cell_system.errors import AnnotationError, DatasetError, MissingDataError, SettingsError
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.model_metadata import ClassifierKind
from blood_cell_system.pipeline.cell_crops.plan import OUTLIER, CropClass, CutMethod
from blood_cell_system.pipeline.cell_crops.user_input import CropOptions, tasks_of_folder

RBC = ClassifierKind("RBC")


@pytest.fixture
def smears(tmp_path):
    root = tmp_path / "smears"
    for name in ("s1_a", "s1_b", "s2_a"):
        write_image(root / f"{name}.png", field_of_red_cells())
    return root


def tasks(root, **options):
    return tasks_of_folder(root, CropOptions(**{"kind": RBC} | options))[0]


def write_table(root, table):
    path = root / "boxes.json"
    path.write_text(json.dumps(table))
    return path


def test_images_alone_are_cut_by_the_segmenter_and_stay_unlabelled(smears):
    found = tasks(smears)
    assert [task.field.name for task in found] == ["s1_a", "s1_b", "s2_a"]
    assert {task.plan.method for task in found} == {CutMethod.SEGMENTER}
    assert found[0].plan.classes == {"": CropClass()}


def test_one_class_can_be_given_to_all(smears):
    assert tasks(smears, class_of_all="sickle_RBC")[0].plan.classes == {"": CropClass("sickle_RBC")}


def test_a_folder_for_each_label_labels_its_images(tmp_path):
    for label in ("healthy_RBC", "ill"):
        write_image(tmp_path / label / "a.png", field_of_red_cells())
    found = tasks(tmp_path, class_of_label={"ill": "malaria_RBC"})
    assert [(t.field.name, t.field.label) for t in found] == [
        ("healthy_RBC_a", "healthy_RBC"),
        ("ill_a", "ill"),
    ]
    assert found[0].plan.classes["ill"] == CropClass("malaria_RBC")


def test_a_table_of_boxes_is_taken(smears):
    table = write_table(smears, {"s1_a.png": [{"label": "ring", "box": [10, 10, 50, 50]}]})
    (found,) = tasks(smears, boxes=table, class_of_label={"ring": "malaria_RBC"})
    assert found.plan.method is CutMethod.BOXES
    assert tuple(found.field.cells[0].box) == (10, 10, 50, 50)


def test_a_label_can_be_left_out(smears):
    marks = [{"label": name, "box": [10, 10, 50, 50]} for name in ("ring", "odd")]
    table = write_table(smears, {"s1_a.png": marks})
    found = tasks(smears, boxes=table, class_of_label={"ring": "malaria_RBC", "odd": ""})
    assert set(found[0].plan.classes) == {"ring"}


def test_types_of_white_cells_are_classes(smears):
    table = write_table(smears, {"s1_a": [{"label": "monocyte", "box": [10, 10, 50, 50]}]})
    found = tasks(smears, kind=ClassifierKind("WBC"), boxes=table)
    assert found[0].plan.classes == {"monocyte": CropClass("healthy_WBC", "monocyte")}


def test_a_voc_folder_gives_its_red_cells_and_keeps_its_split(tmp_path):
    write_voc_folder(tmp_path)
    found = tasks(tmp_path, class_of_all="healthy_RBC")
    assert found[0].plan.classes == {"RBC": CropClass("healthy_RBC")}
    assert {task.field.block.split("/")[0] for task in found} == {"train", "val", "test"}


def test_cells_of_other_types_are_outliers_where_these_are_wanted(tmp_path):
    write_voc_folder(tmp_path)
    found = tasks(tmp_path, with_outliers=True)
    assert found[0].plan.classes["WBC"] == OUTLIER
    assert found[0].plan.classes["Platelet"] == OUTLIER
    assert found[0].plan.extras


def test_a_prepared_folder_gives_its_boxes(tmp_path):
    root = small_prepared_folder(tmp_path / "prepared", count=3)
    found = tasks(root)
    assert len(found) == 3
    assert found[0].plan.method is CutMethod.BOXES


def test_a_pattern_makes_blocks(smears):
    assert [t.field.block for t in tasks(smears, block_pattern="^(s[0-9])")] == ["s1", "s1", "s2"]


def test_the_most_of_an_image_is_that_of_every_label(smears):
    assert tasks(smears, most_an_image=4)[0].plan.most_an_image == {"": 4}


def test_a_damaged_image_is_listed(smears):
    (smears / "s1_b.png").write_bytes(b"nothing")
    found, failed, _ = tasks_of_folder(smears, CropOptions(kind=RBC))
    assert len(found) == 2
    assert failed[0].name == "s1_b"


def test_boxes_of_a_missing_image_and_boxes_outside_are_listed(smears):
    boxes = [{"label": "RBC", "box": [500, 500, 600, 600]}]
    table = write_table(smears, {"s1_a.png": boxes, "s9.png": boxes})
    _, failed, dropped = tasks_of_folder(smears, CropOptions(kind=RBC, boxes=table))
    assert failed[0].name == "s9"
    assert dropped[0].object_index == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": CutMethod.BOXES}, "has no boxes to cut by"),
        ({"class_of_all": "helthy_RBC"}, "Did you mean 'healthy_RBC'"),
        ({"class_of_all": "neutrophil"}, "expected one of healthy_RBC"),
        ({"class_of_label": {"": ""}}, "there is nothing to cut"),
    ],
)
def test_options_that_make_no_sense_are_refused(smears, options, message):
    with pytest.raises(SettingsError, match=message):
        tasks(smears, **options)


def test_labels_without_a_class_are_refused_with_what_to_do(smears):
    table = write_table(smears, {"s1_a.png": [{"label": "odd", "box": [10, 10, 50, 50]}]})
    with pytest.raises(SettingsError, match=r"'odd' \(1\).*--map odd=healthy_RBC"):
        tasks(smears, boxes=table)


def test_a_table_of_other_images_is_refused(smears):
    table = write_table(smears, {"s9.png": []})
    with pytest.raises(DatasetError, match=r"no boxes of an image that is in"):
        tasks(smears, boxes=table)


def test_a_mark_without_a_label_is_an_error(smears):
    table = write_table(smears, {"s1_a.png": [{"box": [10, 10, 50, 50]}]})
    with pytest.raises(AnnotationError, match="object 1 of s1_a"):
        tasks(smears, boxes=table)


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(MissingDataError, match="no such folder of images"):
        tasks(tmp_path / "none")


def test_a_folder_of_damaged_images_alone_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"nothing")
    with pytest.raises(DatasetError, match="none of the images can be read"):
        tasks(tmp_path)
