"""What every training is told, and refusing what makes no sense."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from blood_cell_system.errors import SettingsError

Settings = TypeVar("Settings", bound="TrainingSettings")


class Condition(NamedTuple):
    """What a setting must fulfil.

    Parameters
    ----------
    name : str
        Of the attribute.
    is_met : bool
    expected : str
        What is possible, in words.
    """

    name: str
    is_met: bool
    expected: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """What decides what any training comes to.

    Parameters
    ----------
    preset : str
    epochs, batch_size : int
    d_reduced : int
        Width of the Reynolds operator; 0 leaves it out.
    has_domain_adaptation : bool
        Whether features that tell laboratories apart are unlearned.
    dropout : float
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
    batch_size: int
    d_reduced: int
    has_domain_adaptation: bool = False
    dropout: float = 0.0
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    warmup_share: float = 0.04
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
        for name, is_met, expected in self.conditions():
            if not is_met:
                option = name.removesuffix("_px").replace("_", "-")
                raise SettingsError(f"--{option} {getattr(self, name)}: expected {expected}.")

    def conditions(self) -> tuple[Condition, ...]:
        """All that the settings must fulfil; the first that they do not is told."""
        return (
            Condition("epochs", self.epochs >= 1, "1 or more"),
            Condition("d_reduced", self.d_reduced >= 0, "0 or more"),
            Condition("dropout", 0 <= self.dropout < 1, "from 0 to below 1"),
            Condition("learning_rate", self.learning_rate > 0, "more than 0"),
            Condition("weight_decay", self.weight_decay >= 0, "0 or more"),
            Condition("patience", self.patience >= 0, "0 or more"),
            Condition("seed", 0 <= self.seed < 2**32, "from 0 to 4294967295"),
        )


def named_preset(presets: Mapping[str, Settings], name: str) -> Settings:
    """Look a preset up.

    Raises
    ------
    SettingsError
        There is none of that name.
    """
    try:
        return presets[name]
    except KeyError:
        raise SettingsError(
            f"--preset {name}: no such preset; expected one of {', '.join(presets)}."
        ) from None
