"""The state of a training on disk: all that is needed to go on as if nothing had happened."""

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.atomic_files import write_bytes
from blood_cell_system.errors import ResumeError
from blood_cell_system.input_files import read_bytes
from blood_cell_system.model_metadata import ClassifierKind

FORMAT_VERSION: Final = 1
"""Of the state file; another one cannot be gone on from."""

_WORDS: Final = "__state__"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFiles:
    """Names of what a kind of training writes into its folder.

    Parameters
    ----------
    kind : str
        First word of the names of its runs.
    model, previous_model : str
        Best models of this training and of the one before.
    state : str
        All that is needed to resume.
    history : str
        A row an epoch; without the ending.
    curves : str
        The history, drawn.
    run : str
        Settings, data and outcome.
    """

    kind: str
    model: str
    previous_model: str
    state: str
    history: str
    curves: str
    run: str

    @classmethod
    def named(cls, kind: str, *, model: str, prefix: str = "") -> Self:
        """Name the files; the prefix lets trainings of several kinds share a folder."""
        return cls(
            kind=kind,
            model=f"{model}_best.keras",
            previous_model=f"{model}_previous.keras",
            state=f"{kind}_training_state.npz",
            history=f"{prefix}history",
            curves=f"{prefix}training_curves.png",
            run=f"{prefix}run.json",
        )


SEGMENTER_FILES: Final = RunFiles.named("segmentation", model="segmentation_model")


def classifier_files(kind: ClassifierKind) -> RunFiles:
    """Names for a kind of classifier."""
    return RunFiles.named(kind.file_stem, model=kind.file_stem, prefix=f"{kind.file_stem}_")


@dataclass(slots=True, kw_only=True)
class TrainingState:
    """Where a training stands.

    Parameters
    ----------
    settings : dict
        The training's settings as written to JSON.
    data_hash, validation_hash : str
        Of all data, and of those that the best model is chosen by.
    run_name : str
        Folder of the run's TensorBoard events.
    epoch : int
        Epochs completed.
    step_in_epoch : int
        Steps done of the next one.
    loss_sums : dict of str to float
        Sums over those steps.
    best_score : float
        Best validation score so far, such as the mean IoU; -1 before the first.
    best_epoch : int
        Epoch it was reached in, 1-based; 0 before the first.
    patience_from : int
        Epoch of the last resumption of a training that had stopped for want of progress.
    seconds : float
        Time spent so far.
    history : list of dict
        A row an epoch.
    arrays : dict of str to ndarray
        Weights, averaged weights and optimizer, by group and position.
    """

    settings: dict[str, Any]
    data_hash: str
    validation_hash: str
    run_name: str
    epoch: int = 0
    step_in_epoch: int = 0
    loss_sums: dict[str, float] = field(default_factory=dict)
    best_score: float = -1.0
    best_epoch: int = 0
    patience_from: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write the state, whole or not at all."""
        words = {name: getattr(self, name) for name in self.__slots__ if name != "arrays"}
        words["format_version"] = FORMAT_VERSION
        buffer = io.BytesIO()
        np.savez(buffer, **{_WORDS: np.array(json.dumps(words)), **self.arrays})  # type: ignore[arg-type]
        write_bytes(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> "TrainingState":
        """Read a state.

        Raises
        ------
        ResumeError
            The file is damaged or of another version.
        """
        try:
            data = io.BytesIO(read_bytes(path, error=ResumeError))
            with np.load(data, allow_pickle=False) as archive:
                words = json.loads(str(archive[_WORDS]))
                arrays = {name: archive[name] for name in archive.files if name != _WORDS}
            if words.pop("format_version") != FORMAT_VERSION:
                raise ResumeError(
                    f"{path}: the state is of another version of this software; expected "
                    f"format_version {FORMAT_VERSION}. Start the training anew."
                )
            if "best_iou" in words:
                # As it was called when there was nothing to train but segmenters.
                words["best_score"] = words.pop("best_iou")
            if wrong := sorted(name for name in words if not _is_like(name, words[name])):
                raise ValueError(f"{wrong[0]} is {words[wrong[0]]!r:.60}")
            return cls(arrays=arrays, **words)
        except (ResumeError, MemoryError):
            raise
        except PermissionError as error:
            raise ResumeError(
                f"{path}: cannot be read ({error.strerror}). Check its permissions."
            ) from error
        except Exception as error:  # Damaged bytes lead NumPy to errors of almost any kind.
            raise ResumeError(
                f"{path}: not the state of a training, or damaged ({error}). Start anew."
            ) from error


_COUNTS: Final = ("epoch", "step_in_epoch", "best_epoch", "patience_from")
_NUMBERS: Final = ("best_score", "seconds")


def _is_like(name: str, value: Any) -> bool:
    """Whether a value of a state's JSON has the type of its field."""
    if name in _COUNTS:
        return type(value) is int and value >= 0
    if name in _NUMBERS:
        return type(value) in (int, float)
    if name == "history":
        return isinstance(value, list) and all(isinstance(row, dict) for row in value)
    return isinstance(value, dict if name in ("settings", "loss_sums") else str)


def state_beside(model_path: Path, files: RunFiles = SEGMENTER_FILES) -> TrainingState:
    """Read the state of the training that a model file belongs to.

    Parameters
    ----------
    model_path : Path
        The best model's file, or the state itself.
    files : RunFiles
        Of this kind of training.

    Raises
    ------
    ResumeError
        There is no such file, or no state beside it.
    """
    state_path = model_path if model_path.suffix == ".npz" else model_path.parent / files.state
    # The state alone is enough: a training that was stopped in its first epoch has no model yet.
    if not state_path.is_file():
        if not model_path.is_file():
            raise ResumeError(
                f"{model_path}: there is no such checkpoint. Give the .keras file that a "
                f"training wrote, beside its {files.state}."
            )
        raise ResumeError(
            f"{model_path}: there is no {files.state} beside it, which holds the optimizer and the "
            "epoch. Keep both files together; a model from elsewhere cannot be continued."
        )
    return TrainingState.load(state_path)
