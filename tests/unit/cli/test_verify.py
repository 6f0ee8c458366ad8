import json
import re
from pathlib import Path

import numpy as np
import pytest
from support.labelled_smears import write_sound_folder

from blood_cell_system.cli.main import main as bloodcells
from blood_cell_system.cli.prepare import main
from blood_cell_system.imaging.image_file import read_image, write_image


@pytest.fixture
def root(tmp_path) -> Path:
    return write_sound_folder(tmp_path / "data")


def verify(root: Path, *options: object) -> int:
    return main(["--mode", "verify", "--input", str(root), *map(str, options)])


def darken(root: Path) -> None:
    path = root / "masks" / "a.png"
    write_image(path, (read_image(path) // 255).astype(np.uint8))


def test_a_sound_folder_ends_with_0_and_a_sheet_beside_it(root, capsys):
    assert verify(root) == 0
    assert "Verified" in capsys.readouterr().out
    assert read_image(root.parent / "data_contact_sheet.png").shape[1] > 100


def test_an_error_ends_with_1_and_says_what_to_do(root, capsys):
    darken(root)
    assert verify(root) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "zero-one-mask" in told
    assert "--fix multiplies by 255" in told


def test_a_warning_alone_ends_with_0(root):
    for folder in ("images", "masks"):
        path = root / folder
        (path / "b.png").write_bytes((path / "a.png").read_bytes())
    assert verify(root) == 0


def test_findings_and_statistics_are_written_as_json(root, tmp_path):
    darken(root)
    verify(root, "--json", tmp_path / "out" / "findings.json")
    written = json.loads((tmp_path / "out" / "findings.json").read_text(encoding="utf-8"))
    assert written["is_ok"] is False
    assert written["counts"] == {"error": 1, "warning": 0, "info": 0}
    assert written["findings"][0]["stems"] == ["a"]
    assert written["statistics"]["images"] == 5


def test_the_sheet_goes_where_it_is_wanted(root, tmp_path):
    verify(root, "--contact-sheet", tmp_path / "sheets" / "mine.png")
    assert (tmp_path / "sheets" / "mine.png").is_file()
    assert not (tmp_path / "data_contact_sheet.png").exists()


def test_with_fix_the_copy_decides_about_the_exit_code(root, tmp_path, capsys):
    darken(root)
    assert verify(root, "--fix", tmp_path / "repaired") == 0
    told = capsys.readouterr().out
    assert "a: mask holds 0 and 1" in told
    assert verify(tmp_path / "repaired") == 0
    assert verify(root) == 1


def test_a_fix_into_the_folder_itself_is_refused(root, capsys):
    assert verify(root, "--fix", root / "fixed") == 1
    assert "another place. Choose another --fix" in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path, capsys):
    assert verify(tmp_path / "none") == 1
    assert "no such folder" in capsys.readouterr().err


def test_a_folder_with_nothing_in_it_is_told_not_raised(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert verify(tmp_path / "empty") == 1
    assert "missing-folder" in capsys.readouterr().out


def test_names_with_brackets_are_not_taken_for_markup(root, capsys):
    (root / "images" / "[bold]x.png").write_bytes((root / "images" / "a.png").read_bytes())
    assert verify(root) == 1
    assert "[bold]x" in capsys.readouterr().out


@pytest.mark.parametrize(("no_color", "has_colours"), [("", True), ("1", False)])
def test_no_color_switches_colours_off(root, capsys, monkeypatch, no_color, has_colours):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", no_color)
    assert verify(root) == 0
    assert bool(re.search(r"\x1b\[[0-9;]*3[0-7]m", capsys.readouterr().out)) is has_colours


def test_the_command_is_the_mode_of_the_launcher(root, capsys):
    assert verify(root) == 0
    expected = capsys.readouterr().out
    assert bloodcells(["verify", str(root)]) == 0
    assert capsys.readouterr().out == expected
