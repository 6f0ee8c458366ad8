"""The mathematics of the Reynolds bottleneck: what is promised exactly is tested exactly."""

import keras
import numpy as np
import pytest

from blood_cell_system.errors import SettingsError
from blood_cell_system.networks.reynolds import (
    dihedral_orbit,
    reynolds_bottleneck,
    reynolds_pooling,
)

CHANNELS = 6
OFFSETS = ((0, 1), (1, 1), (1, 2))

TURNS_AND_FLIPS = [
    pytest.param(
        lambda x, k=k, flip=flip: np.rot90(x[:, :, ::flip], k, axes=(1, 2)), id=f"{k}{flip}"
    )
    for k in range(4)
    for flip in (1, -1)
]


@pytest.fixture(scope="module")
def bottleneck():
    """A bottleneck with random weights everywhere, also where training starts from zeros."""
    features = keras.Input((None, None, CHANNELS))
    model = keras.Model(features, reynolds_bottleneck(features, d_reduced=5, offsets=OFFSETS))
    generator = np.random.default_rng(0)
    model.set_weights([generator.normal(size=w.shape) for w in model.get_weights()])
    return model


def features_of(height, width, seed=1):
    return np.random.default_rng(seed).normal(size=(2, height, width, CHANNELS)).astype("float32")


def apply(model, values):
    return np.asarray(model(np.ascontiguousarray(values)))


def reference(model, x):
    """The formula of the docstring, pair by pair."""
    weight = {layer.name: [np.asarray(w) for w in layer.weights] for layer in model.layers}
    z = x @ weight["reynolds_reduce"][0][0, 0]
    kernel, bias = weight["reynolds_own"]
    own = z @ kernel[0, 0] + bias
    height, width, _ = x.shape
    joined = []
    for index, offset in enumerate(OFFSETS):
        other = z @ weight[f"reynolds_other_{index}"][0][0, 0]
        average = np.zeros_like(own)
        for r in range(height):
            for c in range(width):
                terms = [
                    np.maximum(own[r, c] + other[r + dr, c + dc], 0)
                    for dr, dc in dihedral_orbit(offset)
                    if 0 <= r + dr < height and 0 <= c + dc < width
                ]
                average[r, c] = np.mean(terms, axis=0) if terms else 0
        joined.append(average)
    kernel, bias = weight["reynolds_restore"]
    return x + np.concatenate(joined, axis=-1) @ kernel[0, 0] + bias


