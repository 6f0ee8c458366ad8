"""Options that several commands share, and how their values are read."""

import os
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from blood_cell_system.annotation.splits import Split

SEGMENTER_FILE: Final = Path("checkpoints/segmentation_model_best.keras")
SEGMENTATION_DIR: Final = Path("./data/segmentation")
ALL_CORES: Final = os.cpu_count() or 1
DEFAULT_PRESET: Final = "balanced"


def option(words: str, help_text: str = "", *, default: str | bool = True, **more: Any) -> Any:
    """Declare an option.

    Parameters
    ----------
    words : str
        Its names and, where it takes a value, what the help calls the value: ``-o --output DIR``.
    default : str or bool
        Default as the help shows it, where it is not that of the function.
    **more
        Of ``typer.Option``.
    """
    names = [word for word in words.split() if word.startswith(("-", "/"))]
    metavar = words.split()[-1] if words.split()[-1] not in names else None
    # What Typer knows as a flag that can only be switched off begins with a blank.
    names = [f" {name}" if name.startswith("/") else name for name in names]
    return typer.Option(*names, metavar=metavar, help=help_text, show_default=default, **more)


def argument(metavar: str, help_text: str, *, default: str | bool = True) -> Any:
    """Declare an argument, by what the help calls it."""
    return typer.Argument(metavar=metavar, help=help_text, show_default=default)


def _number(
    kind: Callable[[str], Any], accepts: Callable[[Any], bool], expected: str
) -> Callable[[str], Any]:
    """Make what reads a number of some range."""

    def read(value: str) -> Any:
        try:
            if accepts(number := kind(value)):
                return number
        except ValueError:
            pass
        raise typer.BadParameter(f"received {value}; expected {expected}.")

    return read


def within(kind: Callable[[str], Any], low: float, high: float) -> Callable[[str], Any]:
    """Make what reads a number between two others."""
    noun = "whole number" if kind is int else "number"
    return _number(kind, lambda x: low <= x <= high, f"a {noun} from {low:,} to {high:,}")


positive_int: Final = _number(int, lambda number: number >= 1, "a whole number of 1 or more")
positive_number: Final = _number(float, lambda x: 0 < x < float("inf"), "a number above 0")
share: Final = _number(float, lambda x: 0 <= x <= 1, "a number from 0 to 1")


seed_in_range: Final = within(int, 0, 2**32 - 1)
jobs_in_range: Final = within(int, 1, 1024)
diameter_px: Final = within(float, 2, 10_000)


def counted(number: int, noun: str) -> str:
    """Give a number of things.

    Examples
    --------
    >>> counted(1, "epoch"), counted(2, "epoch")
    ('1 epoch', '2 epochs')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def given(**values: Any) -> dict[str, Any]:
    """Give the options that the user has set; the settings know the defaults of the others."""
    return {name: value for name, value in values.items() if value is not None}


Jobs = Annotated[
    int,
    option(
        "-j --jobs N", "How many work at once.", default="as many as cores", parser=jobs_in_range
    ),
]
Seed = Annotated[int, option("--seed N", "Decides what is drawn by chance.", parser=seed_in_range)]
Views = Annotated[
    Literal[1, 4, 8] | None,
    option(
        "--views",
        "Average over a cell as it is (1), its quarter turns (4), flips as well (8).",
        default="1 for red cells, 4 for white cells",
    ),
]
KIND_HELP: Final = "Red cells (rbc), white cells (wbc), or a type of your own classes."
Kind = Annotated[str, option("--kind TYPE", KIND_HELP)]
OwnSegmenter = Annotated[
    Path | None, option("--model FILE", "Segmenter, .keras or .onnx.", default="built-in")
]
OwnModels = Annotated[
    Path | None, option("--models DIR", "Folder with a segmenter or classifiers of your own.")
]
NoClassify = Annotated[bool, option("--no-classify", "Count cells, but do not classify them.")]
MovedImages = Annotated[
    list[Path] | None,
    option("--images DIR...", "Folders with the images, where they have been moved since."),
]
NoReviewPage = Annotated[
    bool, option("--no-review-page", "Write no page on which a person corrects the cells.")
]
PixelSize = Annotated[
    float | None,
    option(
        "--pixel-size-um UM",
        "Side of a pixel in µm.",
        default="as the file states",
        parser=within(float, 0.001, 10),
    ),
]
Segmenter = Annotated[Path, option("--model FILE", "Segmenter, .keras or .onnx.")]
SegmentationDir = Annotated[Path, option("--data-dir DIR", "Prepared folder.")]
CellDir = Annotated[
    Path | None,
    option(
        "--data-dir DIR",
        "Folder of cells, as bloodcells crops writes it.",
        default="./data/cells_KIND",
    ),
]
CellDiameter = Annotated[
    float | None,
    option(
        "--cell-diameter PX",
        "Diameter of a red cell in the images.",
        default="estimated",
        parser=diameter_px,
    ),
]
SplitName = Annotated[Split, option("--split", "Split to measure on.")]
BlockPattern = Annotated[
    str | None,
    option(
        "--block-pattern REGEX",
        "Finds the slide or patient in a file name, where no cells.csv names it.",
    ),
]
LabelMap = Annotated[
    str | None,
    option(
        "--label-map FILE|NAME=TYPE,…",
        "What labels mean, for instance erythro=RBC,dust=none; or a file of such lines, or JSON.",
    ),
]
Classes = Annotated[
    Path | None,
    option(
        "--classes FILE",
        "Cell types of your own, in a YAML or JSON file (docs/adding.md).",
        default="built-in",
    ),
]


def hidden(option: Any) -> Any:
    """Give the option of another command, understood but not listed in the help."""
    copied = copy(option)
    copied.hidden = True
    return copied


Preset = Annotated[
    str | None,
    option(
        "--preset NAME",
        "fast, balanced, accurate or research; the options below change its values.",
        default=DEFAULT_PRESET,
    ),
]
Epochs = Annotated[int | None, option("--epochs N")]
LearningRate = Annotated[float | None, option("--learning-rate X", "Peak rate of AdamW.")]


def architecture_option(default: str) -> Any:
    """Declare the option that names the network."""
    help_text = "Network to train; an unknown name lists all that there are."
    return option("--architecture NAME", help_text, default=default)
