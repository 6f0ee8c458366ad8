import os
import socket
from pathlib import Path

import pytest

from blood_cell_system.annotation.folder_listing import FolderListing
from blood_cell_system.annotation.text_files import read_label_json
from blood_cell_system.errors import AnnotationError, DatasetError, ImageReadError, MissingDataError
from blood_cell_system.imaging.image_file import read_file_bytes, read_image
from blood_cell_system.input_files import kind_of_special, read_bytes, read_json

posix = pytest.mark.skipif(os.name != "posix", reason="pipes and permissions of POSIX")


@pytest.fixture
def special(tmp_path: Path) -> dict[str, Path]:
    paths = {name: tmp_path / f"{name}.png" for name in ("pipe", "device", "socket")}
    os.mkfifo(paths["pipe"])
    paths["device"].symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(paths["socket"]))
    return paths


@posix
@pytest.mark.parametrize(
    ("name", "words"),
    [("pipe", "a named pipe"), ("device", "a device"), ("socket", "a socket")],
)
@pytest.mark.parametrize("read", [read_bytes, read_file_bytes, read_image, read_label_json])
def test_what_is_no_file_is_refused_in_place_of_being_waited_for(special, name, words, read):
    assert kind_of_special(special[name]) == words
    with pytest.raises((DatasetError, ImageReadError, AnnotationError), match=words):
        read(special[name])


@posix
def test_a_listing_skips_what_is_no_file_and_names_it(special, caplog):
    root = special["pipe"].parent
    (root / "a.png").write_bytes(b"an image")
    assert FolderListing.of(root).files == (root / "a.png",)
    for path, words in (("pipe", "a named pipe"), ("device", "a device"), ("socket", "a socket")):
        assert f"{special[path]}: {words}, not a file; skipped" in caplog.text


@posix
@pytest.mark.parametrize("read", [read_bytes, read_file_bytes, read_image, read_json])
def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path, monkeypatch, read):
    path = tmp_path / "a.png"
    path.write_bytes(b"x")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr("io.open", refuse)
    with pytest.raises((DatasetError, ImageReadError)) as caught:
        read(path)
    words = str(caught.value)
    assert words.endswith("cannot be read: Permission denied. Check its permissions.")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "JSON nested too deep"),
        ('{"a": ' + "9" * 6000 + "}", "a number of thousands of digits"),
        ('{"a": ', "not JSON, or cut off"),
        ('{"a": "\udcff"}', "not JSON in UTF-8"),
    ],
)
def test_json_that_cannot_be_read_is_one_line_with_the_remedy(tmp_path, text, words):
    path = tmp_path / "a.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DatasetError) as caught:
        read_json(path, remedy="Write it again.")
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert words in message
    assert message.endswith("Write it again.")
    assert "\n" not in message


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(MissingDataError, match="there is no such file"):
        read_json(tmp_path / "no.json")
