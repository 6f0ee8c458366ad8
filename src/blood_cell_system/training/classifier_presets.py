"""Presets of the classifiers' trainings as rows of one table."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from blood_cell_system.errors import SettingsError


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierSettings:
    """Everything that decides what a training of a classifier comes to.

    Parameters
    ----------
    preset : str
    epochs, batch_size : int
    cells_per_epoch : int
        An epoch is this many cells, however many there are: time is known beforehand.
    widths, blocks : tuple of int
        Channels of the network at strides 2, 4, 8, 16, and residual blocks at each.
    d_reduced : int
        Width of the Reynolds operator; 0 leaves it out.
    has_stain_augmentation : bool
        Whether stain, light and contrast of the training cells are varied.
    has_domain_adaptation : bool
        Whether features that tell the cells' sources apart are unlearned.
    dropout : float
    label_smoothing : float
    type_weight, known_weight : float
        What the types and "one of the classes at all" count in the loss beside the condition.
    learning_rate, weight_decay : float
        Peak rate and decay of AdamW.
    warmup_share : float
        Share of all steps in which the rate rises; it falls along a cosine in the others.
    clip_norm : float
        Largest global norm of a gradient.
    patience : int
        Epochs without a better validation score before the training stops; 0 never stops.
    seed : int
    """

    preset: str
    epochs: int
    batch_size: int = 64
    cells_per_epoch: int
    widths: tuple[int, ...] = (16, 32, 64, 128)
    blocks: tuple[int, ...] = (0, 1, 2, 2)
    d_reduced: int
    has_stain_augmentation: bool = True
    has_domain_adaptation: bool = False
    dropout: float = 0.2
    label_smoothing: float = 0.05
    type_weight: float = 1.0
    known_weight: float = 0.5
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    warmup_share: float = 0.05
    clip_norm: float = 1.0
    patience: int = 0
    seed: int = 0

    def check(self) -> None:
        """Refuse values that make no sense.

        Raises
        ------
        SettingsError
            Naming the option, what was given and what is possible.
        """
        for name, is_fine, expected in (
            ("epochs", self.epochs >= 1, "1 or more"),
            ("batch_size", self.batch_size >= 2, "2 or more"),
            ("cells_per_epoch", self.cells_per_epoch >= self.batch_size, "at least a batch"),
            ("d_reduced", self.d_reduced >= 0, "0 or more"),
            ("dropout", 0 <= self.dropout < 1, "from 0 to below 1"),
            ("label_smoothing", 0 <= self.label_smoothing < 0.5, "from 0 to below 0.5"),
            ("type_weight", self.type_weight >= 0, "0 or more"),
            ("known_weight", self.known_weight >= 0, "0 or more"),
            ("learning_rate", self.learning_rate > 0, "more than 0"),
            ("weight_decay", self.weight_decay >= 0, "0 or more"),
            ("patience", self.patience >= 0, "0 or more"),
            ("seed", 0 <= self.seed < 2**32, "from 0 to 4294967295"),
        ):
            if not is_fine:
                option = name.replace("_", "-")
                raise SettingsError(f"--{option} {getattr(self, name)}: expected {expected}.")


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
    try:
        return CLASSIFIER_PRESETS[name]
    except KeyError:
        raise SettingsError(
            f"--preset {name}: no such preset; expected one of {', '.join(CLASSIFIER_PRESETS)}."
        ) from None
