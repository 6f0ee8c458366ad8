from pathlib import Path

import pytest

from blood_cell_system import input_files
from blood_cell_system.annotation.text_files import read_label_text
from blood_cell_system.errors import AnnotationError, MissingDataError

TEXT = '{"Name": "Größe µ"}'


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"],
)
def test_text_of_any_unicode_encoding_is_read(tmp_path: Path, encoding: str):
    (tmp_path / "a.json").write_bytes(TEXT.encode(encoding))
    assert read_label_text(tmp_path / "a.json") == TEXT


def test_an_empty_file_is_empty_text(tmp_path: Path):
    (tmp_path / "a.txt").write_bytes(b"")
    assert read_label_text(tmp_path / "a.txt") == ""


def test_other_encodings_are_told(tmp_path: Path):
    (tmp_path / "a.txt").write_bytes("Größe".encode("latin-1"))
    with pytest.raises(AnnotationError, match=r"not text in UTF-8 or UTF-16 .*at byte 2"):
        read_label_text(tmp_path / "a.txt")


def test_a_missing_file_is_told(tmp_path: Path):
    with pytest.raises(MissingDataError, match="there is no such file"):
        read_label_text(tmp_path / "nowhere.txt")


def test_a_folder_is_told(tmp_path: Path):
    with pytest.raises(AnnotationError, match="cannot be read"):
        read_label_text(tmp_path)


def test_a_huge_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(input_files, "MAX_BYTES", 3)
    (tmp_path / "a.txt").write_text("long")
    with pytest.raises(AnnotationError, match="4 bytes; at most 3 are read"):
        read_label_text(tmp_path / "a.txt")
