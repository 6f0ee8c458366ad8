import numpy as np
import pytest

from blood_cell_system.augmentation.cell_batches import CellLabels
from blood_cell_system.errors import SettingsError
from blood_cell_system.training.domains import DomainPlan

# Healthy (0) comes from both sources, malaria (1) from the first, sickle (2) from the second.
CONDITION = [0, 0, 0, 0, 1, 1, 2, -1, -1]
SOURCE = [0, 0, 0, 1, 0, 0, 1, 0, 1]
KNOWN = [1, 1, 1, 1, 1, 1, 1, 0, 0]


def labels_of(condition=CONDITION, source=SOURCE, known=KNOWN, types=None):
    return CellLabels(
        condition=np.array(condition, np.int32),
        cell_type=np.full(len(condition), -1, np.int32) if types is None else np.array(types),
        known=np.array(known, np.float32),
        source=np.array(source, np.int32),
        sources=("one", "two"),
    )


def plan_of(labels, drawn=None):
    drawn = range(len(labels.condition)) if drawn is None else drawn
    return DomainPlan.of(labels, drawn, conditions=3, types=2)


def takes_part(labels):
    return plan_of(labels).domains_of(labels).weight > 0


def test_only_the_class_of_both_sources_takes_part():
    np.testing.assert_array_equal(takes_part(labels_of()), [1, 1, 1, 1, 0, 0, 0, 0, 0])


def test_sources_count_alike_within_a_class_however_often_they_are_drawn():
    labels = labels_of()
    weight = plan_of(labels).domains_of(labels).weight
    assert weight[:3].sum() == pytest.approx(weight[3])
    assert weight[:4].sum() == pytest.approx(4)


def test_a_class_of_one_source_weighs_nothing():
    labels = labels_of()
    weight = plan_of(labels).domains_of(labels).weight
    assert not weight[4:7].any()


def test_a_type_of_both_sources_takes_part_and_one_of_a_single_source_does_not():
    labels = labels_of([0, 0, 0, 0], [0, 1, 0, 0], [1, 1, 1, 1], types=[0, 0, 1, 1])
    np.testing.assert_array_equal(takes_part(labels), [1, 1, 0, 0])


def test_cells_of_which_nothing_is_known_take_no_part():
    labels = labels_of([0, 0, -1, -1], [0, 1, 0, 1], [1, 1, 1, 1])
    np.testing.assert_array_equal(takes_part(labels), [1, 1, 0, 0])


def test_a_source_that_is_hardly_ever_drawn_does_not_weigh_without_bounds():
    labels = labels_of()
    assert plan_of(labels, drawn=[0, 1, 2] * 1000).weight.max() == 10


def test_without_a_class_of_two_sources_there_is_nothing_to_adapt():
    with pytest.raises(SettingsError, match="no class comes from two of the sources one, two"):
        plan_of(labels_of([0, 0, 1, 1], [0, 0, 1, 1], [1, 1, 1, 1]))
