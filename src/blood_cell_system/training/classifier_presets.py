"""Presets of the classifiers' trainings as rows of one table."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from blood_cell_system.training.settings import Condition, TrainingSettings, named_preset


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierSettings(TrainingSettings):
    """Everything that decides what a training of a classifier comes to.

    Parameters
    ----------
    cells_per_epoch : int
        An epoch is this many cells, however many there are: time is known beforehand.
    widths, blocks : tuple of int
        Channels of the network at strides 2, 4, 8, 16, and residual blocks at each.
    has_stain_augmentation : bool
        Whether stain, light and contrast of the training cells are varied.
    label_smoothing : float
    type_weight, known_weight : float
        What the types and "one of the classes at all" count in the loss beside the condition.

    Notes
    -----
    For what it has in common with other trainings see ``TrainingSettings``.
    """

    batch_size: int = 64
    cells_per_epoch: int
    widths: tuple[int, ...] = (16, 32, 64, 128)
    blocks: tuple[int, ...] = (0, 1, 2, 2)
    has_stain_augmentation: bool = True
    dropout: float = 0.2
    label_smoothing: float = 0.05
    type_weight: float = 1.0
    known_weight: float = 0.5
    warmup_share: float = 0.05

    def conditions(self) -> tuple[Condition, ...]:
        """All that the settings must fulfil; the first that they do not is told."""
        return (
            # A class with slots is made anew by the decorator, which super() does not know.
            *TrainingSettings.conditions(self),
            Condition("batch_size", self.batch_size >= 2, "2 or more"),
            Condition(
                "cells_per_epoch", self.cells_per_epoch >= self.batch_size, "at least a batch"
            ),
            Condition("label_smoothing", 0 <= self.label_smoothing < 0.5, "from 0 to below 0.5"),
            Condition("type_weight", self.type_weight >= 0, "0 or more"),
            Condition("known_weight", self.known_weight >= 0, "0 or more"),
        )


CLASSIFIER_PRESETS: Final[Mapping[str, ClassifierSettings]] = MappingProxyType(
    {
        settings.preset: settings
        for settings in (
            ClassifierSettings(preset="fast", epochs=8, cells_per_epoch=1920, d_reduced=32),
            ClassifierSettings(
                preset="balanced", epochs=30, cells_per_epoch=3200, d_reduced=64, patience=15
            ),
            ClassifierSettings(
                preset="accurate", epochs=60, cells_per_epoch=3840, d_reduced=128, patience=25
            ),
            ClassifierSettings(
                preset="research", epochs=90, cells_per_epoch=3840, d_reduced=128, patience=0
            ),
        )
    }
)


def classifier_preset_named(name: str) -> ClassifierSettings:
    """Look a preset up.

    Raises
    ------
    SettingsError
        There is none of that name.
    """
    return named_preset(CLASSIFIER_PRESETS, name)
