from pathlib import Path

import pytest

from blood_cell_system import input_files
from blood_cell_system.annotation.text_files import read_label_text
from blood_cell_system.errors import AnnotationError, MissingDataError


def test_an_empty_file_is_empty_text(tmp_path: Path):
    (tmp_path / "a.txt").write_bytes(b"")
    assert read_label_text(tmp_path / "a.txt") == ""


def test_the_encoding_of_older_programs_is_found(tmp_path: Path):
    (tmp_path / "a.txt").write_bytes("红细胞".encode("gbk"))
    assert read_label_text(tmp_path / "a.txt") == "红细胞"


def test_an_encoding_that_nothing_tells_is_an_error_with_a_remedy(tmp_path: Path):
    (tmp_path / "a.txt").write_bytes(bytes(range(128, 256)))
    with pytest.raises(AnnotationError, match=r"a.txt: not text in .*at byte 0.*Save .* as UTF-8"):
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
