import numpy as np
import pytest
from support.stained_images import NUCLEUS, RED_CELL, box, disc, draw_field

from blood_cell_system.annotation.sample import Origin
from blood_cell_system.masks.red_cells import (
    appearance_of_red_cells,
    median_red_cell_density,
    red_share_of,
    unboxed_red_cells,
)
from blood_cell_system.stain.optical_density import GREEN, optical_density

SHAPE = (200, 300)


def look(parts, cells):
    density = optical_density(draw_field(SHAPE, parts))
    return appearance_of_red_cells(
        density, density[:, :, GREEN] > 0.08, red_share_of(density), cells
    )


def look_of_drawn_cells():
    return look([(disc(SHAPE, 60, 60, 25), RED_CELL)], [box("RBC", 60, 60, 25)])


def test_colour_and_size_are_learnt_from_the_boxes():
    found = look_of_drawn_cells()
    assert found.diameter_px == 50
    assert found.area_px == pytest.approx(np.pi * 25**2)
    assert found.red_share == pytest.approx(RED_CELL[0] / sum(RED_CELL), abs=0.03)


def test_a_white_cell_does_not_colour_the_red_ones():
    parts = [(disc(SHAPE, 60, 60, 25), RED_CELL), (disc(SHAPE, 200, 100, 40), NUCLEUS)]
    found = look(parts, [box("WBC", 200, 100, 40)])
    assert found.red_share == pytest.approx(RED_CELL[0] / sum(RED_CELL), abs=0.03)


def test_without_boxes_the_size_is_guessed_from_the_stain():
    parts = [(disc(SHAPE, 30 + 60 * i, 40 + 55 * (i % 3), 20), RED_CELL) for i in range(5)]
    assert look(parts, []).diameter_px == pytest.approx(40, rel=0.35)


def test_an_empty_image_has_no_samples():
    assert len(look([], []).samples) == 0


def test_a_free_round_blob_is_a_cell_with_a_tight_box():
    blob = disc(SHAPE, 150, 100, 24)
    ((cell, window, pixels),) = unboxed_red_cells(
        blob, np.zeros(SHAPE, dtype=bool), look_of_drawn_cells()
    )
    assert (cell.x_min, cell.y_min, cell.x_max, cell.y_max) == (126, 76, 174, 124)
    assert cell.origin is Origin.STAIN
    np.testing.assert_array_equal(pixels, blob[window])


@pytest.mark.parametrize(
    "blob",
    [
        disc(SHAPE, 150, 100, 8),
        disc(SHAPE, 150, 100, 60),
        disc(SHAPE, 140, 100, 20) | disc(SHAPE, 176, 100, 20),
        np.pad(np.ones((10, 90), dtype=bool), ((90, 100), (100, 110))),
    ],
    ids=["too small", "too large", "two in one", "too long"],
)
def test_blobs_that_are_no_single_cell_are_passed_over(blob):
    assert unboxed_red_cells(blob, np.zeros(SHAPE, dtype=bool), look_of_drawn_cells()) == []


def test_a_blob_that_leans_on_a_boxed_cell_is_passed_over():
    boxed, blob = disc(SHAPE, 110, 100, 25), disc(SHAPE, 150, 100, 24)
    assert unboxed_red_cells(boxed | blob, boxed, look_of_drawn_cells()) == []


def standard_of(parts, diameter_px=50.0):
    density = optical_density(draw_field(SHAPE, parts))
    return median_red_cell_density(density, density[:, :, GREEN] > 0.08, diameter_px=diameter_px)


@pytest.mark.parametrize("diameter_px", [50.0, None])
def test_the_standard_of_a_smear_is_the_density_of_its_red_cells_alone(diameter_px):
    parts = [
        (disc(SHAPE, 60, 60, 25), RED_CELL),
        (disc(SHAPE, 60, 150, 25), RED_CELL),
        (disc(SHAPE, 200, 100, 40), NUCLEUS),
    ]
    assert standard_of(parts, diameter_px) == pytest.approx(RED_CELL, abs=0.03)


def test_a_smear_without_red_cells_has_no_standard():
    assert standard_of([]) is None
    assert standard_of([(disc(SHAPE, 200, 100, 6), RED_CELL)]) is None
