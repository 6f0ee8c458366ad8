"""``bloodcells prepare`` and ``prepare_segmentation_data.py``: make, combine, verify, augment."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from blood_cell_system.cli.combine import add_combine_arguments, run_combine
from blood_cell_system.cli.main import run_command
from blood_cell_system.errors import SettingsError

MODES = ("bccd", "combine", "verify", "augment")
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
    parser.add_argument("--mode", choices=MODES, required=True, help="what to do")
    parser.add_argument(
        "--input",
        type=Path,
        nargs="+",
        metavar="DIR",
        help="folder to read (default: as in the guide); of combine: all the folders",
    )
    parser.add_argument("--output", type=Path, help="folder to write (default: as in the guide)")
    parser.add_argument(
        "--mask-method",
        choices=MASK_METHODS,
        default="stain",
        help="bccd: masks from the stain and the boxes, or ellipses in the boxes alone",
    )
    parser.add_argument(
        "--aug-factor", type=int, default=3, metavar="N", help="augment: copies of each picture"
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
    source = _one_folder(options)
    if options.mode == "verify":
        from blood_cell_system.cli.verify import run_verify

        return run_verify(
            source,
            json_path=options.json,
            contact_sheet_path=options.contact_sheet,
            fix_to=options.fix,
        )
    output = options.output or DEFAULT_OUTPUT[options.mode]
    if options.mode == "augment":
        from blood_cell_system.input_pipeline.augmented_folder import write_augmented_folder

        print(
            write_augmented_folder(
                source, output, copies=options.aug_factor, seed=options.seed, jobs=options.jobs
            ).to_text()
        )
        return 0
    from blood_cell_system.masks.prepare import prepare_voc

    summary = prepare_voc(source, output, mask_method=options.mask_method, jobs=options.jobs)
    print(summary.to_text())
    return 1 if summary.failed else 0


def _one_folder(options: argparse.Namespace) -> Path:
    folders: list[Path] = options.input or [DEFAULT_INPUT[options.mode]]
    if len(folders) > 1:
        raise SettingsError(
            f"--input: {len(folders)} folders; --mode {options.mode} reads one. Several are put "
            "together with --mode combine."
        )
    return folders[0]


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
