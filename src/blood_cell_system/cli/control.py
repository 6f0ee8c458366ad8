"""``bloodcells control``: the control slide of each day, on charts."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from blood_cell_system.cli.analyze import system_of
from blood_cell_system.cli.options import OwnModels, OwnSegmenter, argument, option, within


def _date(value: str) -> str:
    try:
        return datetime.fromisoformat(value).replace(tzinfo=None).isoformat(timespec="minutes")
    except ValueError:
        raise typer.BadParameter(
            f"received {value}; expected a date such as 2026-11-27 or 2026-11-27T08:30."
        ) from None


def control(
    *,
    paths: Annotated[list[Path], argument("PATH", "Images of the control slide, or a folder.")],
    reference: Annotated[
        Path, option("--reference DIR", "Folder of the control slide: its runs and their charts.")
    ],
    date: Annotated[
        Any,
        option("--date DATE", "When the images were taken.", default="now", parser=_date),
    ] = None,
    baseline_runs: Annotated[
        int | None,
        option(
            "--baseline-runs N",
            "Runs that give mean and spread; with the first run alone.",
            default="20",
            parser=within(int, 5, 1000),
        ),
    ] = None,
    model: OwnSegmenter = None,
    models: OwnModels = None,
) -> int:
    """Measure the same control slide each day, and say whether stain and focus are in control.

    The exit code is 0 in control and while the baseline is not complete, 1 out of control.

    Examples
    --------
    bloodcells control today/ --reference control
    bloodcells control 2026-11-02/ --reference control --date 2026-11-02 --baseline-runs 10
    """
    from blood_cell_system.errors import MissingDataError
    from blood_cell_system.folder_lock import locked_folder
    from blood_cell_system.parallel import with_progress
    from blood_cell_system.pipeline.batch import find_inputs
    from blood_cell_system.pipeline.daily_control import (
        CONTROL_PAGE,
        add_run,
        check_run,
        measure_run,
        read_control,
    )
    from blood_cell_system.pipeline.image import InferencePipeline
    from blood_cell_system.reports.report import DISCLAIMER, shown_name

    inputs = find_inputs(paths, output_dir=reference)
    if inputs.failed or not inputs.images:
        raise MissingDataError(" ".join(failed.reason for failed in inputs.failed))
    when = date or datetime.now().isoformat(timespec="minutes")
    with locked_folder(reference, command="control"):
        former = read_control(reference)
        pipeline = InferencePipeline(system_of(model, models))
        runs = check_run(
            former,
            folder=reference,
            date=when,
            models=dict(pipeline.provenance.models),
            baseline_runs=baseline_runs,
        )
        images = with_progress(
            ((image.name, pipeline.analyze(image.path)) for image in inputs.images),
            total=len(inputs.images),
            description="Measuring",
        )
        run = measure_run(list(images), date=when)
        verdict, charts = add_run(runs, run, reference)
    for chart in charts:
        last = chart.points[-1]
        if last.value is None:
            print(f"{chart.label}: not measured")
            continue
        words = f"{chart.label}: {last.value:.4g} {chart.unit}".rstrip()
        if chart.mean is not None and chart.spread is not None:
            words += f" (baseline {chart.mean:.4g} ± {chart.spread:.2g}"
            words += ")" if last.deviation is None else f"; {last.deviation:+.1f} SD)"
        print(words + "".join(f" {rule}" for rule in last.rules))
    for warning in run.warnings:
        print(f"warned  {shown_name(warning)}")
    print(verdict)
    print(f"All of it: {shown_name(str(reference / CONTROL_PAGE))}")
    print(DISCLAIMER)
    return 0 if verdict.is_in_control else 1
