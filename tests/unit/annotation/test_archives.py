import os
import stat
import tempfile
import zipfile
from pathlib import Path

import pytest

from blood_cell_system.annotation import archives
from blood_cell_system.annotation.archives import opened_folder, unpack
from blood_cell_system.errors import DatasetError, MissingDataError, OutputError
from blood_cell_system.terminal import visible


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def names_in(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def refusal(tmp_path: Path, path: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        unpack(path, tmp_path / "out")
    assert not names_in(tmp_path / "out")
    return str(caught.value)


def test_a_folder_is_given_as_it_is(tmp_path: Path):
    with opened_folder(tmp_path) as folder:
        assert folder == tmp_path


def test_a_zip_file_is_a_folder_of_its_name_while_it_is_needed(tmp_path: Path):
    path = zipped(tmp_path / "our lab.zip", {"x/a.png": b"1", "b.xml": b"2"})
    with opened_folder(path) as folder:
        assert folder.name == "our lab"
        assert names_in(folder) == ["b.xml", "x/a.png"]
    assert not folder.exists()


def test_backslashes_of_windows_part_folders(tmp_path: Path):
    unpack(zipped(tmp_path / "a.zip", {"x\\y\\a.png": b"1"}), tmp_path / "out")
    assert names_in(tmp_path / "out") == ["x/y/a.png"]


def test_what_macos_adds_is_left_out(tmp_path: Path):
    path = zipped(tmp_path / "a.zip", {"a.png": b"1", "__MACOSX/._a.png": b"2"})
    unpack(path, tmp_path / "out")
    assert names_in(tmp_path / "out") == ["a.png"]


@pytest.mark.parametrize("name", ["../evil", "x/../../evil", "/etc/evil", "C:\\evil", "..\\evil"])
def test_a_path_that_leads_outside_is_refused(tmp_path: Path, name: str):
    path = zipped(tmp_path / "a.zip", {"good.png": b"1", name: b"2"})
    assert "would be written outside of the folder" in refusal(tmp_path, path)
    assert not (tmp_path / "evil").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no colons in names")
def test_a_colon_in_a_name_is_kept(tmp_path: Path):
    name = "export 2026-01-01T10:20:30/a.png"
    unpack(zipped(tmp_path / "a.zip", {name: b"1"}), tmp_path / "out")
    assert names_in(tmp_path / "out") == [name]


@pytest.mark.parametrize("encoding", ["utf-8", "gbk"])
def test_names_of_programs_that_do_not_say_their_encoding_are_told(tmp_path: Path, encoding: str):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xxxxxx.png", b"1")
    name = "红细胞".encode(encoding).ljust(6, b"_")[:6] if encoding == "gbk" else "红细".encode()
    path.write_bytes(path.read_bytes().replace(b"xxxxxx", name))
    unpack(path, tmp_path / "out")
    assert names_in(tmp_path / "out") == ["红细胞.png" if encoding == "gbk" else "红细.png"]


def test_names_that_are_too_long_are_told(tmp_path: Path):
    path = zipped(tmp_path / "a.zip", {"a" * 300 + ".png": b"1"})
    assert "names that are too long" in refusal(tmp_path, path)


def test_a_symbolic_link_is_refused(tmp_path: Path):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert "'link' is a link or a device" in refusal(tmp_path, tmp_path / "a.zip")


def test_two_files_of_one_name_are_refused(tmp_path: Path):
    path = zipped(tmp_path / "a.zip", {"a.png": b"1", "A.PNG": b"2"})
    assert "holds 'A.PNG' twice" in refusal(tmp_path, path)


def test_an_encrypted_file_is_refused(tmp_path: Path):
    path = zipped(tmp_path / "a.zip", {"a.png": b"1"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert "'a.png' is encrypted" in refusal(tmp_path, path)


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(archives, "_SUSPICIOUS_BYTES", 1_000_000)
    path = zipped(tmp_path / "a.zip", {"zeros": bytes(5_000_000)})
    assert "made to fill a disk" in refusal(tmp_path, path)


def test_a_good_compression_of_few_bytes_is_no_bomb(tmp_path: Path):
    unpack(zipped(tmp_path / "a.zip", {"mask.bmp": bytes(500_000)}), tmp_path / "out")
    assert (tmp_path / "out" / "mask.bmp").stat().st_size == 500_000


def test_a_size_limit_holds_whatever_the_compression(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(archives, "MAX_BYTES", 10)
    path = zipped(tmp_path / "a.zip", {"a": os.urandom(11)})
    assert "made to fill a disk" in refusal(tmp_path, path)


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(archives, "MAX_FILES", 1)
    path = zipped(tmp_path / "a.zip", {"a": b"", "b": b""})
    assert "holds 2 files; at most 1" in refusal(tmp_path, path)


def test_a_file_that_lies_about_its_size_is_refused(tmp_path: Path):
    path = zipped(tmp_path / "a.zip", {"a": bytes(3_000_000)})
    data = path.read_bytes()
    true_size, lie = (3_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")
    path.write_bytes(data.replace(true_size, lie))
    with pytest.raises(DatasetError, match=r"larger than it says|damaged"):
        unpack(path, tmp_path / "out")


def test_a_zip_file_cut_in_half_is_told(tmp_path: Path):
    path = zipped(tmp_path / "a.zip", {"a": os.urandom(1000)})
    data = path.read_bytes()
    path.write_bytes(data[:300] + bytes(300) + data[600:])
    with pytest.raises(DatasetError, match="is damaged"):
        unpack(path, tmp_path / "out")


def test_no_room_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    class Full:
        free = 100

    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: Full)
    with pytest.raises(OutputError, match="needs 1,000 bytes unpacked, and 100 are free"):
        unpack(zipped(tmp_path / "a.zip", {"a": bytes(1000)}), tmp_path / "out")


def test_a_place_that_cannot_be_written_to_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be unpacked"):
        unpack(zipped(tmp_path / "a.zip", {"a": b"1"}), tmp_path / "file" / "out")


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("a.rar", "archive of another kind than zip. Unpack it"),
        ("instances.json", "a single label file; expected the folder that holds it"),
        ("smear.PNG", "a single image; expected the folder"),
        ("a.zip", "cut off or damaged. Copy it again"),
        ("notes", "neither a folder nor a zip file"),
    ],
)
def test_another_kind_of_file_is_refused_with_what_to_give(tmp_path: Path, name, remedy):
    (tmp_path / name).write_bytes(b"Rar!")
    with pytest.raises(DatasetError, match=remedy), opened_folder(tmp_path / name):
        pass


def test_an_empty_file_in_place_of_a_folder_is_called_empty(tmp_path: Path):
    (tmp_path / "a.json").write_bytes(b"")
    with pytest.raises(DatasetError, match="empty"), opened_folder(tmp_path / "a.json"):
        pass


def test_a_missing_source_is_told(tmp_path: Path):
    with pytest.raises(MissingDataError), opened_folder(tmp_path / "nowhere.zip"):
        pass


def test_nothing_is_left_when_the_work_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    path = zipped(tmp_path / "a.zip", {"a": b"1"})
    with pytest.raises(KeyError), opened_folder(path):
        raise KeyError
    assert not list((tmp_path / "temporary").iterdir())


def test_errors_name_the_zip_file_and_not_where_it_was_unpacked(tmp_path: Path):
    path = zipped(tmp_path / "mine.zip", {"readme.txt": b"x"})
    with pytest.raises(DatasetError) as caught, opened_folder(path) as folder:
        raise DatasetError(f"{folder / 'a.json'}: is not JSON.")
    assert str(caught.value) == f"{path / 'a.json'}: is not JSON."
    assert visible(f"left out: {folder / 'a.json'}") == f"left out: {path / 'a.json'}"


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no devices here")
def test_a_link_to_a_device_is_refused_unread(tmp_path: Path):
    (tmp_path / "data.zip").symlink_to("/dev/zero")
    with (
        pytest.raises(DatasetError, match="a device; expected a folder or a zip file"),
        opened_folder(tmp_path / "data.zip"),
    ):
        pass
