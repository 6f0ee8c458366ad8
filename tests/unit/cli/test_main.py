import errno
import logging
import os
import signal
import subprocess
import sys
import types
from pathlib import Path
from typing import Annotated, Literal

import cv2
import pytest
import typer

import blood_cell_system
from blood_cell_system.cli import main as cli
from blood_cell_system.cli import prepare
from blood_cell_system.datasets.synthetic import SmearSettings, draw_smear
from blood_cell_system.errors import BloodCellError, DatasetError, OutputError, UnknownNameError
from blood_cell_system.seeding import generator_for

PROJECT = Path(__file__).parents[3]
HEAVY = (
    "cv2",
    "keras",
    "matplotlib",
    "numpy",
    "pandas",
    "PIL",
    "pydantic",
    "rich",
    "scipy",
    "tensorflow",
)
COMMAND = "import sys; from blood_cell_system.cli.main import main; sys.exit(main())"


def run_with(work) -> int:
    return cli.run_command(work)


def failing(error: BaseException):
    def fail():
        raise error

    return fail


def python(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
        **options,
    )


def greet(
    *,
    name: Annotated[str, typer.Argument()],
    output: Annotated[str, typer.Option("--output", "-o")] = "",
    tone: Annotated[Literal["friendly", "formal"], typer.Option("--tone")] = "friendly",
    titles: Annotated[list[str] | None, typer.Option("--titles", metavar="TITLE...")] = None,
) -> int:
    """Say hello."""
    logging.getLogger("blood_cell_system.greet").info("a remark")
    logging.getLogger("blood_cell_system.greet").debug("a detail")
    typer.echo(" ".join(["hello", *(titles or ()), name]))
    return 0 if tone == "friendly" else 1


@pytest.fixture
def command(monkeypatch):
    """Give the program one command more, ``greet NAME``."""
    module = types.ModuleType("blood_cell_system.cli.greet")
    module.greet = greet
    monkeypatch.setitem(sys.modules, module.__name__, module)
    entry = cli.CommandLine("Help", "greet", "greet:greet", "say hello")
    monkeypatch.setattr(cli, "COMMANDS", (*cli.COMMANDS, entry))
    return module


# Exit codes and words


@pytest.mark.parametrize("code", [0, 1, 130])
def test_the_exit_code_is_the_command_s(code):
    assert run_with(lambda: code) == code


@pytest.mark.parametrize("kind", [BloodCellError, DatasetError, OutputError])
def test_an_error_on_purpose_is_one_message_and_exit_code_1(capsys, kind):
    assert run_with(failing(kind("a.png: what was found; what to do."))) == 1
    shown = capsys.readouterr()
    assert shown.err == "error: a.png: what was found; what to do.\n"
    assert shown.out == ""