@pytest.mark.parametrize("shape", [(5, 7), (1, 1), (2, 6)])
def test_the_block_computes_the_formula_of_its_docstring(bottleneck, shape):
    x = features_of(*shape)
    expected = np.stack([reference(bottleneck, one) for one in x])
    np.testing.assert_allclose(apply(bottleneck, x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("turn", TURNS_AND_FLIPS)
@pytest.mark.parametrize("shape", [(8, 8), (6, 9)])
def test_the_block_commutes_with_quarter_turns_and_flips(bottleneck, turn, shape):
    x = features_of(*shape)
    np.testing.assert_allclose(
        apply(bottleneck, turn(x)), turn(apply(bottleneck, x)), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("turn", TURNS_AND_FLIPS)
def test_the_pooled_block_is_invariant_to_quarter_turns_and_flips(bottleneck, turn):
    x = features_of(8, 8)
    pooled = apply(bottleneck, x).mean(axis=(1, 2))
    np.testing.assert_allclose(
        apply(bottleneck, turn(x)).mean(axis=(1, 2)), pooled, rtol=1e-4, atol=1e-4
    )


def test_the_block_commutes_with_shifts_away_from_the_border(bottleneck):
    x = features_of(12, 12)
    shifted = np.roll(x, (1, 2), axis=(1, 2))
    reach = 2
    inner = slice(reach + 2, -reach)
    expected = np.roll(apply(bottleneck, x), (1, 2), axis=(1, 2))
    np.testing.assert_allclose(
        apply(bottleneck, shifted)[:, inner, inner], expected[:, inner, inner], rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("offset", [(0, 1), (3, 3), (1, 2), (0, 0)])
def test_the_design_of_an_offset_has_the_mean_of_the_whole_group(offset):
    def inner_map(place):
        return np.array([np.sin(3 * place[0] + place[1]), np.exp(0.3 * place[0] - 0.2 * place[1])])

    row, column = offset
    group = [
        (sign_r * r, sign_c * c)
        for r, c in ((row, column), (column, row))
        for sign_r in (1, -1)
        for sign_c in (1, -1)
    ]
    whole = np.mean([inner_map(place) for place in group], axis=0)
    design = np.mean([inner_map(place) for place in dihedral_orbit(offset)], axis=0)
    np.testing.assert_allclose(design, whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("offset", "size"), [((0, 0), 1), ((0, 4), 4), ((2, 2), 4), ((1, 2), 8)])
def test_an_orbit_has_as_many_places_as_its_symmetry_leaves(offset, size):
    assert len(dihedral_orbit(offset)) == size


def test_the_output_varies_over_the_image_and_is_not_mean_pooling(bottleneck):
    x = features_of(8, 8)
    added = apply(bottleneck, x) - x
    assert added.std(axis=(1, 2)).min() > 0.1


def test_training_starts_from_the_plain_network():
    features = keras.Input((None, None, CHANNELS))
    model = keras.Model(features, reynolds_bottleneck(features, d_reduced=4))
    x = features_of(8, 8)
    np.testing.assert_array_equal(apply(model, x), x)


@pytest.fixture(scope="module")
def pooling():
    def of(height, width, offsets=OFFSETS):
        features = keras.Input((height, width, CHANNELS))
        pooled = reynolds_pooling(features, d_reduced=5, offsets=offsets)
        model = keras.Model(features, pooled)
        generator = np.random.default_rng(0)
        model.set_weights([generator.normal(size=w.shape) for w in model.get_weights()])
        return model

    return of


def pooled_reference(model, x, offsets):
    """The mean over all pairs that lie inside, pair by pair."""
    weight = {layer.name: [np.asarray(w) for w in layer.weights] for layer in model.layers}
    z = x @ weight["reynolds_reduce"][0][0, 0]
    kernel, bias = weight["reynolds_own"]
    own = z @ kernel[0, 0] + bias
    height, width, _ = x.shape
    joined = []
    for index, offset in enumerate(offsets):
        other = z @ weight[f"reynolds_other_{index}"][0][0, 0]
        pairs = [
            np.maximum(own[r, c] + other[r + dr, c + dc], 0)
            for r in range(height)
            for c in range(width)
            for dr, dc in dihedral_orbit(offset)
            if 0 <= r + dr < height and 0 <= c + dc < width
        ]
        joined.append(np.mean(pairs, axis=0))
    return np.concatenate(joined)


@pytest.mark.parametrize("shape", [(5, 7), (2, 3)])
def test_pooling_is_the_mean_over_all_pairs(pooling, shape):
    x = features_of(*shape)
    model = pooling(*shape)
    expected = np.stack([pooled_reference(model, one, OFFSETS) for one in x])
    np.testing.assert_allclose(apply(model, x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("turn", TURNS_AND_FLIPS)
def test_pooling_is_invariant_to_quarter_turns_and_flips(pooling, turn):
    x = features_of(6, 6)
    model = pooling(6, 6)
    np.testing.assert_allclose(apply(model, turn(x)), apply(model, x), rtol=1e-4, atol=1e-5)


def test_pooling_sees_more_than_the_mean_of_the_places(pooling):
    x = features_of(6, 6)
    order = np.random.default_rng(3).permutation(36)
    shuffled = x.reshape(2, 36, CHANNELS)[:, order].reshape(x.shape)
    model = pooling(6, 6)
    assert np.abs(apply(model, shuffled) - apply(model, x)).max() > 0.05


def test_an_orbit_that_no_pair_of_places_has_is_left_out(pooling):
    assert pooling(3, 3, ((0, 1), (0, 3))).output_shape == (None, 5)


def test_a_map_without_any_pair_is_refused():
    with pytest.raises(SettingsError, match="no pair at the offsets"):
        reynolds_pooling(keras.Input((1, 1, CHANNELS)), d_reduced=4, offsets=((1, 1),))
