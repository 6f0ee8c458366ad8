"""A training of seconds: a few drawn smears, a very small network."""

from dataclasses import replace
from pathlib import Path

from support.stopped_training import train_as_told

from blood_cell_system.datasets.prepared import PreparedDataset
from blood_cell_system.training.loop import TrainingListener, TrainingResult
from blood_cell_system.training.presets import PRESETS, SegmentationSettings
from blood_cell_system.training.segmenter_training import train_segmenter
from blood_cell_system.training.state import state_beside

TINY: SegmentationSettings = replace(
    PRESETS["fast"],
    epochs=3,
    batch_size=4,
    crops_per_epoch=12,
    crop_size_px=64,
    widths=(4, 4, 8, 8),
    d_reduced=4,
    dropout=0.2,
    learning_rate=1e-2,
    seed=7,
)


def train_tiny(
    data_dir: Path,
    folder: Path,
    *,
    resume: bool = False,
    listener: TrainingListener | None = None,
    settings: SegmentationSettings = TINY,
) -> TrainingResult:
    """Train in ``folder``/checkpoints, or go on there."""
    checkpoints = folder / "checkpoints"
    return train_segmenter(
        PreparedDataset.open(data_dir),
        settings,
        checkpoint_dir=checkpoints,
        log_dir=folder / "logs",
        resume=state_beside(checkpoints / "segmentation_model_best.keras") if resume else None,
        listener=listener,
        is_deterministic=True,
    )


if __name__ == "__main__":
    train_as_told(train_tiny)
