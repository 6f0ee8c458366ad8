import numpy as np
import pytest

from blood_cell_system.imaging.overlay import draw_boxes, draw_overlay
from blood_cell_system.taxonomy import BUILT_IN, NOT_SCORED, PLATELET, RBC


def gray_image(height: int = 60, width: int = 80) -> np.ndarray:
    return np.full((height, width, 3), 200, dtype=np.uint8)


def mask_with_two_touching_cells() -> np.ndarray:
    class_mask = np.zeros((60, 80), dtype=np.uint8)
    class_mask[10:50, 10:70] = 1
    return class_mask


def is_colour(image: np.ndarray, cell_type: str) -> np.ndarray:
    return (image == BUILT_IN[cell_type].colour).all(axis=2)


def test_pixels_far_from_any_cell_stay_as_they_were():
    image = gray_image()
    drawn = draw_overlay(image, np.zeros((60, 80), dtype=np.uint8))
    assert (drawn == image).all()


def test_the_input_is_left_as_it_is():
    image = gray_image()
    draw_overlay(image, mask_with_two_touching_cells())
    assert (image == 200).all()


def test_the_outline_lies_on_the_rim_of_the_class_and_inside_it():
    class_mask = mask_with_two_touching_cells()
    is_line = is_colour(draw_overlay(gray_image(), class_mask), RBC)
    assert is_line[10, 10:70].all()
    assert not is_line[class_mask == 0].any()
    assert not is_line[20:40, 20:60].any()


def test_cells_are_filled_lightly_with_their_colour():
    drawn = draw_overlay(gray_image(), mask_with_two_touching_cells())
    red, green, blue = drawn[30, 40].astype(int)
    assert 150 < blue < green < red < 225


def test_without_fill_only_outlines_are_drawn():
    class_mask = mask_with_two_touching_cells()
    class_mask[:5] = NOT_SCORED
    drawn = draw_overlay(gray_image(), class_mask, is_filled=False)
    assert (drawn[20:40, 20:60] == 200).all()
    assert is_colour(drawn, RBC)[10, 10:70].all()
    assert (drawn[:5] != 200).any()


def test_touching_cells_are_parted_by_the_label_image():
    class_mask = mask_with_two_touching_cells()
    labels = np.zeros((60, 80), dtype=np.int32)
    labels[10:50, 10:40], labels[10:50, 40:70] = 1, 2
    without = draw_overlay(gray_image(), class_mask)
    parted = draw_overlay(gray_image(), class_mask, label_image=labels)
    assert not is_colour(without, RBC)[30, 38:42].any()
    assert is_colour(parted, RBC)[30, 39:41].all()


def test_labels_above_16_bits_are_still_told_apart():
    class_mask = mask_with_two_touching_cells()
    labels = np.zeros((60, 80), dtype=np.int32)
    labels[10:50, 10:40], labels[10:50, 40:70] = 70_000, 70_001
    drawn = draw_overlay(gray_image(), class_mask, label_image=labels)
    assert is_colour(drawn, RBC)[30, 39:41].all()


def test_a_platelet_has_an_outline_although_it_is_background_in_the_mask():
    labels = np.zeros((60, 80), dtype=np.int32)
    labels[20:30, 20:30] = 1
    drawn = draw_overlay(
        gray_image(),
        np.zeros((60, 80), dtype=np.uint8),
        label_image=labels,
        cell_types=[PLATELET],
    )
    assert is_colour(drawn, PLATELET)[20, 20:30].all()


def test_not_scored_pixels_are_greyed_and_hatched():
    class_mask = np.full((60, 80), NOT_SCORED, dtype=np.uint8)
    values = np.unique(draw_overlay(gray_image(), class_mask).reshape(-1, 3), axis=0)
    assert len(values) == 2
    assert (values < 200).all()


def test_the_three_colours_differ_in_lightness_or_hue_for_the_colour_blind():
    # Deuteranopia as a projection (Viénot et al. 1999, simplified): red and green fall together.
    projected = [
        ((0.625 * r + 0.375 * g), (0.3 * g + 0.7 * b)) for r, g, b in (t.colour for t in BUILT_IN)
    ]
    for i, first in enumerate(projected):
        for second in projected[i + 1 :]:
            assert np.hypot(*np.subtract(first, second)) > 60


@pytest.mark.parametrize("field", ["class_mask", "label_image"])
def test_a_mask_of_another_size_is_refused(field):
    arrays = {
        "class_mask": np.zeros((60, 80), dtype=np.uint8),
        "label_image": np.zeros((60, 80), dtype=np.int32),
    }
    arrays[field] = arrays[field][:10]
    with pytest.raises(ValueError, match=field):
        draw_overlay(gray_image(), arrays["class_mask"], label_image=arrays["label_image"])


def test_a_cell_without_a_type_is_refused():
    labels = np.full((60, 80), 2, dtype=np.int32)
    with pytest.raises(ValueError, match=r"1\.\.2.*Received: 1"):
        draw_overlay(
            gray_image(),
            np.zeros((60, 80), dtype=np.uint8),
            label_image=labels,
            cell_types=[RBC],
        )


def test_boxes_outside_inside_out_or_not_a_number_do_not_disturb_the_drawing():
    boxes = np.array([[-50, -50, 20, 20], [30, 30, 10, 10], [500, 0, 600, 9], [np.nan, 0, 1, 1]])
    drawn = draw_boxes(gray_image(), boxes, colour=(1, 2, 3))
    assert (drawn[0, 0] == (1, 2, 3)).all()
    assert drawn.shape == (60, 80, 3)
