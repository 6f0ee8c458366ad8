import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blood_cell_system.annotation.sample import Origin
from blood_cell_system.datasets.synthetic import STAINS, SmearSettings, draw_smear
from blood_cell_system.datasets.synthetic.drawn_white_cells import WhiteCellKind, white_cell_dyes
from blood_cell_system.datasets.synthetic.shapes import make_outline, make_patch
from blood_cell_system.datasets.synthetic.smear import add_dirt, photograph, vary_stain
from blood_cell_system.datasets.synthetic.smear_settings import Dye
from blood_cell_system.taxonomy import BUILT_IN, RBC

SMALL = SmearSettings(
    shape=(128, 160), cell_diameter_px=28, white_cell_counts=(0.0, 1.0), platelet_rate=4
)
CLEAR = {"defocus": (0.0, 0.0), "noise": (0.0, 0.0), "jpeg_quality": (100, 100), "dirt_rate": 0.0}

seeds = st.integers(0, 10_000)
quick = settings(max_examples=25, deadline=None)


def draw(seed, options=SMALL):
    return draw_smear(options, np.random.default_rng(seed))


def test_arrays_have_the_promised_shapes_and_types():
    smear = draw(0)
    assert (smear.image.shape, smear.image.dtype) == ((128, 160, 3), np.uint8)
    assert (smear.class_mask.shape, smear.class_mask.dtype) == ((128, 160), np.uint8)
    assert (smear.label_image.shape, smear.label_image.dtype) == ((128, 160), np.uint16)


def test_equal_seeds_draw_equal_smears_and_others_do_not():
    first, again, other = draw(3), draw(3), draw(4)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.label_image, again.label_image)
    assert first.cells == again.cells
    assert (first.image != other.image).any()


@quick
@given(seed=seeds)
def test_class_mask_and_label_image_say_the_same(seed):
    smear = draw(seed)
    assert set(np.unique(smear.label_image)) == set(range(len(smear.cells) + 1)) | {0}
    types = [0] + [BUILT_IN.mask_classes[cell.cell_type] for cell in smear.cells]
    np.testing.assert_array_equal(smear.class_mask, np.array(types)[smear.label_image])


@quick
@given(seed=seeds)
def test_every_box_holds_its_cell_within_the_image(seed):
    smear = draw(seed)
    for label, cell in enumerate(smear.cells, start=1):
        rows, columns = np.nonzero(smear.label_image == label)
        assert 0 <= cell.x_min <= columns.min()
        assert columns.max() + 1 <= cell.x_max <= 160
        assert 0 <= cell.y_min <= rows.min()
        assert rows.max() + 1 <= cell.y_max <= 128
        assert cell.origin is Origin.DRAWN


@quick
@given(seed=seeds)
def test_the_box_of_a_cell_that_nothing_covers_is_tight(seed):
    lonely = replace(SMALL, coverage=(0.1, 0.2), clumping=(0.0, 0.0))
    smear = draw(seed, lonely)
    for label, cell in enumerate(smear.cells, start=1):
        if cell.cell_type == RBC:
            continue
        rows, columns = np.nonzero(smear.label_image == label)
        assert (cell.x_min, cell.x_max) == (columns.min(), columns.max() + 1)
        assert (cell.y_min, cell.y_max) == (rows.min(), rows.max() + 1)


def test_all_types_of_cells_are_drawn():
    types = {cell.cell_type for seed in range(3) for cell in draw(seed).cells}
    assert types == set(BUILT_IN.names)


@pytest.mark.parametrize("stain", STAINS)
def test_cells_are_darker_than_the_field_and_nuclei_absorb_most_red(stain):
    smear = draw(1, replace(SMALL, stain=stain))
    green = smear.image[..., 1]
    assert green[smear.class_mask == 1].mean() < green[smear.label_image == 0].mean() - 15
    red = smear.image[..., 0].astype(float)
    assert red[smear.class_mask == 2].mean() < red[smear.class_mask == 1].mean()