def test_a_name_that_is_none_of_the_choices_is_a_usage_error(command, capsys, monkeypatch):
    error = UnknownNameError.of("tone", "rude", ["friendly", "formal"])
    monkeypatch.setattr(command, "greet", lambda: failing(error)())
    assert cli.main(["greet"]) == 2
    said = capsys.readouterr().err
    assert "Usage: bloodcells greet" in said
    assert "tone 'rude'" in said


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        assert run_with(lambda: int(signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN)) == 0
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_ctrl_c_is_exit_code_130(capsys):
    assert run_with(failing(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "stopped\n"


@pytest.mark.parametrize("name", ["keras", "keras.models", "tensorflow", "tensorboard.plugins"])
def test_missing_packages_for_training_are_told_with_how_to_install_them(capsys, name):
    error = ModuleNotFoundError(f"No module named {name!r}", name=name)
    assert run_with(failing(error)) == 1
    assert "pip install 'blood-cell-system[train]'" in capsys.readouterr().err


def test_a_file_that_the_system_refuses_is_named(capsys):
    error = OSError(errno.EACCES, "Permission denied", "data/images")
    assert run_with(failing(error)) == 1
    assert capsys.readouterr().err.startswith("error: data/images: Permission denied.")


def test_a_full_memory_is_told(capsys):
    assert run_with(failing(MemoryError())) == 1
    assert capsys.readouterr().err.startswith("error: the memory is full.")


@pytest.mark.parametrize(
    "error",
    [
        TypeError("a fault of the program"),
        OSError("of unknown place"),
        ModuleNotFoundError("No module named 'blood_cell_system.x'", name="blood_cell_system.x"),
    ],
)
def test_a_fault_of_the_program_keeps_its_traceback(error):
    with pytest.raises(type(error), match=str(error)):
        run_with(failing(error))


def test_a_command_gets_its_arguments(command, capsys):
    assert cli.main(["greet", "you"]) == 0
    assert capsys.readouterr().out == "hello you\n"


def test_the_arguments_are_those_of_the_process_by_default(command, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["bloodcells", "greet", "all"])
    assert cli.main() == 0
    assert capsys.readouterr().out == "hello all\n"


@pytest.mark.parametrize(
    "arguments", [["no-such-command"], ["greet"], ["greet", "a", "b"], ["--no"]]
)
def test_arguments_that_are_not_understood_are_exit_code_2(command, capsys, arguments):
    assert cli.main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("Usage: bloodcells")
    assert shown.out == ""


def test_without_a_command_the_help_is_shown_and_the_exit_code_is_2(capsys):
    assert cli.main([]) == 2
    shown = capsys.readouterr().err
    for entry in cli.COMMANDS:
        assert entry.name in shown


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        (["gret"], "'greet'"),
        (["analyse"], "'analyze'"),
        (["greet", "you", "--outptu", "x"], "--output"),
        (["greet", "you", "--tone", "formel"], "'formal'"),
    ],
)
def test_what_was_perhaps_meant_is_suggested(command, capsys, arguments, suggestion):
    assert cli.main(arguments) == 2
    shown = capsys.readouterr().err
    assert suggestion in shown.partition("Error:")[2].split("Possible options", 1)[-1]


def test_an_option_takes_several_values(command, capsys):
    assert cli.main(["greet", "you", "--titles", "Dr.", "Prof.", "--tone", "formal"]) == 1
    assert capsys.readouterr().out == "hello Dr. Prof. you\n"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["a remark"]),
        (["-q"], []),
        (["--quiet"], []),
        (["-v"], ["a remark", "a detail"]),
        (["--verbose"], ["a remark", "a detail"]),
    ],
)
@pytest.mark.parametrize("is_before", [True, False])
def test_remarks_are_as_loud_as_they_should_be(command, caplog, options, expected, is_before):
    words = [*options, "greet", "you"] if is_before else ["greet", "you", *options]
    with caplog.at_level(logging.INFO):
        caplog.handler.setLevel(logging.DEBUG)
        assert cli.main(words) == 0
    logging.getLogger("blood_cell_system").setLevel(logging.NOTSET)
    assert caplog.messages == expected


