"""``analyze --scheduler`` with worker processes: the dataset is that of an undisturbed run,
whoever is killed meanwhile. ``CLUSTER_KILLS=30`` kills as often as that."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from support.cluster_runs import colour_pipeline, rows_of, smear_folder

from blood_cell_system.imaging.image_file import read_image, write_image

pytest.importorskip("distributed", reason="of the extra [cluster]")

KILLS = int(os.environ.get("CLUSTER_KILLS", "4"))
ANALYZE = [sys.executable, "-m", "blood_cell_system", "analyze"]
OPTIONS = ["--recursive", "--group-by", "folder", "--no-classify", "--cell-diameter", "60"]


@pytest.fixture
def model(tmp_path):
    colour_pipeline(tmp_path / "models")
    return str(tmp_path / "models" / "segmentation_model.onnx")


def analyzed(folder, out, model, scheduler, *more, timeout=250):
    command = [*ANALYZE, str(folder), *OPTIONS, "--model", model, "-o", str(out)]
    command += ["--scheduler", scheduler, *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


@pytest.mark.timeout(600)
def test_two_processes_of_this_computer_write_a_dataset_and_go_on_with_it(tmp_path, model):
    folder = smear_folder(tmp_path / "in", images=3, broken=["s1/bad.png"])
    done = analyzed(folder, tmp_path / "out", model, "local", "-j", "2")
    assert done.returncode == 1, done.stderr
    assert "bad.png: not an image in a known format" in done.stdout
    assert "Images: 0 ok, 6 warned, 1 failed" in done.stdout
    assert done.stderr == ""
    (folder / "s1/bad.png").unlink()
    again = analyzed(folder, tmp_path / "out", model, "local", "-j", "1", "--json-lines")
    assert (again.returncode, again.stdout) == (0, ""), again.stderr
    assert len(rows_of(tmp_path / "out", "images")) == 6


def own_port():
    return 20_000 + os.getpid() % 20_000


def dask(*words, **settings):
    environment = os.environ | {
        "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s",
        "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "10s",
        **settings,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "dask", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    )


class Cluster:
    """A scheduler, workers and a driver as processes of their own; each is started again."""

    def __init__(self, folder, command):
        self.file, self.command, self.output = folder / "scheduler.json", command, folder / "log"
        self.processes = {}
        self.port = own_port()

    def keep_up(self):
        """Start what is not running; gives the exit code of the driver once it has ended well."""
        starters = {
            "scheduler": self.scheduler,
            "worker 1": self.worker,
            "worker 2": self.worker,
            "driver": self.driver,
        }
        for name, start in starters.items():
            process = self.processes.get(name)
            if process is not None and process.poll() == 0 and name == "driver":
                return 0
            if process is None or process.poll() is not None:
                self.processes[name] = start()
        return None

    @property
    def address(self):
        return f"tcp://127.0.0.1:{self.port}"

    def scheduler(self):
        options = ["--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard"]
        return dask("scheduler", *options)

    def worker(self):
        return dask("worker", self.address, "--nthreads", "1", "--no-dashboard", "--no-nanny")

    def driver(self):
        with self.output.open("ab") as log:
            command = [*self.command, "--scheduler", self.address]
            return subprocess.Popen(command, stdout=log, stderr=log)

    def end(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_image_too_large_for_the_workers_memory_fails_alone_with_the_reason(tmp_path, model):
    folder = smear_folder(tmp_path / "in", slides=1, images=4)
    few = read_image(folder / "s0/0.png")
    write_image(folder / "s0/0.png", np.tile(few, (40, 30, 1)))
    port = own_port()
    address = f"tcp://127.0.0.1:{port}"
    options = ["--nthreads", "1", "--memory-limit", "500MiB", "--no-dashboard"]
    environment = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    processes = [
        dask(
            "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard", **environment
        )
    ]
    try:
        processes.append(dask("worker", address, *options))
        done = analyzed(folder, tmp_path / "out", model, address, timeout=800)
    finally:
        # The nanny of a worker ends it as well.
        for process in reversed(processes):
            process.terminate()
            process.wait()
    assert done.returncode == 1, done.stderr
    assert "Images: 0 ok, 3 warned, 1 failed" in done.stdout
    assert "s0/0.png: tried 2 times: its worker took more than its 500 MiB of memory" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1200 + 240 * KILLS)
def test_nothing_is_lost_and_nothing_is_twice_whoever_is_killed(tmp_path, model):
    # Enough images that some are always in work.
    folder = smear_folder(tmp_path / "in", slides=4, images=1)
    for slide in range(4):
        data = (folder / f"s{slide}/0.png").read_bytes()
        for image in range(1, 10 + 8 * KILLS):
            (folder / f"s{slide}/{image}.png").write_bytes(data)
    # The time of a file that has just been written is not kept: one run would have it, one not.
    for path in folder.rglob("*.png"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    limit = 250 + 40 * KILLS
    calm = analyzed(folder, tmp_path / "calm", model, "local", "-j", "2", timeout=limit)
    assert calm.returncode == 0, calm.stderr
    out = tmp_path / "out"
    cluster = Cluster(tmp_path, [*ANALYZE, str(folder), *OPTIONS, "--model", model, "-o", str(out)])
    draw, kills, finished = random.Random(0), [], 0
    try:
        deadline = time.monotonic() + 800 + 180 * KILLS
        next_kill = time.monotonic() + 10
        while cluster.keep_up() is None and time.monotonic() < deadline:
            time.sleep(0.1)
            parts = len(list(out.glob("images/part-*")))
            # A kill when something has been done since the last one, at a moment by chance.
            if len(kills) < KILLS and time.monotonic() > next_kill and parts > finished:
                finished = parts
                name = draw.choice(list(cluster.processes))
                cluster.processes[name].send_signal(signal.SIGKILL)
                kills.append(name)
                next_kill = time.monotonic() + draw.uniform(0.2, 3)
    finally:
        cluster.end()
    log = cluster.output.read_text("utf-8")
    assert cluster.processes["driver"].returncode == 0, log
    assert len(kills) == KILLS, log
    assert rows_of(out) == rows_of(tmp_path / "calm")
    for table in ("images", "slides"):
        assert rows_of(out, table) == rows_of(tmp_path / "calm", table)
    record = (tmp_path / "calm" / "dataset.json").read_text("utf-8")
    assert json.loads((out / "dataset.json").read_text("utf-8")) == json.loads(record)
