import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.stained_images import (
    CYTOPLASM,
    NUCLEUS,
    PLATELET_DYE,
    RED_CELL,
    box,
    disc,
    draw_field,
    iou,
)

from blood_cell_system.annotation.formats.voc import read_voc_folder
from blood_cell_system.annotation.sample import Annotation, Origin
from blood_cell_system.annotation.splits import Split
from blood_cell_system.boxes import Box
from blood_cell_system.imaging.image_file import read_image
from blood_cell_system.masks.refine import stain_class_mask
from blood_cell_system.stain.optical_density import StainSettings
from blood_cell_system.taxonomy import BUILT_IN, NOT_SCORED, RBC, WBC, MaskClass

SHAPE = (240, 320)
WITHOUT_RIM = StainSettings(rim_px=0)

boxed, free = disc(SHAPE, 60, 60, 28), disc(SHAPE, 260, 60, 28)
white, nucleus = disc(SHAPE, 150, 150, 50), disc(SHAPE, 155, 145, 28)
platelet = disc(SHAPE, 60, 180, 10)
PARTS = [(boxed | free, RED_CELL), (white, CYTOPLASM), (nucleus, NUCLEUS), (platelet, PLATELET_DYE)]
CELLS = [
    box("RBC", 60, 60, 28, air=3),
    box("WBC", 150, 150, 50, air=5),
    box("Platelet", 60, 180, 10, air=3),
]


@pytest.fixture(scope="module")
def smear():
    return draw_field(SHAPE, PARTS, noise=2)


def test_every_class_is_where_it_was_drawn(smear):
    class_mask = stain_class_mask(smear, CELLS, WITHOUT_RIM).class_mask
    assert iou(class_mask == MaskClass.RBC, boxed | free) > 0.9
    assert iou(class_mask == MaskClass.WBC, white) > 0.9
    assert (class_mask[platelet] == MaskClass.BACKGROUND).mean() > 0.9


def test_every_box_has_its_instance(smear):
    result = stain_class_mask(smear, CELLS)
    assert result.label_image.dtype == np.uint16
    for label, drawn in ((1, boxed), (2, white), (3, platelet)):
        assert iou(result.label_image == label, drawn) > 0.8


def test_a_cell_without_a_box_is_red_and_gets_one(smear):
    result = stain_class_mask(smear, CELLS)
    assert result.cells[: len(CELLS)] == tuple(CELLS)
    (found,) = result.cells[len(CELLS) :]
    assert found.origin is Origin.STAIN
    assert found.cell_type == RBC
    assert iou(result.label_image == len(CELLS) + 1, free) > 0.9


def test_the_rim_is_not_scored_and_nothing_else_in_a_clear_image(smear):
    class_mask = stain_class_mask(smear, CELLS).class_mask
    unscored = class_mask == NOT_SCORED
    assert unscored[60, 60 - 28 - 2 : 60 - 28 + 3].any()
    assert not unscored[disc(SHAPE, 60, 60, 22)].any()
    assert unscored.mean() < 0.04
    assert not (stain_class_mask(smear, CELLS, WITHOUT_RIM).class_mask == NOT_SCORED).sum() > 60


def test_a_white_cell_without_a_box_is_not_scored(smear):
    class_mask = stain_class_mask(smear, [CELLS[0], CELLS[2]]).class_mask
    assert (class_mask[nucleus] == NOT_SCORED).mean() > 0.95
    assert not (class_mask == MaskClass.WBC).any()


def test_a_platelet_without_a_box_is_not_scored(smear):
    class_mask = stain_class_mask(smear, CELLS[:2]).class_mask
    assert (class_mask[disc(SHAPE, 60, 180, 8)] == NOT_SCORED).all()


def test_a_bit_too_small_for_a_cell_is_not_scored_unless_the_border_cuts_it():
    bit, cut = disc(SHAPE, 150, 40, 7), disc(SHAPE, 318, 160, 7)
    image = draw_field(SHAPE, [(boxed | bit | cut, RED_CELL)], noise=2)
    class_mask = stain_class_mask(image, CELLS[:1], WITHOUT_RIM).class_mask
    assert (class_mask[disc(SHAPE, 150, 40, 5)] == NOT_SCORED).all()
    assert (class_mask[disc(SHAPE, 318, 160, 5)] == MaskClass.RBC).all()


def test_a_small_bit_in_a_box_is_a_red_cell():
    bit = disc(SHAPE, 150, 40, 7)
    image = draw_field(SHAPE, [(boxed | bit, RED_CELL)], noise=2)
    cells = [CELLS[0], box("RBC", 150, 40, 8)]
    class_mask = stain_class_mask(image, cells, WITHOUT_RIM).class_mask
    assert (class_mask[disc(SHAPE, 150, 40, 5)] == MaskClass.RBC).all()


def test_a_thread_between_two_cells_is_not_scored():
    thread = np.zeros(SHAPE, dtype=bool)
    thread[58:62, 80:240] = True
    image = draw_field(SHAPE, [(boxed | free | thread, RED_CELL)], noise=2)
    class_mask = stain_class_mask(image, CELLS[:1], WITHOUT_RIM).class_mask
    assert (class_mask[59:61, 110:210] == NOT_SCORED).all()
    assert iou(class_mask == MaskClass.RBC, boxed | free) > 0.9


