"""``bloodcells analyze``: images in, counted cells and a report out."""

import re
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from blood_cell_system.cli.options import (
    ALL_CORES,
    CellDiameter,
    CommercialOnly,
    Jobs,
    NoClassify,
    NoReviewPage,
    OwnModels,
    OwnSegmenter,
    PixelSize,
    Views,
    argument,
    given,
    option,
    share,
    within,
)
from blood_cell_system.wording import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from blood_cell_system.analysis.execution import Execution
    from blood_cell_system.pipeline.image import InferencePipeline
    from blood_cell_system.pipeline.image_task import InputImage
    from blood_cell_system.pipeline.scan_plan import ScanSettings
    from blood_cell_system.pipeline.system import BloodCellAnalysisSystem
    from blood_cell_system.reports.batch_summary import BatchSummary, ImageOutcome


# How many names of replaced results are listed before "and N more".
_SHOWN_NAMES: Final = 5
_MANY_CELLS: Final = 100_000
"""Cells from which on a table in CSV, of some 400 bytes a cell, is slow to read."""


def analyze(
    *,
    ctx: typer.Context,
    paths: Annotated[list[str], argument("PATH", "Images, or folders.")],
    output_dir: Annotated[str, option("-o --output-dir DIR", "Folder to write.")],
    model: OwnSegmenter = None,
    models: OwnModels = None,
    commercial_only: CommercialOnly = False,
    no_classify: NoClassify = False,
    runtime: Annotated[
        Literal["auto", "onnx", "openvino", "keras"],
        option("--runtime", "What runs the networks; auto goes by the file."),
    ] = "auto",
    device: Annotated[
        str,
        option(
            "--device NAME",
            "Where: cpu; cuda, rocm, directml or coreml of ONNX Runtime; gpu of OpenVINO.",
        ),
    ] = "cpu",
    precision: Annotated[
        Literal["f32", "bf16", "int8"],
        option(
            "--precision",
            "int8 runs what bloodcells quantize has made of a model; bf16 is of OpenVINO.",
        ),
    ] = "f32",
    views: Views = None,
    recursive: Annotated[bool, option("-r --recursive", "Search folders within folders.")] = False,
    jobs: Jobs = ALL_CORES,
    json_lines: Annotated[
        bool, option("--json-lines", "Print a line of JSON for each image.")
    ] = False,
    resume: Annotated[
        bool, option("--resume", "Keep the results that a former run has finished.")
    ] = False,
    group_by: Annotated[
        str | None,
        option(
            "--group-by folder|REGEX|TABLE.csv",
            "What the slide of an image is: sums are of slides and patients, never across.",
        ),
    ] = None,
    figures: Annotated[
        Path | None,
        option("--figures FILE", "What is reported of slides, and by which limits (YAML)."),
    ] = None,
    write: Annotated[
        str | None,
        option(
            "--write PART,…",
            "What is written, of table, report, overlay, masks and review; the summary always is.",
            default="all of it, with --scheduler the dataset alone",
        ),
    ] = None,
    no_review_page: NoReviewPage = False,
    scheduler: Annotated[
        str | None,
        option(
            "--scheduler ADDRESS|local",
            "Dask cluster to analyse on, into a dataset: docs/cluster.md.",
        ),
    ] = None,
    region: Annotated[
        str | None,
        option("--region X,Y,WxH", "Part of a scan to analyse, in pixels of its level 0."),
    ] = None,
    level: Annotated[
        int, option("--level N", "Level of a pyramid; 0 is the largest.", parser=within(int, 0, 99))
    ] = 0,
    pages: Annotated[
        Literal["first", "each"],
        option("--pages", "Of a file of several images analyse the first, or each."),
    ] = "first",
    zones: Annotated[
        Literal["monolayer", "all"],
        option("--zones", "Of a scan analyse the monolayer alone, or wherever cells are."),
    ] = "monolayer",
    until: Annotated[
        str | None,
        option("--until TYPE=N,…", "Stop a scan at so many cells, for instance rbc=2000,wbc=200."),
    ] = None,
    precision_of: Annotated[
        str | None,
        option("--precision-of SHARE=P%", "Stop a scan when a share is known to ± P %."),
    ] = None,
    max_memory: Annotated[
        str | None,
        option(
            "--max-memory SIZE",
            "What an image may take, for instance 2GB; larger ones are analysed field by field.",
            default="1.5GB for scans",
        ),
    ] = None,
    label_zarr: Annotated[
        bool, option("--label-zarr", "Write the labels of each scan's cells as OME-Zarr.")
    ] = False,
    cell_diameter: CellDiameter = None,
    pixel_size_um: PixelSize = None,
    objective: Annotated[
        float | None,
        option(
            "--objective X",
            "Magnification of the objective, with --camera-pixel-um.",
            parser=within(float, 1, 200),
        ),
    ] = None,
    camera_pixel_um: Annotated[
        float | None,
        option(
            "--camera-pixel-um UM", "Side of the camera's pixel.", parser=within(float, 0.5, 30)
        ),
    ] = None,
    adapter: Annotated[
        float,
        option(
            "--adapter X",
            "Magnification between objective and camera.",
            parser=within(float, 0.1, 10),
        ),
    ] = 1.0,
    border_rule: Annotated[
        Literal["counted", "two-sides"],
        option(
            "--border-rule",
            "Count all cells that the border cuts off, or those at two of the four sides.",
        ),
    ] = "counted",
    confidence_threshold: Annotated[
        float | None,
        option(
            "--confidence-threshold P",
            "Cells of a lower confidence are flagged as uncertain.",
            default="0.3",
            parser=share,
        ),
    ] = None,
    uncertain_margin: Annotated[
        float | None,
        option(
            "--uncertain-margin P",
            "So are cells whose two likeliest conditions are closer.",
            default="0.1",
            parser=share,
        ),
    ] = None,
    count_unproven: Annotated[
        bool,
        option(
            "--count-unproven",
            "Count also conditions that failed outside the classifier's own laboratory.",
        ),
    ] = False,
) -> int:
    """Count the cells of images, classify them, and write a report.

    Examples
    --------
    bloodcells analyze smear.jpg -o results
    bloodcells analyze slides/ --recursive --jobs 4 --resume -o results
    bloodcells analyze slides/ --recursive --group-by folder -o results
    bloodcells analyze smear.tif --pixel-size-um 0.1 --border-rule two-sides -o results
    bloodcells analyze smear.tif --objective 100 --camera-pixel-um 3.45 -o results
    bloodcells analyze slide.svs --until rbc=2000,wbc=200 -o results
    bloodcells analyze slides/ --write table -o results
    bloodcells analyze s3://bucket/slides/ --recursive --scheduler tcp://10.0.0.1:8786 -o s3://b/out
    """
    from blood_cell_system.analysis.classification import ClassificationSettings
    from blood_cell_system.analysis.execution import Execution
    from blood_cell_system.analysis.image_analysis import AnalysisSettings
    from blood_cell_system.cells.border_rule import BorderRule
    from blood_cell_system.errors import MissingDataError, SettingsError
    from blood_cell_system.folder_lock import locked_folder
    from blood_cell_system.parallel import with_progress
    from blood_cell_system.pipeline.batch import (
        BatchSettings,
        analyze_inputs,
        find_inputs,
        former_digests,
        start_batch,
        with_fields_of_scans,
        write_batch,
    )
    from blood_cell_system.pipeline.slide_groups import group_images
    from blood_cell_system.reports.figure_settings import FiguresSettings
    from blood_cell_system.reports.image_files import ALL_PARTS, Part
    from blood_cell_system.reports.report import Status

    parts = ALL_PARTS if write is None else Part.read(write)
    if no_review_page:
        parts -= {Part.REVIEW}
    if label_zarr:
        from blood_cell_system.pipeline.scan_labels import (
            check_zarr,
            labels_path,
            write_scan_labels,
        )

        if scheduler is None and Part.MASKS not in parts:
            raise SettingsError(
                "--label-zarr: received with --write without masks, of which it is made. Add masks."
            )
        check_zarr()
    scan_options = {name: ctx.params[name] for name in _OF_SCANS}
    pixel_size = pixel_size_of(pixel_size_um, objective, camera_pixel_um, adapter)

    def pipeline_of_options() -> "InferencePipeline":
        from blood_cell_system.pipeline.image import InferencePipeline

        execution = Execution(runtime=runtime, device=device.lower(), precision=precision)
        return InferencePipeline(
            system_of(model, models, execution, is_commercial=commercial_only),
            **given(confidence_threshold=confidence_threshold, uncertain_margin=uncertain_margin),
            settings=AnalysisSettings(
                cell_diameter_px=cell_diameter, **pixel_size, border_rule=BorderRule(border_rule)
            ),
            classification=ClassificationSettings(views=views),
            is_classifying=not no_classify,
            counts_unproven=count_unproven,
        )

    if scheduler is not None:
        from blood_cell_system.cli.cluster_run import analyze_on_cluster

        if figures is not None:
            raise SettingsError(
                "--figures: received with --scheduler, which writes a dataset without them. Leave "
                "it out, or analyse the slides in question without --scheduler."
            )
        return analyze_on_cluster(
            paths,
            output_dir,
            pipeline_of_options(),
            scheduler=scheduler,
            jobs=jobs,
            group_by=group_by,
            recursive=recursive,
            parts=frozenset() if write is None else parts,
            has_label_zarr=label_zarr,
            scans=scan_settings_of(**scan_options),
            scan_options={
                name: value for name, value in scan_options.items() if value not in _SCAN_DEFAULTS
            },
            json_lines=json_lines,
        )
    results = Path(output_dir)
    inputs = find_inputs(map(Path, paths), output_dir=results, recursive=recursive)
    if not inputs.images:
        raise MissingDataError(" ".join(failed.reason for failed in inputs.failed))
    slides = {} if group_by is None else group_images(inputs.images, group_by)
    limits = None
    if figures is not None:
        limits = FiguresSettings.read(figures)
        if group_by is None:
            raise SettingsError(
                "--figures: received without --group-by; its figures are of slides. Say what a "
                "slide is, for instance with --group-by folder."
            )
        limits.check_names(name for s in slides.values() for name in (s.name, s.patient))
    has_scans = may_hold_scans(inputs.images, scan_options)
    scan_settings = scan_settings_of(**scan_options) if has_scans else None
    with locked_folder(results, command="analyze"):
        # The quick check comes first: loading a network may take seconds.
        start_batch(results)
        former = former_digests(results)
        pipeline = pipeline_of_options()
        if scan_settings is not None:
            inputs, slides = with_fields_of_scans(
                inputs, pipeline, scan_settings, jobs=jobs, slides=slides
            )
        if label_zarr and not inputs.scans and not inputs.failed:
            raise SettingsError(
                "--label-zarr: received, but none of the images is a scan that is analysed field "
                "by field. Leave it out, or name a part with --region."
            )
        settings = BatchSettings(jobs=jobs, resume=resume, slides=slides, parts=parts)
        outcomes: list[ImageOutcome] = []
        try:
            for outcome in with_progress(
                analyze_inputs(inputs, pipeline, results, settings),
                total=len(inputs.images) + len(inputs.failed),
                description="Analysing",
            ):
                outcomes.append(outcome)
                if json_lines:
                    print_json_line(outcome)
        except KeyboardInterrupt:
            print(f"{len(outcomes)} done; with --resume the same command goes on", file=sys.stderr)
            raise
        summary = write_batch(inputs, outcomes, pipeline, results, figures=limits, parts=parts)
        if label_zarr:
            for scan in inputs.scans:
                path = labels_path(scan, results)
                write_scan_labels(scan, summary.outcomes, results, path)
        if not json_lines:
            print_summary(summary, results)
        if inputs.deeper:
            print(
                f"Not read: {counted(inputs.deeper, 'image')} in subfolders; --recursive reads "
                "them too",
                file=sys.stderr,
            )
        for before, outcome in zip(outcomes, summary.outcomes, strict=True):
            if json_lines and outcome.status != before.status:
                # Its files have gone since it was printed: what counts is the last line.
                print_json_line(outcome)
        print_former_results(former, summary, results)
    return 1 if summary.count(Status.FAILED) else 0


