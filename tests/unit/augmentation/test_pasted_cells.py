import cv2
import numpy as np
import pytest

from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.augmentation.pasted_cells import paste_cells
from blood_cell_system.boxes import Box
from blood_cell_system.datasets.prepared import DecodedImage
from blood_cell_system.seeding import generator_for
from blood_cell_system.taxonomy import RBC, MaskClass

SLIDE, CELL = (200, 200, 200), (170, 140, 150)


def image(*centres, radius=14, size=128):
    pixels = np.full((size, size, 3), SLIDE, np.uint8)
    labels = np.zeros((size, size), np.uint16)
    cells = []
    for number, (x, y) in enumerate(centres, start=1):
        disc = np.zeros((size, size), np.uint8)
        cv2.circle(disc, (x, y), radius, (1,), -1)
        pixels[disc > 0] = CELL
        labels[disc > 0] = number
        cells.append(
            Annotation(
                cell_type=RBC, box=Box(x - radius, y - radius, x + radius + 1, y + radius + 1)
            )
        )
    return pixels, (labels > 0).astype(np.uint8), labels, tuple(cells)


def crop_of(*centres):
    pixels, class_mask, labels, cells = image(*centres)
    return DecodedImage(pixels=pixels, class_mask=class_mask, label_image=labels, cells=cells)


def donor_of(*centres):
    pixels, class_mask, labels, cells = image(*centres)
    return DecodedImage(pixels=pixels, class_mask=class_mask, label_image=labels, cells=cells)


def pasted(index, *, crop=None, donor=None):
    crop = crop or crop_of((40, 64), (90, 64))
    donor = donor or donor_of((64, 64))
    return paste_cells(crop, donor, generator_for(0, index), scale=1.0)


@pytest.fixture(scope="module")
def many():
    return [pasted(index) for index in range(60)]


def test_every_pasted_cell_has_a_label_of_its_own_and_a_box_around_it(many):
    added = 0
    for found in many:
        for number, cell in enumerate(found.cells[2:], start=3):
            rows, columns = np.nonzero(found.label_image == number)
            assert len(rows)
            assert cell.x_min <= columns.min()
            assert columns.max() < cell.x_max
            assert cell.y_min <= rows.min()
            assert rows.max() < cell.y_max
            added += 1
    assert added > 30


def test_pasted_red_cells_are_red_cells_in_the_class_mask(many):
    for found in many:
        assert (found.class_mask[found.label_image > 0] == MaskClass.RBC).all()


def test_where_red_cells_overlap_it_is_darker_than_either(many):
    darkest = min(int(found.pixels[:, :, 1].min()) for found in many if len(found.cells) > 2)
    assert darkest < CELL[1] - 25


def test_no_cell_loses_more_than_half_of_itself_to_one_that_is_pasted(many):
    area = int((crop_of((40, 64)).label_image == 1).sum())
    for found in many:
        if len(found.cells) == 3:
            assert (found.label_image == 1).sum() > 0.4 * area


def test_boxes_of_the_cells_below_stay_whole(many):
    for found in many:
        assert found.cells[:2] == crop_of((40, 64), (90, 64)).cells


def test_nothing_is_pasted_from_an_image_whose_cells_touch_its_border():
    found = pasted(0, donor=donor_of((5, 5)))
    np.testing.assert_array_equal(found.pixels, crop_of((40, 64), (90, 64)).pixels)


def test_the_crop_that_was_given_is_not_changed():
    crop = crop_of((40, 64))
    before = crop.pixels.copy()
    for index in range(5):
        pasted(index, crop=crop)
    np.testing.assert_array_equal(crop.pixels, before)
