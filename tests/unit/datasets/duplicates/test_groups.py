import numpy as np
import pytest
from support.fields import cropped, drawn_fields

from blood_cell_system.datasets.duplicates.groups import field_print, groups_of_same, pairs_of_same


@pytest.fixture(scope="module")
def fields():
    return drawn_fields(4)


def groups(images, *, belongs_with=None):
    prints = [field_print(image) for image in images]
    return groups_of_same(prints, belongs_with or list(range(len(images)))).tolist()


def test_groups_go_through_the_image_that_two_have_in_common(fields):
    mirrored = np.ascontiguousarray(fields[0][::-1])
    assert groups([mirrored, fields[1], fields[0], cropped(fields[0])]) == [0, 1, 0, 0]


def test_what_belongs_together_stays_together(fields):
    assert groups(fields[:3], belongs_with=[0, 0, 2]) == [0, 0, 1]


def test_images_of_nothing_are_together_only_when_they_are_equal():
    blank = [np.full((80, 80, 3), level, dtype=np.uint8) for level in (200, 190, 200)]
    assert groups(blank) == [0, 1, 0]


def test_no_images_are_in_no_groups():
    assert groups([]) == []


def test_a_pair_that_two_ways_of_looking_find_is_told_once(fields):
    mirrored = np.ascontiguousarray(fields[0][::-1])
    pairs, correlations = pairs_of_same([field_print(p) for p in (fields[0], fields[1], mirrored)])
    assert pairs.tolist() == [[0, 2]]
    assert correlations[0] > 0.95


def test_pairs_have_the_numbers_of_all_images_though_some_show_nothing(fields):
    blank = np.full((80, 80, 3), 200, dtype=np.uint8)
    images = (blank, fields[1], blank, cropped(fields[1]))
    pairs, _ = pairs_of_same([field_print(image) for image in images])
    assert pairs.tolist() == [[1, 3]]