_OF_SCANS: Final = ("region", "max_memory", "until", "precision_of", "level", "pages", "zones")
"""Options that only scans have."""
_SCAN_DEFAULTS: Final = (None, 0, "first", "monolayer")
_MAY_BE_SCANS: Final = (".tif", ".tiff", ".btf")
_UNITS: Final = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}


def may_hold_scans(images: "Sequence[InputImage]", options: "Mapping[str, Any]") -> bool:
    """Whether any image may be a scan, by its name, or because the options ask for parts."""
    from blood_cell_system.imaging.scan import SCAN_SUFFIXES

    suffixes = {image.path.suffix.lower() for image in images}
    is_asked = any(options[name] is not None for name in _OF_SCANS[:4]) or options["level"]
    return bool(is_asked or suffixes & {*_MAY_BE_SCANS, *SCAN_SUFFIXES})


def scan_settings_of(
    *,
    region: str | None,
    level: int,
    pages: str,
    zones: str,
    until: str | None,
    precision_of: str | None,
    max_memory: str | None,
) -> "ScanSettings":
    """Read the options of scans.

    Raises
    ------
    SettingsError
        One of them cannot be read.
    """
    from blood_cell_system.errors import SettingsError
    from blood_cell_system.pipeline.scan_goal import Goal
    from blood_cell_system.pipeline.scan_plan import ScanSettings

    place = None
    if region is not None:
        found = re.fullmatch(r"\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*[,xX×]\s*(\d+)\s*", region)
        if found is None or not int(found[3]) or not int(found[4]):
            raise SettingsError(
                f"--region: received {region!r}; expected left, top and width x height in pixels, "
                "for instance 4000,2000,3000x3000."
            )
        place = int(found[1]), int(found[2]), int(found[3]), int(found[4])
    budget = None
    if max_memory is not None:
        size = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMG]?)i?B?\s*", max_memory, re.IGNORECASE)
        budget = round(float(size[1]) * _UNITS[size[2].upper()]) if size else 0
        if not budget:
            raise SettingsError(
                f"--max-memory: received {max_memory!r}; expected a size, for instance 1500MB or "
                "2GB."
            )
    return ScanSettings(
        region=place,
        level=level,
        max_memory=budget,
        is_everywhere=zones == "all",
        each_page=pages == "each",
        goal=Goal.read(until, precision_of),
    )


