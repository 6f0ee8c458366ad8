"""Options that several commands share, and how their values are read."""

import os
from copy import copy
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from blood_cell_system.annotation.splits import Split
from blood_cell_system.model_metadata import ClassifierKind

SEGMENTER_FILE: Final = Path("checkpoints/segmentation_model_best.keras")
SEGMENTATION_DIR: Final = Path("./data/segmentation")
ALL_CORES: Final = os.cpu_count() or 1


def positive_int(value: str) -> int:
    """Read a whole number of 1 or more."""
    number = int(value)
    if number < 1:
        raise typer.BadParameter(f"received {value}; expected 1 or more")
    return number


def positive_number(value: str) -> float:
    """Read a number above 0."""
    number = float(value)
    if not 0 < number < float("inf"):
        raise typer.BadParameter(f"received {value}; expected a number above 0")
    return number


def share(value: str) -> float:
    """Read a number from 0 to 1."""
    number = float(value)
    if not 0 <= number <= 1:
        raise typer.BadParameter(f"received {value}; expected a number from 0 to 1")
    return number


def given(**values: Any) -> dict[str, Any]:
    """Give the options that the user has set; the settings know the defaults of the others."""
    return {name: value for name, value in values.items() if value is not None}


Jobs = Annotated[
    int,
    typer.Option(
        "--jobs",
        "-j",
        parser=positive_int,
        metavar="N",
        show_default="as many as cores",
        help="How many work at once.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Decides what is drawn by chance.")]
Views = Annotated[
    Literal[1, 4, 8] | None,
    typer.Option(
        "--views",
        show_default="1 for red cells, 4 for white cells",
        help="Average over a cell as it is (1), its quarter turns (4), flips as well (8).",
    ),
]
Kind = Annotated[
    ClassifierKind, typer.Option("--kind", help="Red cells (rbc) or white cells (wbc).")
]
Segmenter = Annotated[
    Path, typer.Option("--model", metavar="FILE", help="Segmenter, .keras or .onnx.")
]
SegmentationDir = Annotated[
    Path, typer.Option("--data-dir", metavar="DIR", help="Prepared folder.")
]
CellDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        show_default="./data/cells_KIND",
        help="Folder of cells, as bloodcells crops writes it.",
    ),
]
CellDiameter = Annotated[
    float | None,
    typer.Option(
        "--cell-diameter",
        parser=positive_number,
        metavar="PX",
        show_default="estimated",
        help="Diameter of a red cell in the images.",
    ),
]
SplitName = Annotated[Split, typer.Option("--split", help="Split to measure on.")]
BlockPattern = Annotated[
    str | None,
    typer.Option(
        "--block-pattern",
        metavar="REGEX",
        help="Finds the slide or patient in a file name, where no cells.csv names it.",
    ),
]
LabelMap = Annotated[
    str | None,
    typer.Option(
        "--label-map",
        metavar="FILE|NAME=TYPE,…",
        help="What labels mean, for instance erythro=RBC,dust=none; or a file of such lines, or "
        "JSON.",
    ),
]
Classes = Annotated[
    Path | None,
    typer.Option(
        "--classes",
        metavar="FILE",
        show_default="built-in",
        help="Cell types of your own, in a YAML or JSON file (docs/adding.md).",
    ),
]


def hidden(option: Any) -> Any:
    """Give the option of another command, understood but not listed in the help."""
    copied = copy(option)
    copied.hidden = True
    return copied
