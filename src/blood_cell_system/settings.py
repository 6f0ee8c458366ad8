"""Ranges of settings, declared with the setting's default: one check and one wording for all."""

import math
from dataclasses import MISSING, dataclass, field, fields
from numbers import Real
from typing import Any

from blood_cell_system.errors import OutOfRangeError, SettingsError


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedRange:
    """Values that a setting may have; a bound of None is open.

    Parameters
    ----------
    at_least, above, at_most, below : float or None
    multiple_of : int or None
    choices : tuple of int
        The only values; without bounds.
    is_optional : bool
        Whether None is allowed as well.
    hint : str
        What else is possible, for messages.

    Examples
    --------
    >>> str(AllowedRange(at_least=0, below=1)), str(AllowedRange(above=0))
    ('from 0 to below 1', 'more than 0')
    """

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    multiple_of: int | None = None
    choices: tuple[int, ...] = ()
    is_optional: bool = False
    hint: str = ""

    def __contains__(self, value: object) -> bool:
        if value is None:
            return self.is_optional
        if not isinstance(value, Real):
            return False
        number = float(value)
        return (
            math.isfinite(number)
            and (not self.choices or number in self.choices)
            and (self.multiple_of is None or number % self.multiple_of == 0)
            and (self.at_least is None or number >= self.at_least)
            and (self.above is None or number > self.above)
            and (self.at_most is None or number <= self.at_most)
            and (self.below is None or number < self.below)
        )

    def __str__(self) -> str:
        if self.choices:
            *first, last = map(str, self.choices)
            words = f"{', '.join(first)} or {last}"
        elif self.above is not None:
            words = f"more than {self.above}"
        elif self.at_most is not None:
            words = f"from {self.at_least} to {self.at_most}"
        elif self.below is not None:
            words = f"from {self.at_least} to below {self.below}"
        else:
            words = f"{self.at_least} or more"
        multiple = f", a multiple of {self.multiple_of}" if self.multiple_of else ""
        return words + multiple + self.hint


def ranged(default: Any = MISSING, **allowed: Any) -> Any:
    """Declare a dataclass field with its allowed values.

    Parameters
    ----------
    default : optional
    **allowed
        Of ``AllowedRange``; a tuple's values must all be within the bounds.
    """
    return field(default=default, metadata={"range": AllowedRange(**allowed)})


def first_out_of_range(settings: Any) -> tuple[str, str] | None:
    """Name of the first setting outside its range, and what is expected; None when all are within.

    A pair of numbers is a range itself: the smaller one comes first.
    """
    for entry in fields(settings):
        allowed = entry.metadata.get("range")
        if allowed is None:
            continue
        value = getattr(settings, entry.name)
        values = value if isinstance(value, tuple) else (value,)
        if not all(one in allowed for one in values):
            return entry.name, str(allowed)
        if len(values) > 1 and list(values) != sorted(values):
            return entry.name, "the smaller number first"
    return None


def check_options(settings: Any) -> None:
    """Refuse a setting outside its range, under the name of its command-line option.

    Raises
    ------
    OutOfRangeError
        Naming the option, what was given and what is possible.
    """
    found = first_out_of_range(settings)
    if found is not None:
        name, expected = found
        raise OutOfRangeError(f"{option_of(name)} {getattr(settings, name)}: expected {expected}.")


def check_ranges(settings: Any) -> None:
    """Refuse a setting outside its range; for ``__post_init__``.

    Raises
    ------
    SettingsError
        Naming the class, the setting, what was given and what is possible.
    """
    found = first_out_of_range(settings)
    if found is not None:
        name, expected = found
        raise SettingsError(
            f"{type(settings).__name__}: {name} is {getattr(settings, name)}; expected {expected}."
        )


def option_of(name: str) -> str:
    """Command-line option of a setting.

    Examples
    --------
    >>> option_of("crop_size_px")
    '--crop-size'
    """
    return f"--{name.removesuffix('_px').replace('_', '-')}"