def pixel_size_of(
    pixel_size_um: float | None,
    objective: float | None,
    camera_pixel_um: float | None,
    adapter: float,
) -> "Mapping[str, Any]":
    """Side of a pixel on the slide with its origin, for ``AnalysisSettings``.

    Raises
    ------
    SettingsError
        Half of the microscope is given, or the size in two ways.
    """
    from blood_cell_system.errors import SettingsError

    if objective is None and camera_pixel_um is None:
        return {"pixel_size_um": pixel_size_um}
    if objective is None or camera_pixel_um is None:
        missing = "--objective" if objective is None else "--camera-pixel-um"
        raise SettingsError(
            f"{missing}: missing; --objective and --camera-pixel-um give the side of a pixel "
            "together. Add it, or give --pixel-size-um alone."
        )
    if pixel_size_um is not None:
        raise SettingsError(
            "--pixel-size-um: received beside --objective and --camera-pixel-um, which give the "
            "same. Leave one of them out."
        )
    origin = f"camera pixels of {camera_pixel_um:g} µm, objective {objective:g}×"
    return {
        "pixel_size_um": camera_pixel_um / (objective * adapter),
        "pixel_size_origin": origin + (f", adapter {adapter:g}×" if adapter != 1 else ""),
    }


def system_of(
    model: Path | None,
    models: Path | None,
    execution: "Execution | None" = None,
    *,
    is_commercial: bool = False,
) -> "BloodCellAnalysisSystem":
    """Load the models that the options name, and the built-in ones for the others."""
    from blood_cell_system.pipeline.model_slots import bundled_segmenter
    from blood_cell_system.pipeline.system import BloodCellAnalysisSystem

    system = BloodCellAnalysisSystem(execution=execution)
    if model is not None:
        system.load_segmenter(model)
    if models is not None:
        system.load_models(models)
    if system.segmentation_model is None:
        system.load_segmenter(bundled_segmenter())
    if is_commercial:
        system.keep_commercial()
    return system


