import cv2
import numpy as np
import pytest
from support.single_cells import (
    draw_red_cell,
    draw_white_cell,
    drawn_cell_image,
    piece_of_smear,
)

from blood_cell_system.cells.single_cell import (
    has_no_slide,
    is_cell_image,
    single_cell_image,
)
from blood_cell_system.errors import CellImageError
from blood_cell_system.taxonomy import RBC, WBC


def opaque_share(image):
    return (image[:, :, 3] > 127).mean()


def test_the_red_cell_in_the_middle_is_taken_and_its_neighbours_are_not():
    image = draw_red_cell(piece_of_smear(160), 80, 80, 28)
    for x, y in ((20, 20), (140, 30), (130, 140)):
        draw_red_cell(image, x, y, 24)
    image = single_cell_image(image, cell_type=RBC)
    assert opaque_share(image) == pytest.approx(np.pi / 4 * 104**2 / 130**2, rel=0.06)


def test_a_red_cell_is_parted_from_one_that_touches_it():
    image = draw_red_cell(piece_of_smear(160), 80, 80, 28)
    draw_red_cell(image, 134, 80, 28)
    image = single_cell_image(image, cell_type=RBC)
    assert opaque_share(image) == pytest.approx(0.5, abs=0.06)


def test_a_white_cell_is_taken_with_its_cytoplasm():
    image = draw_white_cell(piece_of_smear(200), 100, 100, 45)
    draw_red_cell(image, 30, 40, 24)
    draw_red_cell(image, 170, 160, 24)
    image = single_cell_image(image, cell_type=WBC)
    assert opaque_share(image) == pytest.approx(0.5, abs=0.06)
    # Nucleus in the middle, cytoplasm around it.
    assert image[65, 65, 0] < 120
    assert image[65, 65 + 43, 0] > 140


@pytest.mark.parametrize("distance", [62, 66])
def test_a_white_cell_is_parted_from_one_that_touches_it(distance):
    image = draw_white_cell(piece_of_smear(260), 110 + distance, 126, 40)
    draw_white_cell(image, 110, 120, 36)
    image = single_cell_image(image, cell_type=WBC)
    # Two cells in a row cover a third.
    assert opaque_share(image) > 0.42


def test_an_image_of_any_size_gives_about_the_same():
    image = draw_white_cell(piece_of_smear(200), 100, 100, 45)
    large = cv2.resize(image, (500, 500), interpolation=cv2.INTER_CUBIC)
    first = single_cell_image(image, cell_type=WBC)
    second = single_cell_image(large, cell_type=WBC)
    assert (first[:, :, 3] != second[:, :, 3]).mean() < 0.06


def cut_out_on(surround, colour=(190, 120, 150)):
    image = np.full((90, 80, 3), surround, np.uint8)
    cv2.ellipse(image, (40, 45), (30, 38), 0, 0, 360, colour, -1)
    return image


@pytest.mark.parametrize("cell_type", [RBC, WBC])
@pytest.mark.parametrize("surround", [0, 128, 255])
def test_a_cell_that_was_cut_out_is_what_is_not_black_grey_or_white(surround, cell_type):
    cut_out = cut_out_on(surround)
    assert has_no_slide(cut_out)
    image = single_cell_image(cut_out, cell_type=cell_type)
    assert opaque_share(image) == pytest.approx(np.pi / 4 * 104 * 83 / 130**2, rel=0.06)


@pytest.mark.parametrize("cell_type", [RBC, WBC])
def test_nothing_of_the_black_is_left_around_a_cell(cell_type):
    image = single_cell_image(cut_out_on(0), cell_type=cell_type)
    assert image[image[:, :, 3] > 0][:, :3].min() > 120


def test_a_red_cell_without_slide_gets_the_colour_that_it_has_with_one():
    with_slide = draw_red_cell(piece_of_smear(160, slide=(232, 185, 160)), 80, 80, 50)
    draw_red_cell(with_slide, 80, 80, 18, colour=(228, 178, 154))
    on_black = np.where(
        draw_red_cell(np.zeros((160, 160, 3), np.uint8), 80, 80, 48) > 0, with_slide, 0
    ).astype(np.uint8)
    expected = single_cell_image(with_slide, cell_type=RBC)
    found = single_cell_image(on_black, cell_type=RBC)
    for row, column in ((65, 65), (65, 95)):
        assert found[row, column, :3].tolist() == pytest.approx(
            expected[row, column, :3].tolist(), abs=24
        )


def test_the_light_of_a_white_cell_without_slide_is_taken_for_grey():
    image = single_cell_image(cut_out_on(0, colour=(93, 45, 110)), cell_type=WBC)
    assert image[65, 65, :3].tolist() == pytest.approx([93 / 110 * 255, 45 / 110 * 255, 255], abs=3)


@pytest.mark.parametrize(
    "image",
    [
        draw_red_cell(piece_of_smear(160), 80, 80, 28),
        draw_red_cell(piece_of_smear(160, slide=(250, 250, 250)), 80, 80, 28),
        drawn_cell_image(),
    ],
    ids=["a slide", "a white slide", "a cell image of this package"],
)
def test_an_image_that_shows_its_slide_is_not_cut_out(image):
    assert not has_no_slide(image)