def test_the_version_is_told(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == blood_cell_system.__version__ + "\n"


@pytest.mark.parametrize("name", [entry.name for entry in cli.COMMANDS])
def test_every_command_has_its_help(capsys, name):
    assert cli.main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"Usage: bloodcells {name}" in shown
    assert f"Examples:\n  bloodcells {name} " in shown or name in ("help", "models", "download")
    assert "\x1b" not in shown
    assert cli.main([name, "-h"]) == cli.main(["help", name]) == 0
    assert capsys.readouterr().out == shown * 2


def test_a_launcher_has_its_own_commands_only(capsys):
    assert (cli.main(["--help"], program="train_segmentation.py", commands=("train", "test"))) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Usage: train_segmentation.py")
    assert "train the segmenter" in shown
    assert "synthesize" not in shown


# The program as it is run


def test_the_help_lists_all_commands_and_loads_nothing_heavy():
    script = (
        "import sys\n"
        "from blood_cell_system.cli.main import main\n"
        "main(['--help'])\n"
        f"print('loaded', *[m for m in {HEAVY!r} if m in sys.modules])\n"
    )
    found = python("-c", script)
    assert found.returncode == 0
    assert found.stdout.rstrip().endswith("\nloaded")
    for entry in cli.COMMANDS:
        assert f"\n  {entry.name} " in found.stdout
        assert entry.line in " ".join(found.stdout.split())


@pytest.mark.skipif(os.name != "posix", reason="processor time of POSIX")
def test_the_help_is_there_at_once():
    def seconds():
        # Of the processor, not of the clock: the machine may be busy with other tests.
        before = os.times()
        assert python("-m", "blood_cell_system", "--help").returncode == 0
        after = os.times()
        return (
            after.children_user
            + after.children_system
            - (before.children_user + before.children_system)
        )

    assert min(seconds() for _ in range(3)) <= 0.3


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_and_options(shell):
    script = python("-m", "blood_cell_system.cli.main", "--show-completion", shell)
    assert script.returncode == 0
    assert "_COMPLETE" in script.stdout


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("bloodcells anal", ["analyze"]),
        ("bloodcells analyze --border", ["--border-rule"]),
        ("bloodcells convert x --to geo", ["geojson"]),
    ],
)
def test_what_was_begun_is_completed(typed, expected):
    environment = {
        **os.environ,
        "_BLOODCELLS_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(typed.count(" ")),
    }
    found = python("-c", COMMAND, env=environment)
    assert found.stdout.split() == expected


def test_the_package_is_the_program():
    found = python("-m", "blood_cell_system", "--version")
    assert (found.returncode, found.stdout) == (0, blood_cell_system.__version__ + "\n")


@pytest.mark.parametrize("name", [entry.name for entry in cli.COMMANDS])
def test_the_help_of_a_command_loads_neither_keras_nor_opencv(name):
    script = (
        "import sys\n"
        "from blood_cell_system.cli.main import main\n"
        f"main([{name!r}, '--help'])\n"
        "print('loaded', *[m for m in ('cv2', 'keras', 'tensorflow') if m in sys.modules])\n"
    )
    found = python("-c", script)
    assert found.stdout.rstrip().endswith("\nloaded")


def test_importing_the_package_loads_nothing_heavy():
    script = f"import sys, blood_cell_system; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    assert python("-c", script).stdout == "\n"


def test_analyzing_loads_no_package_that_only_other_work_needs(tmp_path):
    smear = draw_smear(SmearSettings(shape=(160, 220), cell_diameter_px=40), generator_for(0, "a"))
    cv2.imwrite(str(tmp_path / "smear.png"), smear.image[:, :, ::-1])
    others = ("keras", "matplotlib", "pandas", "scipy", "skimage", "tensorflow", "tifffile", "yaml")
    script = (
        "import sys\n"
        "from blood_cell_system.cli.main import main\n"
        "assert main(['analyze', 'smear.png', '-o', 'out']) == 0\n"
        f"print('loaded', *[m for m in {others!r} if m in sys.modules])\n"
    )
    found = python("-c", script, cwd=tmp_path)
    assert found.stdout.rstrip().endswith("\nloaded"), found.stderr


@pytest.mark.parametrize(("given", "seen"), [({}, "1"), ({"OPENBLAS_NUM_THREADS": "3"}, "3")])
def test_products_of_matrices_have_one_thread_unless_the_user_says_otherwise(given, seen):
    script = (
        "import os\n"
        "from blood_cell_system.cli.main import main\n"
        "main(['--version'])\n"
        "print(os.environ['OPENBLAS_NUM_THREADS'])\n"
    )
    others = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    assert python("-c", script, env=others | given).stdout.splitlines()[-1] == seen


def test_an_error_shows_no_traceback(tmp_path):
    found = python("-c", COMMAND, "evaluate", "--model", "no.keras", cwd=tmp_path)
    assert found.returncode == 1
    assert found.stderr.startswith("error: ")
    assert "Traceback" not in found.stderr


