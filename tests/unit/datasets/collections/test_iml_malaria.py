import json

import pytest
from support.collections_of_cells import write_iml

from blood_cell_system.datasets.collections.marked_images import HEALTHY, read_iml_malaria
from blood_cell_system.errors import AnnotationError, DatasetError, MissingDataError


@pytest.fixture
def root(tmp_path):
    return write_iml(tmp_path)


def change(root, edit):
    path = root / "annotations.json"
    entries = json.loads(path.read_text())
    edit(entries)
    path.write_text(json.dumps(entries))


def test_fields_have_cells_with_labels_and_boxes(root):
    reading = read_iml_malaria(root)
    assert len(reading.fields) == 12
    first = reading.fields[0]
    assert first.name == "PA100"
    assert [cell.cell_type for cell in first.cells] == [HEALTHY] * 3 + ["ring"]
    assert tuple(first.cells[0].box) == (10, 10, 50, 50)


def test_ten_neighbouring_images_make_a_block(root):
    blocks = [field.block for field in read_iml_malaria(root).fields]
    assert len(set(blocks)) == 2
    assert len(set(blocks[:10])) == 1


def test_a_missing_image_is_listed_and_the_others_are_read(root):
    (root / "images" / "PA103.jpg").unlink()
    reading = read_iml_malaria(root)
    assert len(reading.fields) == 11
    assert "PA103" in reading.failed[0].reason


def test_a_damaged_image_is_listed(root):
    (root / "images" / "PA103.jpg").write_bytes(b"\xff\xd8 cut off")
    assert [failure.name for failure in read_iml_malaria(root).failed] == ["PA103"]


def test_a_box_outside_or_without_size_is_dropped(root):
    def edit(entries):
        entries[0]["objects"][0]["bbox"]["x"] = "500"
        entries[1]["objects"][2]["bbox"]["w"] = "2"

    change(root, edit)
    reading = read_iml_malaria(root)
    assert [(mark.file, mark.object_index) for mark in reading.dropped] == [
        ("annotations.json", 1),
        ("annotations.json", 3),
    ]
    assert len(reading.fields[0].cells) == 3


def test_a_box_over_the_edge_is_clipped(root):
    change(root, lambda entries: entries[0]["objects"][0]["bbox"].update(x="-15"))
    assert read_iml_malaria(root).fields[0].cells[0].box.x_min == 0


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda e: e[0]["objects"][1].update(type="rign"), "the label is 'rign'"),
        (lambda e: e[0]["objects"][1].pop("bbox"), "object 2 of PA100"),
        (lambda e: e[0]["objects"][1]["bbox"].update(w="wide"), "a box of numbers"),
        (lambda e: e[0].pop("image_name"), "expected image_name and objects"),
    ],
)
def test_a_mark_that_cannot_be_understood_is_an_error(root, edit, message):
    change(root, edit)
    with pytest.raises(AnnotationError, match=message):
        read_iml_malaria(root)


@pytest.mark.parametrize("text", ["[", "{}", "\udcff"])
def test_a_damaged_file_is_an_error(root, text):
    (root / "annotations.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(AnnotationError, match=r"annotations\.json"):
        read_iml_malaria(root)


def test_a_missing_file_is_told(root):
    (root / "annotations.json").unlink()
    with pytest.raises(MissingDataError, match=r"annotations\.json: there is no such file"):
        read_iml_malaria(root)


def test_a_missing_folder_of_images_is_told(root):
    (root / "images").rename(root / "elsewhere")
    with pytest.raises(MissingDataError, match="images: there is no such folder"):
        read_iml_malaria(root)


def test_an_empty_folder_of_images_is_told(root):
    for path in (root / "images").iterdir():
        path.unlink()
    with pytest.raises(DatasetError, match="no images in it"):
        read_iml_malaria(root)


def test_images_that_differ_in_their_ending_only_are_refused(root):
    (root / "images" / "PA100.png").write_bytes((root / "images" / "PA100.jpg").read_bytes())
    with pytest.raises(DatasetError, match="differ in nothing but their ending"):
        read_iml_malaria(root)
