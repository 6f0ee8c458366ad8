import pytest

from blood_cell_system.cli.main import main
from blood_cell_system.cli.synthesize import parse_size
from blood_cell_system.datasets.prepared import PreparedDataset
from blood_cell_system.errors import SettingsError

SMALL = ["--count", "2", "--size", "96x64", "--cell-diameter", "24", "--jobs", "1"]


def test_a_prepared_folder_is_written_and_told_of(tmp_path, capsys):
    out = tmp_path / "smears"
    assert main(["synthesize", "--output", str(out), *SMALL, "--stain", "leishman"]) == 0
    dataset = PreparedDataset.open(out)
    assert [image.read()[0].shape for image in dataset.images] == [(64, 96, 3)] * 2
    assert dataset.details["settings"]["stain"] == "leishman"
    assert dataset.details["settings"]["cell_diameter_px"] == 24
    assert f"{out}: 2 drawn smears" in capsys.readouterr().out


def test_a_bccd_clone_is_written(tmp_path):
    assert main(["synthesize", "--output", str(tmp_path), *SMALL, "--layout", "bccd"]) == 0
    assert len(list((tmp_path / "BCCD" / "Annotations").glob("*.xml"))) == 2


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--size", "big"),
        ("--size", "8x8"),
        ("--count", "0"),
        ("--seed", "-1"),
        ("--cell-diameter", "0"),
    ],
)
def test_a_number_out_of_range_is_a_usage_error(tmp_path, capsys, option, value):
    assert main(["synthesize", "--output", str(tmp_path / "out"), *SMALL, option, value]) == 2
    assert "expected" in capsys.readouterr().err.replace("Expected", "expected")
    assert not (tmp_path / "out").exists()


def test_a_stain_that_is_none_is_a_usage_error(tmp_path, capsys):
    assert main(["synthesize", "--output", str(tmp_path / "out"), "--stain", "leishmann"]) == 2
    assert "Did you mean 'leishman'?" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["", "640", "640x", "x480", "-640x480", "640x480x3", "6.4x4"])
def test_a_size_that_is_none_is_refused(text):
    with pytest.raises(SettingsError, match="640x480"):
        parse_size(text)


def test_a_size_is_width_then_height():
    assert parse_size("640x480") == (480, 640)