@pytest.mark.skipif(os.name != "posix", reason="pipes and signals of POSIX")
def test_a_reader_that_has_enough_causes_no_complaint():
    script = (
        "import sys\n"
        "from blood_cell_system.cli.main import run_command\n"
        "def run():\n    print('x' * 1_000_000)\n    return 0\n"
        "sys.exit(run_command(run))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 1


@pytest.mark.skipif(os.name != "posix", reason="pipes and signals of POSIX")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_a_request_to_end_show_no_traceback(how):
    script = (
        "import sys, time\n"
        "from blood_cell_system.cli.main import run_command\n"
        "def run():\n    print('ready', flush=True)\n    time.sleep(60)\n    return 0\n"
        "sys.exit(run_command(run))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(how)
        assert process.stderr.read() == b"stopped\n"
        assert process.wait(60) == 130


@pytest.mark.skipif(os.name != "posix", reason="names of bytes")
def test_a_file_name_that_cannot_be_shown_does_not_end_the_work():
    script = (
        "import os, sys\n"
        "from blood_cell_system.cli import main as cli\n"
        "def show(*, value):\n    print(os.fsdecode(b'M\\xfcller'))\n    sys.exit(0)\n"
        "cli.run_command = lambda work: show(value=True)\n"
        "sys.exit(cli.main(['models']))\n"
    )
    found = python("-c", script)
    assert (found.returncode, found.stdout) == (0, "M\\udcfcller\n")


def test_the_help_can_be_shown_on_a_terminal_that_knows_ascii_alone():
    found = python(
        "-c", COMMAND, "analyze", "--help", env=os.environ | {"PYTHONIOENCODING": "ascii"}
    )
    assert found.returncode == 0
    assert "--pixel-size-um" in found.stdout


# The launchers at the root of the project


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("prepare_segmentation_data.py", ["--mode", "--input", "--output", "--aug-factor"]),
        ("train_segmentation.py", ["train", "test"]),
    ],
)
def test_a_launcher_shows_its_help(tmp_path, name, words):
    found = python(str(PROJECT / name), "--help", cwd=tmp_path)
    assert found.returncode == 0
    assert found.stdout.startswith(f"Usage: {name}")
    for word in words:
        assert word in found.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["prepare_segmentation_data.py"],
        ["prepare_segmentation_data.py", "--mode", "magic"],
        ["train_segmentation.py"],
        ["train_segmentation.py", "synthesize"],
    ],
)
def test_a_launcher_refuses_what_it_does_not_understand(tmp_path, arguments):
    found = python(str(PROJECT / arguments[0]), *arguments[1:], cwd=tmp_path)
    assert found.returncode == 2
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["prepare_segmentation_data.py", "--mode", "bccd"],
        ["prepare_segmentation_data.py", "--mode", "augment"],
        ["prepare_segmentation_data.py", "--mode", "verify"],
        ["train_segmentation.py", "train"],
    ],
)
def test_a_launcher_says_which_folder_is_missing(tmp_path, arguments):
    found = python(str(PROJECT / arguments[0]), *arguments[1:], cwd=tmp_path)
    assert found.returncode == 1
    assert "BCCD_Dataset" in found.stderr or "data/segmentation" in found.stderr
    assert "Traceback" not in found.stderr


def test_the_launcher_s_entry_runs_in_process(tmp_path, capsys):
    code = prepare.main(["--mode", "verify", "--input", str(tmp_path / "nothing")])
    assert code == 1
    assert "nothing" in capsys.readouterr().err


def test_a_quiet_command_leaves_the_next_one_as_it_was(tmp_path):
    before = logging.getLogger("blood_cell_system").level
    cli.main(
        ["synthesize", "-q", "--output", str(tmp_path / "s"), "--count", "1", "--size", "96x64"]
    )
    assert logging.getLogger("blood_cell_system").level == before
