"""Analyse, hand over to a tool, read back, prepare: what was found is what is learned from."""

from pathlib import Path

import numpy as np
import pytest

from blood_cell_system.annotation.format_registry import writable_formats
from blood_cell_system.cli.main import main
from blood_cell_system.imaging.image_file import read_label_image

WORDS = ["--unlabelled", "background", "--jobs", "1"]


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("smears")
    drawn = ["synthesize", "--output", str(root / "drawn"), "--count", "1", "--size", "400x300"]
    assert main(drawn) == 0
    images = str(root / "drawn" / "images")
    assert main(["analyze", images, "--output-dir", str(root / "results")]) == 0
    return root / "results"


@pytest.mark.slow
@pytest.mark.parametrize("format_name", tuple(writable_formats()))
def test_predictions_come_back_from_every_format_pixel_by_pixel(results, tmp_path, format_name):
    written, prepared = str(tmp_path / "written"), tmp_path / "prepared"
    assert main(["convert", str(results), "--to", format_name, "--output", written]) == 0
    words = ["--format", format_name, "--input", written, "--output", str(prepared)]
    assert main(["prepare", *words, *WORDS]) == 0
    found = read_label_image(results / "smear_00000_instances.png")
    back = read_label_image(prepared / "instances" / "smear_00000.png")
    np.testing.assert_array_equal(back, found)
