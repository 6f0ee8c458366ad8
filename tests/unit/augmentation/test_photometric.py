from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from blood_cell_system.augmentation.augmentation_settings import AugmentationSettings
from blood_cell_system.augmentation.photometric import augment_photometric

NOTHING = AugmentationSettings(
    brightness_range=(1, 1),
    contrast_range=(1, 1),
    stain_share=0,
    noise_share=0,
    blur_share=0,
    jpeg_share=0,
)


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(5).integers(60, 200, (32, 40, 3), dtype=np.uint8)


def changed(image: np.ndarray, seed: int = 0, **settings) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return augment_photometric(image, generator, replace(NOTHING, **settings))


def test_without_any_change_the_image_stays_itself(image):
    assert np.array_equal(changed(image), image)


def test_a_stain_that_is_neither_mixed_nor_stronger_stays_itself(image):
    same = {"stain_mixing": 0, "stain_strength_range": (1, 1), "stain_offset": 0}
    assert np.array_equal(changed(image, stain_share=1, **same), image)


def test_brightness_multiplies(image):
    assert np.allclose(changed(image, brightness_range=(1.2, 1.2)), image * 1.2, atol=0.51)


def test_contrast_is_around_the_mean_that_brightness_gives(image):
    result = changed(image, brightness_range=(1.1, 1.1), contrast_range=(0.7, 0.7))
    mean = image.mean()
    assert np.allclose(result, ((image - mean) * 0.7 + mean) * 1.1, atol=0.51)


def test_too_bright_values_end_at_white(image):
    assert changed(image + 50, brightness_range=(1.3, 1.3)).max() == 255


def test_a_stronger_stain_multiplies_the_optical_density(image):
    same = {"stain_mixing": 0, "stain_strength_range": (1.2, 1.2), "stain_offset": 0}
    expected = 255 * (image / 255.0) ** 1.2
    assert np.allclose(changed(image, stain_share=1, **same), expected, atol=0.51)


def test_noise_stays_within_its_largest_spread_and_moves_no_mean():
    flat = np.full((128, 128, 3), 128, np.uint8)
    result = changed(flat, noise_share=1, largest_noise=8.0).astype(float)
    assert 0.5 < result.std() < 8.5
    assert abs(result.mean() - 128) < 0.5


def test_noise_differs_from_one_image_to_the_next():
    flat = np.full((64, 64, 3), 128, np.uint8)
    generator = np.random.default_rng(2)
    settings = replace(NOTHING, noise_share=1)
    first, second = (augment_photometric(flat, generator, settings) for _ in range(2))
    correlation = np.corrcoef(first.ravel(), second.ravel())[0, 1]
    assert abs(correlation) < 0.05


def test_an_image_larger_than_the_row_of_noise_is_noisy_throughout():
    flat = np.full((700, 700, 3), 128, np.uint8)
    result = changed(flat, noise_share=1)
    assert result[:8].std() > 0.3
    assert result[-8:].std() > 0.3


def test_blur_takes_detail_and_keeps_the_mean(image):
    result = changed(image, blur_share=1, largest_blur_px=1.5)
    assert result.std() < image.std()
    assert abs(result.mean() - image.mean()) < 1


def test_jpeg_keeps_red_red():
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 200
    result = changed(red, jpeg_share=1)
    assert result[..., 0].min() > 190
    assert result[..., 1:].max() < 15


@given(
    hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))),
    st.integers(0, 2**32),
)
def test_every_image_keeps_its_shape_and_equal_seeds_agree(image, seed):
    settings = AugmentationSettings()
    first, second = (
        augment_photometric(image, np.random.default_rng(seed), settings) for _ in range(2)
    )
    assert first.shape == image.shape
    assert first.dtype == np.uint8
    assert np.array_equal(first, second)


def test_the_image_that_was_given_is_not_changed(image):
    before = image.copy()
    augment_photometric(image, np.random.default_rng(0), AugmentationSettings())
    assert np.array_equal(image, before)
