"""``bloodcells``: every command under one name.

The module of a command is imported when the command runs or its own help is shown, so that
``bloodcells --help`` and the completion of commands answer at once.
"""

import importlib
import inspect
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Annotated, Any, Final, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

import blood_cell_system
from blood_cell_system.errors import (
    BloodCellError,
    OutOfRangeError,
    UnknownNameError,
    is_memory_full,
    system_words,
)
from blood_cell_system.terminal import SafeStream, safe_streams


class CommandLine(NamedTuple):
    """A command: its section in the help, the function that does it, and the line of the help."""

    section: str
    name: str
    target: str
    line: str


_SECTIONS: Final = {
    "Analyse images": (
        ("analyze", "analyze:analyze", "count cells and write a report"),
        ("watch", "watch:watch", "analyse images of a folder as they come"),
        ("classify", "classify:classify", "classify single-cell images"),
        ("control", "control:control", "measure the control slide of the day"),
        ("suggest", "review:suggest", "list the cells to review next"),
        ("agreement", "review:agreement", "compare the corrections of two people"),
        ("convert", "convert:convert", "write labels or results for other tools"),
        ("models", "models:models", "list the installed models"),
        (
            "apply-corrections",
            "review:apply",
            "write corrected results, and what models learn from them",
        ),
        ("review", "review:review", "look at results in a browser and correct them"),
    ),
    "Get data": (
        ("download", "download:download", "get a public data set"),
        ("synthesize", "synthesize:synthesize", "draw smears with exact ground truth"),
    ),
    "Prepare data": (
        ("prepare", "prepare:prepare", "make masks for any data set"),
        ("augment", "folders:augment", "add changed copies of the images"),
        ("combine", "folders:combine", "merge several prepared folders"),
        ("verify", "folders:verify", "check a prepared folder"),
        ("split", "folders:split", "split into train, val and test"),
        ("crops", "crops:crops", "cut single cells out of smears"),
    ),
    "Train and measure": (
        ("train", "train:train", "train the segmenter"),
        ("test", "segment:segment", "segment one image with a model"),
        ("evaluate", "evaluate:evaluate", "measure a segmenter"),
        ("train-classifier", "train:train_classifier", "train a classifier of single cells"),
        ("evaluate-classifier", "evaluate:evaluate_classifier", "measure a classifier"),
        ("export", "export:export", "write a model for other programs"),
        ("quantize", "models:quantize", "write a model of 8 bits, if it is as accurate"),
    ),
    "Help": (("help", "main:show_help", "show the help of a command"),),
}
COMMANDS: Final = tuple(
    CommandLine(section, *row) for section, rows in _SECTIONS.items() for row in rows
)

# Exit code where the work failed or found something wrong.
FAILURE: Final = 1
# Exit code after Ctrl-C, as shells number it, and after SIGTERM.
INTERRUPTED: Final = 130

# What only the [train] extra brings.
TRAINING_PACKAGES = frozenset(
    {"keras", "matplotlib", "onnx", "tensorboard", "tensorflow", "tf2onnx"}
)
# What only the [review] extra brings.
_REVIEW_PACKAGES: Final = frozenset({"fastapi", "starlette", "uvicorn"})

_CONTEXT: Final = {"help_option_names": ["--help", "-h"], "max_content_width": 100}

Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress and no remarks; results and errors only.")
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="More detail; a traceback with every error.")
]


