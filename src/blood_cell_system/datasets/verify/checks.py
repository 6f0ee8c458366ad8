"""The checks of a prepared folder, each declared once, and what they have found."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import pydantic.dataclasses
import yaml

from blood_cell_system.imaging.image_file import IMAGE_SUFFIXES

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


@pydantic.dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A kind of finding.

    Parameters
    ----------
    severity : Severity
        The worst that its findings have.
    found : str
        What is found, as the documents list it.
    remedy : str
        What to do.
    """

    severity: Severity
    found: str
    remedy: str


@cache
def checks() -> Mapping[str, Check]:
    """Read ``checks.yaml``: all checks by name."""
    rows = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
    return {
        name: Check(**row | {"remedy": row["remedy"].format(suffixes=suffixes)})
        for name, row in rows.items()
    }


def finding(
    check: str,
    message: str,
    *stems: str,
    regions: tuple[Region, ...] = (),
    severity: Severity | None = None,
) -> Finding:
    """Make a finding of a check.

    Parameters
    ----------
    check : str
        Of :func:`checks`.
    message : str
        What was found and what was expected.
    *stems : str
        Images concerned.
    regions : tuple of (x_min, y_min, x_max, y_max)
        Places in the only image concerned, in pixels.
    severity : Severity, optional
        Where it is less than the check's.
    """
    kind = checks()[check]
    return Finding(
        severity=severity or kind.severity,
        check=check,
        message=message,
        remedy=kind.remedy,
        stems=stems,
        regions=regions,
    )


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
