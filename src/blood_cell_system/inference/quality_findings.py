"""What was measured about how fit a picture is to be judged, in numbers and in words."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """What a finding means for the counts."""

    OK = "ok"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityFinding:
    """One thing that was measured about a picture.

    Parameters
    ----------
    name : str
        ``focus``, ``exposure``, ``crowding``, ``stain``, ``scale``, ``field`` or ``smear``.
    severity : Severity
    value : float or None
        What was measured, in the unit that the message names; None where it cannot be.
    message : str
        One sentence for a person; of a warning with what to do.
    """

    name: str
    severity: Severity
    value: float | None
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureQuality:
    """Everything that was measured about how fit a picture is.

    Parameters
    ----------
    findings : tuple of QualityFinding
        Always the same names in the same order.
    judged_share : float
        Part of the picture that was looked at, 0 to 1: a round field of view has dark corners.
    is_smear : bool
        False where it does not look like a stained blood smear at all.
    """

    findings: tuple[QualityFinding, ...]
    judged_share: float
    is_smear: bool

    @property
    def warnings(self) -> tuple[QualityFinding, ...]:
        """Only what a person should know before believing the counts."""
        return tuple(item for item in self.findings if item.severity == Severity.WARNING)


def finding(name: str, value: float | None, message: str) -> QualityFinding:
    """Tell what was measured, where there is nothing to worry about."""
    return QualityFinding(name=name, severity=Severity.OK, value=value, message=message)


def warning(name: str, value: float | None, message: str) -> QualityFinding:
    """Tell what a person should know before believing the counts."""
    return QualityFinding(name=name, severity=Severity.WARNING, value=value, message=message)
