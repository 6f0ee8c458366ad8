import json

import pytest
from support.collections_of_cells import write_bccd

from blood_cell_system.annotation.splits import Split
from blood_cell_system.datasets.collections.marked_images import read_bccd_cells
from blood_cell_system.errors import AnnotationError, MissingDataError


@pytest.fixture
def folders(tmp_path):
    return write_bccd(tmp_path)


def fields_of(folders):
    return {field.name: field for field in read_bccd_cells(*folders).fields}


def test_complete_boxes_take_the_place_of_bccds_own(folders):
    fields = fields_of(folders)
    assert [cell.cell_type for cell in fields["pic_0"].cells] == ["RBC", "WBC", "Platelet"]
    assert tuple(fields["pic_0"].cells[0].box) == (5, 5, 25, 25)
    assert len(fields["pic_2"].cells) == 4


def test_the_only_white_cell_of_an_image_has_its_type(folders):
    fields = fields_of(folders)
    assert fields["pic_0"].label == "basophil"
    assert fields["pic_1"].label == "monocyte"
    assert fields["pic_2"].label == ""


def test_a_type_is_left_out_where_it_could_be_of_several_cells(folders):
    complete = folders[1] / "complete_boxes.json"
    boxes = json.loads(complete.read_text())
    boxes["pic_0"].append({"class": "WBC", "bbox": [20, 30, 40, 50]})
    complete.write_text(json.dumps(boxes))
    assert fields_of(folders)["pic_0"].label == ""


def test_the_official_split_is_kept_and_blocks_lie_in_it(folders):
    fields = fields_of(folders)
    assert fields["pic_2"].split is Split.TEST
    assert len({field.block for field in fields.values()}) == 3


def test_an_unknown_type_is_an_error(folders):
    (folders[1] / "wbc_types.json").write_text('{"pic_0": "neutro"}')
    with pytest.raises(AnnotationError, match="pic_0 is 'neutro'"):
        read_bccd_cells(*folders)


def test_an_unknown_class_is_an_error(folders):
    boxes = {"pic_0": [{"class": "rbc", "bbox": [5, 5, 25, 25]}]}
    (folders[1] / "complete_boxes.json").write_text(json.dumps(boxes))
    with pytest.raises(AnnotationError, match="object 1 of pic_0"):
        read_bccd_cells(*folders)


def test_missing_extras_are_told(folders):
    (folders[1] / "complete_boxes.json").unlink()
    with pytest.raises(MissingDataError, match=r"complete_boxes\.json"):
        read_bccd_cells(*folders)
