from enum import StrEnum

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blood_cell_system.seeding import generator_for

KEYS = st.lists(st.integers() | st.text(), max_size=3)


class Word(StrEnum):
    CROP = "crop"


def numbers(seed, *keys):
    return generator_for(seed, *keys).integers(2**63, size=4).tolist()


def test_the_numbers_of_a_seed_never_change():
    assert generator_for(0, "crop", 7).integers(1_000_000, size=3).tolist() == [
        97041,
        342813,
        867340,
    ]


@given(st.integers(), KEYS)
def test_equal_seeds_and_keys_give_equal_numbers(seed, keys):
    assert numbers(seed, *keys) == numbers(seed, *keys)


@given(st.tuples(st.integers(), KEYS), st.tuples(st.integers(), KEYS))
def test_other_seeds_or_keys_give_other_numbers(first, second):
    are_equal = first == second
    assert (numbers(first[0], *first[1]) == numbers(second[0], *second[1])) == are_equal


def test_a_number_is_not_its_digits():
    assert numbers(0, 7) != numbers(0, "7")


def test_keys_do_not_run_together():
    assert numbers(0, "ab", "c") != numbers(0, "a", "bc")


def test_what_was_drawn_before_does_not_matter():
    expected = numbers(1, "b")
    generator_for(1, "a").random(1000)
    np.random.default_rng(1).random(1000)
    assert numbers(1, "b") == expected


def test_numpy_integers_and_enumerations_count_as_what_they_equal():
    assert numbers(np.int64(3), np.uint8(4), Word.CROP) == numbers(3, 4, "crop")


@pytest.mark.parametrize("key", [0.5, None, (1,)])
def test_other_keys_are_refused(key):
    with pytest.raises(TypeError):
        generator_for(0, key)
