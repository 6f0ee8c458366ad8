"""An image that is analysed field by field has the cells of the whole, one by one."""

import subprocess
import sys

import numpy as np
import pytest
import tifffile
from scipy.spatial import cKDTree

from blood_cell_system.analysis.image_analysis import AnalysisSettings
from blood_cell_system.analysis.segmentation import TileSettings
from blood_cell_system.datasets.synthetic import SmearSettings, draw_smear
from blood_cell_system.pipeline import image as image_module
from blood_cell_system.pipeline import scan_plan
from blood_cell_system.pipeline.image import InferencePipeline
from blood_cell_system.pipeline.scan_plan import ScanSettings, plan_scans
from blood_cell_system.pipeline.system import BloodCellAnalysisSystem

DIAMETER = 61


@pytest.fixture(scope="module")
def pipeline():
    # Where it is run in tiles, they see as far as the network does.
    tiles = TileSettings(network_margin_px=384)
    settings = AnalysisSettings(cell_diameter_px=DIAMETER, tiles=tiles)
    return InferencePipeline(BloodCellAnalysisSystem(), settings=settings, is_classifying=False)


@pytest.fixture
def smear(tmp_path):
    """Draw a smear of a seed and a size into a tiled TIFF."""

    def drawn(seed, shape=(480, 640)):
        path = tmp_path / f"{seed}.tif"
        settings = SmearSettings(cell_diameter_px=DIAMETER, shape=shape)
        image = draw_smear(settings, np.random.default_rng(seed)).image
        tifffile.imwrite(path, image, photometric="rgb", tile=(256, 256))
        return path

    return drawn


def cells_in(path, pipeline, monkeypatch, *, blocks):
    """Centroid, area and type of each cell, of fields of so many blocks of 64 pixels."""
    monkeypatch.setattr(scan_plan, "_SIDES", (blocks, blocks))
    settings = ScanSettings(region=(0, 0, 10**6, 10**6), max_memory=10**12)
    [plan] = plan_scans(
        path, "a", settings, pipeline.settings, training_diameter_px=DIAMETER, jobs=1
    )
    rows = []
    for field in plan.fields.values():
        cells = pipeline.analyze_field(field).report.cells
        place = field.place
        centroids = cells["centroid"] + (place.x_px, place.y_px)
        rows += zip(*centroids.T, cells["area"], cells["cell_type"], strict=True)
    return len(plan.fields), rows


def without_like(cells, others):
    """Cells that have none among the others within a pixel, of their type and area but for 5 %."""
    distances, nearest = cKDTree([row[:2] for row in others]).query([row[:2] for row in cells])
    return [
        row
        for row, distance, other in zip(cells, distances, nearest, strict=True)
        if distance > 1 or row[3] != others[other][3] or abs(others[other][2] / row[2] - 1) > 0.05
    ]


def differences(whole, tiled):
    return without_like(whole, tiled) + without_like(tiled, whole)


def test_tiles_of_a_drawn_smear_have_the_cells_of_the_whole(pipeline, smear, monkeypatch):
    path = smear(9)
    fields, whole = cells_in(path, pipeline, monkeypatch, blocks=10)
    parts, tiled = cells_in(path, pipeline, monkeypatch, blocks=4)
    assert (fields, parts) == (1, 6)
    assert len(whole) > 40
    assert differences(whole, tiled) == []


@pytest.mark.slow
def test_tiles_of_20_drawn_smears_have_the_cells_of_the_whole(pipeline, smear, monkeypatch):
    count, odd = 0, []
    for seed in range(20):
        path = smear(seed)
        _, whole = cells_in(path, pipeline, monkeypatch, blocks=10)
        _, tiled = cells_in(path, pipeline, monkeypatch, blocks=4)
        count += len(whole)
        odd += differences(whole, tiled)
    assert count > 1000
    assert odd == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_tiles_of_a_smear_of_6000_pixels_have_the_cells_of_the_whole(pipeline, smear, monkeypatch):
    path = smear(0, (6000, 6000))
    parts, tiled = cells_in(path, pipeline, monkeypatch, blocks=20)
    assert parts == 25
    # Separated and measured in one piece; the network alone would take 6 GB for it.
    monkeypatch.setattr(image_module, "_NO_LIMIT", 0)
    fields, whole = cells_in(path, pipeline, monkeypatch, blocks=94)
    assert fields == 1
    assert len(whole) > 3000
    # Probabilities on seams differ by up to 0.06, and a clump there may be separated otherwise.
    # Each such cell is counted once, not as missing and as new.
    for odd in (without_like(whole, tiled), without_like(tiled, whole)):
        assert len(odd) <= 0.001 * len(whole)


_PEAK = (
    "import resource, subprocess, sys;"
    "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)"
)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
def test_the_analysis_of_a_scan_takes_no_more_memory_than_it_may(smear, tmp_path):
    # In one piece it would take 1.4 GB.
    path = smear(0, (2000, 2000))
    words = ["--max-memory", "800MB", "--jobs", "1", "--region", "0,0,2000,2000"]
    command = [sys.executable, "-m", "blood_cell_system", "analyze", str(path), *words]
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, *command, "-o", str(tmp_path / "out")],
        check=True, capture_output=True, encoding="utf-8",
    )  # fmt: skip
    assert int(done.stdout) <= 800_000_000
    fields = list((tmp_path / "out").rglob("*_report.json"))
    assert len(fields) == 9
