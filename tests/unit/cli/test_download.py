import shutil
import subprocess
from dataclasses import replace

import pytest
from support.file_server import serving

from blood_cell_system.cli.main import main
from blood_cell_system.datasets import public_datasets


@pytest.fixture
def local_set(tmp_path, monkeypatch):
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    folder = tmp_path / "repository"
    subprocess.run(["git", "init", "-q", str(folder)], check=True, capture_output=True)
    (folder / "a.txt").write_text("a")
    who = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
    for words in (["add", "."], [*who, "commit", "-qm", "a"]):
        subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True)
    bccd = replace(public_datasets.data_sets()["bccd"], address=folder.as_uri())
    monkeypatch.setattr(public_datasets, "data_sets", lambda: {"bccd": bccd})
    return tmp_path / "out"


def test_without_a_name_the_sets_and_their_licences_are_listed(capsys):
    assert main(["download"]) == 0
    text = capsys.readouterr().out
    assert "bccd: 364 fields" in text
    assert "lisc: " in text
    assert "(must be asked for)" in text


def test_an_accepted_licence_brings_the_set_and_the_next_step(local_set, capsys):
    assert main(["download", "bccd", "--output", str(local_set), "--accept-licence"]) == 0
    assert (local_set / "a.txt").is_file()
    text = capsys.readouterr().out
    assert "licence: MIT" in text
    assert f"prepare --mode bccd --input {local_set}" in text


def test_nothing_is_downloaded_before_the_licence_is_accepted(local_set, capsys):
    assert main(["download", "bccd", "--output", str(local_set)]) == 1
    assert not local_set.exists()
    assert "add --accept-licence" in capsys.readouterr().err


@pytest.mark.parametrize(("answer", "code"), [("yes", 0), ("no", 1), ("", 1)])
def test_at_a_terminal_the_licence_is_asked_for(local_set, monkeypatch, answer, code):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: answer)
    assert main(["download", "bccd", "--output", str(local_set)]) == code


def test_a_set_that_must_be_asked_for_fails_with_the_address(capsys):
    assert main(["download", "lisc"]) == 1
    assert "Ask for it at https://" in capsys.readouterr().err


def test_an_address_is_fetched_under_its_own_name_or_another(tmp_path, capsys):
    with serving(b"12345") as server:
        assert main(["download", server.address, "--output", str(tmp_path)]) == 0
        assert main(["download", server.address, "--output", str(tmp_path / "a.zip")]) == 0
    assert (tmp_path / "file").read_bytes() == (tmp_path / "a.zip").read_bytes() == b"12345"
    assert "5 bytes" in capsys.readouterr().out