def test_a_white_cell_is_found_among_red_cells_that_are_as_dark():
    image = draw_white_cell(piece_of_smear(300), 150, 150, 45)
    for x, y in ((85, 150), (215, 150), (150, 85), (150, 215), (60, 60), (240, 240)):
        draw_red_cell(image, x, y, 26, colour=(95, 85, 130))
    image = single_cell_image(image, cell_type=WBC)
    assert opaque_share(image) == pytest.approx(0.5, abs=0.08)
    assert image[65, 65, 0] < 120


def test_a_cell_image_is_handed_on_as_it_is():
    image = drawn_cell_image(spot=(80, 40, 130))
    assert is_cell_image(image)
    np.testing.assert_array_equal(single_cell_image(image, cell_type=RBC), image)


def test_what_is_opaque_is_the_cell():
    image = cv2.resize(drawn_cell_image(ratio=0.5), (70, 70), interpolation=cv2.INTER_NEAREST)
    assert not is_cell_image(image)
    result = single_cell_image(image, cell_type=RBC)
    assert opaque_share(result) == pytest.approx(np.pi / 4 * 104 * 54 / 130**2, rel=0.08)


@pytest.mark.parametrize("shape", [(3, 3, 3), (15, 200, 3), (3, 3, 4)])
def test_an_image_of_a_few_pixels_is_refused(shape):
    with pytest.raises(CellImageError, match="16×16 px or more"):
        single_cell_image(np.full(shape, 128, np.uint8), cell_type=RBC)


@pytest.mark.parametrize("cell_type", [RBC, WBC])
def test_an_empty_slide_is_refused(cell_type):
    with pytest.raises(CellImageError, match="no cell is seen in the middle"):
        single_cell_image(np.full((100, 100, 3), 240, np.uint8), cell_type=cell_type)


def test_black_is_refused():
    with pytest.raises(CellImageError, match="no cell is seen"):
        single_cell_image(np.zeros((60, 60, 3), np.uint8), cell_type=RBC)


def test_full_transparency_is_refused():
    image = drawn_cell_image()
    image[:, :, 3] = 0
    with pytest.raises(CellImageError, match="no cell is seen"):
        single_cell_image(image, cell_type=RBC)


def test_a_whole_field_of_cells_is_refused():
    image = piece_of_smear(400)
    for x in range(30, 400, 50):
        for y in range(30, 400, 50):
            draw_red_cell(image, x, y, 14)
    with pytest.raises(CellImageError, match="is one of many of its size"):
        single_cell_image(image, cell_type=RBC)


@pytest.mark.parametrize(
    ("places", "is_field"),
    [
        ([(150, 150)], False),
        ([(165, 140), (60, 60)], False),
        ([(75, 90)], True),
        ([(150, 150), (45, 45), (255, 45), (45, 255), (255, 255)], True),
    ],
)
def test_a_field_that_shows_white_cells_is_told_from_an_image_of_one(places, is_field):
    image = piece_of_smear(300)
    for x, y in ((30, 150), (270, 150), (150, 30), (150, 275)):
        draw_red_cell(image, x, y, 20)
    for x, y in places:
        draw_white_cell(image, x, y, 36)
    if is_field:
        with pytest.raises(CellImageError, match="not assessed: several cells"):
            single_cell_image(image, cell_type=WBC)
    else:
        assert single_cell_image(image, cell_type=WBC).any()


@pytest.mark.parametrize(("spacing", "is_field"), [(76, True), (140, False)])
def test_a_field_of_large_cells_is_told_from_a_cell_with_neighbours(spacing, is_field):
    image = piece_of_smear(400)
    for x in range(200 - 2 * spacing, 401, spacing):
        for y in range(200 - 2 * spacing, 401, spacing):
            draw_red_cell(image, x, y, 33)
    if is_field:
        with pytest.raises(CellImageError, match="bloodcells analyze"):
            single_cell_image(image, cell_type=RBC)
    else:
        assert single_cell_image(image[90:310, 90:310], cell_type=RBC).any()


def test_a_red_cell_alone_is_no_white_cell():
    image = draw_red_cell(piece_of_smear(160), 80, 80, 40)
    with pytest.raises(CellImageError, match="no cell is seen"):
        single_cell_image(image, cell_type=WBC)


def test_black_bars_around_a_field_are_no_nucleus():
    image = draw_white_cell(piece_of_smear(200), 100, 100, 45)
    whole = single_cell_image(image, cell_type=WBC)
    image[:24] = 0
    image[:, :10] = 0
    barred = single_cell_image(image, cell_type=WBC)
    assert (whole[:, :, 3] != barred[:, :, 3]).mean() < 0.06


def test_a_pale_white_cell_that_fills_its_image_is_whole():
    image = draw_white_cell(piece_of_smear(120), 60, 60, 46)
    pale = (image.astype(float) * 0.45 + 0.55 * np.array([225, 215, 220])).astype(np.uint8)
    assert opaque_share(single_cell_image(pale, cell_type=WBC)) == pytest.approx(0.5, abs=0.08)
