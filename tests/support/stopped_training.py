"""Trainings that are stopped in the middle, in this process or in one of their own."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from blood_cell_system.training.loop import TrainingListener
from blood_cell_system.training.state import TrainingState

_TESTS = Path(__file__).parents[1]


class StopAfter(TrainingListener):
    """Sends a signal to its own process after so many steps."""

    def __init__(self, steps: int, signal_number: int) -> None:
        self._steps_left = steps
        self._signal_number = signal_number

    def end_step(self) -> None:
        self._steps_left -= 1
        if self._steps_left == 0:
            os.kill(os.getpid(), self._signal_number)


def in_a_process(module: ModuleType, *words: object) -> int:
    """Run ``train_as_told`` of a module in a process of its own, which may die; its exit code.

    Words are the data's folder, the training's, ``fresh`` or ``resume``, and after how many steps
    it dies by SIGKILL, if it is to.
    """
    command = [sys.executable, "-m", module.__name__, *map(str, words)]
    return subprocess.run(command, cwd=_TESTS, capture_output=True, check=False).returncode


def train_as_told(train: Callable[..., object]) -> None:
    """Train as the command line says, which ``in_a_process`` wrote."""
    data, folder, mode, *steps = sys.argv[1:]
    train(
        Path(data),
        Path(folder),
        resume=mode == "resume",
        listener=StopAfter(int(steps[0]), signal.SIGKILL) if steps else None,
    )


def assert_ended_alike(one: Path, other: Path) -> None:
    """Check that two trainings' states hold the same numbers, but for the time that they took."""
    first, second = TrainingState.load(one), TrainingState.load(other)
    for ours, theirs in zip(first.history, second.history, strict=True):
        assert ours.keys() == theirs.keys()
        for name in ours.keys() - {"seconds"}:
            assert ours[name] == pytest.approx(theirs[name], abs=0, rel=0, nan_ok=True), name
    assert first.arrays.keys() == second.arrays.keys()
    for name, values in first.arrays.items():
        np.testing.assert_array_equal(values, second.arrays[name], err_msg=name)
    assert (first.best_score, first.best_epoch) == (second.best_score, second.best_epoch)
