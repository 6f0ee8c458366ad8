import json
import threading
import time

import pytest
from support.bucket_server import bucket_server

from blood_cell_system.cluster.dataset_lock import LOCK_FILE, locked_dataset
from blood_cell_system.cluster.storage import Storage
from blood_cell_system.errors import FolderInUseError

pytest.importorskip("pyarrow", reason="of the extra [cluster]")

BEAT_S = 0.3


@pytest.fixture
def storage():
    with bucket_server() as bucket:
        yield Storage(bucket.place("images/out"))


def in_another_thread(function):
    found = []

    def run():
        try:
            found.append(function())
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0]


def enter(storage):
    with locked_dataset(storage, beat_s=BEAT_S):
        return "entered"


def test_a_dataset_that_another_run_writes_is_refused(storage):
    with locked_dataset(storage, beat_s=BEAT_S) as lock:
        error = in_another_thread(lambda: enter(storage))
        assert isinstance(error, FolderInUseError)
        assert "another run is writing into this dataset (process" in str(error)
        lock.check()
    assert enter(storage) == "entered"
    assert list(storage.files()) == []


def test_a_folder_that_another_run_writes_is_refused(tmp_path):
    storage = Storage(str(tmp_path))
    with locked_dataset(storage):
        error = in_another_thread(lambda: enter(storage))
    assert isinstance(error, FolderInUseError)
    assert "analyze --scheduler" in str(error)


def test_the_lock_of_a_killed_run_is_taken_whatever_its_clock_said(storage):
    left = {"run": "dead", "process": 1, "computer": "c", "since": "2999-01-01", "beat": 3}
    storage.write(LOCK_FILE, json.dumps(left).encode())
    assert enter(storage) == "entered"


def test_a_run_that_stood_still_and_lost_its_dataset_does_not_go_on(storage):
    with locked_dataset(storage, beat_s=BEAT_S) as lock:
        storage.write(LOCK_FILE, json.dumps({"run": "another"}).encode())
        deadline = time.monotonic() + 20
        with pytest.raises(FolderInUseError):  # noqa: PT012 (until the next beat)
            while time.monotonic() < deadline:
                lock.check()
                time.sleep(0.05)
    assert json.loads(storage.read(LOCK_FILE))["run"] == "another"


def test_a_damaged_lock_is_that_of_a_killed_run(storage):
    storage.write(LOCK_FILE, b"{")
    assert enter(storage) == "entered"
