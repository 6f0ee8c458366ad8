"""Soft grey pointers, drawn over smears with cells across them."""

import cv2
import numpy as np
import pytest

from blood_cell_system.analysis.marks import find_marks
from blood_cell_system.analysis.pointer import find_pointer
from blood_cell_system.datasets.synthetic import SmearSettings, draw_smear
from blood_cell_system.seeding import generator_for

EVERYWHERE = np.ones((480, 640), dtype=bool)


def smear(number=0):
    settings = SmearSettings(shape=EVERYWHERE.shape, cell_diameter_px=38, stain="wright-giemsa")
    return draw_smear(settings, generator_for(5, "pointer", number)).image


def with_shadow(image, ends, *, width=14, density=(0.4, 0.4, 0.4), blur=4):
    """An image with a soft straight shadow, and where it is darkest."""
    cover = np.zeros(image.shape[:2], dtype=np.float32)
    cv2.line(cover, *ends, 1.0, width)
    cover = cv2.GaussianBlur(cover, (0, 0), blur)
    light = np.exp(-cover[..., None] * np.array(density, np.float32))
    return np.rint(image * light).astype(np.uint8), cover > 0.5


ENDS = {
    "below": ((630, 600), (540, 250)),
    "left": ((-20, 100), (200, 180)),
    "above": ((320, -20), (300, 160)),
}


def test_soft_grey_pointers_are_found_with_the_cells_that_they_cross():
    found = 0
    for number in range(3):
        image = smear(number)
        for ends in ENDS.values():
            marked, shadow = with_shadow(image, ends)
            if (pointer := find_pointer(marked, EVERYWHERE)) is not None:
                found += 1
                assert pointer[shadow].mean() > 0.9
                assert pointer.mean() < 4 * shadow.mean()
                assert find_marks(marked, EVERYWHERE)[shadow].mean() > 0.9
    # Where cells hide half of one it is missed.
    assert found >= 7


@pytest.mark.parametrize("number", range(6))
def test_a_smear_without_one_has_none(number):
    assert find_pointer(smear(number), EVERYWHERE) is None


@pytest.mark.parametrize(
    ("ends", "options"),
    [
        (((200, 200), (400, 300)), {}),
        (((-20, 240), (660, 250)), {}),
        (ENDS["below"], {"density": (0.1, 0.5, 0.3)}),
        (ENDS["below"], {"width": 90}),
        (((630, 600), (600, 440)), {}),
    ],
    ids=["inside", "across", "stained", "wide", "short"],
)
def test_what_does_not_come_in_from_one_side_is_none(ends, options):
    image, _ = with_shadow(smear(), ends, **options)
    assert find_pointer(image, EVERYWHERE) is None


def test_a_grey_image_has_none():
    grey = np.repeat(smear()[..., 1:2], 3, axis=2)
    assert find_pointer(grey, EVERYWHERE) is None


@pytest.mark.parametrize("shape", [(1, 1), (40, 400), (100, 100), (480, 640)])
def test_an_empty_image_has_none(shape):
    blank = np.full((*shape, 3), 230, dtype=np.uint8)
    assert find_pointer(blank, np.ones(shape, dtype=bool)) is None
    assert find_pointer(blank, np.zeros(shape, dtype=bool)) is None
