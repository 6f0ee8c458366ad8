from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.prepared_pairs import by_stem, drawn

from blood_cell_system.annotation.splits import Split
from blood_cell_system.errors import DatasetError

# Splits


@given(st.integers(1, 40), st.integers(0, 3), st.integers(0, 5))
def test_copies_stay_with_their_original(count, copies, seed):
    splits = {}
    for image in drawn(count, copies).with_splits(seed).images:
        assert image.split is not None
        assert splits.setdefault(image.original, image.split) == image.split


@given(st.integers(3, 60), st.integers(0, 5))
def test_with_three_originals_or_more_no_split_is_empty(count, seed):
    counts = Counter(image.split for image in drawn(count).with_splits(seed).images)
    assert set(counts) == set(Split)
    assert counts[Split.VAL] == counts[Split.TEST] == max(1, round(0.15 * count))


@pytest.mark.parametrize(("count", "expected"), [(1, {"train"}), (2, {"train", "val"})])
def test_few_originals_are_learned_from_first(count, expected):
    assert {image.split for image in drawn(count).with_splits(0).images} == expected


def test_the_splits_depend_on_the_seed_alone():
    first, again, other = (drawn(30).with_splits(seed).images for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_splits_that_are_known_are_kept():
    dataset = drawn(9, 1, p0=Split.TEST, p1=Split.TRAIN, p1_aug1=Split.TRAIN).with_splits(0)
    images = by_stem(dataset)
    assert images["p0"].split == images["p0_aug1"].split == Split.TEST
    assert images["p1"].split == images["p1_aug1"].split == Split.TRAIN


def test_a_copy_without_a_split_follows_its_original_when_all_others_are_known():
    assert by_stem(drawn(1, 1, p0=Split.VAL).with_splits(0))["p0_aug1"].split == Split.VAL


def test_a_data_set_with_all_splits_stays_as_it_is():
    dataset = drawn(5).with_splits(0)
    assert dataset.with_splits(1) is dataset


def test_copies_are_learned_from_but_never_measured_on():
    dataset = drawn(12, 2).with_splits(0)
    assert any(image.is_augmented for image in dataset.of_split(Split.TRAIN))
    for split in (Split.VAL, Split.TEST):
        assert dataset.of_split(split)
        assert not any(image.is_augmented for image in dataset.of_split(split))


# Fewer images


def test_fewer_originals_are_kept_with_their_copies_and_the_other_splits_whole():
    dataset = drawn(20, 1).with_splits(0)
    few = dataset.limited(3, seed=0)
    assert Counter(i.original for i in few.of_split(Split.TRAIN)).most_common() == [
        (original, 2) for original in dict.fromkeys(i.original for i in few.of_split(Split.TRAIN))
    ]
    assert len({image.original for image in few.of_split(Split.TRAIN)}) == 3
    for split in (Split.VAL, Split.TEST):
        assert few.of_split(split) == dataset.of_split(split)


def test_which_are_kept_depends_on_the_seed_alone():
    dataset = drawn(40).with_splits(0)
    first, again, other = (dataset.limited(5, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_more_images_contain_the_fewer():
    dataset = drawn(40).with_splits(0)
    assert set(dataset.limited(5, seed=0).images) < set(dataset.limited(9, seed=0).images)


@pytest.mark.parametrize("count", [-1, 0, 15])
def test_a_number_of_images_that_there_is_not_is_an_error(count):
    with pytest.raises(DatasetError, match=rf"{count} images wanted.*has 14 originals"):
        drawn(20).with_splits(0).limited(count, seed=0)
