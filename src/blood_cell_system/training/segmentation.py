"""Training of the segmenter, from a prepared folder to the best model by validation IoU."""

from pathlib import Path

import tensorflow as tf

from blood_cell_system.atomic_files import make_folder
from blood_cell_system.datasets.prepared import PreparedDataset
from blood_cell_system.errors import TrainingMemoryError
from blood_cell_system.training.fine_tuning import StartingPoint
from blood_cell_system.training.loop_parts import TrainingListener
from blood_cell_system.training.memory import ADVICE, check_batch_fits
from blood_cell_system.training.presets import SegmentationSettings
from blood_cell_system.training.state import TrainingState
from blood_cell_system.training.training_loop import (
    MODEL_NAME,
    PREVIOUS_MODEL_NAME,
    SegmentationTraining,
    TrainingResult,
)

__all__ = [
    "MODEL_NAME",
    "PREVIOUS_MODEL_NAME",
    "TrainingListener",
    "TrainingResult",
    "train_segmenter",
]


def train_segmenter(
    dataset: PreparedDataset,
    settings: SegmentationSettings,
    *,
    checkpoint_dir: Path,
    log_dir: Path,
    resume: TrainingState | None = None,
    listener: TrainingListener | None = None,
    is_deterministic: bool = False,
    start: StartingPoint | None = None,
) -> TrainingResult:
    """Train a segmenter, or continue a training.

    Writes into ``checkpoint_dir``: ``segmentation_model_best.keras`` (its running average),
    ``segmentation_training_state.npz``, ``history.csv``, ``history.json``, ``training_curves.png``,
    ``run.json``; and TensorBoard events into a folder of its own in ``log_dir``.

    Parameters
    ----------
    dataset : PreparedDataset
        Pictures without a split get one drawn by the seed.
    settings : SegmentationSettings
    checkpoint_dir, log_dir : Path
    resume : TrainingState, optional
        Where to go on.
    listener : TrainingListener, optional
    is_deterministic : bool
        Whether the same seed, data, software and machine must give the same weights, bit by bit.
        TensorFlow then keeps to one order of work, which costs speed. It holds
        for the rest of the process.
    start : StartingPoint, optional
        A trained model to begin with, in place of random weights; ``fine_tuning_settings`` has the
        settings for it.

    Raises
    ------
    DatasetError
        There is nothing to learn from, or nothing to choose by.
    ResumeError
        The state is of another model.
    TrainingMemoryError
        The batch does not fit into memory.
    OutputError
        A folder cannot be written to.
    """
    check_batch_fits(settings)
    make_folder(checkpoint_dir)
    make_folder(log_dir)
    if is_deterministic:
        tf.config.experimental.enable_op_determinism()
    training = SegmentationTraining(
        dataset.with_splits(settings.seed),
        settings,
        checkpoint_dir=checkpoint_dir,
        log_dir=log_dir,
        resume=resume,
        listener=listener or TrainingListener(),
        start=start,
    )
    try:
        return training.run()
    except (tf.errors.ResourceExhaustedError, MemoryError) as error:
        raise TrainingMemoryError(
            f"--batch-size {settings.batch_size}: the memory is exhausted. {ADVICE}"
        ) from error
    finally:
        training.close()
