import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from blood_cell_system.errors import FolderInUseError, OutputError
from blood_cell_system.folder_lock import LOCK_NAME, locked_folder, remove_partial_files

HOLDER = """
import sys, time
from pathlib import Path
from blood_cell_system.folder_lock import locked_folder
with locked_folder(Path(sys.argv[1]), command="train"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other_run(tmp_path):
    """Another process that holds the folder ``out``."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "out")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def enter(folder):
    with locked_folder(folder, command="analyze"):
        return sorted(path.name for path in folder.iterdir())


def test_a_second_run_is_refused_and_told_who_holds_the_folder(tmp_path, other_run):
    with pytest.raises(FolderInUseError, match=rf"train, process {other_run.pid} on .*, since 20"):
        enter(tmp_path / "out")


def test_a_linked_name_is_the_same_folder(tmp_path, other_run):
    (tmp_path / "link").symlink_to(tmp_path / "out")
    with pytest.raises(FolderInUseError):
        enter(tmp_path / "link")


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_the_lock_of_a_killed_run_holds_nobody_up(tmp_path, other_run):
    os.kill(other_run.pid, signal.SIGKILL)
    other_run.wait()
    assert (tmp_path / "out" / LOCK_NAME).exists()
    assert enter(tmp_path / "out") == [LOCK_NAME]
    assert list((tmp_path / "out").iterdir()) == []


def test_another_thread_is_another_run(tmp_path):
    refused = []

    def second():
        try:
            enter(tmp_path)
        except FolderInUseError as error:
            refused.append(error)

    with locked_folder(tmp_path, command="analyze"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert len(refused) == 1


def test_what_a_run_calls_may_lock_its_folder_again(tmp_path):
    with locked_folder(tmp_path, command="train"):
        enter(tmp_path)
        assert json.loads((tmp_path / LOCK_NAME).read_text())["command"] == "train"
    assert list(tmp_path.iterdir()) == []


def test_an_error_frees_the_folder(tmp_path):
    with pytest.raises(ValueError, match="no"), locked_folder(tmp_path, command="train"):
        raise ValueError("no")
    assert enter(tmp_path) == [LOCK_NAME]


def test_a_lock_file_that_says_nothing_is_taken_over(tmp_path):
    (tmp_path / LOCK_NAME).write_bytes(b"\xff{")
    assert enter(tmp_path) == [LOCK_NAME]


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_linked_lock_file_is_refused_and_what_it_names_stays(tmp_path):
    (tmp_path / "mine").write_text("text")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / LOCK_NAME).symlink_to(tmp_path / "mine")
    with pytest.raises(OutputError, match="cannot write to this folder"):
        enter(tmp_path / "out")
    assert (tmp_path / "mine").read_text() == "text"


def test_partial_files_of_a_killed_run_go_and_all_others_stay(tmp_path):
    partial = tmp_path / ".a_annotated.0123456789abcdef.partial.png"
    partial.touch()
    others = [".a.partial.png", "a.0123456789abcdef.partial.png", ".hidden", "a.partial"]
    for name in others:
        (tmp_path / name).touch()
    remove_partial_files([tmp_path, tmp_path / "not_there"])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)
