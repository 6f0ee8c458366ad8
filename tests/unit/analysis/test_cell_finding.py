import numpy as np
import pytest
from support.colour_runtime import ColourRuntime
from support.colours import colour_image
from support.drawn_cells import ellipse_box, is_in_ellipse
from support.found_cells import assert_same_cells

from blood_cell_system.analysis.segmentation import (
    TileSettings,
    block_grid,
    find_cells,
    resampled_on_grid,
)
from blood_cell_system.errors import SettingsError
from blood_cell_system.taxonomy import RBC, WBC

SMALL_TILES = TileSettings(whole_px=10_000, tile_px=128, margin_px=64)


def grid_image(shape=(300, 420), spacing=50, diameter=34):
    """Cells in a grid, many of them on the seams of the tiles and at the border."""
    class_mask = np.zeros(shape, np.uint8)
    for index, y in enumerate(range(8, shape[0], spacing)):
        for x in range(8, shape[1], spacing):
            cell_type = WBC if index % 3 == 2 else RBC
            box = ellipse_box(cell_type, x, y, diameter)
            class_mask[is_in_ellipse(box, shape)] = 2 if cell_type == WBC else 1
    return colour_image(class_mask), class_mask


def test_tiles_find_the_cells_that_the_whole_image_has():
    image, _ = grid_image()
    whole = find_cells(ColourRuntime(), image)
    tiled = find_cells(ColourRuntime(), image, tiles=SMALL_TILES)
    assert_same_cells(tiled.cells, whole.cells)
    np.testing.assert_array_equal(tiled.class_mask, whole.class_mask)


@pytest.mark.parametrize("magnification", [0.7, 1.6])
def test_resampled_tiles_lose_no_cell_and_count_none_twice(magnification):
    image, class_mask = grid_image()
    whole = find_cells(ColourRuntime(), image)
    tiled = find_cells(ColourRuntime(), image, magnification=magnification, tiles=SMALL_TILES)
    assert len(tiled.cells) == len(whole.cells)
    assert tiled.cells["touches_border"].sum() == whole.cells["touches_border"].sum()
    assert (tiled.class_mask == class_mask).mean() > 0.97


def test_the_network_never_sees_more_than_a_tile():
    runtime = ColourRuntime()
    find_cells(runtime, grid_image()[0], magnification=1.6, tiles=SMALL_TILES)
    assert max(max(shape) for shape in runtime.seen) <= 128 + 2 * 64 + 32


def test_an_image_that_is_made_far_smaller_is_cut_up_all_the_same():
    image, class_mask = grid_image((1200, 1200), spacing=240, diameter=160)
    runtime = ColourRuntime()
    found = find_cells(runtime, image, magnification=0.07, tiles=SMALL_TILES)
    assert len(runtime.seen) > 1
    assert (found.class_mask == class_mask).mean() > 0.97


@pytest.mark.parametrize("magnification", [0.5, 2.0])
def test_cells_come_back_in_the_images_own_pixels(magnification):
    image, class_mask = grid_image()
    found = find_cells(ColourRuntime(), image, magnification=magnification)
    assert found.class_mask.shape == image.shape[:2]
    assert (found.class_mask == class_mask).mean() > 0.96
    inner = found.cells["equivalent_diameter_area"][~found.cells["touches_border"]]
    assert np.median(inner) == pytest.approx(34, rel=0.05)


@pytest.mark.parametrize("name", ["whole_px", "tile_px", "margin_px", "network_tile_px"])
def test_tiles_without_a_size_are_refused(name):
    with pytest.raises(SettingsError, match=name):
        TileSettings(**{name: 0})


@pytest.mark.parametrize("magnification", [0.31, 0.62, 1.0, 1.7])
def test_a_tile_is_resampled_as_its_part_of_the_whole_is(magnification):
    block, on_grid = block_grid(magnification)
    image = np.random.default_rng(0).integers(0, 255, (5 * block, 6 * block, 3)).astype(np.uint8)
    whole = resampled_on_grid(image, on_grid)
    tile = resampled_on_grid(image[block : 4 * block, 2 * block : 5 * block], on_grid)
    side = round(block * on_grid)
    part = whole[side : 4 * side, 2 * side : 5 * side]
    # What an interpolation takes from beyond the tile is missing at its rim alone.
    np.testing.assert_array_equal(tile[2:-2, 2:-2], part[2:-2, 2:-2])
    assert on_grid == pytest.approx(magnification, rel=0.02)
