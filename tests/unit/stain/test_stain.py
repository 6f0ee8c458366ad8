import numpy as np
import pytest
from support.stained_images import RED_CELL, disc, draw_field

from blood_cell_system.stain.optical_density import (
    StainSettings,
    foreground_threshold,
    median_density,
    optical_density,
)

SHAPE = (240, 320)


def uneven_light():
    y, x = np.meshgrid(np.linspace(-1, 1, 240), np.linspace(-1, 1, 320), indexing="ij")
    surface = 225 * (1 - 0.12 * x * x - 0.1 * y * y + 0.08 * x)
    return surface[:, :, None] * np.array([1.0, 0.98, 0.9])


def some_cells():
    where = np.zeros(SHAPE, dtype=bool)
    for x, y in ((50, 60), (150, 50), (260, 80), (90, 170), (200, 180), (280, 200)):
        where |= disc(SHAPE, x, y, 28)
    return where


def test_the_density_of_cells_is_found_under_uneven_light():
    where = some_cells()
    density = optical_density(draw_field(SHAPE, [(where, RED_CELL)], light=uneven_light(), noise=2))
    inside = disc(SHAPE, 150, 50, 20)
    np.testing.assert_allclose(np.median(density[inside], axis=0), RED_CELL, atol=0.02)
    assert np.abs(np.median(density[~where], axis=0)).max() < 0.01


@pytest.mark.parametrize("count", [1, 2, 3, 4, 1000, 1001])
def test_the_median_density_is_that_of_numpy(count):
    densities = np.random.default_rng(count).normal(0.2, 0.1, count).astype(np.float32)
    assert median_density(densities) == np.median(densities)


def test_the_cameras_white_balance_does_not_matter():
    parts = [(some_cells(), RED_CELL)]
    cool = optical_density(draw_field(SHAPE, parts, light=np.array([200.0, 215.0, 240.0])))
    warm = optical_density(draw_field(SHAPE, parts, light=np.array([240.0, 215.0, 190.0])))
    np.testing.assert_allclose(cool, warm, atol=0.02)


def test_pale_cells_are_not_taken_for_the_slide():
    where = some_cells()
    density = optical_density(draw_field(SHAPE, [(where, (0.02, 0.08, 0.07))], noise=1))
    assert density[disc(SHAPE, 150, 50, 20)][:, 1].mean() == pytest.approx(0.08, abs=0.015)


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (30, 2), (64, 64)])
def test_an_image_of_one_colour_has_no_density(shape, value):
    density = optical_density(np.full((*shape, 3), value, np.uint8))
    assert density.shape == (*shape, 3)
    np.testing.assert_allclose(density, 0, atol=0.02)


def test_the_threshold_lies_between_slide_and_cell():
    density = optical_density(draw_field(SHAPE, [(some_cells(), RED_CELL)], noise=2))
    assert 0.045 < foreground_threshold(density, settings=StainSettings()) < RED_CELL[1] * 0.6


def test_the_threshold_keeps_its_bounds():
    settings = StainSettings(min_threshold=0.05, max_threshold=0.07)
    empty = np.zeros((20, 20, 3), np.float32)
    dark = np.linspace(0, 1, 1200, dtype=np.float32).reshape(20, 20, 3)
    assert foreground_threshold(empty, settings=settings) == 0.05
    assert foreground_threshold(dark, settings=settings) == 0.07


def test_pixels_left_out_have_no_say_in_the_threshold():
    settings = StainSettings(min_threshold=0.0, max_threshold=1.0)
    density = np.zeros((40, 40, 3), np.float32)
    density[:20] = 0.1
    density[:, 30:] = 2.0
    dark = density[:, :, 1] > 1
    with_dark = foreground_threshold(density, settings=settings)
    without = foreground_threshold(density, settings=settings, left_out=dark)
    assert without < with_dark
    assert foreground_threshold(density, settings=settings, left_out=dark | True) == with_dark
