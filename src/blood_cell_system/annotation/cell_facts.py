"""What is known of a marked cell beside its type and place: attributes in the formats of tools."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Self

CONDITION: Final = "condition"
SUBTYPE: Final = "subtype"
CONFIDENCE: Final = "confidence"
FACTS: Final = (CONDITION, SUBTYPE, CONFIDENCE)

_DECIMALS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class CellFacts:
    """Classes, confidence and measures of a cell.

    Parameters
    ----------
    condition, subtype : str or None
        As in the report; None where nobody says.
    confidence : float or None
        0 to 1: that there is such a cell.
    measures : mapping of str to float
        By the names of the table of cells.
    """

    condition: str | None = None
    subtype: str | None = None
    confidence: float | None = None
    measures: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def to_attributes(self) -> dict[str, str | float]:
        """Give everything that is known under its name, numbers rounded.

        Examples
        --------
        >>> CellFacts(condition="malaria_RBC", measures={"area": 812.0}).to_attributes()
        {'condition': 'malaria_RBC', 'area': 812.0}
        """
        named = {CONDITION: self.condition, SUBTYPE: self.subtype}
        numbers = {CONFIDENCE: self.confidence, **self.measures}
        return {name: value for name, value in named.items() if value is not None} | {
            name: round(float(value), _DECIMALS)
            for name, value in numbers.items()
            if value is not None
        }

    @classmethod
    def from_attributes(cls, attributes: Any) -> Self | None:
        """Read what :meth:`to_attributes` gave; None where there is nothing of it.

        Attributes of somebody's own that are no numbers are passed over.
        """
        if not isinstance(attributes, Mapping):
            return None
        numbers = {
            str(name): number
            for name, value in attributes.items()
            if (number := _number(value)) is not None and name not in (CONDITION, SUBTYPE)
        }
        confidence = numbers.pop(CONFIDENCE, None)
        facts = cls(
            condition=_text(attributes.get(CONDITION)),
            subtype=_text(attributes.get(SUBTYPE)),
            confidence=confidence if confidence is None or 0 <= confidence <= 1 else None,
            measures=numbers,
        )
        return facts if facts.to_attributes() else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
