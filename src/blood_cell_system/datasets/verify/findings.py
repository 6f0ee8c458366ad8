"""What a check has found."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

Region = tuple[float, float, float, float]


class Severity(StrEnum):
    """How much a finding matters, the worst first."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a check has found.

    Parameters
    ----------
    severity : Severity
        An error spoils a training or its figures; a warning deserves a look; information is normal.
    check : str
        Short name of the check, the same for all findings of a kind.
    message : str
        What was found and what was expected.
    remedy : str
        What to do; the same for all findings of a kind.
    stems : tuple of str
        Images concerned; empty for the folder as a whole.
    regions : tuple of (x_min, y_min, x_max, y_max)
        Places in the only image concerned, in pixels.
    """

    severity: Severity
    check: str
    message: str
    remedy: str
    stems: tuple[str, ...] = ()
    regions: tuple[Region, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return a value that ``json`` can write."""
        return asdict(self) | {
            "severity": str(self.severity),
            "stems": list(self.stems),
            "regions": [[_finite(value) for value in region] for region in self.regions],
        }


def _finite(value: float) -> float | None:
    # NaN is no JSON, and a broken box may hold one.
    return value if abs(value) < float("inf") else None


def listed(names: list[str] | tuple[str, ...], at_most: int = 3) -> str:
    """Write the first few of many names.

    Examples
    --------
    >>> listed(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    shown = ", ".join(names[:at_most])
    rest = len(names) - at_most
    return f"{shown} and {rest} more" if rest > 0 else shown
