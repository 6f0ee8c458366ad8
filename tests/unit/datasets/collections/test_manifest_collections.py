import pytest
from support.manifest_collections import (
    red_cell_image,
    white_cell_image,
    write_collection,
    write_table,
)

from blood_cell_system.datasets.collections.labelled_images import Collection, collection
from blood_cell_system.errors import AnnotationError, DatasetError, MissingDataError

SMALL = Collection(
    source="lab",
    licence="free",
    has_manifest=True,
    labels=("a", "b"),
    other_labels=("mask",),
    red_cell_diameter_px={"a": 30.0},
)
BOXED = Collection(
    source="lab", licence="free", has_manifest=True, labels=("a",), cell_labels=("a",)
)
HEADER = "file,class,group,source"


def test_images_have_the_class_and_the_group_of_the_manifest(tmp_path):
    reading = SMALL.read(write_collection(tmp_path, ("a", "b", "mask"), white_cell_image))
    assert [field.name for field in reading.fields] == ["a_a_0", "a_a_1", "b_b_0", "b_b_1"]
    assert {field.label: field.block for field in reading.fields if field.name.endswith("0")} == {
        "a": "group0",
        "b": "group0",
    }
    assert [field.red_cell_diameter_px for field in reading.fields] == [30, 30, None, None]


def test_boxes_and_points_become_cells(tmp_path):
    root = write_collection(
        tmp_path, ("a",), red_cell_image, count=1, cells=[(30, 30, 60, 60), (60, 60, "", "")]
    )
    (field,) = BOXED.read(root).fields
    point, box = field.cells
    assert point.point == (60, 60)
    assert point.box is None
    assert tuple(box.bounds) == (30, 30, 90, 90)


def test_runs_of_names_within_a_group_are_blocks_where_a_group_is_large(tmp_path):
    root = write_collection(tmp_path, ("field",), red_cell_image, count=7, cells=[])
    rows = [(f"field/field_{number}.png", "field", "slide", "") for number in range(7)]
    write_table(root / "manifest.csv", HEADER, rows)
    blocks = {field.block for field in collection("chula_rbc12").read(root).fields}
    assert blocks == {"slide/field_field_0..field_field_4", "slide/field_field_5..field_field_6"}


def test_an_image_that_is_missing_is_listed(tmp_path):
    root = write_collection(tmp_path, ("a",), white_cell_image)
    (root / "a" / "a_1.png").unlink()
    reading = SMALL.read(root)
    assert len(reading.fields) == 1
    assert "there is no such image" in reading.failed[0].reason


def test_a_manifest_without_readable_images_is_refused(tmp_path):
    write_table(tmp_path / "manifest.csv", HEADER, [("a/a_0.png", "a", "g", "")])
    with pytest.raises(DatasetError, match=r"no image that manifest\.csv lists"):
        SMALL.read(tmp_path)


def test_a_folder_without_manifest_is_reported(tmp_path):
    with pytest.raises(MissingDataError, match=r"manifest\.csv: there is no such file"):
        SMALL.read(tmp_path)


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        ("file,class", ("a.png", "a"), "no column group"),
        (HEADER, ("a.png", "dog", "g", ""), "line 2: the class is 'dog'; expected a, b, mask"),
        (HEADER, ("../a.png", "a", "g", ""), "expected a path within the collection"),
        (HEADER, ("a" * 200_000, "a", "g", ""), "is no row of a table"),
    ],
)
def test_a_damaged_manifest_is_refused(tmp_path, header, row, message):
    write_table(tmp_path / "manifest.csv", header, [row])
    with pytest.raises(AnnotationError, match=message):
        SMALL.read(tmp_path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("a/a_0.png", "x", 3, 4, 4, "a"), "line 2.*expected x, y, and w, h of a box"),
        (("a/a_0.png", 3, 3, 4, 4, "cat"), "line 2: the class is 'cat'; expected a"),
    ],
)
def test_a_damaged_table_of_cells_is_refused(tmp_path, row, message):
    root = write_collection(tmp_path, ("a",), red_cell_image)
    write_table(root / "cells.csv", "file,x,y,w,h,class", [row])
    with pytest.raises(AnnotationError, match=message):
        BOXED.read(root)
