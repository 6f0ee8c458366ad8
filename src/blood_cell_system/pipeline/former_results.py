"""What a folder of results holds from former runs: what is kept, replaced, or left over."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from blood_cell_system.pipeline.files import SUMMARY_NAME, sha256_of
from blood_cell_system.pipeline.inputs import InputPicture
from blood_cell_system.pipeline.picture import InferencePipeline
from blood_cell_system.reports.batch import PictureOutcome
from blood_cell_system.reports.picture_files import PICTURE_ENDINGS, file_of
from blood_cell_system.reports.report_json import FORMAT_VERSION, settings_to_json

_REPORT_ENDING: Final = "_report.json"


def identity_of(pipeline: InferencePipeline) -> dict[str, Any]:
    """Give what a report says of how it was made, the picture left aside."""
    return {
        "format_version": FORMAT_VERSION,
        "settings": settings_to_json(pipeline.report_settings),
        "provenance": asdict(pipeline.provenance),
    }


def former_report(
    output_dir: Path, picture: InputPicture, identity: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Read the report of a former run, if all files are there and this run would make the same.

    Parameters
    ----------
    output_dir : Path
    picture : InputPicture
    identity : mapping of str
        As of :func:`identity_of` of this run.

    Raises
    ------
    MissingDataError, ImageReadError
        The picture has gone, or cannot be read.
    """
    files = (file_of(output_dir, picture.name, ending) for ending in PICTURE_ENDINGS)
    if not all(path.is_file() for path in files):
        return None
    try:
        report = json.loads(file_of(output_dir, picture.name, "report.json").read_bytes())
        made_from = {key: report[key] for key in ("format_version", "settings", "provenance")}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    provenance = identity["provenance"] | {"data_sha256": sha256_of(picture.path)}
    return report if made_from == {**identity, "provenance": provenance} else None


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
