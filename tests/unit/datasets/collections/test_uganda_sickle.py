import json

import pytest
from support.collections_of_cells import write_uganda

from blood_cell_system.datasets.collections.marked_images import (
    NEGATIVE,
    POSITIVE,
    SICKLE,
    read_uganda_sickle,
)
from blood_cell_system.errors import AnnotationError, MissingDataError


@pytest.fixture
def root(tmp_path):
    return write_uganda(tmp_path)


def test_positive_fields_have_boxes_and_negative_ones_none(root):
    fields = {field.name: field for field in read_uganda_sickle(root).fields}
    assert len(fields) == 6
    assert fields["positive_2"].label == POSITIVE
    assert [(c.cell_type, tuple(c.box)) for c in fields["positive_2"].cells] == [
        (SICKLE, (36, 44, 84, 76))
    ]
    assert fields["negative_2"].label == NEGATIVE
    assert fields["negative_2"].cells is None


def test_blocks_of_the_two_folders_are_different(root):
    assert len({field.block for field in read_uganda_sickle(root).fields}) == 2


def test_an_image_without_a_file_is_listed(root):
    (root / "positive" / "2.jpg").unlink()
    (root / "negative" / "3.jpg").write_bytes(b"nothing")
    reading = read_uganda_sickle(root)
    assert {failure.name for failure in reading.failed} == {"positive_2", "negative_3"}
    assert len(reading.fields) == 4


@pytest.mark.parametrize("boxes", [{"1.jpg": 4}, {"1.jpg": [[1, 2, 3]]}, {"1.jpg": [["a"] * 4]}])
def test_boxes_that_cannot_be_understood_are_an_error(root, boxes):
    (root / "sickle_boxes.json").write_text(json.dumps(boxes))
    with pytest.raises(AnnotationError, match=r"sickle_boxes\.json"):
        read_uganda_sickle(root)


@pytest.mark.parametrize("missing", ["positive", "negative"])
def test_a_missing_folder_is_told(root, missing):
    (root / missing).rename(root / "elsewhere")
    with pytest.raises(MissingDataError, match=missing):
        read_uganda_sickle(root)
