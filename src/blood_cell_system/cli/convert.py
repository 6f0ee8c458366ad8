"""``bloodcells convert``: labels in the format of somebody's tool, to be corrected there."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blood_cell_system.annotation.sample import Sample

FORMATS = ("coco", "labelme", "geojson", "cvat", "yolo")
OUTLINE_FORMS = ("polygons", "masks", "boxes")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command."""
    parser.add_argument(
        "source",
        type=Path,
        help="what analyze has written, a prepared folder, or a data set of any known format",
    )
    parser.add_argument("--to", choices=FORMATS, required=True, help="the format to write")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="a new folder")
    parser.add_argument(
        "--images",
        type=Path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="of results: folders with the images, where they have been moved since",
    )
    parser.add_argument(
        "--outlines",
        choices=OUTLINE_FORMS,
        default="polygons",
        help="polygons with exactly the same pixels (the default), masks, or boxes alone",
    )
    parser.add_argument(
        "--simplify",
        type=float,
        default=0.0,
        metavar="PX",
        help="polygons with fewer corners, which may be this far off (default: exact)",
    )
    parser.add_argument(
        "--with-not-scored",
        action="store_true",
        help="of a prepared folder: regions that are not scored as well, labelled ignore",
    )
    parser.add_argument(
        "--format", default="auto", metavar="NAME", help="of a data set (default: recognised)"
    )
    parser.add_argument(
        "--label-map",
        metavar="NAME=TYPE,…",
        help="of a data set: what its labels mean, or the name of a file that says so",
    )


def run(options: argparse.Namespace) -> int:
    """Read whatever the source is, and write it."""
    from blood_cell_system.annotation.archives import opened_folder
    from blood_cell_system.annotation.registry import writable_format
    from blood_cell_system.annotation.writer import OutlineForm, WriteStyle, write_labels

    style = WriteStyle(outlines=OutlineForm(options.outlines), tolerance_px=options.simplify)
    with opened_folder(options.source) as folder:
        samples, is_whole = _samples(folder, options)
        summary = write_labels(samples, options.output, format_name=options.to, style=style)
    print(summary.to_text())
    next_step = writable_format(options.to).next_step
    print(f"To correct it, {next_step.format(output=options.output)}.")
    print(
        f"Corrected, it is read by: bloodcells prepare --format {options.to} --input "
        f"{options.output} --unlabelled background --output data/corrected"
    )
    return 0 if is_whole else 1


def _samples(folder: Path, options: argparse.Namespace) -> "tuple[Iterable[Sample], bool]":
    """Images of whatever the folder is, and whether none of them is left out."""
    from blood_cell_system.pipeline.analysed_samples import analysed_samples, is_results_folder

    if is_results_folder(folder):
        return analysed_samples(folder, images=options.images), True
    if (folder / "images").is_dir() and (folder / "masks").is_dir():
        from blood_cell_system.datasets.prepared import PreparedDataset, prepared_samples

        dataset = PreparedDataset.open(folder)
        return prepared_samples(dataset, with_unscored=options.with_not_scored), True
    from blood_cell_system.annotation.label_map import read_label_map
    from blood_cell_system.annotation.reader import ReadOptions
    from blood_cell_system.annotation.registry import read_folder

    label_map = read_label_map(options.label_map) if options.label_map else {}
    reading = read_folder(
        folder, format_name=options.format, options=ReadOptions(label_map=label_map)
    )
    for note in reading.notes:
        print(note)
    for cell in reading.dropped:
        print(f"dropped: {cell.file}: object {cell.object_index}: {cell.reason}")
    for failed in reading.failed:
        print(f"left out: {failed.reason}")
    return reading.samples, not reading.failed
