import numpy as np
import pytest

from blood_cell_system.seeding import generator_for
from blood_cell_system.stain.recolour import recolour
from blood_cell_system.taxonomy import NOT_SCORED, MaskClass


def smear():
    """A grey slide with pale red cells and a white cell with a purple nucleus."""
    image = np.full((64, 64, 3), (200, 205, 198), np.uint8)
    class_mask = np.zeros((64, 64), np.uint8)
    image[4:24, 4:60] = (180, 150, 155)
    class_mask[4:24, 4:60] = MaskClass.RBC
    image[32:60, 20:50] = (170, 150, 190)
    image[36:56, 24:46] = (100, 70, 190)
    class_mask[32:60, 20:50] = MaskClass.WBC
    return image, class_mask


def density_above_slide(image, class_mask, where):
    density = -np.log(np.maximum(image.astype(float), 1) / 255)
    return np.median(density[where], axis=0) - np.median(density[class_mask == 0], axis=0)


def recoloured(index):
    image, class_mask = smear()
    return recolour(image, class_mask, generator_for(0, index)), class_mask


def test_the_same_generator_gives_the_same_colours():
    np.testing.assert_array_equal(recoloured(3)[0], recoloured(3)[0])


def test_nuclei_stay_denser_in_red_light_than_red_cells():
    for index in range(40):
        image, class_mask = recoloured(index)
        nucleus = np.zeros((64, 64), bool)
        nucleus[38:54, 26:44] = True
        of_nucleus = density_above_slide(image, class_mask, nucleus)
        of_red_cells = density_above_slide(image, class_mask, class_mask == MaskClass.RBC)
        assert of_nucleus[0] > of_red_cells[0]


def test_red_cells_get_colours_far_from_their_own():
    found = np.array(
        [
            density_above_slide(image, class_mask, class_mask == MaskClass.RBC)
            for image, class_mask in (recoloured(index) for index in range(60))
        ]
    )
    shares = found[:, 0] / found[:, 1]
    assert shares.min() < 0.3
    assert shares.max() > 0.7
    assert found[:, 1].max() > 4 * found[:, 1].min()


def test_the_slide_stays_one_colour():
    image, class_mask = recoloured(5)
    assert np.ptp(image[class_mask == 0], axis=0).max() <= 1


@pytest.mark.parametrize("value", [MaskClass.BACKGROUND, MaskClass.RBC, NOT_SCORED])
def test_an_image_without_slide_or_without_cells_is_left_as_it_is(value):
    image, _ = smear()
    class_mask = np.full((64, 64), value, np.uint8)
    np.testing.assert_array_equal(recolour(image, class_mask, generator_for(0)), image)
