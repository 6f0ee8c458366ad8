"""``bloodcells split``: deal images out to train, val and test."""

import argparse
import os
from pathlib import Path

GROUPS = ("image", "slide", "patient", "source")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command."""
    parser.add_argument("--data-dir", type=Path, default=Path("./data/segmentation"))
    parser.add_argument(
        "--by", choices=GROUPS, default="image", help="what is never parted (default: image)"
    )
    parser.add_argument(
        "--pattern",
        metavar="REGEX",
        help="finds the slide or patient in an image's name, for instance 'slide(\\d+)'",
    )
    parser.add_argument(
        "--table", type=Path, metavar="CSV", help="columns image and slide, patient or group"
    )
    parser.add_argument("--val", type=float, default=0.15, metavar="SHARE")
    parser.add_argument("--test", type=float, default=0.15, metavar="SHARE")
    parser.add_argument(
        "--check",
        action="store_true",
        help="look for leaks only, write nothing; 1 if there are any",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: all cores)"
    )


def run(options: argparse.Namespace) -> int:
    """Split, or check a split."""
    from blood_cell_system.datasets.splitting import GroupBy, split_folder

    summary = split_folder(
        options.data_dir,
        by=GroupBy(options.by),
        pattern=options.pattern,
        table=options.table,
        val_share=options.val,
        test_share=options.test,
        seed=options.seed,
        jobs=options.jobs,
        is_check=options.check,
    )
    print(summary.to_text())
    return 1 if options.check and summary.leaks_before else 0
