import numpy as np
import pytest

from blood_cell_system.stain.slide_light import SlideLight, fit_slide_light


def uneven_slide(shape=(200, 300)):
    y, x = np.mgrid[: shape[0], : shape[1]]
    slope = 1 - 0.15 * x / shape[1] - 0.1 * y / shape[0]
    return np.rint(np.array([240, 230, 220]) * slope[:, :, None]).astype(np.uint8)


def test_light_follows_a_slope_across_the_image():
    image = uneven_slide()
    light = fit_slide_light(image)
    for x, y in ((10, 10), (150, 100), (290, 190)):
        np.testing.assert_allclose(light.at(x, y), image[y, x], atol=2.5)


def test_cells_do_not_darken_the_light():
    image = uneven_slide()
    image[40:120, 60:180] = (180, 110, 130)
    np.testing.assert_allclose(fit_slide_light(image).at(250, 30), uneven_slide()[30, 250], atol=3)


def test_what_lies_outside_of_the_field_has_no_say():
    image = uneven_slide()
    field = np.ones(image.shape[:2], bool)
    image[:, :90] = 255
    field[:, :90] = False
    light = fit_slide_light(image, field=field)
    np.testing.assert_allclose(light.at(200, 100), uneven_slide()[100, 200], atol=3)


def test_the_image_of_the_light_is_the_empty_slide():
    image = uneven_slide()
    difference = np.abs(fit_slide_light(image).image().astype(int) - image)
    assert difference.max() <= 3


def test_even_light_is_the_same_everywhere():
    light = SlideLight.even((200.0, 190.0, 180.0), (50, 60))
    np.testing.assert_allclose(light.at(3, 4), (200, 190, 180), rtol=1e-5)
    np.testing.assert_allclose(light.at(55, 40), (200, 190, 180), rtol=1e-5)


@pytest.mark.parametrize("level", [0, 255])
def test_an_image_of_one_colour_has_a_light(level):
    light = fit_slide_light(np.full((40, 50, 3), level, np.uint8))
    np.testing.assert_allclose(light.at(25, 20), max(level, 1), atol=1)
