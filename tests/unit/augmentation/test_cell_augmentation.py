from dataclasses import replace

import numpy as np
import pytest
from support.single_cells import NUCLEUS, drawn_cell_image

from blood_cell_system.augmentation.augmentation_settings import AugmentationSettings
from blood_cell_system.augmentation.cell_batches import CellAugmentation, augment_cell, for_surround
from blood_cell_system.errors import SettingsError
from blood_cell_system.model_metadata import on_white
from blood_cell_system.seeding import generator_for

STILL = AugmentationSettings(
    any_angle_share=0,
    flip_share=0,
    scale_range=(1, 1),
    brightness_range=(1, 1),
    contrast_range=(1, 1),
    stain_share=0,
    noise_share=0,
    blur_share=0,
    jpeg_share=0,
)


def test_the_same_generator_gives_the_same_image():
    image = drawn_cell_image(spot=NUCLEUS)
    first, second = (
        augment_cell(image, generator_for(3, "x"), CellAugmentation()) for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


def test_without_changes_only_turns_by_right_angles_are_left():
    image = drawn_cell_image(ratio=0.5, spot=NUCLEUS)
    settings = CellAugmentation(look=STILL, shift_px=0, resolution_share=0, outline_px=0)
    turned = [np.rot90(on_white(image), count) for count in range(4)]
    for index in range(8):
        result = augment_cell(image, generator_for(index), settings)
        assert min(np.abs(result.astype(int) - other).mean() for other in turned) < 0.2


def test_all_that_is_transparent_stays_white():
    image = drawn_cell_image()
    image[:, :, 3] = 0
    for index in range(10):
        result = augment_cell(image, generator_for(index), CellAugmentation())
        assert (result == 255).all()


def test_the_corners_are_white_in_every_image():
    image = drawn_cell_image(spot=NUCLEUS)
    for index in range(40):
        result = augment_cell(image, generator_for(index), CellAugmentation())
        assert result.shape == (130, 130, 3)
        for corner in (result[:6, :6], result[-6:, :6], result[:6, -6:], result[-6:, -6:]):
            assert (corner == 255).all()


def test_the_outline_moves_out_and_in():
    settings = CellAugmentation(look=STILL, shift_px=0, resolution_share=0, outline_px=3)
    areas = {
        int((augment_cell(drawn_cell_image(), generator_for(i), settings)[:, :, 1] < 250).sum())
        for i in range(30)
    }
    assert max(areas) > 1.0 * 7850
    assert min(areas) < 7300


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("resolution_share", 1.2, "from 0 to 1"),
        ("smallest_extent_px", 4, "from 8 to 100"),
        ("shift_px", -1, "from 0 to 15"),
        ("outline_px", 9, "from 0 to 6"),
    ],
)
def test_settings_out_of_range_are_refused(name, value, expected):
    with pytest.raises(SettingsError, match=f"{name} is {value}; expected {expected}"):
        CellAugmentation(**{name: value})


def beside_the_cell(settings, *, seeds=range(40)):
    """Colour of a corner, which no cell reaches, for each seed; the slide there is blue."""
    image = drawn_cell_image((200, 100, 50))
    image[image[:, :, 3] == 0, :3] = (40, 80, 220)
    return np.array(
        [augment_cell(image, np.random.default_rng(seed), settings)[2, 64] for seed in seeds]
    )


def test_without_a_share_for_it_the_surround_is_never_seen():
    np.testing.assert_array_equal(beside_the_cell(CellAugmentation()), 255)


def test_a_share_of_the_cells_keeps_the_surround():
    corners = beside_the_cell(replace(CellAugmentation(), surround_share=0.5))
    is_white = (corners == 255).all(axis=1)
    assert 10 < is_white.sum() < 30
    seen = corners[~is_white].astype(int)
    assert (seen[:, 2] - seen[:, 0]).mean() > 60


def test_a_share_of_the_others_lies_on_black_or_on_a_slide_of_some_colour():
    corners = beside_the_cell(replace(CellAugmentation(), coloured_share=1.0), seeds=range(60))
    is_black = (corners == 0).all(axis=1)
    assert 3 < is_black.sum() < 25
    assert len(np.unique(corners[~is_black], axis=0)) > 20


def test_networks_that_see_the_surround_learn_with_it_and_without():
    corners = beside_the_cell(for_surround())
    is_white = (corners == 255).all(axis=1)
    assert 2 < is_white.sum() < 38
