import numpy as np
import pytest

from blood_cell_system.metrics.calibration import (
    Guarantee,
    class_thresholds,
    fit_temperature,
    known_threshold_across_sources,
    temperature_across_sources,
    thresholds_across_sources,
)
from blood_cell_system.taxonomy import NOT_LABELLED


def two_labs(*, good=1000, bad=100, seed=0):
    """Probabilities of class 0 that are high in a large laboratory and low in a small one."""
    generator = np.random.default_rng(seed)
    own = np.concatenate([generator.uniform(0.8, 1, good), generator.uniform(0.2, 0.6, bad)])
    probabilities = np.column_stack([own, 1 - own])
    sources = ["good"] * good + ["bad"] * bad
    return probabilities, np.zeros(good + bad, int), sources


def coverage(probabilities, thresholds, sources, name):
    is_there = np.array(sources) == name
    return (probabilities[is_there, 0] >= thresholds[0]).mean()


def test_the_worst_laboratory_keeps_its_coverage():
    probabilities, true, sources = two_labs()
    found = thresholds_across_sources(
        probabilities, true, sources, coverage=0.9, guarantee=Guarantee.WORST
    )
    assert coverage(probabilities, found, sources, "bad") >= 0.9
    pooled = class_thresholds(probabilities, true, coverage=0.9)
    assert coverage(probabilities, pooled, sources, "bad") < 0.5


def test_the_mean_over_laboratories_has_the_coverage_however_many_cells_they_have():
    probabilities, true, sources = two_labs()
    found = thresholds_across_sources(probabilities, true, sources, coverage=0.8)
    both = [coverage(probabilities, found, sources, name) for name in ("good", "bad")]
    assert np.mean(both) == pytest.approx(0.8, abs=0.02)
    assert both[0] > both[1]


def test_a_class_of_too_few_cells_is_always_possible():
    probabilities, true, sources = two_labs()
    found = thresholds_across_sources(probabilities, true, sources)
    assert found[1] == 0
    few = thresholds_across_sources(
        probabilities[:5], true[:5], sources[:5], guarantee=Guarantee.WORST
    )
    assert few[0] == 0


def test_cells_without_a_label_say_nothing():
    probabilities, true, sources = two_labs()
    expected = thresholds_across_sources(probabilities[:1000], true[:1000], sources[:1000])
    true[1000:] = NOT_LABELLED
    assert thresholds_across_sources(probabilities, true, sources).tolist() == expected.tolist()


def test_a_coverage_that_is_no_share_is_refused():
    with pytest.raises(ValueError, match="expected a coverage between 0 and 1"):
        thresholds_across_sources(*two_labs(), coverage=1.5)


def test_one_source_alone_has_the_temperature_of_its_cells():
    probabilities, true, _ = two_labs()
    alone = temperature_across_sources(probabilities, true, ["a"] * len(true))
    assert alone == pytest.approx(fit_temperature(probabilities, true), rel=1e-3)


def test_every_source_counts_the_same_for_the_temperature():
    generator = np.random.default_rng(1)
    # In the small laboratory the network is as sure, and wrong half of the time.
    true = np.concatenate([np.zeros(2000, int), generator.integers(0, 2, 60)])
    probabilities = np.tile([0.95, 0.05], (2060, 1))
    sources = ["large"] * 2000 + ["small"] * 60
    shared = temperature_across_sources(probabilities, true, sources)
    assert shared > fit_temperature(probabilities, true) * 1.3


def test_without_labels_the_temperature_is_one():
    assert temperature_across_sources(np.ones((3, 2)) / 2, [NOT_LABELLED] * 3, ["a"] * 3) == 1


def test_the_threshold_of_known_keeps_the_share_in_the_worst_laboratory():
    probabilities, _, sources = two_labs()
    known = probabilities[:, 0]
    worst = known_threshold_across_sources(known, sources, guarantee=Guarantee.WORST)
    average = known_threshold_across_sources(known, sources)
    assert (known[1000:] >= worst).mean() >= 0.95
    assert worst < average
