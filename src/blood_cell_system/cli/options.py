"""Options that several commands share, and how their values are read."""

import os
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from blood_cell_system.annotation.splits import Split
from blood_cell_system.settings import option_of

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


def within(kind: Callable[[str], Any], low: float, high: float) -> Callable[[str], Any]:
    """Make what reads a number between two others."""
    noun = "whole number" if kind is int else "number"

    def read(value: str) -> Any:
        with suppress(ValueError):
            if low <= (number := kind(value)) <= high:
                return number
        raise typer.BadParameter(f"received {value}; expected a {noun} from {low:,} to {high:,}.")

    return read


share: Final = within(float, 0, 1)
seed_in_range: Final = within(int, 0, 2**32 - 1)
jobs_in_range: Final = within(int, 1, 1024)
diameter_px: Final = within(float, 2, 10_000)


def refuse_among_images(data_dir: Path, **outputs: Path | None) -> None:
    """Refuse to write into what a prepared folder is read from; outputs by name of the option."""
    from blood_cell_system.imaging.image_folders import refuse_output_within

    read = [data_dir / name for name in ("images", "masks", "instances")]
    for name, path in outputs.items():
        if path is not None:
            refuse_output_within(path, *read, option=option_of(name))


def given(**values: Any) -> dict[str, Any]:
    """Give the options that the user has set; the settings know the defaults of the others."""
    return {name: value for name, value in values.items() if value is not None}


def named_options(ctx: typer.Context, *names: str) -> list[str]:
    """Give those of some options that the command line names, as it does."""
    sources = ((name, ctx.get_parameter_source(name)) for name in names)
    return [option_of(name) for name, source in sources if source and source.name == "COMMANDLINE"]


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
CommercialOnly = Annotated[
    bool,
    option(
        "--commercial-only",
        "Only models that learned from data whose licence allows commercial use.",
    ),
]
NoClassify = Annotated[bool, option("--no-classify", "Count cells, but do not classify them.")]
Results = Annotated[Path, argument("RESULTS", "Folder that bloodcells analyze has written.")]
Output = Annotated[Path, option("-o --output DIR", "Folder to write.")]
OutputDir = Annotated[Path, option("-o --output-dir DIR", "Folder to write.")]
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
