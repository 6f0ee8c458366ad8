import numpy as np
import pytest

from blood_cell_system.training.domains import stain_groups, stain_of_cell, stain_of_smear


def smear(colour, *, light=(240, 240, 240)):
    image = np.empty((240, 240, 3), np.uint8)
    image[:] = light
    image[40:180, 40:180] = (np.array(light) * np.exp(-np.array(colour))).round()
    return image


def test_the_stain_of_a_smear_is_that_of_its_cells():
    found = stain_of_smear(smear((0.2, 0.5, 0.3)))
    np.testing.assert_allclose(found[:3], (0.2, 0.5, 0.3), atol=0.05)


def test_the_lamp_does_not_change_the_stain_of_a_smear():
    bright, dim = smear((0.2, 0.5, 0.3)), smear((0.2, 0.5, 0.3), light=(200, 190, 170))
    np.testing.assert_allclose(stain_of_smear(bright), stain_of_smear(dim), atol=0.03)


def test_the_stain_of_a_cell_is_taken_within_its_outline():
    image = np.full((20, 20, 4), (0, 0, 0, 0), np.uint8)
    image[5:15, 5:15] = (*np.round(255 * np.exp([-0.1, -0.4, -0.2])).astype(int), 255)
    np.testing.assert_allclose(stain_of_cell(image), [0.1, 0.4, 0.2, 0, 0, 0], atol=0.01)


@pytest.mark.parametrize(
    ("measure", "image"),
    [
        (stain_of_smear, np.full((40, 40, 3), 240, np.uint8)),
        (stain_of_cell, np.zeros((40, 40, 4), np.uint8)),
    ],
)
def test_where_nothing_is_stained_there_is_no_stain(measure, image):
    np.testing.assert_array_equal(measure(image), np.zeros(6))


def test_images_of_three_stains_are_three_groups_the_largest_first():
    generator = np.random.default_rng(0)
    kinds = np.array([0] * 10 + [1] * 30 + [2] * 20)
    statistics = np.eye(3)[kinds] + 0.05 * generator.standard_normal((60, 3))
    groups = stain_groups(statistics, seed=3)
    np.testing.assert_array_equal(groups, np.array([2, 0, 1])[kinds])


def test_equal_images_are_one_group():
    assert set(stain_groups(np.ones((5, 6)), seed=0).tolist()) == {0}


def test_the_seed_decides_the_groups():
    statistics = np.random.default_rng(1).standard_normal((50, 6))
    np.testing.assert_array_equal(
        stain_groups(statistics, seed=4), stain_groups(statistics, seed=4)
    )
