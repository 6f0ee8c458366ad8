from dataclasses import replace

import numpy as np
import pytest

from blood_cell_system.annotation.sample import Annotation, Origin
from blood_cell_system.augmentation.training_crops import centre_targets
from blood_cell_system.boxes import Box
from blood_cell_system.taxonomy import PLATELET, RBC, WBC

CHANNEL = {RBC: 0, WBC: 1, PLATELET: 2}


def box(cell_type, x_min, y_min, x_max, y_max):
    return Annotation(cell_type=cell_type, box=Box(x_min, y_min, x_max, y_max))


def background(height=64, width=96):
    return np.zeros((height, width), np.uint8)


def test_a_cells_peak_is_one_at_the_place_of_its_centre():
    targets = centre_targets([box(RBC, 20, 10, 60, 40)], background())
    assert targets.heat_map.shape == (16, 24, 3)
    assert np.argwhere(targets.heat_map == 1).tolist() == [[25 // 4, 40 // 4, CHANNEL[RBC]]]


@pytest.mark.parametrize(
    ("cell_type", "channel"),
    CHANNEL.items(),
)
def test_each_type_has_its_channel(cell_type, channel):
    heat_map = centre_targets([box(cell_type, 20, 10, 60, 40)], background()).heat_map
    assert [c for c in range(3) if heat_map[:, :, c].any()] == [channel]


def test_size_is_the_logarithm_of_the_ratio_to_64_pixels():
    targets = centre_targets([box(WBC, 0, 0, 64, 32)], background())
    row, column, _ = np.argwhere(targets.heat_map == 1)[0]
    np.testing.assert_allclose(targets.log_size[row, column], [0, np.log(0.5)], atol=1e-6)
    assert targets.size_weight[row, column] == 1


def test_of_two_cells_the_nearer_one_gives_the_size():
    cells = [box(RBC, 0, 0, 40, 40), box(RBC, 8, 8, 88, 64)]
    for order in (cells, cells[::-1]):
        targets = centre_targets(order, background())
        for cell in cells:
            x, y = cell.centre
            expected = np.log([cell.width / 64, cell.height / 64])
            np.testing.assert_allclose(
                targets.log_size[int(y // 4), int(x // 4)], expected, atol=1e-6
            )


def test_an_image_without_cells_teaches_that_there_are_none():
    targets = centre_targets([], background())
    assert not targets.heat_map.any()
    assert (targets.heat_weight == 1).all()
    assert not targets.size_weight.any()


def test_where_nobody_said_where_cells_are_nothing_is_taught():
    targets = centre_targets(None, background())
    assert not targets.heat_weight.any()
    assert not targets.size_weight.any()


def test_no_centre_is_taught_where_pixels_are_not_scored():
    class_mask = background()
    class_mask[32:, :] = 255
    weight = centre_targets([], class_mask).heat_weight
    assert (weight[:8] == 1).all()
    assert (weight[8:] == 0).all()


def test_a_known_centre_counts_even_where_pixels_are_not_scored():
    class_mask = np.full((64, 96), 255, np.uint8)
    targets = centre_targets([box(RBC, 20, 10, 60, 40)], class_mask)
    assert targets.heat_weight[6, 10, CHANNEL[RBC]] == 1
    assert targets.heat_weight[15, 23, CHANNEL[RBC]] == 0


def test_red_pixels_of_no_known_cell_say_nothing_about_red_centres_only():
    class_mask = background()
    class_mask[:32, :32] = 1
    weight = centre_targets([], class_mask, np.zeros_like(class_mask)).heat_weight
    assert not weight[:8, :8, CHANNEL[RBC]].any()
    assert weight[:8, :8, CHANNEL[WBC]].all()
    assert weight[:8, :8, CHANNEL[PLATELET]].all()


def test_red_pixels_of_a_known_cell_teach_that_only_its_centre_is_one():
    class_mask = background()
    class_mask[8:40, 20:60] = 1
    cells = [box(RBC, 20, 8, 60, 40)]
    assert centre_targets(cells, class_mask, class_mask).heat_weight.all()


def test_boxes_without_area_or_with_their_centre_outside_are_passed_over():
    cells = [box(RBC, 30, 30, 30, 40), box(RBC, 90, 0, 140, 20)]
    assert not centre_targets(cells, background()).heat_map.any()


def test_a_point_teaches_its_centre_and_no_size():
    point = replace(box(WBC, 20, 10, 60, 40), origin=Origin.POINT)
    targets = centre_targets([point], background())
    assert targets.heat_map[25 // 4, 40 // 4, CHANNEL[WBC]] == 1
    assert not targets.size_weight.any()


def test_a_type_that_nobody_marked_is_not_taught_as_absent():
    cells = [box(RBC, 8, 8, 40, 40)]
    targets = centre_targets(cells, background(), unmarked_types=(PLATELET,))
    assert targets.heat_weight[..., 2].max() == 0
    assert targets.heat_weight[..., :2].min() == 1
