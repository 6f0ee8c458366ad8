"""Settings of a training: the preset's, the user's, or those of the run that is continued."""

import argparse
from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from blood_cell_system.errors import ResumeError

DEFAULT_PRESET = "balanced"

# Options that may differ from those of the run that is continued.
CHANGEABLE = frozenset({"epochs", "patience"})

Settings = TypeVar("Settings")


def add_shared_arguments(parser: argparse.ArgumentParser, *, sources: str, score: str) -> None:
    """Declare the options that every training has.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    sources : str
        Where the names of the laboratories are, for the help.
    score : str
        What the best model is chosen by, for the help.
    """
    parser.add_argument(
        "--preset", help=f"fast, balanced, accurate or research (default: {DEFAULT_PRESET})"
    )
    parser.add_argument("--epochs", type=int, help="default: the preset's")
    parser.add_argument(
        "--resume-from",
        type=Path,
        metavar="FILE",
        help="continue the training that wrote this model",
    )
    parser.add_argument("--log-dir", type=Path, default=Path("./logs"), metavar="DIR")
    parser.add_argument(
        "--domain-adaptation",
        action="store_true",
        dest="has_domain_adaptation",
        default=None,
        help=f"unlearn what tells laboratories apart: {sources}, or groups of stain",
    )
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--weight-decay", type=float)
    parser.add_argument(
        "--patience", type=int, help=f"epochs without a better {score}; 0: never stop"
    )
    parser.add_argument("--seed", type=int, help="default: 0")
    parser.add_argument(
        "--deterministic", action="store_true", help="the same weights to the last bit; slower"
    )


def with_asked(
    base: Settings,
    asked: Mapping[str, Any],
    *,
    resume_from: Path | None,
    changeable: Collection[str] = CHANGEABLE,
) -> Settings:
    """Change settings as asked, if that is possible.

    Parameters
    ----------
    base : dataclass
        Of the preset, or of the run that is continued.
    asked : mapping of str
        Values by the names of the settings.
    resume_from : Path or None
        What the user named as the run to continue.
    changeable : collection of str
        Settings that a continued run may change.

    Raises
    ------
    ResumeError
        A continued run is asked to be another one.
    """
    if resume_from is not None:
        for name in sorted(asked.keys() - set(changeable)):
            was = getattr(base, name)
            if asked[name] != was:
                raise ResumeError(
                    f"--resume-from {resume_from}: that training has {name} = {was}, asked "
                    f"for is {asked[name]}; only {' and '.join(sorted(changeable))} may change. "
                    "Leave the option out, or start a new training without --resume-from."
                )
    return replace(base, **asked)  # type: ignore[type-var]


def asked_for(options: object, settings: Any) -> dict[str, Any]:
    """Give the options that the user has set, as far as they are settings."""
    return {
        name: getattr(options, name)
        for name in asdict(settings)
        if getattr(options, name, None) is not None
    }


def with_tuples(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Turn lists into tuples: JSON knows no tuples."""
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()
    }
