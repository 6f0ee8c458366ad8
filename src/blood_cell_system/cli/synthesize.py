"""``bloodcells synthesize``: draw smears with exact truth."""

import argparse
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from blood_cell_system.errors import SettingsError

if TYPE_CHECKING:
    from blood_cell_system.datasets.synthetic import SmearSettings

LAYOUTS = ("prepared", "bccd", "cells-rbc", "cells-wbc")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command."""
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--count", type=int, default=40, metavar="N", help="smears (default: 40)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other smears")
    parser.add_argument("--size", default="640x480", metavar="WxH", help="width x height in pixels")
    parser.add_argument(
        "--stain", default="mixed", metavar="NAME", help="a stain's name, or mixed (default)"
    )
    parser.add_argument(
        "--cell-diameter",
        type=float,
        metavar="PX",
        help="mean diameter of a red cell (default: 95, as in BCCD; of single cells 50)",
    )
    parser.add_argument(
        "--layout",
        choices=LAYOUTS,
        default="prepared",
        help="prepared: with masks, ready to train on; bccd: as a clone of BCCD, with boxes only; "
        "cells-rbc, cells-wbc: single cells of N smears, for a classifier",
    )
    parser.add_argument(
        "--malaria-share", type=float, default=0.0, metavar="P", help="red cells with a parasite"
    )
    parser.add_argument(
        "--sickle-share", type=float, default=0.0, metavar="P", help="red cells that are sickles"
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: all cores)"
    )


def run(options: argparse.Namespace) -> int:
    """Draw the smears and say where they are."""
    from blood_cell_system.datasets.synthetic import (
        FolderLayout,
        SmearSettings,
        write_synthetic_folder,
    )

    is_of_cells = options.layout.startswith("cells-")
    settings = SmearSettings(
        shape=parse_size(options.size),
        stain=options.stain,
        cell_diameter_px=options.cell_diameter or (50.0 if is_of_cells else 95.0),
        malaria_share=options.malaria_share,
        sickle_share=options.sickle_share,
    )
    if is_of_cells:
        return _draw_cells(options, settings)
    stems = write_synthetic_folder(
        options.output,
        count=options.count,
        settings=settings,
        seed=options.seed,
        layout=FolderLayout(options.layout),
        jobs=options.jobs,
    )
    print(f"{options.output}: {len(stems)} drawn smears, layout {options.layout}")
    return 0


def _draw_cells(options: argparse.Namespace, settings: "SmearSettings") -> int:
    from collections import Counter

    from blood_cell_system.model_metadata import ClassifierKind
    from blood_cell_system.pipeline.synthetic_cells import write_synthetic_cells

    records = write_synthetic_cells(
        options.output,
        kind=ClassifierKind(options.layout.partition("-")[2]),
        fields=options.count,
        settings=settings,
        seed=options.seed,
        jobs=options.jobs,
    )
    counts = Counter(record.label for record in records)
    told = ", ".join(f"{count} {label}" for label, count in sorted(counts.items()))
    print(f"{options.output}: {len(records)} drawn cells: {told}")
    return 0


def parse_size(text: str) -> tuple[int, int]:
    """Read ``WIDTHxHEIGHT``.

    Returns
    -------
    tuple of int
        ``(height, width)`` in pixels.

    Raises
    ------
    SettingsError
        The text is something else.

    Examples
    --------
    >>> parse_size("640x480")
    (480, 640)
    """
    found = re.fullmatch(r"\s*(\d{1,6})\s*[x×X]\s*(\d{1,6})\s*", text)
    if not found:
        raise SettingsError(
            f"Size: {text!r}; expected width x height in pixels, for instance 640x480."
        )
    return int(found[2]), int(found[1])
