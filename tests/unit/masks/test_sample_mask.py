from pathlib import Path

import numpy as np
import pytest
from support.voc_folder import BOXES, SHAPE, smear_image

from blood_cell_system.annotation.mask_files import MaskFile
from blood_cell_system.annotation.outline import PixelOutline, PolygonOutline
from blood_cell_system.annotation.sample import Annotation, Origin, Sample
from blood_cell_system.boxes import Box
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.imaging.mask_encoding import encode_class_mask
from blood_cell_system.masks.refine import stain_class_mask
from blood_cell_system.masks.sample_mask import MaskMethod, Unlabelled, mask_of_sample
from blood_cell_system.taxonomy import NOT_SCORED, PLATELET, RBC, WBC

IMAGE = smear_image()
RED, OTHER_RED, WHITE = Box(5, 5, 25, 25), Box(30, 10, 50, 30), Box(55, 20, 85, 50)


def boxed(cell_type: str, box: Box) -> Annotation:
    return Annotation(cell_type=cell_type, box=box)


def square(x: int, y: int, side: int) -> PolygonOutline:
    return PolygonOutline.from_points([(x, y), (x + side, y), (x + side, y + side), (x, y + side)])


def outlined(cell_type: str, outline: PolygonOutline | PixelOutline) -> Annotation:
    return Annotation(cell_type=cell_type, box=outline.box, outline=outline)


def sample(*cells: Annotation, **more: object) -> Sample:
    return Sample(stem="a", image_path=Path("a.png"), shape=SHAPE, cells=cells, **more)


def masked(*cells: Annotation, method=MaskMethod.STAIN, rest=Unlabelled.STAIN, **more: object):
    return mask_of_sample(IMAGE, sample(*cells, **more), method=method, unlabelled=rest)


def test_boxes_alone_give_what_the_stain_says():
    boxes = [
        Annotation(cell_type=RBC, box=Box(5, 5, 25, 25)),
        Annotation(cell_type=WBC, box=Box(55, 20, 85, 50)),
    ]
    stain = stain_class_mask(IMAGE, boxes)
    found = masked(boxed(RBC, RED), boxed(WBC, WHITE))
    assert np.array_equal(found.class_mask, stain.class_mask)
    assert np.array_equal(found.label_image, stain.label_image)
    assert found.cells == stain.cells


def test_an_outline_is_taken_pixel_by_pixel():
    outline = square(8, 8, 12)
    found = masked(outlined(RBC, outline), boxed(WBC, WHITE))
    assert (found.class_mask[8:20, 8:20] == 1).all()
    assert (found.label_image == 1).sum() == 144


def test_what_the_stain_shows_around_an_outline_is_not_scored():
    found = masked(outlined(RBC, square(8, 8, 12)))
    assert found.class_mask[15, 20] == NOT_SCORED


def test_outlines_and_boxes_live_in_one_image():
    found = masked(outlined(RBC, square(8, 8, 12)), boxed(RBC, OTHER_RED), boxed(WBC, WHITE))
    assert [int(found.label_image[y, x]) for x, y in [(15, 15), (40, 20), (70, 35)]] == [1, 2, 3]
    assert [int(found.class_mask[y, x]) for x, y in [(15, 15), (40, 20), (70, 35)]] == [1, 1, 2]


def test_a_white_cells_outline_lies_over_a_red_ones():
    found = masked(outlined(WBC, square(10, 10, 10)), outlined(RBC, square(8, 8, 16)))
    assert found.class_mask[15, 15] == 2
    assert found.class_mask[9, 9] == 1


def test_a_platelets_outline_is_background_with_a_label():
    found = masked(outlined(PLATELET, square(56, 2, 6)))
    assert (found.class_mask[2:8, 56:62] == 0).all()
    assert (found.label_image[2:8, 56:62] == 1).all()


def test_pixels_are_an_outline_as_well():
    pixels = np.zeros(SHAPE, bool)
    pixels[8:20, 8:20] = True
    by_pixels = masked(outlined(RBC, PixelOutline.from_pixels(pixels)))
    by_corners = masked(outlined(RBC, square(8, 8, 12)))
    assert np.array_equal(by_pixels.class_mask, by_corners.class_mask)
    assert np.array_equal(by_pixels.label_image, by_corners.label_image)


def test_an_unmarked_red_cell_is_found_by_its_stain():
    found = masked(boxed(RBC, RED), boxed(WBC, WHITE))
    assert found.class_mask[20, 40] == 1
    assert [cell.origin for cell in found.cells].count(Origin.STAIN) == 1


def test_unmarked_cells_can_be_left_unscored():
    found = masked(boxed(RBC, RED), boxed(WBC, WHITE), rest=Unlabelled.UNSCORED)
    assert found.class_mask[20, 40] == NOT_SCORED
    assert [found.class_mask[15, 15], found.class_mask[35, 70]] == [1, 2]
    assert found.class_mask[3, 92] == 0
    assert len(found.cells) == 2