def test_the_mask_lies_where_the_image_is_dark():
    # Every rim is dark, whatever the pallor: shifting the truth in any direction fits worse.
    smear = draw(2, replace(SMALL, stain="giemsa-magenta", platelet_rate=0.0, **CLEAR))
    dark = 255.0 - smear.image[..., 1]
    inside = smear.label_image > 0

    def contrast(dy, dx):
        moved = np.roll(inside, (dy, dx), axis=(0, 1))[8:-8, 8:-8]
        view = dark[8:-8, 8:-8]
        return view[moved].mean() - view[~moved].mean()

    shifts = [(2, 0), (-2, 0), (0, 2), (0, -2)]
    assert contrast(0, 0) > max(contrast(*shift) for shift in shifts)


def test_overlapping_cells_look_darker():
    crowded = replace(
        SMALL,
        shape=(256, 320),
        cell_diameter_px=60,
        stain="giemsa-magenta",
        coverage=(0.8, 0.8),
        clumping=(1.0, 1.0),
        white_cell_counts=(1.0,),
        **CLEAR,
    )
    darkest_share = []
    for options in (crowded, replace(crowded, clumping=(0.0, 0.0), coverage=(0.4, 0.4))):
        smear = draw(5, options)
        green = smear.image[..., 1][smear.class_mask == 1].astype(float)
        darkest_share.append((green < 0.6 * np.median(green)).mean())
    assert darkest_share[0] > darkest_share[1] + 0.02


def test_cells_are_as_large_as_asked_for():
    wide = replace(SMALL, shape=(480, 640), cell_diameter_px=60, clumping=(0.0, 0.0))
    smear = draw(0, wide)
    sizes = [
        (cell.width + cell.height) / 2
        for cell in smear.cells
        if cell.cell_type == RBC
        and min(cell.x_min, cell.y_min) > 0
        and cell.x_max < 640
        and cell.y_max < 480
    ]
    assert np.median(sizes) == pytest.approx(60, rel=0.12)


def test_a_field_without_cells_is_possible():
    empty = replace(SMALL, coverage=(0.0, 0.0), white_cell_counts=(1.0,))
    smear = draw(0, empty)
    assert smear.cells == ()
    assert not smear.class_mask.any()


def test_more_cells_than_fit_into_8_bits_keep_their_labels():
    fine = SmearSettings(shape=(480, 640), cell_diameter_px=16, coverage=(0.5, 0.5))
    smear = draw(0, fine)
    assert len(smear.cells) > 300
    assert smear.label_image.max() == len(smear.cells)


@pytest.mark.parametrize("kind", WhiteCellKind)
def test_every_white_cell_has_a_nucleus_within_it(kind):
    outline = make_outline(np.random.default_rng(1), centre=(60, 60), radius_px=45)
    patch = make_patch(outline, (120, 120))
    dyes = white_cell_dyes(patch, np.random.default_rng(2), kind=kind, radius_px=45.0)
    chromatin = dyes[Dye.CHROMATIN]
    assert 0.1 < (chromatin[patch.inside] > 0.5).mean() < 0.95
    assert chromatin[patch.depth_px < -3].max(initial=0) < 0.02


def test_dirt_makes_specks():
    density = np.zeros((100, 100, 3), np.float32)
    add_dirt(density, np.random.default_rng(0), count=5, radius_px=40.0)
    assert 0 < (np.abs(density).max(axis=2) > 0.02).mean() < 0.05


def test_light_through_an_empty_field_has_the_colour_of_the_glass():
    glass, _ = vary_stain(STAINS["leishman"], np.random.default_rng(0))
    image = photograph(np.zeros((100, 120, 3), np.float32), glass, np.random.default_rng(0), SMALL)
    np.testing.assert_allclose(image.mean(axis=(0, 1)), glass, rtol=0.08)


def test_a_smear_of_bccd_size_takes_a_quarter_of_a_second():
    draw(0, SmearSettings())
    fastest = np.inf
    for seed in range(3):
        start = time.perf_counter()
        draw(seed, SmearSettings())
        fastest = min(fastest, time.perf_counter() - start)
    assert fastest < 0.25
