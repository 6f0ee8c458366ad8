"""What learns in any training: a model, its running average, the optimizer, and their numbers."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.training.loop_parts import StepRates
from blood_cell_system.training.settings import TrainingSettings


class AveragingLearner(ABC):
    """The model that learns, its running average, which is what gets used, and the optimizer."""

    model: Any
    averaged: Any
    optimizer: Any

    @abstractmethod
    def train_step(self, batch: Mapping[str, Any], rates: StepRates) -> Mapping[str, Any]:
        """Learn from one batch; give losses by name."""

    @abstractmethod
    def number_groups(self) -> Mapping[str, Sequence[Any]]:
        """Variables by group.

        Variables, not weights: a dropout layer's random state belongs to them.
        """

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All numbers of the learner, by group and position."""
        return {
            f"{group}/{index}": np.asarray(variable)
            for group, variables in self.number_groups().items()
            for index, variable in enumerate(variables)
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Put back what :meth:`arrays` gave.

        Raises
        ------
        KeyError, ValueError
            The arrays are of another architecture.
        """
        for group, variables in self.number_groups().items():
            for index, variable in enumerate(variables):
                variable.assign(arrays[f"{group}/{index}"])

    def move_average(self, weights: Sequence[Any], decay: Any) -> None:
        """Bring the average nearer to weights; ``decay`` is what stays of it."""
        for average, weight in zip(self.averaged.weights, weights, strict=True):
            average.assign(decay * average + (1.0 - decay) * weight)


def optimizer_for(
    settings: TrainingSettings, variables: Sequence[Any], *, without_decay: Sequence[str]
) -> Any:
    """Make the optimizer of a training.

    Parameters
    ----------
    settings : TrainingSettings
    variables : sequence of keras.Variable
        What it changes.
    without_decay : sequence of str
        Parts of the names of those that keep their size.
    """
    optimizer = keras.optimizers.AdamW(
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        global_clipnorm=settings.clip_norm,
    )
    optimizer.exclude_from_weight_decay(var_names=list(without_decay))
    optimizer.build(list(variables))
    return optimizer
