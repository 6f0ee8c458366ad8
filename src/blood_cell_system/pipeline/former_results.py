"""What a folder of results holds from former runs: it is replaced, or stays, but is told of."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from blood_cell_system.pipeline.files import SUMMARY_NAME
from blood_cell_system.reports.batch import PictureOutcome

_REPORT_ENDING: Final = "_report.json"


def former_digests(output_dir: Path) -> Mapping[str, str]:
    """Read which pictures the last run in a folder was about.

    Parameters
    ----------
    output_dir : Path

    Returns
    -------
    mapping of str to str
        SHA-256 of each analysed picture by the name of its results; empty where no summary can be
        read.
    """
    try:
        summary = json.loads((output_dir / SUMMARY_NAME).read_text("utf-8"))
        pictures = [(one["name"], one["data_sha256"]) for one in summary["pictures"]]
    except (OSError, ValueError, KeyError, TypeError):
        # Nothing rests on it: the run replaces the summary in any case.
        return {}
    return {name: digest for name, digest in pictures if name and digest}


def replaced_names(
    former: Mapping[str, str], outcomes: Iterable[PictureOutcome]
) -> tuple[str, ...]:
    """Name the results that took the place of those of another picture.

    Parameters
    ----------
    former : mapping of str to str
        As of :func:`former_digests`, read before the run.
    outcomes : iterable of PictureOutcome
        Of the run.
    """
    digests = {outcome.name: outcome.summary.get("data_sha256") for outcome in outcomes}
    return tuple(
        name
        for name, digest in digests.items()
        if digest is not None and former.get(name, digest) != digest
    )


def count_left_over(output_dir: Path, outcomes: Iterable[PictureOutcome]) -> int:
    """Count the reports in a folder that are of none of a run's pictures."""
    names = {outcome.name for outcome in outcomes}
    reports = (str(path.relative_to(output_dir)) for path in output_dir.rglob(f"*{_REPORT_ENDING}"))
    return sum(report.removesuffix(_REPORT_ENDING) not in names for report in reports)
