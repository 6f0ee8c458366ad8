"""What the loop does when a training goes wrong, with a network of one weight."""

import math
from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from blood_cell_system.errors import DivergedError, OutputError, ResumeError
from blood_cell_system.model_metadata import ModelMetadata
from blood_cell_system.training.loop import Pace, Training, TrainingListener
from blood_cell_system.training.presets import PRESETS
from blood_cell_system.training.run_record import new_run_name
from blood_cell_system.training.segmenter_training import VIEW
from blood_cell_system.training.state import SEGMENTER_FILES, TrainingState

SETTINGS = replace(PRESETS["fast"], epochs=3, crops_per_epoch=4, batch_size=2, learning_rate=0.5)
STEPS = SETTINGS.steps_per_epoch


class OneWeight:
    """A learner whose losses are as they are told."""

    def __init__(self, losses):
        inputs = keras.Input((1,))
        self.model = self.averaged = keras.Model(inputs, keras.layers.Dense(1)(inputs))
        self.optimizer = SimpleNamespace(learning_rate=0.5)
        self._losses = iter(losses)
        self.weight_after = {}
        self.steps = 0

    def train_step(self, batch, rates):
        self.steps += 1
        weight = self.weight_after.get(self.steps, float(self.steps))
        self.averaged.set_weights([np.array([[weight]]), np.zeros(1)])
        return {"class_loss": next(self._losses)}

    def arrays(self):
        return {"model/0": np.asarray(self.averaged.get_weights()[0])}

    def restore(self, arrays):
        self.averaged.set_weights([arrays["model/0"], np.zeros(1)])


class OneWeightTask:
    files = SEGMENTER_FILES
    view = VIEW
    metadata = ModelMetadata(kind="segmenter")
    data_hash = validation_hash = "same"
    remarks = data_warnings = ()

    def __init__(self, losses):
        self.learner = OneWeight(losses)
        self.details = {}

    def batches(self, *, first_index, count):
        return iter([{}] * count)

    def measure(self):
        figures = dict.fromkeys([*VIEW.score_labels, VIEW.val_loss], 0.1 * self.learner.steps)
        return figures, ()

    def advice(self, history):
        return []


def training_of(folder, losses, *, resume=None, listener=None, task=None):
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    return Training(
        task or OneWeightTask(losses),
        SETTINGS,
        folder=folder,
        log_dir=folder / "logs",
        resume=resume,
        listener=listener,
    )


def weight_in(path):
    return float(keras.saving.load_model(path, compile=False).get_weights()[0][0, 0])


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_the_training_and_the_best_model_stays(tmp_path, loss):
    training = training_of(tmp_path, [*[1.0] * STEPS, loss])
    with pytest.raises(DivergedError, match=rf"epoch 2, step 1 \(class loss {loss}\)") as caught:
        training.run()
    assert "--learning-rate than 0.5" in str(caught.value)
    assert f"{training.model_path} is the best model before, of epoch 1" in str(caught.value)
    assert weight_in(training.model_path) == STEPS
    assert TrainingState.load(tmp_path / SEGMENTER_FILES.state).epoch == 1


def test_a_training_that_diverges_at_once_writes_no_model_and_names_the_former(tmp_path):
    former = training_of(tmp_path, [1.0] * 3 * STEPS)
    former.run()
    with pytest.raises(DivergedError, match=r"no model was written; .*previous\.keras is that of"):
        training_of(tmp_path, [math.nan]).run()
    assert not former.model_path.exists()
    assert weight_in(tmp_path / SEGMENTER_FILES.previous_model) == 3 * STEPS


def test_weights_that_are_no_numbers_are_never_saved(tmp_path):
    task = OneWeightTask([1.0] * 3 * STEPS)
    task.learner.weight_after[2 * STEPS] = math.nan
    training = training_of(tmp_path, [], task=task)
    with pytest.raises(DivergedError, match=r"epoch 2, .*weights"):
        training.run()
    assert weight_in(training.model_path) == STEPS


class RemoveModel(TrainingListener):
    def __init__(self, folder):
        self.folder = folder

    def end_epoch(self, row, *, is_best, seconds_left):
        if row["epoch"] == 3:
            (self.folder / SEGMENTER_FILES.model).unlink()


def test_a_model_that_is_removed_during_the_training_is_reported(tmp_path):
    training = training_of(tmp_path, [1.0] * 3 * STEPS, listener=RemoveModel(tmp_path))
    with pytest.raises(OutputError, match=r"_best\.keras: was removed during the training"):
        training.run()


def test_a_resumed_training_without_its_model_chooses_the_best_anew(tmp_path, caplog):
    with pytest.raises(DivergedError):
        training_of(tmp_path, [*[1.0] * STEPS, math.nan]).run()
    state = TrainingState.load(tmp_path / SEGMENTER_FILES.state)
    state.best_score = 0.99
    (tmp_path / SEGMENTER_FILES.model).unlink()
    result = training_of(tmp_path, [1.0] * 2 * STEPS, resume=state).run()
    assert result.model_path.is_file()
    assert result.best_epoch == 3
    assert "chosen anew" in caplog.text


def test_a_state_with_other_arrays_names_the_file(tmp_path):
    with pytest.raises(DivergedError):
        training_of(tmp_path, [*[1.0] * STEPS, math.nan]).run()
    state = TrainingState.load(tmp_path / SEGMENTER_FILES.state)
    state.arrays = {"model/0": np.zeros((5, 5))}
    with pytest.raises(ResumeError, match=f"{SEGMENTER_FILES.state}: holds the state of another"):
        training_of(tmp_path, [], resume=state)


def test_every_run_has_a_folder_of_its_own_for_its_events(tmp_path):
    names = [new_run_name(tmp_path / "logs", "fast", kind="segmentation") for _ in range(2)]
    assert names == ["segmentation-fast-001", "segmentation-fast-002"]
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file"):
        new_run_name(tmp_path / "file", "fast", kind="segmentation")


class NoteTimeLeft(TrainingListener):
    def __init__(self):
        self.seconds_left = []

    def end_epoch(self, row, *, is_best, seconds_left):
        self.seconds_left.append(seconds_left)


def test_the_time_left_is_that_of_the_epochs_of_this_process(tmp_path):
    with pytest.raises(DivergedError):
        training_of(tmp_path, [*[1.0] * STEPS, math.nan]).run()
    state = TrainingState.load(tmp_path / SEGMENTER_FILES.state)
    state.seconds += 1e6
    listener = NoteTimeLeft()
    training_of(tmp_path, [1.0] * 2 * STEPS, resume=state, listener=listener).run()
    assert len(listener.seconds_left) == 2
    assert max(listener.seconds_left) < 1e5


def test_stopped_at_the_end_of_an_epoch_the_time_left_rests_on_all_epochs():
    pace = Pace(epochs_before=3.0, seconds_before=30.0)
    assert pace.seconds_left(done=3, epochs=5, seconds=30.5) == pytest.approx(2 * 30.5 / 3)
