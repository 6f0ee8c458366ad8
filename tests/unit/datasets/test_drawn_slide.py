import csv
import json

import numpy as np
import pytest

from blood_cell_system.datasets.synthetic.drawn_slide import (
    SlideDrawing,
    SlideSettings,
    write_slide,
)
from blood_cell_system.errors import SettingsError
from blood_cell_system.imaging.scan import open_scan

SETTINGS = SlideSettings(height=1100, width=1500, cell_diameter_px=30)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    write_slide(folder, SETTINGS, seed=2)
    return folder


def test_the_file_is_a_tiled_pyramid_with_the_side_of_a_pixel(folder):
    scan = open_scan(folder / "slide.tif")
    assert [level.shape for level in scan.levels] == [(1100, 1500), (275, 375), (69, 94)]
    assert scan.pixel_size.um == pytest.approx(7.5 / 30)


def test_the_truth_lists_every_cell_where_it_is_drawn(folder):
    rows = list(csv.DictReader((folder / "slide_cells.csv").read_text().splitlines()))
    truth = json.loads((folder / "slide.json").read_text())
    assert sum(truth["cells_by_zone"].values()) == len(rows) > 300
    white = [row for row in rows if row["cell_type"] == "WBC"]
    scan = open_scan(folder / "slide.tif")
    glass = scan.read((1480, 0, 20, 20)).mean()
    for row in white:
        x, y = float(row["x"]), float(row["y"])
        if 0 < x < 1490 and 0 < y < 1090:
            assert scan.read((int(x) - 5, int(y) - 5, 10, 10)).mean() < glass - 15


def test_a_part_is_drawn_as_in_the_whole():
    drawing = SlideDrawing(SETTINGS, seed=2)
    whole = drawing.draw(0, 0, 1024, 512).astype(int)
    part = drawing.draw(512, 0, 512, 512).astype(int)
    # The noise is that of its part; the cells are the same.
    assert np.abs(whole[:, 512:] - part).mean() < 5
    np.testing.assert_array_equal(part, SlideDrawing(SETTINGS, seed=2).draw(512, 0, 512, 512))


@pytest.mark.parametrize("name", ["height", "cell_diameter_px", "red_per_white"])
def test_a_slide_that_cannot_be_drawn_is_refused(name):
    with pytest.raises(SettingsError, match=name):
        SlideSettings(**{name: 0})
