import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blood_cell_system.boxes import Box
from blood_cell_system.imaging.resampling import Resampler, axis_shares
from blood_cell_system.taxonomy import NOT_SCORED


def disc(side, radius, centre=None):
    middle = centre or (side / 2, side / 2)
    rows, columns = np.mgrid[:side, :side] + 0.5
    return np.hypot(rows - middle[0], columns - middle[1]) < radius


def test_every_new_pixel_is_wholly_shared_out():
    for old, new in ((7, 3), (10, 9), (3, 8), (5, 5), (100, 64)):
        assert axis_shares(old, new).sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_a_class_mask_of_the_same_size_stays_as_it_is():
    mask = np.random.default_rng(0).choice([0, 1, 2, NOT_SCORED], (20, 31)).astype(np.uint8)
    assert np.array_equal(Resampler.by(1.0, mask.shape).class_mask(mask), mask)


@given(factor=st.floats(0.3, 3.0), radius=st.floats(15, 30))
def test_a_discs_area_changes_by_the_square_of_the_magnification(factor, radius):
    mask = disc(80, radius).astype(np.uint8)
    resampler = Resampler.by(factor, mask.shape)
    scale = resampler.new_shape[0] / 80
    expected = float(mask.sum()) * scale**2
    # No pixel's label comes from further than half a pixel of either grid.
    tolerance = 2 * np.pi * radius * scale * 0.5 + 3
    assert abs(float(resampler.class_mask(mask).sum()) - expected) < tolerance


@pytest.mark.parametrize("factor", [0.3, 0.55, 0.97, 1.02, 1.7])
def test_on_the_average_discs_neither_grow_nor_shrink(factor):
    generator = np.random.default_rng(0)
    errors = []
    for radius in generator.uniform(15, 30, 100):
        mask = disc(160, radius, centre=tuple(generator.uniform(32, 128, 2))).astype(np.uint8)
        resampler = Resampler.by(factor, mask.shape)
        scale = resampler.new_shape[0] / 160
        change = float(resampler.class_mask(mask).sum()) - float(mask.sum()) * scale**2
        errors.append(change / (2 * np.pi * radius * scale))
    # In pixels along the outline.
    assert abs(np.mean(errors)) < 0.03


def test_halving_neither_grows_nor_shrinks_cells():
    rows = np.zeros((40, 40), dtype=np.uint8)
    rows[:, 11:30] = 1
    half = Resampler.by(0.5, rows.shape).class_mask(rows)
    assert half.sum() == pytest.approx(20 * 9.5, abs=10)


def test_the_largest_share_wins():
    mask = np.array([[0, 0, 1, 1, 1, 2]], dtype=np.uint8)
    assert Resampler.by(1 / 3, (1, 6)).class_mask(mask).tolist() == [[0, 1]]


def test_not_scored_votes_like_a_class():
    mask = np.full((6, 6), NOT_SCORED, dtype=np.uint8)
    mask[:, 3:] = 2
    assert Resampler.by(2.0, mask.shape).class_mask(mask)[0].tolist() == [NOT_SCORED] * 6 + [2] * 6


@given(factor=st.floats(0.4, 2.5), seed=st.integers(0, 100))
def test_cells_stay_within_pixels_of_their_class(factor, seed):
    generator = np.random.default_rng(seed)
    labels = np.zeros((60, 60), dtype=np.uint16)
    mask = np.zeros((60, 60), dtype=np.uint8)
    for number in range(1, 5):
        cell = disc(60, 10, tuple(generator.uniform(10, 50, 2)))
        labels[cell] = number
        mask[cell] = 1 if number % 2 else 2
    mask[:, 50:] = NOT_SCORED
    resampler = Resampler.by(factor, mask.shape)
    new_mask = resampler.class_mask(mask)
    new_labels = resampler.label_image(labels, mask, new_mask)
    assert new_labels.shape == new_mask.shape
    for number in range(1, 5):
        of_old = set(mask[labels == number].tolist())
        assert set(new_mask[new_labels == number].tolist()) <= of_old
    # Without orphans before there are none after.
    assert not (np.isin(new_mask, (1, 2)) & (new_labels == 0)).any()


def test_two_touching_cells_meet_where_they_met():
    labels = np.zeros((40, 60), dtype=np.uint16)
    labels[5:35, 10:30], labels[5:35, 30:50] = 1, 2
    mask = (labels > 0).astype(np.uint8)
    resampler = Resampler.by(0.7, mask.shape)
    new = resampler.label_image(labels, mask, resampler.class_mask(mask))
    assert np.flatnonzero(new[14] == 2)[0] == 21


def test_boxes_scale_with_the_image():
    assert Resampler.by(0.5, (100, 200)).box(Box(10, 20, 30, 50)) == (5, 10, 15, 25)


def test_an_image_keeps_its_mean_when_shrunk():
    image = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    small = Resampler.by(0.5, (64, 64)).image(image)
    assert small.shape == (32, 32, 3)
    assert small.mean() == pytest.approx(image.mean(), abs=1)
