import pytest
from support.smears import small_prepared_folder

from blood_cell_system.cli.main import main
from blood_cell_system.datasets.prepared import PreparedDataset


@pytest.fixture
def folders(tmp_path):
    return [
        str(small_prepared_folder(tmp_path / name, count=2, shape=(160, 208), seed=seed))
        for seed, name in enumerate("ab")
    ]


def combine(folders, output, *more):
    return main(["combine", *folders, "--output", str(output), "--jobs", "1", *more])


def test_folders_become_one(folders, tmp_path, capsys):
    assert combine(folders, tmp_path / "out", "--cell-diameter", "56") == 0
    assert len(PreparedDataset.open(tmp_path / "out").images) == 4
    text = capsys.readouterr().out
    assert "4 images of 2 sources" in text
    assert "resampled by" in text


def test_sizes_are_kept_when_asked_for(folders, tmp_path, capsys):
    assert combine(folders, tmp_path / "out", "--keep-scale") == 0
    assert "resampled" not in capsys.readouterr().out


def test_a_source_diameter_has_a_name_and_a_number(folders, tmp_path, capsys):
    assert combine(folders, tmp_path / "out", "--source-diameter", "50") == 2
    assert "expected NAME=PX, received '50'" in capsys.readouterr().err


def test_the_mode_of_the_launcher_does_the_same(folders, tmp_path):
    assert combine(folders, tmp_path / "one") == 0
    words = ["prepare", "--mode", "combine", "--output", str(tmp_path / "two"), "--jobs", "1"]
    assert main([*words, "--input", *folders]) == 0
    for name in ("manifest.json", "annotations.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_size_and_all_sizes_are_not_both_possible(folders, tmp_path, capsys):
    assert combine(folders, tmp_path / "out", "--keep-scale", "--cell-diameter", "50") == 2
    assert "expected one of them" in capsys.readouterr().err


def test_no_input_is_an_error(tmp_path, capsys):
    assert main(["prepare", "--mode", "combine", "--output", str(tmp_path / "out")]) == 1
    assert "no folder was named" in capsys.readouterr().err
