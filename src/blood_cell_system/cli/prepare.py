"""``bloodcells prepare`` and ``prepare_segmentation_data.py``: make, combine, verify, augment."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from blood_cell_system.cli.combine import add_combine_arguments, run_combine
from blood_cell_system.cli.main import run_command
from blood_cell_system.errors import SettingsError

# As in annotation/registry.py, which imports the readers.
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
        "--classes",
        type=Path,
        metavar="FILE",
        help="cell types of your own, in a YAML or JSON file (docs/adding.md)",
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
    from blood_cell_system.annotation.archives import opened_folder
    from blood_cell_system.annotation.label_map import read_label_map
    from blood_cell_system.annotation.mask_files import read_mask_values
    from blood_cell_system.annotation.reader import ReadOptions
    from blood_cell_system.annotation.registry import matches_for
    from blood_cell_system.masks.prepare import prepare_reading
    from blood_cell_system.taxonomy import taxonomy_of_option

    types = taxonomy_of_option(options.classes)
    values = options.mask_values
    read_options = ReadOptions(
        label_map=read_label_map(options.label_map, types) if options.label_map else {},
        mask_values=read_mask_values(values, types) if values else None,
        first_pixel=options.first_pixel,
        taxonomy=types,
    )
    with opened_folder(source) as folder:
        chosen, *others = matches_for(folder, name)
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


MODES = ("bccd", *FORMATS, "combine", "verify", "augment")
MASK_METHODS = ("stain", "ellipse")

# The guide leaves folders out in places; these are the ones it uses everywhere else.
DEFAULT_INPUT = {
    "bccd": Path("./BCCD_Dataset"),
    "verify": Path("./data/segmentation"),
    "augment": Path("./data/segmentation"),
}
DEFAULT_OUTPUT = {
    "bccd": Path("./data/segmentation"),
    "augment": Path("./data/segmentation_augmented"),
    "combine": Path("./data/segmentation_combined"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--mode", choices=MODES, help="what to do, or the format to read")
    what.add_argument(
        "--format",
        choices=("auto", *FORMATS),
        help="the format to read; auto finds out what --input is, and tells",
    )
    parser.add_argument(
        "--input",
        type=Path,
        nargs="+",
        metavar="DIR",
        help="folder or zip file to read (default: as in the guide); of combine: all the folders",
    )
    parser.add_argument("--output", type=Path, help="folder to write (default: as in the guide)")
    parser.add_argument(
        "--mask-method",
        choices=MASK_METHODS,
        default="stain",
        help="boxes become masks by the stain, or ellipses in the boxes alone",
    )
    add_reading_arguments(parser)
    parser.add_argument(
        "--aug-factor", type=int, default=3, metavar="N", help="augment: copies of each image"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="verify: write the findings")
    parser.add_argument(
        "--contact-sheet",
        type=Path,
        metavar="FILE",
        help="verify: where the overlays go (default: FOLDER_contact_sheet.png beside the folder)",
    )
    parser.add_argument(
        "--fix",
        type=Path,
        metavar="DIR",
        help="verify: write a repaired copy, whose errors then decide about the exit code",
    )
    add_combine_arguments(parser)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: all cores)"
    )


def run(options: argparse.Namespace) -> int:
    """Run the chosen mode."""
    if options.mode == "combine":
        return run_combine(
            options, options.input or [], options.output or DEFAULT_OUTPUT["combine"]
        )
    source = _one_source(options)
    if options.mode == "verify":
        from blood_cell_system.cli.verify import run_verify

        return run_verify(
            source,
            json_path=options.json,
            contact_sheet_path=options.contact_sheet,
            fix_to=options.fix,
        )
    output = options.output or DEFAULT_OUTPUT.get(options.mode, DEFAULT_OUTPUT["bccd"])
    if options.mode == "augment":
        from blood_cell_system.augmentation.augmented_folder import write_augmented_folder

        print(
            write_augmented_folder(
                source, output, copies=options.aug_factor, seed=options.seed, jobs=options.jobs
            ).to_text()
        )
        return 0
    if options.mode == "bccd":
        return _run_bccd(options, source, output)
    return run_reading(options, source, output, name=options.mode or options.format)


def _run_bccd(options: argparse.Namespace, source: Path, output: Path) -> int:
    from blood_cell_system.annotation.archives import opened_folder
    from blood_cell_system.masks.prepare import prepare_voc

    with opened_folder(source) as folder:
        summary = prepare_voc(folder, output, mask_method=options.mask_method, jobs=options.jobs)
    print(summary.to_text())
    return 1 if summary.failed else 0


def _one_source(options: argparse.Namespace) -> Path:
    if not options.input and options.mode not in DEFAULT_INPUT:
        raise SettingsError("--input: missing; expected a folder or a zip file to read.")
    sources: list[Path] = options.input or [DEFAULT_INPUT[options.mode]]
    if len(sources) > 1:
        raise SettingsError(
            f"--input: {len(sources)} folders; expected one here. Prepare each, then put them "
            "together with --mode combine."
        )
    return sources[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of ``prepare_segmentation_data.py``."""
    parser = argparse.ArgumentParser(
        prog="prepare_segmentation_data.py",
        description="Make, combine, verify or augment a data folder.",
    )
    add_arguments(parser)
    parser.set_defaults(run=run)
    return run_command(parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
