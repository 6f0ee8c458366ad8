"""``bloodcells prepare --mode combine``: several prepared folders as one."""

import argparse
from collections.abc import Sequence
from pathlib import Path


def add_combine_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that only this mode has."""
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument(
        "--cell-diameter",
        type=float,
        metavar="PX",
        help="combine: resample each source so that its red cells are that wide "
        "(default: as the networks expect them)",
    )
    sizes.add_argument(
        "--keep-scale", action="store_true", help="combine: leave the size of all cells"
    )
    parser.add_argument(
        "--source-diameter",
        type=_source_diameter,
        action="append",
        default=[],
        metavar="NAME=PX",
        help="combine: width of the red cells of a source whose labels do not tell",
    )


def run_combine(options: argparse.Namespace, folders: Sequence[Path], output: Path) -> int:
    """Combine folders and tell what came of it."""
    from blood_cell_system.datasets.combine import combine_folders
    from blood_cell_system.model_metadata import TRAINING_DIAMETER_PX

    asked = TRAINING_DIAMETER_PX if options.cell_diameter is None else options.cell_diameter
    summary = combine_folders(
        folders,
        output,
        cell_diameter_px=None if options.keep_scale else asked,
        source_diameters=dict(options.source_diameter),
        seed=options.seed,
        jobs=options.jobs,
    )
    print(summary.to_text())
    return 0


def _source_diameter(word: str) -> tuple[str, float]:
    name, _, number = word.rpartition("=")
    try:
        diameter = float(number)
    except ValueError:
        diameter = 0.0
    if not name or diameter <= 0:
        raise argparse.ArgumentTypeError(f"expected NAME=PX, received {word!r}")
    return name, diameter
