"""The daily control: measure the control slide, add the run to its file, and judge it."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

import blood_cell_system
from blood_cell_system.atomic_files import write_json
from blood_cell_system.cells.table import Cells
from blood_cell_system.errors import DatasetError, SettingsError, value_words
from blood_cell_system.input_files import read_json
from blood_cell_system.pipeline.image import ImageResult
from blood_cell_system.reports.control_chart import (
    BASELINE_RUNS,
    Chart,
    ControlFile,
    ControlRun,
    ControlValue,
    Verdict,
    charts_of,
    render_control,
    verdict_of,
)
from blood_cell_system.reports.findings import assessed, with_condition
from blood_cell_system.reports.image_files import write_words
from blood_cell_system.reports.report import CellFlag
from blood_cell_system.stain.optical_density import BLUE, GREEN, RED, optical_density
from blood_cell_system.taxonomy import RBC

CONTROL_NAME: Final = "control.json"
CONTROL_PAGE: Final = "control.html"


def measure_run(results: Sequence[tuple[str, ImageResult]], *, date: str) -> ControlRun:
    """Measure the images of one run.

    Parameters
    ----------
    results : sequence of tuple
        Name and result of each image.
    date : str
        ISO 8601.
    """
    densities = [values for _, one in results if (values := _stain_of(one)) is not None]
    cells = Cells.joined({name: one.report.cells for name, one in results})
    whole = cells.is_type(RBC) & ~cells["touches_border"]
    figures = {
        "stain_density": _median([density[GREEN] for density in densities]),
        "stain_hue": _median([_hue(density) for density in densities]),
        "red_cell_diameter": _median(cells["equivalent_diameter_area"][whole].tolist()),
        "slide_brightness": _median(_quality_values(results, "exposure")),
        "focus": _median(_quality_values(results, "focus")),
    }
    reports = [one.report for _, one in results]
    return ControlRun(
        date=date,
        software_version=blood_cell_system.__version__,
        images=tuple(name for name, _ in results),
        data_sha256=tuple(str(report.provenance.data_sha256) for report in reports),
        figures={
            **{name: ControlValue(value=_rounded(value)) for name, value in figures.items()},
            **_shares(cells),
        },
        warnings=tuple(dict.fromkeys(text for report in reports for text in report.warnings)),
    )


def _stain_of(result: ImageResult) -> NDArray[np.float64] | None:
    """Median density of the red cells in each channel; None without a red cell."""
    cells = result.analysis.cells
    is_red = np.concatenate([[False], cells.is_type(RBC)])[cells.label_image]
    if not is_red.any():
        return None
    density = optical_density(result.analysis.image)[is_red]
    return np.asarray(np.median(density, axis=0), dtype=np.float64)


def _hue(density: NDArray[np.float64]) -> float:
    """Angle of the colour that the stain takes away, in degrees from -180 to 180, 0 for green."""
    red, green, blue = density[RED], density[GREEN], density[BLUE]
    return math.degrees(math.atan2(math.sqrt(3) * (blue - red), 2 * green - red - blue))


def _quality_values(results: Sequence[tuple[str, ImageResult]], name: str) -> list[float]:
    """Give what the findings of a name measured in each image, where they could."""
    findings = [one for _, result in results for one in result.analysis.quality.findings]
    return [one.value for one in findings if one.name == name and one.value is not None]


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if len(values) else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def _shares(cells: Cells) -> dict[str, ControlValue]:
    """Shares in per cent: of types among all, of conditions among assessed, of unsure cells."""
    counted = cells["is_counted"]
    is_unsure = np.array([CellFlag.UNCERTAIN in flags for flags in cells["flags"]], dtype=np.bool_)
    rows = {"uncertain cells among all cells": (is_unsure, counted)}
    for kind in cells.taxonomy:
        rows[f"{kind.display_name} among all cells"] = cells.is_type(kind.name), counted
        for condition in kind.conditions:
            if f"{condition.name}_prob" in cells:
                of = with_condition(kind.name, condition.name)(cells)
                total = assessed(kind.name)(cells) & counted
                rows[f"{condition.display_name}, of those assessed"] = of, total
    found = {}
    for name, (of, total) in rows.items():
        count = int(np.count_nonzero(total))
        share = 100 * np.count_nonzero(of & total) / count if count else None
        found[name] = ControlValue(value=_rounded(share), total=count)
    return found


def read_control(folder: Path) -> ControlFile | None:
    """Read the runs of a reference folder; None where there is none yet.

    Raises
    ------
    DatasetError
        Its file is damaged, or of something else.
    """
    path = folder / CONTROL_NAME
    if not path.exists():
        return None
    value = read_json(path)
    try:
        return ControlFile.model_validate(value)
    except ValidationError as error:
        raise DatasetError(
            f"{path}: not a file of this command ({value_words(error)}). Copy it back from a "
            "backup, or name another folder with --reference."
        ) from error


def check_run(
    former: ControlFile | None,
    *,
    folder: Path,
    date: str,
    models: Mapping[str, str],
    baseline_runs: int | None,
) -> ControlFile:
    """Give the file that a run is to be added to, and refuse one that does not belong to it.

    Raises
    ------
    SettingsError
        The models are others, the run is before the last, or the baseline has another length.
    """
    path = folder / CONTROL_NAME
    if former is None:
        return ControlFile(models=dict(models), baseline_runs=baseline_runs or BASELINE_RUNS)
    if former.models != models:
        raise SettingsError(
            f"{path}: measured with {', '.join(former.models)} of other hashes or names; received "
            f"{', '.join(models)}. Figures of two models are not comparable: name a new folder "
            "with --reference."
        )
    if baseline_runs not in (None, former.baseline_runs):
        raise SettingsError(
            f"{path}: its baseline has {former.baseline_runs} runs; received --baseline-runs "
            f"{baseline_runs}. Leave the option out, or name a new folder with --reference."
        )
    if former.runs and _moment(date) < _moment(former.runs[-1].date):
        raise SettingsError(
            f"{path}: its last run is of {former.runs[-1].date}; received --date {date}. Runs are "
            "added in the order of time."
        )
    return former


def _moment(date: str) -> datetime:
    return datetime.fromisoformat(date).replace(tzinfo=None)


def add_run(control: ControlFile, run: ControlRun, folder: Path) -> tuple[Verdict, list[Chart]]:
    """Add a run, write ``control.json`` and ``control.html``, and judge the run.

    Raises
    ------
    SettingsError
        The same images are in a run before.
    OutputError
        A file cannot be written.
    """
    for before in control.runs:
        if set(before.data_sha256) == set(run.data_sha256):
            raise SettingsError(
                f"{folder / CONTROL_NAME}: the run of {before.date} has the same images. Take new "
                "ones of the control slide."
            )
    control = control.model_copy(update={"runs": (*control.runs, run)})
    charts = charts_of(control)
    verdict = verdict_of(control, charts)
    write_json(folder / CONTROL_NAME, control.to_json())
    write_words(folder / CONTROL_PAGE, render_control(control, charts, verdict))
    return verdict, list(charts)
