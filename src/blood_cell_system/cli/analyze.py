"""``bloodcells analyze``: images in, counted cells and a report out."""

import argparse
import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blood_cell_system.pipeline.image import InferencePipeline
    from blood_cell_system.pipeline.system import BloodCellAnalysisSystem
    from blood_cell_system.reports.batch import BatchSummary, ImageOutcome


_SHOWN_NAMES: Final = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command."""
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="images, or folders")
    parser.add_argument("--output-dir", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--model", type=Path, metavar="FILE", help="a .keras or .onnx file (default: the built-in)"
    )
    parser.add_argument(
        "--models",
        type=Path,
        metavar="DIR",
        help="folder with a segmenter or classifiers of your own",
    )
    parser.add_argument(
        "--no-classify", action="store_true", help="count cells, but do not classify them"
    )
    parser.add_argument(
        "--views",
        type=int,
        choices=(1, 4, 8),
        help="classify each cell as the average over its quarter turns (4), and flips (8) "
        "(default: 1 for red cells, 4 for white ones)",
    )
    parser.add_argument("--recursive", action="store_true", help="search folders within folders")
    parser.add_argument(
        "--jobs",
        type=positive_int,
        default=os.cpu_count() or 1,
        help="images in work at once (default: as many as cores)",
    )
    parser.add_argument(
        "--json-lines", action="store_true", help="print a line of JSON for each image"
    )
    parser.add_argument(
        "--resume", action="store_true", help="keep the results that a former run has finished"
    )
    parser.add_argument(
        "--cell-diameter",
        type=positive_number,
        metavar="PX",
        help="of a red cell (default: estimated)",
    )
    parser.add_argument(
        "--pixel-size-um", type=positive_number, metavar="UM", help="side of a pixel in µm"
    )
    parser.add_argument(
        "--border-rule",
        choices=("counted", "two-sides"),
        default="counted",
        help="count all cells that the border cuts off, or those at two of the four sides",
    )
    parser.add_argument(
        "--confidence-threshold",
        type=share,
        default=0.3,
        metavar="P",
        help="cells of a lower confidence are flagged as uncertain (default: %(default)s)",
    )
    parser.add_argument(
        "--uncertain-margin",
        type=share,
        default=0.1,
        metavar="P",
        help="so are cells whose two likeliest conditions are closer (default: %(default)s)",
    )


def positive_int(text: str) -> int:
    """Read a whole number of 1 or more."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"received {text}; expected 1 or more")
    return value


def positive_number(text: str) -> float:
    """Read a number above 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"received {text}; expected a number above 0")
    return value


def share(text: str) -> float:
    """Read a number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"received {text}; expected a number from 0 to 1")
    return value


def run(options: argparse.Namespace) -> int:
    """Analyse every image, write everything, say how each ended."""
    from blood_cell_system.errors import MissingDataError
    from blood_cell_system.parallel import with_progress
    from blood_cell_system.pipeline.batch import (
        BatchSettings,
        analyze_inputs,
        find_inputs,
        former_digests,
        start_batch,
        write_batch,
    )

    settings = BatchSettings(jobs=options.jobs, resume=options.resume)
    output_dir: Path = options.output_dir
    inputs = find_inputs(options.paths, output_dir=output_dir, recursive=options.recursive)
    if not inputs.images:
        raise MissingDataError(" ".join(failed.reason for failed in inputs.failed))
    # The quick check comes first: loading a network may take seconds.
    start_batch(output_dir)
    former = former_digests(output_dir)
    pipeline = pipeline_of(options)
    outcomes: list[ImageOutcome] = []
    try:
        for outcome in with_progress(
            analyze_inputs(inputs, pipeline, output_dir, settings),
            total=len(inputs.images) + len(inputs.failed),
            description="Analysing",
        ):
            outcomes.append(outcome)
            if options.json_lines:
                print_json_line(outcome)
    except KeyboardInterrupt:
        print(f"{len(outcomes)} done; with --resume the same command goes on", file=sys.stderr)
        raise
    summary = write_batch(inputs, outcomes, pipeline, output_dir)
    if not options.json_lines:
        print_summary(summary, output_dir)
    print_former_results(former, summary, output_dir)
    return exit_code(summary)


