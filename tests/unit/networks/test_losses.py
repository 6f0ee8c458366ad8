"""Every loss against plain NumPy, and what must not count does not count."""

import numpy as np
import pytest

from blood_cell_system.networks.losses import (
    centre_focal_loss,
    scored_cross_entropy,
    scored_dice,
    size_loss,
)

GENERATOR = np.random.default_rng(0)
CLASS_MASK = GENERATOR.choice([0, 1, 2, 255], size=(2, 8, 9)).astype(np.uint8)
LOGITS = GENERATOR.normal(size=(2, 8, 9, 3)).astype(np.float32)


def softmax(logits):
    exponents = np.exp(logits - logits.max(-1, keepdims=True))
    return exponents / exponents.sum(-1, keepdims=True)


def test_cross_entropy_is_the_mean_over_scored_pixels():
    scored = CLASS_MASK != 255
    of_truth = softmax(LOGITS)[scored][np.arange(scored.sum()), CLASS_MASK[scored]]
    np.testing.assert_allclose(
        float(scored_cross_entropy(CLASS_MASK, LOGITS)), -np.log(of_truth).mean(), rtol=1e-5
    )


def test_dice_is_the_mean_over_classes_of_scored_pixels():
    scored = CLASS_MASK != 255
    probabilities = softmax(LOGITS)[scored]
    target = np.eye(3)[CLASS_MASK[scored]]
    dice = [
        (2 * (probabilities[:, k] * target[:, k]).sum() + 1)
        / (probabilities[:, k].sum() + target[:, k].sum() + 1)
        for k in range(3)
    ]
    np.testing.assert_allclose(float(scored_dice(CLASS_MASK, LOGITS)), 1 - np.mean(dice), rtol=1e-5)


@pytest.mark.parametrize("loss", [scored_cross_entropy, scored_dice])
def test_pixels_that_are_not_scored_have_no_part(loss):
    changed = np.where((CLASS_MASK == 255)[..., None], -LOGITS * 50, LOGITS)
    np.testing.assert_allclose(
        float(loss(CLASS_MASK, LOGITS)), float(loss(CLASS_MASK, changed)), rtol=1e-6
    )


@pytest.mark.parametrize("loss", [scored_cross_entropy, scored_dice])
def test_a_crop_without_scored_pixels_costs_nothing(loss):
    nothing = np.full_like(CLASS_MASK, 255)
    assert float(loss(nothing, LOGITS)) == pytest.approx(0, abs=1e-6)


def test_a_perfect_prediction_costs_next_to_nothing():
    sure = 40 * np.eye(3, dtype=np.float32)[np.where(CLASS_MASK == 255, 0, CLASS_MASK)]
    assert float(scored_cross_entropy(CLASS_MASK, sure)) < 1e-6
    assert float(scored_dice(CLASS_MASK, sure)) < 1e-5


def focal_reference(heat, weight, logits):
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    total = 0.0
    for y, w, q in zip(heat.ravel(), weight.ravel(), p.ravel(), strict=True):
        total += w * ((1 - q) ** 2 * np.log(q) if y >= 1 else (1 - y) ** 4 * q**2 * np.log(1 - q))
    return -total / max(1.0, ((heat >= 1) * weight).sum())


def test_the_centre_loss_is_the_formula_of_its_paper():
    heat = GENERATOR.uniform(0, 0.9, (2, 5, 6, 3)).astype(np.float32)
    heat[0, 1, 2, 0] = heat[1, 3, 3, 2] = 1
    weight = GENERATOR.integers(0, 2, heat.shape).astype(np.float32)
    logits = GENERATOR.normal(size=heat.shape).astype(np.float32)
    np.testing.assert_allclose(
        float(centre_focal_loss(heat, weight, logits)),
        focal_reference(heat, weight, logits),
        rtol=1e-5,
    )


def test_a_peak_where_nobody_knows_is_not_punished():
    heat = np.zeros((1, 4, 4, 3), np.float32)
    weight = np.ones_like(heat)
    weight[0, 2, 2] = 0
    quiet = np.full(heat.shape, -4, np.float32)
    loud = quiet.copy()
    loud[0, 2, 2] = 8
    assert float(centre_focal_loss(heat, weight, quiet)) == pytest.approx(
        float(centre_focal_loss(heat, weight, loud))
    )


def test_the_size_loss_is_the_weighted_mean_absolute_error():
    true, predicted = GENERATOR.normal(size=(2, 2, 4, 4, 2)).astype(np.float32)
    weight = GENERATOR.uniform(0, 1, (2, 4, 4)).astype(np.float32)
    expected = (weight * np.abs(true - predicted).mean(-1)).sum() / weight.sum()
    np.testing.assert_allclose(float(size_loss(true, weight, predicted)), expected, rtol=1e-5)


def test_the_size_loss_of_a_crop_without_cells_is_zero():
    zeros = np.zeros((1, 4, 4), np.float32)
    assert float(size_loss(np.ones((1, 4, 4, 2), np.float32), zeros, LOGITS[:1, :4, :4, :2])) == 0
