"""What Windows and macOS do otherwise: encodings, names, paths, open files, signals, processes."""

import ast
import io
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path, PureWindowsPath

import pytest

from blood_cell_system import atomic_files, parallel
from blood_cell_system.annotation.archives import unpack
from blood_cell_system.atomic_files import make_folder, write_bytes
from blood_cell_system.errors import OutputError
from blood_cell_system.pipeline import batch
from blood_cell_system.terminal import SafeStream
from blood_cell_system.training import loop

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = [
    path
    for folder in ("src", "scripts", "benchmarks", "container")
    for path in sorted((ROOT / folder).rglob("*.py"))
]

UNIX_MODULES = {"fcntl", "grp", "pwd", "resource", "termios"}


@pytest.fixture
def windows(monkeypatch):
    """Say that this is Windows, to what asks Python by its usual name."""
    monkeypatch.setattr(sys, "platform", "win32")


def calls_without_encoding(tree):
    """Lines that read or write text in whatever encoding the system has."""
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        if "encoding" in given:
            continue
        if name == "read_text" and not call.args:
            yield call.lineno
        if name == "write_text" and len(call.args) == 1 and "." in ast.unparse(call.func):
            yield call.lineno
        if name == "run" and ("text" in given or "universal_newlines" in given):
            yield call.lineno
        if name == "open" and isinstance(call.func, ast.Name):
            mode = call.args[1] if len(call.args) > 1 else given.get("mode")
            if not isinstance(mode, ast.Constant) or "b" not in mode.value:
                yield call.lineno
        if name == "open" and isinstance(call.func, ast.Attribute) and len(call.args) <= 1:
            mode = call.args[0] if call.args else given.get("mode")
            if isinstance(mode, ast.Constant) and set(str(mode.value)) <= set("rwaxt+"):
                yield call.lineno


# Not of paths: a formatter of help, a table of lines.
OTHER_OBJECTS = {("main.py", "formatter")}


def test_every_text_is_read_and_written_in_a_named_encoding():
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in PROGRAMS
        for line in calls_without_encoding(ast.parse(path.read_text("utf-8")))
        if not any(
            path.name == name and word in path.read_text("utf-8").splitlines()[line - 1]
            for name, word in OTHER_OBJECTS
        )
    ]
    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        "path.read_text()",
        "path.write_text(text)",
        "open(path)",
        "path.open('w')",
        "run(words, text=True)",
    ],
)
def test_a_text_in_the_encoding_of_the_system_is_found(code):
    assert list(calls_without_encoding(ast.parse(code))) == [1]


@pytest.mark.parametrize(
    "code",
    [
        "path.read_text('utf-8')",
        "path.write_text(text, encoding='utf-8')",
        "open(path, 'rb')",
        "path.open('wb')",
        "run(words, encoding='utf-8')",
    ],
)
def test_bytes_and_named_encodings_are_fine(code):
    assert list(calls_without_encoding(ast.parse(code))) == []


@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "ascii", "gbk"])
def test_any_text_can_be_printed_in_the_encodings_of_windows(encoding):
    raw = io.BytesIO()
    stream = SafeStream(io.TextIOWrapper(raw, encoding=encoding))
    stream.write("κ 5 µm ≥ 红细胞 ä\n")
    stream.flush()
    assert stream.failure is None
    assert raw.getvalue().decode(encoding).rstrip().startswith(("κ", "\\u03ba"))


def unix_imports(tree):
    """Modules of Unix alone that an import of a file needs; what a condition guards is not."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from {name.name for name in node.names} & UNIX_MODULES
        if isinstance(node, ast.ImportFrom):
            yield from {node.module} & UNIX_MODULES


def test_no_module_needs_what_only_unix_has():
    found = {
        path.name: names
        for path in PROGRAMS
        if (names := [*unix_imports(ast.parse(path.read_text("utf-8")))])
    }
    # Forks, changes owners and sends signals: it says that it needs Linux.
    assert found == {"fuzz_commands.py": ["resource"]}


def test_the_lock_of_windows_refuses_a_second_run(tmp_path):
    """With a ``msvcrt`` of our own, which locks as that of Windows does."""
    code = f"""
import sys, types
locked = []
def locking(file, mode, length):
    if locked:
        raise PermissionError(13, "Permission denied")
    locked.append(file)
