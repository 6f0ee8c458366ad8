import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.boxes import Box
from blood_cell_system.masks.ellipses import rasterize_ellipses
from blood_cell_system.taxonomy import BUILT_IN, PLATELET, RBC, WBC, MaskClass


def cell(cell_type, x_min, y_min, x_max, y_max):
    return Annotation(cell_type=cell_type, box=Box(x_min, y_min, x_max, y_max))


def test_a_circle_of_four_pixels_has_no_corners():
    mask = rasterize_ellipses([cell(RBC, 0, 0, 4, 4)], (4, 4))
    assert mask.tolist() == [[0, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1], [0, 1, 1, 0]]
    assert mask.dtype == np.uint8


def test_a_white_cell_lies_over_a_red_one_in_whatever_order():
    red, white = cell(RBC, 0, 0, 20, 20), cell(WBC, 10, 0, 30, 20)
    masks = [rasterize_ellipses(order, (20, 30)) for order in ([red, white], [white, red])]
    assert masks[0][10, 15] == MaskClass.WBC
    np.testing.assert_array_equal(masks[0], masks[1])


def test_a_platelet_is_background():
    assert not rasterize_ellipses([cell(PLATELET, 0, 0, 9, 9)], (9, 9)).any()


def test_a_box_without_an_area_is_passed_over():
    boxes = [cell(RBC, 5, 5, 5, 9), cell(RBC, 9, 9, 2, 2)]
    assert not rasterize_ellipses(boxes, (12, 12)).any()


def test_a_hairline_box_is_no_trouble():
    assert not rasterize_ellipses([cell(RBC, 0.1, 0, 0.1 + 1e-200, 3)], (3, 3)).any()


corner = st.integers(-120, 240).map(lambda quarter: quarter / 4)
boxes = st.lists(
    st.builds(cell, st.sampled_from(BUILT_IN.names), corner, corner, corner, corner), max_size=4
)


@given(boxes)
def test_it_equals_the_definition_pixel_by_pixel(cells):
    shape = (24, 31)
    expected = np.zeros(shape, dtype=np.uint8)
    y, x = np.indices(shape) + 0.5
    for cell_type in (RBC, WBC):
        for box in cells:
            if box.cell_type != cell_type or box.width <= 0 or box.height <= 0:
                continue
            distance = ((x - box.centre[0]) / (box.width / 2)) ** 2
            distance = distance + ((y - box.centre[1]) / (box.height / 2)) ** 2
            # Single precision may fall on either side of the very boundary.
            sure = np.abs(distance - 1) > 1e-5
            expected[distance <= 1] = BUILT_IN.mask_classes[cell_type]
            expected[~sure] = 99
    mask = rasterize_ellipses(cells, shape)
    known = expected != 99
    np.testing.assert_array_equal(mask[known], expected[known])
