import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import pytest

from blood_cell_system.errors import SettingsError, WorkerError
from blood_cell_system.imaging.image_file import read_image
from blood_cell_system.parallel import WorkerPool, map_in_processes


def test_one_job_stays_in_this_process():
    assert list(map_in_processes(lambda value: value + 1, [1, 2], jobs=1)) == [2, 3]


def test_results_come_in_the_order_of_the_work():
    assert list(map_in_processes(str, list(range(9)), jobs=2)) == [str(i) for i in range(9)]


def test_an_error_of_the_work_is_the_error_of_the_call(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="there is no such image"):
        list(map_in_processes(read_image, [tmp_path / "a.png", tmp_path / "b.png"], jobs=2))


def test_no_job_is_an_error():
    with pytest.raises(SettingsError, match="received 0"):
        map_in_processes(str, [1], jobs=0)


def test_a_process_that_is_killed_is_an_error():
    with pytest.raises(WorkerError, match="--jobs 1"):
        list(map_in_processes(os._exit, [3, 3], jobs=2))


def test_work_can_be_given_from_another_thread():
    with ThreadPoolExecutor(1) as threads:
        result = threads.submit(lambda: list(map_in_processes(str, [1, 2, 3], jobs=2)))
        assert result.result() == ["1", "2", "3"]


def test_helpers_leave_an_interrupt_to_their_parent():
    before = signal.getsignal(signal.SIGINT)
    handlers = set(map_in_processes(signal.getsignal, [signal.SIGINT] * 2, jobs=2))
    assert handlers == {signal.SIG_IGN}
    assert signal.getsignal(signal.SIGINT) == before


@pytest.fixture
def pool():
    pool = WorkerPool(2, threads=1, first=os.getpid)
    yield pool
    pool.close()


def test_a_worker_that_ends_costs_what_it_was_doing_alone(pool):
    lost = pool.submit(os._exit, 3)
    others = [pool.submit(str, number) for number in range(5)]
    with pytest.raises(WorkerError, match="ended in the middle"):
        lost.result()
    assert [one.result() for one in others] == [str(number) for number in range(5)]
    # The one that took its place works as well.
    ids = {pool.submit(os.getpid).result() for _ in range(4)}
    assert os.getpid() not in ids


def test_a_worker_has_its_share_of_the_threads(pool):
    assert pool.submit(cv2.getNumThreads).result() == 1
    assert pool.submit(os.getenv, "OMP_NUM_THREADS").result() is not None


def test_an_error_at_the_start_of_a_worker_ends_nothing():
    pool = WorkerPool(1, threads=1, first=partial(int, "x"))
    assert pool.submit(str, 3).result() == "3"
    pool.close()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_no_helper_outlives_a_killed_parent(tmp_path: Path):
    script = (
        "import os, time\n"
        "from support.patient_work import note_process_and_wait\n"
        "from blood_cell_system.parallel import map_in_processes\n"
        "if __name__ == '__main__':\n"
        f"    list(map_in_processes(note_process_and_wait, [{str(tmp_path)!r}] * 2, jobs=2))\n"
    )
    path = tmp_path / "script.py"
    path.write_text(script)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen([sys.executable, path], env=environment) as parent:
        helpers = _wait_for(lambda: [int(p.stem) for p in tmp_path.glob("*.pid")])
        parent.kill()
    assert _wait_for(lambda: not any(_is_alive(helper) for helper in helpers))


def _wait_for(condition, seconds: float = 20):
    end = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return value


def _is_alive(process_id: int) -> bool:
    status = Path(f"/proc/{process_id}/stat")
    # A killed process whose new parent has not looked yet is a zombie.
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z"
