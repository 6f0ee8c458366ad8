import hashlib
import socket

import numpy as np
import pytest
from support.file_server import serving

from blood_cell_system.datasets.public_datasets import fetch_file
from blood_cell_system.errors import DownloadError, OutputError, SettingsError

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server():
    with serving(CONTENT) as running:
        yield running


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_whole_and_leaves_nothing_beside_it(server, tmp_path):
    path = fetch_file(server.address, tmp_path / "new" / "a.zip", sha256=SHA256.upper())
    assert path.read_bytes() == CONTENT
    assert files(tmp_path / "new") == ["a.zip"]


def test_a_cut_connection_is_gone_on_with_where_it_broke(server, tmp_path):
    server.cut_after = [100_000, 50_000]
    path = fetch_file(server.address, tmp_path / "a.zip", sha256=SHA256)
    assert path.read_bytes() == CONTENT
    assert server.ranges == ["", "bytes=100000-", "bytes=150000-"]


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(server, tmp_path):
    server.cut_after = [100_000, 0, 0]
    with pytest.raises(DownloadError, match="it goes on after 100,000 bytes"):
        fetch_file(server.address, tmp_path / "a.zip", attempts=2)
    assert not (tmp_path / "a.zip").exists()
    assert fetch_file(server.address, tmp_path / "a.zip").read_bytes() == CONTENT
    assert server.ranges[-1] == "bytes=100000-"


def test_a_file_that_has_changed_meanwhile_is_fetched_anew(server, tmp_path):
    server.cut_after = [100_000, 0]
    with pytest.raises(DownloadError):
        fetch_file(server.address, tmp_path / "a.zip", attempts=1)
    server.cut_after, server.tag, server.content = [], '"two"', CONTENT[::-1]
    assert fetch_file(server.address, tmp_path / "a.zip").read_bytes() == CONTENT[::-1]


def test_a_file_that_has_become_shorter_is_fetched_anew(server, tmp_path):
    server.cut_after = [100_000, 0]
    with pytest.raises(DownloadError):
        fetch_file(server.address, tmp_path / "a.zip", attempts=1)
    server.cut_after, server.content = [], CONTENT[:5000]
    assert fetch_file(server.address, tmp_path / "a.zip").read_bytes() == CONTENT[:5000]


def test_a_server_without_ranges_sends_all_again(server, tmp_path):
    server.knows_ranges = False
    server.cut_after = [100_000]
    assert fetch_file(server.address, tmp_path / "a.zip").read_bytes() == CONTENT


def test_a_file_of_another_checksum_is_not_kept(server, tmp_path):
    (tmp_path / "a.zip").write_bytes(b"mine")
    with pytest.raises(DownloadError, match=f"has SHA-256 {SHA256}, expected 00"):
        fetch_file(server.address, tmp_path / "a.zip", sha256="00" * 32)
    assert files(tmp_path) == ["a.zip"]
    assert (tmp_path / "a.zip").read_bytes() == b"mine"


def test_what_is_not_there_is_said_at_once(server, tmp_path):
    server.codes = [404, 404]
    with pytest.raises(DownloadError, match=r"the server answers 404.*whether it has moved"):
        fetch_file(server.address, tmp_path / "a.zip")
    assert len(server.ranges) == 1
    assert files(tmp_path) == []


def test_a_server_that_is_busy_is_asked_again(server, tmp_path):
    server.codes = [503, 429]
    assert fetch_file(server.address, tmp_path / "a.zip").read_bytes() == CONTENT


def test_a_silent_server_is_not_waited_for(server, tmp_path):
    server.is_stalled = True
    server.cut_after = [10, 0]
    with pytest.raises(DownloadError, match="because the server was silent for 0 seconds"):
        fetch_file(server.address, tmp_path / "a.zip", timeout_seconds=0.2, attempts=1)


def test_without_a_server_the_message_says_so(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DownloadError, match=r"after 2 tries.*refused.*Check the network"):
        fetch_file(f"http://127.0.0.1:{port}/a", tmp_path / "a.zip", attempts=2)


def test_a_name_that_nobody_has_is_explained(tmp_path):
    with pytest.raises(DownloadError, match="no such server, or this machine is offline"):
        fetch_file("http://nobody.invalid/a.zip", tmp_path / "a.zip", attempts=1)


def test_other_schemes_are_refused(tmp_path):
    with pytest.raises(SettingsError, match="begins with https"):
        fetch_file("file:///etc/hostname", tmp_path / "a.zip")


def test_a_place_that_cannot_be_written_to_is_told(server, tmp_path):
    (tmp_path / "a.zip").mkdir()
    with pytest.raises(OutputError, match="cannot put the file there"):
        fetch_file(server.address, tmp_path / "a.zip")


def test_a_part_that_cannot_be_written_is_told(server, tmp_path):
    (tmp_path / ".a.zip.part").mkdir()
    with pytest.raises(OutputError, match="cannot write this file"):
        fetch_file(server.address, tmp_path / "a.zip")


def test_progress_is_told_in_bytes(server, tmp_path):
    told = []
    fetch_file(server.address, tmp_path / "a.zip", report=lambda *parts: told.append(parts))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [here for here, _ in told] == sorted(here for here, _ in told)
