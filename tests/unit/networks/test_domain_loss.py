import numpy as np
import pytest

from blood_cell_system.networks.domain_adversary import conditional_domain_loss


def plain_loss(domain, weight, possible, logits):
    total = 0.0
    for row in range(len(domain)):
        if weight[row]:
            among = logits[row][possible[row]]
            log_sum = np.log(np.exp(among).sum())
            total += weight[row] * (log_sum - logits[row, domain[row]])
    return total / max(weight.sum(), 1e-6)


def example(seed=0):
    generator = np.random.default_rng(seed)
    logits = generator.standard_normal((6, 3)).astype(np.float32)
    possible = np.array([[1, 1, 0], [1, 1, 1], [0, 1, 1], [1, 1, 0], [0, 0, 0], [1, 0, 1]], bool)
    return np.array([0, 2, 1, 1, 0, 2]), np.array([1, 2, 0.5, 1, 0, 3.0]), possible, logits


def test_the_loss_is_that_of_the_plain_formula():
    domain, weight, possible, logits = example()
    found = conditional_domain_loss(domain, weight.astype(np.float32), possible, logits)
    assert float(found) == pytest.approx(plain_loss(domain, weight, possible, logits), rel=1e-5)


def test_a_domain_that_the_class_does_not_come_from_has_no_part():
    domain, weight, possible, logits = example()
    changed = np.where(possible, logits, 50.0).astype(np.float32)
    found = conditional_domain_loss(domain, weight.astype(np.float32), possible, changed)
    assert float(found) == pytest.approx(plain_loss(domain, weight, possible, logits), rel=1e-5)


def test_without_part_there_is_no_loss_and_it_is_a_number():
    found = conditional_domain_loss(
        np.array([0, 1]),
        np.zeros(2, np.float32),
        np.zeros((2, 2), bool),
        np.array([[1e4, -1e4], [0, 0]], np.float32),
    )
    assert float(found) == 0.0
