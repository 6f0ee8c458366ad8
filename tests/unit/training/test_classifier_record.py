import numpy as np

from blood_cell_system.imaging.image_file import read_image
from blood_cell_system.training.classifier import VIEW
from blood_cell_system.training.run_record import advice_on, write_curves


def classifier_advice(history):
    return advice_on(history, VIEW)


def rows(train, val, score=0.95):
    return [
        {
            "epoch": index + 1,
            "train_loss": t,
            "train_condition_loss": t,
            "val_loss": v,
            "val_score": score,
            "val_condition_balanced_accuracy": score,
            "val_condition_auroc": score,
            "val_type_macro_f1": float("nan"),
            "val_known_auroc": score,
            "learning_rate": 1e-3,
        }
        for index, (t, v) in enumerate(zip(train, val, strict=True))
    ]


def test_a_good_training_needs_no_advice():
    falling = np.linspace(1, 0.2, 9)
    assert classifier_advice(rows(falling, falling)) == []


def test_without_an_epoch_there_is_no_advice():
    assert classifier_advice([]) == []


def test_a_low_score_is_told():
    (advice,) = classifier_advice(rows([1, 0.5, 0.3], [1, 0.5, 0.3], score=0.6))
    assert "reached 0.60, below 0.85" in advice


def test_a_loss_that_does_not_fall_is_told():
    (advice,) = classifier_advice(rows([1, 1, 1], [1, 1, 1]))
    assert "does not fall" in advice


def test_overfitting_is_told():
    (advice,) = classifier_advice(rows(np.linspace(1, 0.1, 9), [1, 1, 1, 0.5, 0.5, 0.5, 1, 1, 1]))
    assert advice.startswith("Overfitting")


def test_the_curves_are_an_image(tmp_path):
    write_curves(tmp_path / "curves.png", rows([1, 0.5], [1, 0.6]), VIEW)
    assert read_image(tmp_path / "curves.png").std() > 5
