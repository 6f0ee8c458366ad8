"""``bloodcells crops``: single cells out of smears, into a folder that classifiers learn from."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blood_cell_system.model_metadata import ClassifierKind
    from blood_cell_system.pipeline.cell_crops.user_input import CropOptions

_EPILOG = """
examples:
  bloodcells crops smears/ --kind rbc --class healthy_RBC --output cells/
  bloodcells crops smears/ --kind rbc --boxes boxes.json --map ring=malaria_RBC --output cells/
  bloodcells crops fields/ --kind wbc --map Benign=healthy_WBC --map ALL=cancer_WBC --output cells/
  bloodcells crops DATA --recipe rbc --output cells_rbc/

A folder of images for each label (fields/Benign, fields/ALL) labels all cells of its images.
boxes.json: {"a.png": [{"label": "ring", "box": [x_min, y_min, x_max, y_max]}]}, pixels from 0.
An interrupted run goes on where it was when the same command is given again.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument(
        "input", type=Path, help="folder of images, prepared folder or Pascal VOC folder"
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="cell folder, new or unfinished"
    )
    parser.add_argument("--kind", choices=("rbc", "wbc"), help="which cells to cut")
    parser.add_argument(
        "--recipe",
        choices=("rbc", "wbc"),
        help="the cell folder of this package's own classifier, from the folder of all collections",
    )
    parser.add_argument("--boxes", type=Path, metavar="FILE", help="JSON table of labelled boxes")
    parser.add_argument(
        "--method",
        choices=("boxes", "segmenter", "nuclei", "lone"),
        help="how cells are found: by boxes, by the segmenter, white cells by their nuclei, or one "
        "cell an image (default: boxes where there are any, else the segmenter)",
    )
    parser.add_argument(
        "--class",
        dest="class_of_all",
        default="",
        metavar="CLASS",
        help="class of cells about which nothing else is said (default: unlabelled)",
    )
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="LABEL=CLASS",
        help="class of a label; LABEL= leaves its cells out; may be repeated",
    )
    parser.add_argument("--source", default="own", help="name of the laboratory or data set")
    parser.add_argument(
        "--block-pattern",
        metavar="REGEX",
        help="finds the slide or patient in an image's name: its cells go into one split",
    )
    parser.add_argument(
        "--block-size",
        type=int,
        default=10,
        metavar="N",
        help="without a pattern, so many neighbouring names make a block (default: %(default)s)",
    )
    parser.add_argument(
        "--most", type=int, metavar="N", help="at most so many cells of a label from one image"
    )
    parser.add_argument(
        "--with-outliers",
        action="store_true",
        help="also cut slide, debris, clumps and cells of other types, as not_a_cell/",
    )
    parser.add_argument("--seed", type=int, default=0, help="decides which cells are taken")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: all cores)"
    )


def run(options: argparse.Namespace) -> int:
    """Cut the cells; 1 when an image failed."""
    from blood_cell_system.errors import SettingsError
    from blood_cell_system.model_metadata import ClassifierKind
    from blood_cell_system.parallel import with_progress
    from blood_cell_system.pipeline.cell_crops.recipes import tasks_of_recipe
    from blood_cell_system.pipeline.cell_crops.user_input import tasks_of_folder
    from blood_cell_system.pipeline.cell_crops.writing import write_cell_folder

    if (options.kind is None) == (options.recipe is None):
        raise SettingsError("expected either --kind rbc or wbc for your own images, or --recipe.")
    kind = ClassifierKind(options.kind or options.recipe)
    if options.recipe:
        tasks, failed, dropped = tasks_of_recipe(kind, options.input, seed=options.seed)
    else:
        tasks, failed, dropped = tasks_of_folder(options.input, _crop_options(options, kind))
    summary = write_cell_folder(
        options.output,
        tasks,
        kind=kind,
        failed=failed,
        seed=options.seed,
        jobs=options.jobs,
        progress=lambda results, total: with_progress(
            results, total=total, description="cutting cells"
        ),
    )
    print(summary.to_text())
    for mark in dropped:
        print(f"  left out: {mark.file}, object {mark.object_index}: {mark.reason}")
    return 1 if summary.failed else 0


def _crop_options(options: argparse.Namespace, kind: "ClassifierKind") -> "CropOptions":
    from blood_cell_system.pipeline.cell_crops.plan import CutMethod
    from blood_cell_system.pipeline.cell_crops.user_input import CropOptions

    return CropOptions(
        kind=kind,
        method=CutMethod(options.method) if options.method else None,
        boxes=options.boxes,
        class_of_all=options.class_of_all,
        class_of_label=dict(_label_and_class(text) for text in options.map),
        source=options.source,
        block_pattern=options.block_pattern,
        block_size=options.block_size,
        most_an_image=options.most,
        with_outliers=options.with_outliers,
        seed=options.seed,
    )


def _label_and_class(text: str) -> tuple[str, str]:
    from blood_cell_system.errors import SettingsError

    label, sign, name = text.rpartition("=")
    if not sign or not label:
        raise SettingsError(f"--map {text}: expected LABEL=CLASS, such as ring=malaria_RBC.")
    return label, name