sys.modules["msvcrt"] = types.SimpleNamespace(LK_NBLCK=2, locking=locking)
sys.platform = "win32"
sys.modules["fcntl"] = None
import threading
from pathlib import Path
from blood_cell_system.errors import FolderInUseError
from blood_cell_system.folder_lock import locked_folder
refused = []
def second():
    try:
        with locked_folder(Path({str(tmp_path)!r}), command="second"):
            pass
    except FolderInUseError as error:
        refused.append(str(error))
with locked_folder(Path({str(tmp_path)!r}), command="first"):
    thread = threading.Thread(target=second)
    thread.start()
    thread.join()
assert "(first, process " in refused[0], refused
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=120)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("aux.png", "_aux.png"),
        ("CON", "_CON"),
        ("a/com1.tar.gz", "a/_com1.tar.gz"),
        ("console.png", "console.png"),
        ("2026-01-01T10:20.png", "2026-01-01T10_20.png"),
        ('what? "a" <b>.png', "what_ _a_ _b_.png"),
        ("slide 1. /a.png", "slide 1_/a.png"),
    ],
)
def test_names_that_windows_has_not_are_changed_when_unpacked_there(
    tmp_path, windows, name, expected
):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, b"1")
    unpack(tmp_path / "a.zip", tmp_path / "out")
    found = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert [path.relative_to(tmp_path / "out").as_posix() for path in found] == [expected]


def test_images_whose_names_differ_in_case_alone_get_results_of_two_names(tmp_path):
    found = [(tmp_path / "a.png", "a"), (tmp_path / "A.png", "A"), (tmp_path / "b.png", "b")]
    assert [image.name for image in batch._named(found)] == ["a", "A_2", "b"]


def test_names_of_images_have_slashes_on_windows_too(monkeypatch):
    monkeypatch.setattr(batch, "Path", PureWindowsPath)
    assert batch._short("slide 1/a") == "slide 1/a"


def fail_times(count, monkeypatch):
    """Let a rename fail so many times, as where another program has the file open."""
    real, calls = Path.replace, []

    def replace(self, target):
        calls.append(target)
        if len(calls) <= count:
            raise PermissionError(13, "Access is denied")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(atomic_files, "_WAITS", (0, 0))
    return calls


def test_a_file_that_is_looked_into_for_a_moment_is_still_replaced(tmp_path, windows, monkeypatch):
    fail_times(2, monkeypatch)
    write_bytes(tmp_path / "a.txt", b"new")
    assert (tmp_path / "a.txt").read_bytes() == b"new"


def test_a_file_that_stays_open_elsewhere_is_told_with_what_to_do(tmp_path, windows, monkeypatch):
    (tmp_path / "a.csv").write_bytes(b"former")
    fail_times(9, monkeypatch)
    with pytest.raises(OutputError, match=r"a\.csv: .*Close the program that has it open"):
        write_bytes(tmp_path / "a.csv", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
    assert (tmp_path / "a.csv").read_bytes() == b"former"


def test_elsewhere_a_refused_rename_is_not_tried_again(tmp_path, monkeypatch):
    calls = fail_times(9, monkeypatch)
    with pytest.raises(OutputError):
        write_bytes(tmp_path / "a.txt", b"new")
    assert len(calls) == 1


@pytest.mark.parametrize("make", [make_folder, lambda path: write_bytes(path / "a.txt", b"")])
def test_a_path_that_is_too_long_for_windows_is_told(tmp_path, windows, monkeypatch, make):
    def refuse(self, *_, **__):
        raise FileNotFoundError(2, "The system cannot find the path specified")

    monkeypatch.setattr(Path, "mkdir", refuse)
    path = tmp_path / ("b" * 250)
    with pytest.raises(OutputError, match=r"The path has \d+ letters, and Windows takes 247"):
        make(path)


def test_a_short_path_that_cannot_be_made_is_no_matter_of_its_length(tmp_path, windows):
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(OutputError, match="not the name of a file"):
        make_folder(tmp_path / "a" / "b")


def test_windows_gets_no_more_processes_than_a_pool_can_wait_for(windows, monkeypatch):
    asked = []
    monkeypatch.setattr(parallel, "_map_in_pool", lambda function, items, jobs: asked.append(jobs))
    parallel.map_in_processes(len, [""] * 200, jobs=100)
    assert asked == [61]


def test_a_training_stops_by_the_signals_that_the_system_has(monkeypatch):
    monkeypatch.delattr(signal, "SIGHUP")
    monkeypatch.setattr(signal, "SIGBREAK", signal.SIGUSR1, raising=False)
    with loop.deferred_interrupt() as interrupted:
        signal.raise_signal(signal.SIGUSR1)
        assert interrupted.is_set()
