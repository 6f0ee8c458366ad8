from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blood_cell_system.augmentation.training_crops import ImageOrder
from blood_cell_system.errors import SettingsError
from blood_cell_system.seeding import generator_for

# As in a combination of BCCD and a small laboratory, in no order of the sources.
SOURCES = [("small" if number % 12 == 5 else "large") for number in range(216)]
LARGE, SMALL = SOURCES.count("large"), SOURCES.count("small")


def order(sources=SOURCES, *, evenness=0.5, seed=0):
    return ImageOrder(sources, evenness=evenness, seed=seed)


def positions(one, count, *, first=0):
    return [one.position_of(index) for index in range(first, first + count)]


def in_turn(count, seed, indices):
    """All images in turn, as crops were taken before sources had a part in it."""
    return [
        int(generator_for(seed, "order", i // count).permutation(count)[i % count]) for i in indices
    ]


@pytest.mark.parametrize("evenness", [0.0, 0.25, 0.5, 1.0])
def test_crops_of_a_source_are_as_a_power_of_its_number_of_images(evenness):
    counts = Counter(SOURCES[position] for position in positions(order(evenness=evenness), 216))
    expected = SMALL ** (1 - evenness) / (SMALL ** (1 - evenness) + LARGE ** (1 - evenness))
    assert counts["small"] == pytest.approx(216 * expected, abs=0.5)


def test_every_round_has_the_same_number_of_crops_of_each_source():
    one = order()
    for turn in range(4):
        round_ = positions(one, 216, first=216 * turn)
        assert Counter(SOURCES[position] for position in round_) == one.counts_of_a_round()


def test_small_source_is_spread_over_the_round_not_in_one_piece():
    is_small = [SOURCES[position] == "small" for position in positions(order(), 216)]
    quarters = [sum(is_small[start : start + 54]) for start in range(0, 216, 54)]
    assert min(quarters) > 0.4 * np.mean(quarters)


@given(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=12),
    st.floats(0, 1),
    st.integers(0, 2**32 - 1),
)
def test_within_a_source_no_image_comes_again_before_all_have_come(sources, evenness, seed):
    one = order(sources, evenness=evenness, seed=seed)
    taken = positions(one, 3 * len(sources))
    for name in set(sources):
        own = [position for position in taken if sources[position] == name]
        size = sources.count(name)
        assert own
        for start in range(0, len(own), size):
            turn = own[start : start + size]
            assert len(set(turn)) == len(turn)


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=40), st.floats(0, 1))
def test_slots_are_all_dealt_out_and_none_goes_without(sources, evenness):
    counts = order(sources, evenness=evenness).counts_of_a_round()
    assert sum(counts.values()) == len(sources)
    assert set(counts) == set(sources)
    assert min(counts.values()) >= 1


@pytest.mark.parametrize("evenness", [0.0, 0.5, 1.0])
def test_images_of_a_single_source_come_as_ever(evenness):
    one = order(["bccd"] * 7, evenness=evenness, seed=3)
    assert positions(one, 30) == in_turn(7, 3, range(30))


def test_without_evenness_sources_have_no_part_in_it():
    assert positions(order(evenness=0.0, seed=5), 500) == in_turn(216, 5, range(500))


def test_a_position_depends_on_seed_and_index_alone():
    forwards = positions(order(), 300)
    one = order()
    assert [one.position_of(index) for index in reversed(range(300))] == forwards[::-1]
    assert positions(order(seed=1), 300) != forwards


def test_frequencies_are_those_of_the_positions():
    one = order(evenness=1.0)
    counts = np.bincount(positions(one, 12 * 216), minlength=216)
    np.testing.assert_allclose(counts, 12 * one.frequencies(), atol=1)
    assert one.frequencies().mean() == pytest.approx(1)


@pytest.mark.parametrize("evenness", [-0.1, 1.1, float("nan")])
def test_an_evenness_beyond_nought_and_one_is_an_error(evenness):
    with pytest.raises(SettingsError, match=f"source_evenness: received {evenness}"):
        order(evenness=evenness)
