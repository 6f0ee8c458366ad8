"""Every loss against plain NumPy, and what nobody labelled does not count."""

import numpy as np
import pytest

from blood_cell_system.networks.losses import (
    labelled_binary_cross_entropy,
    labelled_cross_entropy,
)

GENERATOR = np.random.default_rng(0)
LABELS = np.array([0, 2, -1, 1, 2, -1])
LOGITS = GENERATOR.normal(size=(6, 3)).astype(np.float32)
IS_LABELLED = LABELS >= 0


def reference(labels, logits, smoothing):
    losses = []
    for label, row in zip(labels, logits.astype(np.float64), strict=True):
        if label < 0:
            continue
        log_p = row - np.log(np.exp(row).sum())
        target = np.full(len(row), smoothing / len(row))
        target[label] += 1 - smoothing
        losses.append(-(target * log_p).sum())
    return np.mean(losses)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_the_mean_over_labelled_cells(smoothing):
    value = labelled_cross_entropy(LABELS, LOGITS, label_smoothing=smoothing)
    expected = reference(LABELS, LOGITS, smoothing)
    np.testing.assert_allclose(float(value), expected, rtol=1e-5)


def test_cells_without_a_label_have_no_part():
    changed = np.where(IS_LABELLED[:, None], LOGITS, 50 - 30 * LOGITS)
    np.testing.assert_allclose(
        float(labelled_cross_entropy(LABELS, LOGITS)),
        float(labelled_cross_entropy(LABELS, changed)),
        rtol=1e-6,
    )


def test_a_batch_without_labels_costs_nothing():
    nothing = np.full_like(LABELS, -1)
    assert float(labelled_cross_entropy(nothing, LOGITS)) == 0
    assert float(labelled_binary_cross_entropy(nothing, LOGITS[:, :1])) == 0


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_binary_cross_entropy_is_the_mean_over_labelled_cells(smoothing):
    labels = np.array([1, 0, -1, 1, 0, -1])
    p = 1 / (1 + np.exp(-LOGITS[:, 0].astype(np.float64)))
    target = (1 - smoothing) * labels + smoothing / 2
    each = -(target * np.log(p) + (1 - target) * np.log(1 - p))
    np.testing.assert_allclose(
        float(labelled_binary_cross_entropy(labels, LOGITS[:, :1], label_smoothing=smoothing)),
        each[labels >= 0].mean(),
        rtol=1e-5,
    )
