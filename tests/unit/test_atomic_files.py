import errno
import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blood_cell_system.atomic_files import (
    csv_text,
    defused,
    make_folder,
    replacing,
    with_formulas,
    write_bytes,
    write_json,
    write_text,
)
from blood_cell_system.errors import ImageReadError, OutputError


@pytest.fixture
def former(tmp_path: Path) -> Path:
    path = tmp_path / "a.txt"
    path.write_text("former")
    return path


def fail_with(number: int):
    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    return fail


def test_a_file_has_the_bytes_that_were_written(tmp_path):
    write_bytes(tmp_path / "a.bin", b"\0\xff")
    assert (tmp_path / "a.bin").read_bytes() == b"\0\xff"


def test_missing_folders_are_made(tmp_path):
    write_text(tmp_path / "b" / "c" / "a.txt", "ä")
    assert (tmp_path / "b" / "c" / "a.txt").read_text(encoding="utf-8") == "ä"


def test_a_former_file_is_replaced(former):
    write_text(former, "new")
    assert former.read_text() == "new"


def test_the_former_file_stands_until_the_block_ends(former):
    with replacing(former) as temporary:
        temporary.write_text("new")
        assert former.read_text() == "former"
    assert former.read_text() == "new"


def test_the_temporary_file_is_hidden_beside_and_keeps_the_suffix(former):
    with replacing(former) as temporary:
        assert temporary.parent == former.parent
        assert temporary.name.startswith(".a.")
        assert temporary.suffixes[-2:] == [".partial", ".txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_in_the_block_leaves_the_former_file_and_no_other(former, error):
    def write_half():
        with replacing(former) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        write_half()
    assert former.read_text() == "former"
    assert list(former.parent.iterdir()) == [former]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("step", ["touch", "write_bytes", "replace"])
def test_a_place_that_cannot_be_written_is_told_and_the_former_file_stands(
    former, monkeypatch, step, number
):
    monkeypatch.setattr(Path, step, fail_with(number))
    with pytest.raises(OutputError, match=r"a\.txt: cannot write this file \(") as caught:
        write_bytes(former, b"new")
    assert os.strerror(number) in str(caught.value)
    assert former.read_text() == "former"
    assert list(former.parent.iterdir()) == [former]


def test_a_disk_that_fills_up_in_the_middle_is_told(former, monkeypatch):
    real_open = Path.open

    def open_on_a_full_disk(self, mode="r", *arguments, **options):
        stream = real_open(self, mode, *arguments, **options)
        stream.write(b"ha")
        stream.flush()
        stream.close()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", open_on_a_full_disk)
    with pytest.raises(OutputError, match="No space left on device"):
        write_bytes(former, b"half")
    monkeypatch.undo()
    assert former.read_text() == "former"
    assert list(former.parent.iterdir()) == [former]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_device_is_not_replaced():
    with pytest.raises(OutputError, match="a folder or a device"):
        write_text(Path("/dev/full"), "x")
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


def test_a_folder_is_not_replaced(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(OutputError, match=r"a\.txt: a folder or a device"):
        write_text(tmp_path / "a.txt", "x")


def test_an_error_of_the_work_in_the_block_keeps_its_own_words(former):
    with pytest.raises(ImageReadError, match="the source"), replacing(former):
        raise ImageReadError("the source")


def test_a_link_stays_and_what_it_points_to_is_replaced(former, tmp_path):
    link = tmp_path / "folder" / "link.txt"
    link.parent.mkdir()
    link.symlink_to(former)
    write_text(link, "new")
    assert link.is_symlink()
    assert former.read_text() == "new"


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_file_has_the_permissions_of_any_new_file(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_text(tmp_path / "a.txt", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o666 & ~mask


def test_a_name_as_long_as_names_may_be_is_written(tmp_path):
    path = tmp_path / ("a" * 251 + ".txt")
    write_text(path, "x")
    assert path.read_text() == "x"


def test_a_folder_that_is_there_is_made_again(tmp_path):
    assert make_folder(tmp_path) == tmp_path


@pytest.mark.parametrize("below", [".", "deeper"])
def test_a_file_in_the_place_of_a_folder_is_an_error(former, below):
    with pytest.raises(OutputError, match="cannot make this folder"):
        make_folder(former / below)


def test_an_output_below_a_file_is_an_error(former):
    with pytest.raises(OutputError, match="cannot make this folder"):
        write_text(former / "b.txt", "x")


def test_a_folder_in_a_read_only_place_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "mkdir", fail_with(errno.EROFS))
    with pytest.raises(OutputError, match=r"cannot make this folder \(Read-only file system\)"):
        make_folder(tmp_path / "new")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec=None, exclude_categories=())),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)  # fmt: skip


@given(JSON_VALUES)
def test_json_comes_back_as_it_was(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("json") / "a.json"
    write_json(path, value)
    assert json.loads(path.read_text(encoding="utf-8")) == value


@given(JSON_VALUES)
def test_json_is_laid_out_as_the_standard_library_does(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("json") / "a.json"
    write_json(path, value)
    expected = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    # What is no text in UTF-8 is escaped.
    assert path.read_bytes() == expected.encode("utf-8", errors="backslashreplace")


def test_keys_that_are_numbers_become_text_as_in_the_standard_library(tmp_path):
    write_json(tmp_path / "a.json", {2: "b", 1: True, 10: None})
    assert json.loads((tmp_path / "a.json").read_text()) == {"1": True, "2": "b", "10": None}


def test_what_json_has_no_form_for_is_refused(tmp_path):
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(tmp_path / "a.json", {"a": object()})


def test_equal_values_give_equal_bytes(tmp_path):
    write_json(tmp_path / "a.json", {"x": 1, "y": 2})
    write_json(tmp_path / "b.json", {"y": 2, "x": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_numbers_that_json_does_not_have_become_null(tmp_path):
    numbers = (float("nan"), float("inf"), 0.5)
    write_json(tmp_path / "a.json", {"row": [{"iou": numbers}]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"row": [{"iou": [None, None, 0.5]}]}


def test_umlauts_in_json_can_be_read_by_people(tmp_path):
    write_json(tmp_path / "a.json", "Präparat")
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '"Präparat"\n'


def test_a_file_name_that_is_not_utf_8_survives_json(tmp_path):
    name = os.fsdecode(b"M\xfcller.jpg")
    write_json(tmp_path / "a.json", {name: name})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {name: name}


@pytest.mark.parametrize("name", ["=2+5", "+1", "-1", "@SUM(1)", "\tx", "\rx", "'=1", "''=1"])
def test_a_cell_that_begins_a_formula_is_defused_and_comes_back(name):
    assert defused(name) == f"'{name}"
    assert with_formulas(defused(name)) == name


def test_numbers_and_plain_text_stay_as_they_are():
    rows = [["name", "value"], ["it's 'a'.png", -1.5], ["two\rlines", None]]
    assert csv_text(rows) == "name,value\nit's 'a'.png,-1.5\n\"two\rlines\",\n"
    assert [with_formulas(text) for text in ("it's", "'a'", "a")] == ["it's", "'a'", "a"]