def print_json_line(outcome: "ImageOutcome") -> None:
    """Print how one image ended, in one line that programs read."""
    import json

    # ASCII alone: no terminal's encoding, and no line end in a name, can break the line.
    print(json.dumps(outcome.to_json(), sort_keys=True), flush=True)


def _print_places(summary: "BatchSummary", output_dir: Path) -> None:
    """Print where the page is, or the results without it, and what is missing beside it."""
    from blood_cell_system.pipeline.batch import PAGE_NAME
    from blood_cell_system.reports.cell_table import NO_PARQUET, has_parquet
    from blood_cell_system.reports.image_files import Part
    from blood_cell_system.reports.report import shown_name

    place = output_dir / PAGE_NAME if Part.REPORT in summary.parts else output_dir
    print(f"All of it: {shown_name(str(place))}")
    cells = sum(summary.counts.values())
    if Part.TABLE in summary.parts and cells >= _MANY_CELLS and not has_parquet():
        print(NO_PARQUET)


def print_summary(summary: "BatchSummary", output_dir: Path) -> None:
    """Print failures and warnings, the counts, and where the report is."""
    from blood_cell_system.reports.report import DISCLAIMER, Status, shown_name

    outcomes = summary.outcomes
    if len(outcomes) == 1 and outcomes[0].status != Status.FAILED and not summary.is_grouped:
        if (only := outcomes[0].report) is not None:
            print(only.text)
        _print_passed_over(summary)
        _print_places(summary, output_dir)
        return
    for outcome in outcomes:
        if outcome.status == Status.FAILED:
            print(f"failed  {shown_name(outcome.reason)}")
        for warning in outcome.warnings:
            print(f"warned  {shown_name(outcome.path)}: {warning}")
    states = ", ".join(f"{summary.count(status)} {status}" for status in Status)
    kept = sum(outcome.was_kept for outcome in outcomes)
    print(f"Images: {states}" + (f" ({kept} kept from before)" if kept else ""))
    _print_passed_over(summary)
    if summary.left_out and not summary.is_grouped:
        print(f"Left out of the sums: {summary.left_out} not taken for a smear")
    for names in () if summary.is_grouped else summary.repeated:
        listed = ", ".join(shown_name(name) for name in names)
        print(f"The same field, summed up {len(names)} times: {listed}")
    for report in summary.slides:
        fields = counted(len(report.images), "field")
        print(f"{shown_name(report.name)}: {fields}, {_counts_words(report.counts)}")
        for warning in report.warnings:
            print(f"warned  {shown_name(report.name)}: {shown_name(warning)}")
    if not summary.is_grouped:
        print(f"Cells: {_counts_words(summary.counts)}")
    if summary.provenance.runs_in:
        print(f"Networks: {summary.provenance.runs_in}")
    _print_places(summary, output_dir)
    print(DISCLAIMER)


