import shutil
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from blood_cell_system.datasets.public_datasets import (
    Way,
    data_set_named,
    data_sets,
    download_data_set,
)
from blood_cell_system.errors import DownloadError, OutputError, SettingsError

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    who = ("-c", "user.name=T", "-c", "user.email=t@example.org")
    for words in (("init", "-q"), ("add", "."), (*who, "commit", "-qm", "a")):
        subprocess.run(("git", *words), cwd=folder, check=True, capture_output=True)
    return folder.as_uri()


def of_git(address):
    return replace(data_sets()["bccd"], address=address, folder="SET")


@needs_git
def test_a_repository_is_cloned_into_the_folder_asked_for(repository, tmp_path):
    folder = download_data_set(of_git(repository), tmp_path / "out" / "set")
    assert (folder / "a.txt").read_text() == "a"
    assert [path.name for path in folder.parent.iterdir()] == ["set"]


@needs_git
def test_an_empty_folder_is_a_free_place(repository, tmp_path):
    (tmp_path / "set").mkdir()
    assert (download_data_set(of_git(repository), tmp_path / "set") / "a.txt").is_file()


@needs_git
def test_a_repository_that_is_not_there_leaves_nothing(tmp_path):
    address = (tmp_path / "nothing").as_uri()
    with pytest.raises(DownloadError, match=r"git could not clone it .*Check the network"):
        download_data_set(of_git(address), tmp_path / "out" / "set")
    assert list((tmp_path / "out").iterdir()) == []


def test_without_git_the_zip_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DownloadError, match="git is not installed"):
        download_data_set(of_git("https://example.invalid/a.git"), tmp_path / "set")


def test_a_folder_that_is_there_is_not_touched(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="something of that name already"):
        download_data_set(of_git("https://example.invalid/a.git"), tmp_path)


def with_kaggle(monkeypatch, download):
    monkeypatch.setitem(sys.modules, "kagglehub", SimpleNamespace(dataset_download=download))


def test_a_set_of_kaggles_is_copied_out_of_its_cache(tmp_path, monkeypatch):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "annotations.csv").write_text("image")
    with_kaggle(monkeypatch, lambda handle: str(tmp_path / "cache"))
    folder = download_data_set(data_set_named("kaggle"), tmp_path / "out")
    assert (folder / "annotations.csv").read_text() == "image"


def test_without_kagglehub_the_message_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(DownloadError, match=r"pip install 'blood-cell-system\[download\]'"):
        download_data_set(data_set_named("kaggle"), tmp_path / "set")


class KaggleError(Exception):
    def __init__(self, status):
        super().__init__(f"status {status}")
        self.response = SimpleNamespace(status_code=status)


class UnauthenticatedError(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (KaggleError(401), "Make a token"),
        (KaggleError(403), "Make a token"),
        (UnauthenticatedError("no"), "Make a token"),
        (KaggleError(404), "Kaggle has no such data set"),
        (ConnectionError("unreachable"), r"not downloaded \(ConnectionError: unreachable\)"),
    ],
)
def test_what_kaggle_answers_is_said_in_words(tmp_path, monkeypatch, error, message):
    def refuse(handle):
        raise error

    with_kaggle(monkeypatch, refuse)
    with pytest.raises(DownloadError, match=message):
        download_data_set(data_set_named("kaggle"), tmp_path / "out" / "set")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("name", ["lisc", "allidb"])
def test_sets_that_must_be_asked_for_say_where(tmp_path, name):
    with pytest.raises(DownloadError, match=r"Ask for it at https://.*bloodcells prepare --mode"):
        download_data_set(data_set_named(name), tmp_path)


def test_a_name_that_is_not_known_lists_those_that_are():
    with pytest.raises(
        SettingsError, match=r"'bcdc': .*expected one of bccd, kaggle, lisc, allidb"
    ):
        data_set_named("bcdc")


def test_every_set_has_a_licence_a_citation_and_a_next_step():
    for name, data_set in data_sets().items():
        assert data_set.name == name
        assert data_set.licence
        assert data_set.citation
        assert "{folder}" in data_set.next_step
        assert data_set.way in Way