def test_a_hole_that_may_be_pallor_is_not_scored():
    slit = np.zeros(SHAPE, dtype=bool)
    slit[56:64, 244:276] = True
    image = draw_field(SHAPE, [((boxed | free) & ~slit, RED_CELL)], noise=2)
    class_mask = stain_class_mask(image, CELLS[:1], WITHOUT_RIM).class_mask
    assert (class_mask[58:62, 248:272] == NOT_SCORED).all()


def test_purple_without_a_nucleus_is_no_red_cell_however_mixed_the_red_ones_are():
    half = boxed & (np.arange(SHAPE[1]) < 60)
    purple = disc(SHAPE, 150, 150, 30)
    parts = [(boxed, RED_CELL), (half, (0.12, 0.25, 0.05)), (purple, (0.24, 0.26, 0.08))]
    class_mask = stain_class_mask(draw_field(SHAPE, parts), CELLS[:1], WITHOUT_RIM).class_mask
    assert (class_mask[disc(SHAPE, 150, 150, 26)] == NOT_SCORED).all()
    assert (class_mask[disc(SHAPE, 60, 60, 24)] == MaskClass.RBC).all()


def test_two_touching_cells_are_split_between_their_boxes():
    first, second = disc(SHAPE, 100, 120, 30), disc(SHAPE, 155, 120, 30)
    cells = [box("RBC", 100, 120, 30), box("RBC", 155, 120, 30)]
    image = draw_field(SHAPE, [(first | second, RED_CELL)], noise=2)
    labels = stain_class_mask(image, cells).label_image
    assert iou(labels == 1, first) > 0.85
    assert iou(labels == 2, second) > 0.85


def test_a_parasite_in_a_red_cell_is_part_of_it():
    cell, parasite = disc(SHAPE, 100, 120, 30), disc(SHAPE, 105, 115, 6)
    image = draw_field(SHAPE, [(cell, RED_CELL), (parasite, NUCLEUS)], noise=2)
    class_mask = stain_class_mask(image, [box("RBC", 100, 120, 30)]).class_mask
    assert (class_mask[parasite] == MaskClass.RBC).all()


def test_the_same_input_gives_the_same_mask_and_is_not_changed(smear):
    before = smear.copy()
    first, second = (stain_class_mask(smear, CELLS) for _ in range(2))
    np.testing.assert_array_equal(first.class_mask, second.class_mask)
    np.testing.assert_array_equal(first.label_image, second.label_image)
    np.testing.assert_array_equal(smear, before)


def test_a_quarter_turn_of_the_image_turns_the_mask(smear):
    turned = [
        replace(cell, box=Box(cell.y_min, 320 - cell.x_max, cell.y_max, 320 - cell.x_min))
        for cell in CELLS
    ]  # fmt: skip
    expected = np.rot90(stain_class_mask(smear, CELLS).class_mask)
    found = stain_class_mask(np.ascontiguousarray(np.rot90(smear)), turned).class_mask
    assert (expected == found).mean() > 0.99


awkward_images = {
    "white": np.full((60, 80, 3), 255, np.uint8),
    "black": np.zeros((60, 80, 3), np.uint8),
    "one pixel": np.full((1, 1, 3), 200, np.uint8),
    "one row": np.full((1, 90, 3), 120, np.uint8),
    "noise": np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8),
}
awkward_corners = [
    (-20, -20, 40, 40),
    (50, 30, 400, 300),
    (500, 500, 600, 600),
    (10, 10, 10, 30),
    (30, 30, 10, 10),
    (0, 0, 1, 1),
    (20, 20, 50, 55),
]
awkward_boxes = [
    Annotation(cell_type=cell_type, box=Box(a, b, c, d))
    for cell_type in BUILT_IN.names
    for a, b, c, d in awkward_corners
]


@pytest.mark.parametrize("image", awkward_images.values(), ids=awkward_images)
@pytest.mark.parametrize("cells", [[], awkward_boxes], ids=["no boxes", "awkward boxes"])
def test_awkward_input_gives_a_mask_in_the_format(image, cells):
    result = stain_class_mask(image, cells)
    assert result.class_mask.shape == result.label_image.shape == image.shape[:2]
    assert set(np.unique(result.class_mask)) <= {0, 1, 2, NOT_SCORED}
    assert result.label_image.max() <= len(result.cells)


@pytest.mark.parametrize("name", ["white", "black", "one pixel", "one row"])
def test_an_image_without_stain_is_all_background(name):
    result = stain_class_mask(awkward_images[name], [])
    assert not result.class_mask.any()
    assert result.cells == ()


def bccd_figures():
    """WBC IoU and share not scored of every third image with a drawn outline."""
    root = os.environ.get("BLOOD_CELL_DATA")
    if not root:
        pytest.skip("BLOOD_CELL_DATA is not set")
    outlines = Path(root) / "bccd_trainval_extra" / "wbc_masks"
    samples = read_voc_folder(Path(root) / "BCCD_Dataset").samples
    for sample in [sample for sample in samples if sample.split is not Split.TEST][::3]:
        result = stain_class_mask(read_image(sample.image_path), sample.cells)
        is_white_cell = [False] + [cell.cell_type == WBC for cell in result.cells]
        found = np.array(is_white_cell)[result.label_image]
        drawn = read_image(outlines / f"{sample.stem}.png")[:, :, 0] > 0
        yield iou(found, drawn), float((result.class_mask == NOT_SCORED).mean())


@pytest.mark.bccd
def test_white_cells_of_bccd_match_the_outlines_that_people_drew():
    figures = np.array(list(bccd_figures()))
    assert len(figures) > 90
    assert figures[:, 0].mean() >= 0.90
    assert figures[:, 1].mean() <= 0.06