def _counts_words(counts: "Mapping[str, int]") -> str:
    return ", ".join(f"{count} {kind}" for kind, count in counts.items())


def print_former_results(
    former: "Mapping[str, str]", summary: "BatchSummary", output_dir: Path
) -> None:
    """Report on standard error what this run did to the results of former ones."""
    from blood_cell_system.pipeline.batch import count_left_over, replaced_names
    from blood_cell_system.reports.report import shown_name

    place = shown_name(str(output_dir))
    if names := replaced_names(former, summary.outcomes):
        shown = ", ".join(shown_name(name) for name in names[:_SHOWN_NAMES])
        more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
        print(
            f"Replaced in {place}: results that a former run had of other images of the same "
            f"name: {shown}{more}",
            file=sys.stderr,
        )
    if left_over := count_left_over(output_dir, summary.outcomes):
        print(
            f"Kept in {place}: {counted(left_over, 'result')} of former runs, not in the summary "
            "and the page of this one",
            file=sys.stderr,
        )


def _print_passed_over(summary: "BatchSummary") -> None:
    if not summary.passed_over:
        return
    endings = Counter(
        "folder" if Path(path).is_dir() else Path(path).suffix.lower() or "none"
        for path in summary.passed_over
    )
    listed = ", ".join(f"{count} {ending}" for ending, count in sorted(endings.items()))
    files = counted(len(summary.passed_over), "file")
    print(f"Passed over: {files} without the ending of an image ({listed})")
