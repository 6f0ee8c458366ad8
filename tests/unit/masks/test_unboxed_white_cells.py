import numpy as np
import pytest
from support.stained_images import CYTOPLASM, NUCLEUS, RED_CELL, box, disc, draw_field

from blood_cell_system.masks.red_cells import appearance_of_red_cells, red_share_of
from blood_cell_system.masks.white_cells import around_unboxed_nuclei
from blood_cell_system.stain.optical_density import GREEN, optical_density

SHAPE = (240, 320)
# Below the threshold of the foreground.
PALE_CYTOPLASM = (0.07, 0.07, 0.01)
NOWHERE = np.zeros(SHAPE, dtype=bool)

red_cell = disc(SHAPE, 50, 50, 25)
cell, nucleus = disc(SHAPE, 170, 130, 46), disc(SHAPE, 170, 130, 22)
RED_PART = (red_cell, RED_CELL)
WHITE_PARTS = [(cell, CYTOPLASM), (nucleus, NUCLEUS)]


def unscored(parts, *, in_red_box=NOWHERE, is_white=NOWHERE, threshold=0.08):
    density = optical_density(draw_field(SHAPE, parts, noise=2))
    red_share = red_share_of(density)
    foreground = density[:, :, GREEN] > threshold
    boxes = [box("RBC", 50, 50, 25)]
    look = appearance_of_red_cells(density, foreground, red_share, boxes)
    return around_unboxed_nuclei(
        density,
        red_share,
        look,
        foreground=foreground,
        in_red_box=in_red_box,
        is_white=is_white,
    )


def test_a_wide_cytoplasm_is_left_out_up_to_its_rim():
    found = unscored([RED_PART, *WHITE_PARTS])
    assert found[disc(SHAPE, 170, 130, 44)].mean() > 0.99
    assert not found[~disc(SHAPE, 170, 130, 54)].any()


def test_cytoplasm_too_pale_for_the_foreground_is_left_out_too():
    parts = [RED_PART, (cell, PALE_CYTOPLASM), (nucleus, NUCLEUS)]
    assert unscored(parts)[disc(SHAPE, 170, 130, 40)].mean() > 0.95


def test_a_red_cell_beside_it_stays_scored():
    beside = disc(SHAPE, 245, 130, 25)
    found = unscored([RED_PART, *WHITE_PARTS, (beside, RED_CELL)])
    assert found[beside].mean() < 0.15


def test_the_border_may_cut_the_cell():
    parts = [
        RED_PART,
        (disc(SHAPE, 310, 130, 46), CYTOPLASM),
        (disc(SHAPE, 310, 130, 22), NUCLEUS),
    ]
    assert unscored(parts)[disc(SHAPE, 310, 130, 40)].mean() > 0.95


@pytest.mark.parametrize("is_boxed", [False, True])
def test_a_purple_smear_is_followed_but_not_onto_a_boxed_red_cell(is_boxed):
    smear = np.zeros(SHAPE, dtype=bool)
    smear[120:140, 190:310] = True
    far_end = np.s_[125:135, 275:300]
    in_red_box = disc(SHAPE, 285, 130, 30) if is_boxed else NOWHERE
    found = unscored([RED_PART, (smear, CYTOPLASM), *WHITE_PARTS], in_red_box=in_red_box)
    assert found[far_end].all() == (not is_boxed)


def test_without_a_nucleus_or_with_a_boxed_one_nothing_is_left_out():
    assert not unscored([RED_PART]).any()
    assert not unscored([RED_PART, *WHITE_PARTS], is_white=disc(SHAPE, 170, 130, 50)).any()


# Optical densities of a Giemsa stain: what is gray in red cells is magenta in nuclei.
GRAY_RED_CELL, MAGENTA_NUCLEUS = (0.36, 0.45, 0.36), (0.60, 2.40, 0.55)
GIEMSA = [(red_cell, GRAY_RED_CELL), (cell, (0.10, 0.20, 0.08)), (nucleus, MAGENTA_NUCLEUS)]


def test_a_magenta_nucleus_gives_its_cell_away():
    assert unscored(GIEMSA)[disc(SHAPE, 170, 130, 40)].mean() > 0.9


def test_a_parasite_in_a_boxed_red_cell_is_no_nucleus():
    assert not unscored(GIEMSA, in_red_box=disc(SHAPE, 170, 130, 50)).any()
