import numpy as np
import pytest

from blood_cell_system.datasets.duplicates.field_features import (
    POSITIONS,
    best_positions,
    largest_squared_distance,
    position_free,
    position_parts,
    squared_distances,
)


def bands(count, side=6):
    drawn = np.random.default_rng(0).normal(size=(count, side, side)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=(1, 2), keepdims=True)


def in_position(band, position):
    """What the transform of an image becomes when the image is turned or mirrored."""
    is_swapped, down, across = position_parts(position)
    rows, columns = np.mgrid[: band.shape[0], : band.shape[1]]
    swapped = band.T if is_swapped else band
    return (swapped * (-1.0) ** (down * rows + across * columns)).astype(np.float32)


@pytest.mark.parametrize("position", range(POSITIONS))
def test_a_turned_image_is_found_in_its_position(position):
    band = bands(1)
    turned = in_position(band[0], position)[None]
    best, which = best_positions(turned, band, np.array([[0, 0]]))
    assert best[0] == pytest.approx(1, abs=1e-5)
    assert which.tolist() == [position]


@pytest.mark.parametrize("position", range(POSITIONS))
def test_some_numbers_are_the_same_in_all_positions(position):
    band = bands(1)
    turned = in_position(band[0], position)[None]
    assert np.allclose(position_free(turned), position_free(band), atol=1e-6)


def test_pairs_are_compared_in_chunks_as_at_once():
    first, second = bands(7), bands(5)[::-1]
    pairs = np.argwhere(np.ones((7, 5)))
    at_once = best_positions(first, second, pairs)
    in_chunks = best_positions(first, second, pairs, chunk=4)
    assert np.array_equal(at_once, in_chunks)


def test_numbers_without_a_position_are_no_farther_apart_than_bands_in_their_best_position():
    many = bands(40)
    best, _ = best_positions(many, many, np.argwhere(np.ones((40, 40))))
    distances = squared_distances(position_free(many), position_free(many)).ravel()
    assert all(d <= largest_squared_distance(b) for d, b in zip(distances, best, strict=True))


def test_squared_distances_are_those_of_every_two_rows():
    first, second = np.array([[0, 0], [3, 4]], np.float32), np.array([[0, 1]], np.float32)
    assert squared_distances(first, second).tolist() == [[1], [18]]
