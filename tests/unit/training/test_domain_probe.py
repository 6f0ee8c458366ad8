import numpy as np
import pytest

from blood_cell_system.training.domains import probe_domains


def drawn(seed, *, distance, count=400):
    generator = np.random.default_rng(seed)
    domains, groups = generator.integers(0, 2, count), generator.integers(0, 2, count)
    features = generator.standard_normal((count, 4))
    features[:, 0] += distance * domains
    features[:, 1] += 5 * groups
    return features, domains, groups


def test_features_that_tell_the_domain_are_found_out():
    result = probe_domains(drawn(0, distance=6), drawn(1, distance=6))
    assert result.accuracy > 0.97
    assert result.chance == 0.5


def test_features_that_do_not_tell_the_domain_leave_it_to_chance():
    result = probe_domains(drawn(0, distance=0), drawn(1, distance=0))
    assert result.accuracy == pytest.approx(0.5, abs=0.1)


def test_a_class_of_one_domain_only_has_no_part():
    features, domains, groups = drawn(0, distance=0)
    groups = np.where(domains == 0, 0, 1)
    result = probe_domains((features, domains, groups), (features, domains, groups))
    assert np.isnan([result.accuracy, result.chance]).all()


def test_examples_without_a_class_have_no_part():
    features, domains, groups = drawn(0, distance=6)
    nothing = np.full_like(groups, -1)
    assert np.isnan(
        probe_domains((features, domains, nothing), (features, domains, nothing)).accuracy
    )
