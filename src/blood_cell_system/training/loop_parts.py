"""What the training loop hands about: rates, what is measured, names of files, who listens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Row = Mapping[str, float]
Batch = Mapping[str, NDArray[Any]]


class TrainingListener:
    """Is told how a training goes; the base class stays silent."""

    def begin_epoch(self, *, epoch: int, epochs: int, steps: int) -> None:
        """Call before an epoch's first step."""

    def end_step(self) -> None:
        """Call after a step."""

    def end_epoch(self, row: Row, *, is_best: bool, seconds_left: float) -> None:
        """Call after an epoch's validation."""


class StepRates(NamedTuple):
    """What changes from step to step, as scalar tensors.

    Parameters
    ----------
    learning_rate, averaging_decay : scalar tensor
    reversal_strength : scalar tensor
        Of the gradient reversal; without domain adaptation nothing looks at it.
    """

    learning_rate: Any
    averaging_decay: Any
    reversal_strength: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFiles:
    """What a kind of training calls its files and itself.

    Parameters
    ----------
    kind : str
        First word of the names of its runs.
    model, previous_model, state : str
        File names in the checkpoint folder.
    """

    kind: str
    model: str
    previous_model: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DataHashes:
    """Hashes of all that a training uses, and of what the best model is chosen by."""

    data: str
    validation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a validation gave.

    Parameters
    ----------
    row : mapping of str to float
        Figures under the names of the history.
    pictures : sequence of ndarray of shape (height, width, 3), dtype uint8
        Of one size, for TensorBoard; may be empty.
    """

    row: Row
    pictures: Sequence[NDArray[np.uint8]] = ()
