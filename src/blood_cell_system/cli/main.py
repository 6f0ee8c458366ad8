"""``bloodcells``: every command under one name.

A command's module is imported only when it runs, so that ``--help`` answers at once.
"""

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Collection, Sequence

import blood_cell_system

# Name of the command, its module in this folder, and the line of the help.
COMMANDS = (
    ("synthesize", "synthesize", "draw smears with exact truth, to try things out"),
    ("prepare", "prepare", "make, verify or augment a prepared folder"),
    ("train", "train", "train the segmenter"),
    ("test", "segment", "segment one picture with a trained model"),
    ("evaluate", "evaluate", "measure a trained model on a split"),
)

USAGE_ERROR = 2


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
        Exit code: 0 all well, 1 the work failed or found something wrong, 2 usage, 130 Ctrl-C.
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
    from blood_cell_system.errors import BloodCellError

    try:
        code: int = options.run(options)
    except BloodCellError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)  # noqa: T201
        return 130
    return code


if __name__ == "__main__":
    sys.exit(main())
