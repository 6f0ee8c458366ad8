import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from blood_cell_system.model_metadata import on_white


@given(arrays(np.uint8, (3, 4, 4), elements=st.integers(0, 255)))
def test_composing_equals_the_formula_rounded(image):
    alpha = image[:, :, 3:] / 255.0
    expected = image[:, :, :3] * alpha + 255 * (1 - alpha)
    np.testing.assert_array_equal(on_white(image), np.floor(expected + 127 / 255 + 1e-9))


def test_transparent_is_white_whatever_colour_is_below():
    image = np.zeros((2, 2, 4), np.uint8)
    assert (on_white(image) == 255).all()


def test_opaque_keeps_its_colour():
    image = np.full((2, 2, 4), (10, 20, 30, 255), np.uint8)
    assert (on_white(image) == (10, 20, 30)).all()
