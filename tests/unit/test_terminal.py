import errno
import io
import subprocess
import sys
from pathlib import Path

import pytest

from blood_cell_system.errors import is_memory_full, system_words
from blood_cell_system.terminal import SafeStream, safe_console, safe_streams, visible

COMMAND = "import sys; from blood_cell_system.cli.main import main; sys.exit(main())"


class FullDisk(io.StringIO):
    def write(self, text):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_control_characters_are_escaped_and_lines_stay():
    assert visible("\x1b]0;x\x07 \x9b2J a\rb\u202e\ttab\nnext") == (
        "\\x1b]0;x\\x07 \\x9b2J a\\rb\\u202e\ttab\nnext"
    )
    assert visible("Größe 漢字 é") == "Größe 漢字 é"


def test_print_within_safe_streams_is_escaped(capsys):
    with safe_streams():
        sys.stdout.write("a\x1b[2J\n")
        sys.stderr.write("b\x1b[2J\n")
    assert capsys.readouterr() == ("a\\x1b[2J\n", "b\\x1b[2J\n")


def test_a_console_escapes_texts_but_not_its_colours(capsys):
    with safe_streams():
        console = safe_console(force_terminal=True, color_system="standard", highlight=False)
        console.print("[red]a\x1b[2Jb[/]")
    assert capsys.readouterr().out == "\x1b[31ma\\x1b[2Jb\x1b[0m\n"


def test_a_stream_that_cannot_be_written_to_drops_what_is_written():
    stream = SafeStream(FullDisk())
    print("a", file=stream, flush=True)
    print("b", file=stream, flush=True)
    assert stream.failure.errno == errno.ENOSPC


def test_a_closed_stream_is_no_fault_until_something_is_written():
    stream = SafeStream(None)
    stream.flush()
    assert (stream.failure, stream.isatty()) == (None, False)
    print("a", file=stream)
    assert stream.failure.errno == errno.EBADF


def run(redirection, *, code=None):
    program = f'exec "$0" -c "$1" {redirection}'
    script = code or COMMAND.replace("main()", "main(['models'])")
    return subprocess.run(
        ["bash", "-c", program, sys.executable, script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk of Linux")
@pytest.mark.parametrize("redirection", [">/dev/full", ">&-"])
def test_an_output_that_cannot_be_written_is_one_line_and_exit_code_1(redirection):
    found = run(redirection)
    assert found.returncode == 1
    [line] = found.stderr.splitlines()
    assert line.startswith("error: standard output cannot be written to, though the work is done:")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk of Linux")
@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-"])
def test_the_work_is_done_whatever_becomes_of_standard_error(redirection):
    code = (
        "import sys\n"
        "from blood_cell_system.cli.main import run_command\n"
        "from blood_cell_system.parallel import with_progress\n"
        "def work():\n"
        "    print('progress', file=sys.stderr, flush=True)\n"
        "    done = list(with_progress([1, 2], total=2, description='Counting'))\n"
        "    print(len(done), 'done')\n    return 0\n"
        "sys.exit(run_command(work))\n"
    )
    found = run(redirection, code=code)
    assert (found.returncode, found.stdout) == (0, "2 done\n")


@pytest.mark.parametrize(
    "words",
    [
        "std::bad_alloc",
        "bad allocation",
        "OpenCV(4.10.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 9 bytes",
        "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for buffer",
        "can't start new thread",
        "libx.so: cannot allocate memory in static TLS block",
    ],
)
def test_full_memory_is_known_by_the_words_of_every_library(words):
    assert is_memory_full(RuntimeError(words))
    assert not is_memory_full(RuntimeError("a box that holds too much"))


def test_every_error_of_the_system_comes_with_its_remedy():
    assert system_words(OSError(errno.EACCES, "Permission denied")) == (
        "Permission denied. Check its permissions."
    )
    assert "Make room" in system_words(OSError(errno.ENOSPC, "No space left on device"))
    assert "Shorten" in system_words(OSError(errno.ENAMETOOLONG, "File name too long"))
    assert "Check the path" in system_words(OSError(errno.ENOTDIR, "Not a directory"))