def pipeline_of(options: argparse.Namespace) -> "InferencePipeline":
    """Make the pipeline that the options describe; the model is loaded."""
    from blood_cell_system.analysis.classification import ClassificationSettings
    from blood_cell_system.analysis.image_analysis import AnalysisSettings
    from blood_cell_system.cells.border_rule import BorderRule
    from blood_cell_system.pipeline.image import InferencePipeline

    return InferencePipeline(
        system_of(options),
        confidence_threshold=options.confidence_threshold,
        uncertain_margin=options.uncertain_margin,
        settings=AnalysisSettings(
            cell_diameter_px=options.cell_diameter,
            pixel_size_um=options.pixel_size_um,
            border_rule=BorderRule(options.border_rule),
        ),
        classification=ClassificationSettings(views=options.views),
        is_classifying=not options.no_classify,
    )


def system_of(options: argparse.Namespace) -> "BloodCellAnalysisSystem":
    """Load the models that the options name, and the built-in ones for the others."""
    from blood_cell_system.cli.quiet_import import import_tensorflow
    from blood_cell_system.model_metadata import ClassifierKind
    from blood_cell_system.pipeline.model_slots import (
        bundled_segmenter,
        classifier_in,
        segmenter_in,
    )
    from blood_cell_system.pipeline.system import BloodCellAnalysisSystem

    system = BloodCellAnalysisSystem()
    model: Path | None = options.model
    folder: Path | None = options.models
    named = [model]
    if folder is not None:
        named += [segmenter_in(folder) if model is None else None]
        named += [classifier_in(folder, kind) for kind in ClassifierKind]
    if any(path and path.suffix.lower() != ".onnx" and path.is_file() for path in named):
        import_tensorflow()
    if model is not None:
        system.load_segmenter(model)
    if folder is not None:
        system.load_models(folder)
    if system.segmentation_model is None:
        system.load_segmenter(bundled_segmenter())
    return system


def exit_code(summary: "BatchSummary") -> int:
    """0 where every input was analysed, with a warning or without; 1 where one failed."""
    from blood_cell_system.reports.report import Status

    return 1 if summary.count(Status.FAILED) else 0


def print_json_line(outcome: "ImageOutcome") -> None:
    """Print how one image ended, in one line that programs read."""
    import json

    # ASCII alone: no terminal's encoding, and no line end in a name, can break the line.
    print(json.dumps(outcome.to_json(), sort_keys=True), flush=True)


def print_summary(summary: "BatchSummary", output_dir: Path) -> None:
    """Print how every image ended that did not end well, the counts, and where to look."""
    from blood_cell_system.pipeline.batch import PAGE_NAME
    from blood_cell_system.reports.image_files import file_of
    from blood_cell_system.reports.report import DISCLAIMER, Status, shown_name

    outcomes = summary.outcomes
    if len(outcomes) == 1 and outcomes[0].status != Status.FAILED:
        text = file_of(output_dir, outcomes[0].name, "summary.txt").read_text("utf-8")
        print(text)
        _print_passed_over(summary)
        print(f"All of it: {shown_name(str(output_dir / PAGE_NAME))}")
        return
    for outcome in outcomes:
        if outcome.status == Status.FAILED:
            print(f"failed  {shown_name(outcome.reason)}")
        for warning in outcome.warnings:
            print(f"warned  {shown_name(outcome.path)}: {warning}")
    counts = ", ".join(f"{count} {kind}" for kind, count in summary.counts.items())
    states = ", ".join(f"{summary.count(status)} {status}" for status in Status)
    kept = sum(outcome.was_kept for outcome in outcomes)
    print(f"Images: {states}" + (f" ({kept} kept from before)" if kept else ""))
    _print_passed_over(summary)
    if summary.left_out:
        print(f"Left out of the sums: {summary.left_out} that do not look like a smear")
    for names in summary.repeated:
        told = ", ".join(shown_name(name) for name in names)
        print(f"The same file, summed up {len(names)} times: {told}")
    print(f"Cells: {counts}")
    print(f"All of it: {shown_name(str(output_dir / PAGE_NAME))}")
    print(DISCLAIMER)


def print_former_results(
    former: "Mapping[str, str]", summary: "BatchSummary", output_dir: Path
) -> None:
    """Tell on standard error what this run did to the results of former ones."""
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
            f"Kept in {place}: {left_over} results of former runs, which are not in the summary "
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
    told = ", ".join(f"{count} {ending}" for ending, count in sorted(endings.items()))
    print(f"Passed over: {len(summary.passed_over)} that are no images by their names ({told})")
