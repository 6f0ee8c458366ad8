"""A server of ``bloodcells review`` in a process of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path


class ReviewServer:
    """A server that runs, and what it has said."""

    def __init__(self, process: subprocess.Popen, said: str) -> None:
        self.process = process
        self.said = said
        self.port = int(said.partition("127.0.0.1:")[2].partition("/")[0])

    def ask(self, method: str, path: str, body=None, **headers: str):
        """Send a request; gives its status and its JSON."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            data = None if body is None else json.dumps(body)
            headers = {"content-type": "application/json", **headers}
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextmanager
def review_server(results: Path, *options: str) -> Iterator[ReviewServer]:
    """Serve results on a free port of this computer until the block ends."""
    command = ["review", str(results), "--port", "0", *options]
    with subprocess.Popen(
        [sys.executable, "-m", "blood_cell_system", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        try:
            said = process.stdout.readline()
            if not said.startswith("Review at"):
                raise AssertionError(said + process.stdout.read())
            yield ReviewServer(process, said)
        finally:
            process.kill()
