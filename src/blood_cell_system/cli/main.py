"""``bloodcells``: every command under one name.

A command's module is imported only when it runs, so that ``--help`` answers at once.
"""

import argparse
import importlib
import io
import logging
import os
import sys
from collections.abc import Collection, Sequence

import blood_cell_system
from blood_cell_system.errors import BloodCellError

# Name of the command, its module in this folder, and the line of the help.
COMMANDS = (
    ("synthesize", "synthesize", "draw smears with exact truth, to try things out"),
    ("download", "download", "get a public data set, after its licence was accepted"),
    ("prepare", "prepare", "make masks of any data set; combine, verify, augment"),
    ("split", "split", "deal images out to train, val and test; find leaks"),
    ("train", "train", "train the segmenter"),
    ("test", "segment", "segment one image with a trained model"),
    ("analyze", "analyze", "count the cells of images and write a report"),
    ("classify", "classify", "classify images of single cells into a table"),
    ("models", "models", "list the trained models that are installed"),
    ("evaluate", "evaluate", "measure a trained model on a split"),
    ("crops", "crops", "cut single cells out of smears, for training a classifier"),
    ("train-classifier", "train_classifier", "train a classifier of red or white cells"),
    ("evaluate-classifier", "evaluate_classifier", "measure a classifier on a split of cells"),
    ("convert", "convert", "write labels or results for LabelMe, CVAT, QuPath, COCO or YOLO"),
    ("export", "export", "write a trained model as .onnx, which needs no TensorFlow"),
)

FAILURE = 1
INTERRUPTED = 130

# What only the [train] extra brings.
TRAINING_PACKAGES = frozenset(
    {"keras", "matplotlib", "onnx", "tensorboard", "tensorflow", "tf2onnx"}
)


def main(
    arguments: Sequence[str] | None = None,
    *,
    program: str = "bloodcells",
    commands: Collection[str] | None = None,
) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; those of the process by default.
    program : str
        Name that the help shows.
    commands : collection of str, optional
        Commands that the program has; all by default.

    Returns
    -------
    int
        Exit code: 0 all well, 1 the work failed or found something wrong, 130 Ctrl-C.

    Raises
    ------
    SystemExit
        With 2 when the arguments are not understood, with 0 after ``--help`` and ``--version``.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    name = next((word for word in words if not word.startswith("-")), None)
    parser = argparse.ArgumentParser(
        prog=program,
        description="Smears in, outlined and counted cells out. Research use only; not a medical "
        "device.",
    )
    parser.add_argument("--version", action="version", version=blood_cell_system.__version__)
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for command, module_name, line in COMMANDS:
        if commands is not None and command not in commands:
            continue
        subparser = subparsers.add_parser(command, help=line, description=line.capitalize() + ".")
        if command == name:
            module = importlib.import_module(f"blood_cell_system.cli.{module_name}")
            module.add_arguments(subparser)
            subparser.set_defaults(run=module.run)
    return run_command(parser.parse_args(words))


def run_command(options: argparse.Namespace) -> int:
    """Run what the arguments chose, and turn errors into one clear message and an exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    # Native libraries' chatter would bury our own messages.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A file name that the terminal cannot show must not end the work.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code: int = options.run(options)
        # Now, where an error can still be told.
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output, such as ``head``, has enough; the interpreter would complain
        # when it flushes what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except Exception as error:
        message = _in_words(error)
        if message is None:
            raise
        print(f"error: {message}", file=sys.stderr)
        return FAILURE
    return code


def _in_words(error: Exception) -> str | None:
    """Say what the user can do about an error; None for one that is a fault of this program."""
    if isinstance(error, BloodCellError):
        return str(error)
    if isinstance(error, ModuleNotFoundError) and error.name is not None:
        package = error.name.partition(".")[0]
        if package in TRAINING_PACKAGES:
            return (
                f"this command needs {package}, which is not installed; expected the packages for "
                "training. In the folder of this project: pip install '.[train]'"
            )
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}. Check the path and its permissions."
    if isinstance(error, MemoryError):
        return "the memory is full. Use smaller images, or --jobs 1 where the command has it."
    return None


if __name__ == "__main__":
    sys.exit(main())
