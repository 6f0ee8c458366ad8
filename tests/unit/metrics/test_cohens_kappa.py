import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blood_cell_system.metrics.cohens_kappa import RaterAgreement, cohens_kappa


def by_definition(counts):
    """Cohen's kappa from the shares of each rater, class by class."""
    total = sum(map(sum, counts))
    size = range(len(counts))
    same = sum(counts[k][k] for k in size) / total
    chance = sum((sum(counts[k]) / total) * (sum(row[k] for row in counts) / total) for k in size)
    return (same - chance) / (1 - chance)


@given(st.lists(st.lists(st.integers(1, 50), min_size=3, max_size=3), min_size=3, max_size=3))
def test_kappa_is_that_of_its_definition(counts):
    assert cohens_kappa(np.array(counts)) == pytest.approx(by_definition(counts))
    assert cohens_kappa(np.array(counts).T) == pytest.approx(by_definition(counts))


def test_raters_who_always_agree_have_a_kappa_of_1_and_those_who_guess_of_0():
    assert cohens_kappa(np.diag([5, 3])) == pytest.approx(1)
    assert cohens_kappa(np.array([[4, 4], [4, 4]])) == pytest.approx(0)


@pytest.mark.parametrize("counts", [np.array([[7]]), np.zeros((2, 2)), np.array([[5, 0], [0, 0]])])
def test_without_a_second_class_there_is_no_kappa(counts):
    assert np.isnan(cohens_kappa(counts))


def test_answers_are_counted_by_class():
    found = RaterAgreement.of(
        ["band", "band", "blast", "band"], ["band", "blast", "blast", "band"], ["a", "a", "b", "c"]
    )
    assert found.classes == ("band", "blast")
    assert found.counts.tolist() == [[2, 1], [0, 1]]
    assert found.total == 4
    assert found.observed.value == pytest.approx(3 / 4)
    assert [one.value for one in found.by_class] == pytest.approx([4 / 5, 2 / 3])


def test_intervals_are_of_fields():
    draw = np.random.default_rng(0)
    first = draw.choice(["x", "y"], 400)
    second = np.where(draw.random(400) < 0.2, draw.choice(["x", "y"], 400), first)
    many = RaterAgreement.of(first, second, list(range(400)))
    few = RaterAgreement.of(first, second, [i // 100 for i in range(400)])
    one = RaterAgreement.of(first, second, [0] * 400)
    low, high = many.kappa.interval
    assert low < many.kappa.value < high
    assert few.kappa.value == many.kappa.value
    assert one.kappa.interval is None