def test_unmarked_cells_can_be_background():
    found = masked(boxed(RBC, RED), boxed(WBC, WHITE), rest=Unlabelled.BACKGROUND)
    assert found.class_mask[20, 40] == 0
    assert [found.class_mask[15, 15], found.class_mask[35, 70]] == [1, 2]
    assert found.label_image[20, 40] == 0


def test_a_point_is_a_centre_whose_pixels_are_not_scored():
    point = Annotation(cell_type=WBC, point=(70.0, 35.0))
    found = masked(boxed(RBC, RED), boxed(RBC, OTHER_RED), point)
    assert found.cells[-1].origin == Origin.POINT
    assert found.cells[-1].centre == (70.0, 35.0)
    assert found.class_mask[35, 70] == NOT_SCORED


def test_a_points_size_follows_the_red_cells_of_its_image():
    point = Annotation(cell_type=PLATELET, point=(13.0, 48.0))
    found = masked(boxed(RBC, RED), boxed(RBC, OTHER_RED), boxed(WBC, WHITE), point)
    assert found.cells[-1].width == pytest.approx(0.35 * 20)


def test_a_red_cells_point_leaves_its_pixels_to_the_stain():
    point = Annotation(cell_type=RBC, point=(40.0, 20.0))
    found = masked(boxed(RBC, RED), boxed(WBC, WHITE), point)
    assert found.class_mask[20, 40] == 1


def test_a_region_in_doubt_is_not_scored_and_holds_no_found_cell():
    found = masked(boxed(RBC, RED), boxed(WBC, WHITE), unscored=(square(28, 8, 24),))
    assert (found.class_mask[8:32, 28:52] == NOT_SCORED).all()
    assert [cell.origin for cell in found.cells] == [Origin.ANNOTATED] * 2
    assert found.label_image.max() == 2


def test_a_marked_cell_in_a_region_in_doubt_stays():
    found = masked(boxed(RBC, OTHER_RED), boxed(WBC, WHITE), unscored=(square(28, 8, 24),))
    assert found.class_mask[20, 40] == 1


@pytest.fixture
def mask_file(tmp_path: Path) -> MaskFile:
    class_mask = np.zeros(SHAPE, np.uint8)
    class_mask[5:25, 5:25] = 1
    class_mask[20:50, 55:85] = 2
    write_image(tmp_path / "a.png", encode_class_mask(class_mask))
    return MaskFile(path=tmp_path / "a.png")


def test_a_given_mask_is_kept_as_it_is(mask_file: MaskFile):
    found = mask_of_sample(
        IMAGE,
        Sample(stem="a", image_path=Path("a.png"), shape=SHAPE, class_mask=mask_file),
    )
    assert np.array_equal(found.class_mask, mask_file.read(SHAPE))
    assert (found.label_image, found.cells) == (None, None)


def test_boxes_tell_the_cells_of_a_given_mask_apart(mask_file: MaskFile):
    found = masked(boxed(RBC, RED), boxed(WBC, WHITE), class_mask=mask_file)
    assert np.array_equal(found.class_mask, mask_file.read(SHAPE))
    assert [found.label_image[15, 15], found.label_image[35, 70]] == [1, 2]


def test_outlines_tell_the_cells_of_a_given_mask_apart_and_do_not_change_it(
    mask_file: MaskFile,
):
    found = masked(outlined(RBC, square(0, 0, 20)), class_mask=mask_file)
    assert np.array_equal(found.class_mask, mask_file.read(SHAPE))
    assert (found.label_image == 1).sum() == 15 * 15


def test_ellipses_fill_boxes_and_outlines_stay():
    found = masked(outlined(RBC, square(8, 8, 12)), boxed(WBC, WHITE), method=MaskMethod.ELLIPSE)
    assert (found.class_mask == 1).sum() == 144
    assert (found.class_mask == 2).sum() == pytest.approx(np.pi * 15 * 15, rel=0.02)
    assert set(np.unique(found.label_image)) == {0, 1, 2}


def test_ellipses_alone_need_no_label_image():
    assert masked(boxed(RBC, RED), method=MaskMethod.ELLIPSE).label_image is None


def test_an_image_without_cells_is_normal():
    found = masked()
    assert found.cells is not None
    assert found.class_mask.shape == SHAPE


def test_every_label_is_a_cell_of_its_type():
    cells = [boxed(RBC, RED), outlined(WBC, square(55, 20, 30)), boxed(RBC, OTHER_RED)]
    found = masked(*cells, boxed(PLATELET, Box(9, 44, 17, 52)), unscored=(square(28, 8, 24),))
    for index, cell in enumerate(found.cells, start=1):
        classes = set(found.class_mask[found.label_image == index].tolist())
        allowed = {RBC: {1, NOT_SCORED}, WBC: {2, NOT_SCORED}, PLATELET: {0, NOT_SCORED}}
        assert classes <= allowed[cell.cell_type]
    assert len(BOXES) == 4
