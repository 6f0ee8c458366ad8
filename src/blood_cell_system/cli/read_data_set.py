"""``bloodcells prepare --format …``: a data set of any format becomes a prepared folder."""

import argparse
from pathlib import Path

# As in datasets/formats.py, which imports the readers.
FORMATS = (
    "coco",
    "labelme",
    "geojson",
    "cvat",
    "voc",
    "yolo",
    "kaggle",
    "lisc",
    "allidb",
    "masks",
)
UNLABELLED = ("stain", "unscored", "background")


def add_reading_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that only reading has."""
    parser.add_argument(
        "--label-map",
        metavar="FILE|NAME=TYPE,…",
        help="what labels mean, for instance erythro=RBC,dust=none; or a file of such lines, or "
        "JSON",
    )
    parser.add_argument(
        "--mask-values",
        metavar="VALUE=CLASS,…",
        help="masks: what numbers or colours mean, for instance 0=background,1=RBC,#0000ff=WBC",
    )
    parser.add_argument(
        "--unlabelled",
        choices=UNLABELLED,
        default="stain",
        help="cells that nobody marked: as their stain shows, not scored, or background where all "
        "cells are marked",
    )
    parser.add_argument(
        "--first-pixel",
        type=int,
        choices=(0, 1),
        help="what the label files call the first pixel, where the format's rule is not kept",
    )


def run_reading(options: argparse.Namespace, source: Path, output: Path, *, name: str) -> int:
    """Read a data set, tell what it is, and prepare it.

    Parameters
    ----------
    options : argparse.Namespace
    source : Path
        A folder or a zip file.
    output : Path
    name : str
        A format, or ``auto``.
    """
    from blood_cell_system.datasets.archives import opened_folder
    from blood_cell_system.datasets.formats import sightings_for
    from blood_cell_system.datasets.label_table import read_label_map
    from blood_cell_system.datasets.mask_values import read_mask_values
    from blood_cell_system.datasets.reader import ReadOptions
    from blood_cell_system.masks.prepare import prepare_reading

    read_options = ReadOptions(
        label_map=read_label_map(options.label_map) if options.label_map else {},
        mask_values=read_mask_values(options.mask_values) if options.mask_values else None,
        first_pixel=options.first_pixel,
    )
    with opened_folder(source) as folder:
        chosen, *others = sightings_for(folder, name)
        print(f"{source}: read as {chosen.reader.title} ({chosen.reader.name}): {chosen.seen}")
        for other in others:
            print(
                f"  it could be {other.reader.title} as well ({other.seen}): "
                f"--format {other.reader.name} reads it so"
            )
        reading = chosen.reader.read(folder, read_options)
        summary = prepare_reading(
            reading,
            output,
            mask_method=options.mask_method,
            unlabelled=options.unlabelled,
            jobs=options.jobs,
            mode=chosen.reader.name,
        )
    print(summary.to_text())
    return 1 if summary.failed else 0