def main(
    arguments: Sequence[str] | None = None,
    *,
    program: str = "bloodcells",
    commands: Collection[str] | None = None,
    command: str | None = None,
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
    command : str, optional
        The only command, where the program is that command; its hidden options are shown.

    Returns
    -------
    int
        Exit code: 0 success, 1 the work failed or found something wrong, 2 arguments that are not
        understood, or none at all, 130 Ctrl-C.
    """
    # Before NumPy is imported. Products of matrices are few and small here, and between them the
    # threads of OpenBLAS would wait for the next by spinning: a seventh of an image's CPU time.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    entries = [entry for entry in COMMANDS if commands is None or entry.name in commands]
    if command is None:
        program_command: TyperCommand | TyperGroup = _group(entries)
    else:
        program_command = command_named(command)
        for parameter in program_command.params:
            vars(parameter)["hidden"] = False
    words = list(sys.argv[1:] if arguments is None else arguments)
    with safe_streams():
        try:
            program_command.main(words, prog_name=program)
        except SystemExit as ended:
            return ended.code if isinstance(ended.code, int) else FAILURE
    return 0


def command_named(name: str) -> TyperCommand:
    """Give a command, with all its options."""
    [entry] = [entry for entry in COMMANDS if entry.name == name]
    return _LazyCommand(entry).load()


def run_command(work: Callable[[], int]) -> int:
    """Do the work, and turn errors into one clear message and an exit code."""
    # Native libraries' chatter would bury our own messages.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with safe_streams(), _stopped_as_by_keyboard():
        try:
            code = work()
            # Now, where an error can still be reported.
            sys.stdout.flush()
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
            return INTERRUPTED
        except BrokenPipeError:
            # Whoever read the output, such as ``head``, has enough.
            return FAILURE
        except (OutOfRangeError, UnknownNameError) as error:
            raise typer.BadParameter(str(error)) from error
        except Exception as error:
            message = _in_words(error)
            if message is None:
                raise
            logging.getLogger(__name__).debug("", exc_info=error)
            print(f"error: {message}", file=sys.stderr)
            return FAILURE
        failure = sys.stdout.failure if isinstance(sys.stdout, SafeStream) else None
        if failure is not None:
            remedy = "Send it to a file or a terminal that can be written to."
            print(
                "error: standard output cannot be written to, though the work is done: "
                f"{system_words(failure, remedy=remedy)}",
                file=sys.stderr,
            )
            return FAILURE
        return code


@contextmanager
def _stopped_as_by_keyboard() -> Iterator[None]:
    """Let SIGTERM, which ``kill`` and batch systems send, end the work as Ctrl-C does.

    Where it is ignored, or somebody else handles it, nothing changes.
    """
    is_ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    )
    if is_ours:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        if is_ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _in_words(error: Exception) -> str | None:
    """Say what the user can do about an error; None for one that is a fault of this program."""
    if isinstance(error, BloodCellError):
        return str(error)
    if is_memory_full(error):
        return "the memory is full. Use smaller images, or --jobs 1 where the command has it."
    if isinstance(error, ModuleNotFoundError) and error.name is not None:
        package = error.name.partition(".")[0]
        if package in TRAINING_PACKAGES:
            return (
                f"this command needs {package}, which is not installed; expected the packages for "
                "training: pip install 'blood-cell-system[train]'"
            )
        if package in _REVIEW_PACKAGES:
            return (
                f"this command needs {package}, which is not installed; expected the packages for "
                "the review: pip install 'blood-cell-system[review]'"
            )
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {system_words(error)}"
    if isinstance(error, OSError) and error.errno is not None:
        return f"the system refused a file: {system_words(error)}"
    return None


def show_help(
    ctx: typer.Context,
    command: Annotated[str | None, typer.Argument(help="A command's name.", metavar="COMMAND")] = (
        None
    ),
) -> int:
    """Show the help of a command, or of the program.

    Examples
    --------
    bloodcells help analyze
    """
    words = [command, "--help"] if command else ["--help"]
    return main(words, program=ctx.find_root().info_name or "bloodcells")


class Command(TyperCommand):
    """A command whose function returns the exit code.

    Its docstring is the help, examples included; options whose metavar ends in ``...`` take
    several values.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words; a value that is no choice gets a suggestion."""
        several = {
            name
            for parameter in self.params
            if parameter.multiple and (parameter.metavar or "").endswith("...")
            for name in parameter.opts
        }
        try:
            return super().parse_args(ctx, _spread(args, several))
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            if error.message.endswith("is not readable."):
                error.message += " Check its permissions."
            value, *choices = re.findall(r"'([^']*)'", error.message) or [""]
            if "is not one of" in error.message and (close := get_close_matches(value, choices)):
                error.message += f" Did you mean {close[0]!r}?"
            raise

    def invoke(self, ctx: Any) -> Any:
        """Run the function, and end with its exit code."""
        root = ctx.find_root().params
        quiet, verbose = (
            ctx.params.pop(name, False) or root.get(name, False) for name in ("quiet", "verbose")
        )
        with _logging(quiet=quiet, verbose=verbose):
            try:
                code = run_command(lambda: super(Command, self).invoke(ctx) or 0)
            except typer.BadParameter as error:
                error.ctx = error.ctx or ctx
                raise
        raise typer.Exit(code)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """List arguments and options."""
        records = {
            parameter: record
            for parameter in self.get_params(ctx)
            if (record := parameter.get_help_record(ctx))
        }
        for kind in ("argument", "option"):
            rows = [
                # Of an argument, the name alone; of a flag that says no, that flag alone.
                (
                    name.removeprefix("/ ") if kind == "option" else name.partition(" <")[0],
                    re.sub(r"\[default: \((.*?)\)", r"[default: \1", text).replace("  [", " ["),
                )
                for parameter, (name, text) in records.items()
                if parameter.param_type_name == kind
            ]
            if rows:
                with formatter.section(f"{kind.capitalize()}s"):
                    formatter.write_dl(rows, col_max=34)

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """Show the docstring, with the examples as they are."""
        text, _, examples = inspect.cleandoc(self.help or "").partition("\nExamples\n--------\n")
        formatter.write_paragraph()
        with formatter.indentation():
            for paragraph in re.split(r"\n{2,}", text.strip()):
                formatter.write_text(" ".join(paragraph.split()))
                formatter.write_paragraph()
        if examples:
            with formatter.section("Examples"):
                for line in examples.strip().splitlines():
                    formatter.write(f"{'':{formatter.current_indent}}{line}".rstrip() + "\n")


class _LazyCommand(TyperCommand):
    """A command of which only name and line are known until it is used."""

    def __init__(self, entry: CommandLine) -> None:
        super().__init__(
            name=entry.name,
            help=entry.line,
            short_help=entry.line,
            context_settings=dict(_CONTEXT),
            rich_markup_mode=None,
        )
        self.entry = entry

    def load(self) -> TyperCommand:
        module_name, _, function_name = self.entry.target.partition(":")
        module = importlib.import_module(f"blood_cell_system.cli.{module_name}")
        command = _command_of(getattr(module, function_name), self.entry.name)
        command.params.extend(_command_of(_shared_options, self.entry.name).params)
        return command

    def make_context(self, info_name: Any, args: Any, parent: Any = None, **extra: Any) -> Any:
        return self.load().make_context(info_name, args, parent, **extra)


class _Group(TyperGroup):
    """All commands, listed by section."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for command in self.commands.values():
            if isinstance(command, _LazyCommand):
                entry = command.entry
                sections.setdefault(entry.section, []).append((entry.name, entry.line))
        width = max(len(name) for rows in sections.values() for name, _ in rows)
        for section, rows in sections.items():
            with formatter.section(section):
                formatter.write_dl([(name.ljust(width), line) for name, line in rows])


def _group(entries: Sequence[CommandLine]) -> TyperGroup:
    app = typer.Typer(
        cls=_Group,
        rich_markup_mode=None,
        no_args_is_help=True,
        context_settings=_CONTEXT,
        subcommand_metavar="COMMAND ...",
        epilog="Help of a command: bloodcells COMMAND --help. Research use only; not a medical "
        "device.",
    )
    app.callback()(_program)
    group = typer.main.get_command(app)
    assert isinstance(group, _Group)
    group.commands = {entry.name: _LazyCommand(entry) for entry in entries}
    return group


def _command_of(function: Callable[..., Any], name: str) -> TyperCommand:
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name, cls=Command, context_settings=_CONTEXT)(function)
    command = typer.main.get_command(app)
    assert isinstance(command, Command)
    return command


