from dataclasses import replace

import pytest
from support.smears import small_prepared_folder

from blood_cell_system.annotation.splits import Split
from blood_cell_system.cli.main import main
from blood_cell_system.datasets.prepared import (
    PreparedDataset,
    write_manifest,
)


@pytest.fixture
def folder(tmp_path):
    return small_prepared_folder(tmp_path / "data", count=4, shape=(96, 112))


def test_images_are_dealt_out_and_counted(folder, capsys):
    assert main(["split", "--data-dir", str(folder), "--jobs", "1", "--val", "0.25"]) == 0
    assert "split by image: train 2 images" in capsys.readouterr().out


def test_shares_that_leave_nothing_to_learn_from_are_a_usage_error(folder, capsys):
    assert main(["split", "--data-dir", str(folder), "--val", "2"]) == 2
    assert "expected shares" in " ".join(capsys.readouterr().err.split())


def test_a_leak_makes_the_exit_code_1(folder, capsys):
    dataset = PreparedDataset.open(folder)
    rows = [
        replace(image, split=split).manifest_row()
        for image, split in zip(dataset.images, [*Split, None], strict=True)
    ]
    write_manifest(folder, rows, dataset.details)
    words = ["split", "--data-dir", str(folder), "--jobs", "1", "--by", "slide", "--check"]
    assert main([*words, "--pattern", "smear"]) == 1
    assert "smear: in train, val, test" in capsys.readouterr().out
    assert main([*words, "--pattern", r"\d+"]) == 0
