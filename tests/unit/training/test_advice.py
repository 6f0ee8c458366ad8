import pytest

from blood_cell_system.training.run_record import advice_on as advice_by_view
from blood_cell_system.training.segmenter_training import VIEW


def advice_on(rows):
    return advice_by_view(rows, VIEW)


def history(train, val, iou):
    return [
        {"epoch": i + 1, "train_class_loss": t, "val_class_loss": v, "val_mean_iou": u}
        for i, (t, v, u) in enumerate(zip(train, val, iou, strict=True))
    ]


FALLING = [1.0 / (i + 1) for i in range(12)]
GOOD = [0.9] * 12


def test_a_healthy_training_gets_no_warning():
    assert advice_on(history(FALLING, FALLING, GOOD)) == []


def test_no_epochs_no_advice():
    assert advice_on([]) == []


@pytest.mark.parametrize(
    ("train", "val", "iou", "words"),
    [
        (FALLING, FALLING, [0.5] * 12, ["below 0.70", "--aug-factor 5", "bloodcells verify"]),
        ([1.0] * 12, FALLING, GOOD, ["does not fall", "--learning-rate"]),
        (FALLING, [0.5] * 6 + [0.6, 0.7, 0.8, 0.9, 1.0, 1.1], GOOD, ["Overfitting", "--dropout"]),
    ],
)
def test_each_trouble_is_named_with_its_remedies(train, val, iou, words):
    (warning,) = advice_on(history(train, val, iou))
    assert all(word in warning for word in words)


def test_a_validation_loss_that_only_jitters_is_not_overfitting():
    jitter = [0.5 + 0.02 * (i % 2) for i in range(12)]
    assert advice_on(history(FALLING, jitter, GOOD)) == []