def _show_version(*, value: bool) -> None:
    if value:
        print(blood_cell_system.__version__)
        raise typer.Exit


def _program(
    *,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="The version.")
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """From images of blood smears to outlined, classified and counted cells."""


def _shared_options(*, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """Declare what every command has."""


@contextmanager
def _logging(*, quiet: bool, verbose: bool) -> Iterator[None]:
    """Log as much as the user wants, for the time of one command."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logger = logging.getLogger("blood_cell_system")
    before = logger.level
    logger.setLevel(logging.WARNING if quiet else logging.DEBUG if verbose else logging.NOTSET)
    try:
        yield
    finally:
        logger.setLevel(before)


def _spread(words: Sequence[str], several: Collection[str]) -> list[str]:
    """Repeat an option that takes several values before each: click knows one value an option.

    Examples
    --------
    >>> _spread(["--input", "a", "b", "--jobs", "2"], {"--input"})
    ['--input', 'a', '--input', 'b', '--jobs', '2']
    """
    spread: list[str] = []
    option, has_value = "", False
    for word in words:
        if word.startswith("-"):
            option, has_value = (word, False) if word in several else ("", False)
        elif option:
            if has_value:
                spread.append(option)
            has_value = True
        spread.append(word)
    return spread


if __name__ == "__main__":
    sys.exit(main())
