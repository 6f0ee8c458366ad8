import argparse
import errno
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import pytest

import blood_cell_system
from blood_cell_system.cli import main as cli
from blood_cell_system.cli import prepare
from blood_cell_system.errors import BloodCellError, DatasetError, OutputError

PROJECT = Path(__file__).parents[3]
HEAVY = ("cv2", "keras", "matplotlib", "numpy", "PIL", "rich", "scipy", "tensorflow")
COMMAND = "import sys; from blood_cell_system.cli.main import main; sys.exit(main())"


def run_with(work) -> int:
    return cli.run_command(argparse.Namespace(run=lambda _: work()))


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


@pytest.fixture
def command(monkeypatch):
    """Give the program one command more, ``greet NAME``."""
    module = types.ModuleType("blood_cell_system.cli.greet")
    module.add_arguments = lambda parser: parser.add_argument("name")
    module.run = lambda options: sys.stdout.write(f"hello {options.name}\n") * 0
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(cli, "COMMANDS", (*cli.COMMANDS, ("greet", "greet", "say hello")))
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


def test_ctrl_c_is_exit_code_130(capsys):
    assert run_with(failing(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "stopped\n"


@pytest.mark.parametrize("name", ["keras", "keras.models", "tensorflow", "tensorboard.plugins"])
def test_missing_packages_for_training_are_told_with_how_to_install_them(capsys, name):
    error = ModuleNotFoundError(f"No module named {name!r}", name=name)
    assert run_with(failing(error)) == 1
    assert "pip install '.[train]'" in capsys.readouterr().err


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
    "arguments", [[], ["gree"], ["no-such-command"], ["greet"], ["greet", "a", "b"], ["--no"]]
)
def test_arguments_that_are_not_understood_are_exit_code_2(command, capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("usage: bloodcells")
    assert shown.out == ""


def test_an_unknown_command_is_answered_with_those_that_are_known(capsys):
    with pytest.raises(SystemExit):
        cli.main(["segmentate"])
    shown = capsys.readouterr().err
    assert "segmentate" in shown
    for name, _, _ in cli.COMMANDS:
        assert name in shown


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == blood_cell_system.__version__ + "\n"


@pytest.mark.parametrize("name", [name for name, _, _ in cli.COMMANDS])
def test_every_command_has_its_help(capsys, name):
    with pytest.raises(SystemExit) as caught:
        cli.main([name, "--help"])
    assert caught.value.code == 0
    assert f"usage: bloodcells {name}" in capsys.readouterr().out


def test_a_launcher_has_its_own_commands_only(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"], program="train_segmentation.py", commands=("train", "test"))
    shown = capsys.readouterr().out
    assert shown.startswith("usage: train_segmentation.py")
    assert "train the segmenter" in shown
    assert "synthesize" not in shown


# The program as it is run


def test_the_help_lists_all_commands_and_loads_nothing_heavy():
    script = (
        "import sys\n"
        "from blood_cell_system.cli.main import main\n"
        "try:\n    main(['--help'])\n"
        f"finally:\n    print('loaded', *[m for m in {HEAVY!r} if m in sys.modules])\n"
    )
    found = python("-c", script)
    assert found.returncode == 0
    assert found.stdout.rstrip().endswith("\nloaded")
    for name, _, line in cli.COMMANDS:
        assert f"\n    {name}" in found.stdout
        assert line in " ".join(found.stdout.split())


@pytest.mark.parametrize("name", [name for name, _, _ in cli.COMMANDS])
def test_the_help_of_a_command_loads_neither_keras_nor_opencv(name):
    script = (
        "import sys\n"
        "from blood_cell_system.cli.main import main\n"
        f"try:\n    main([{name!r}, '--help'])\n"
        "finally:\n"
        "    print('loaded', *[m for m in ('cv2', 'keras', 'tensorflow') if m in sys.modules])\n"
    )
    found = python("-c", script)
    assert found.stdout.rstrip().endswith("\nloaded")


def test_importing_the_package_loads_nothing_heavy():
    script = f"import sys, blood_cell_system; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    assert python("-c", script).stdout == "\n"


def test_an_error_shows_no_traceback(tmp_path):
    found = python("-c", COMMAND, "evaluate", "--model", "no.keras", cwd=tmp_path)
    assert found.returncode == 1
    assert found.stderr.startswith("error: ")
    assert "Traceback" not in found.stderr


@pytest.mark.skipif(os.name != "posix", reason="pipes and signals of POSIX")
def test_a_reader_that_has_enough_causes_no_complaint():
    script = (
        "import argparse, sys\n"
        "from blood_cell_system.cli.main import run_command\n"
        "def run(_):\n    print('x' * 1_000_000)\n    return 0\n"
        "sys.exit(run_command(argparse.Namespace(run=run)))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 1


@pytest.mark.skipif(os.name != "posix", reason="pipes and signals of POSIX")
def test_ctrl_c_shows_no_traceback():
    script = (
        "import argparse, sys, time\n"
        "from blood_cell_system.cli.main import run_command\n"
        "def run(_):\n    print('ready', flush=True)\n    time.sleep(60)\n    return 0\n"
        "sys.exit(run_command(argparse.Namespace(run=run)))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == b"stopped\n"
        assert process.wait(60) == 130


@pytest.mark.skipif(os.name != "posix", reason="names of bytes")
def test_a_file_name_that_cannot_be_shown_does_not_end_the_work():
    script = (
        "import argparse, os, sys\n"
        "from blood_cell_system.cli.main import run_command\n"
        "def run(_):\n    print(os.fsdecode(b'M\\xfcller'))\n    return 0\n"
        "sys.exit(run_command(argparse.Namespace(run=run)))\n"
    )
    found = python("-c", script)
    assert (found.returncode, found.stdout) == (0, "M\\udcfcller\n")


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
    assert found.stdout.startswith(f"usage: {name}")
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
