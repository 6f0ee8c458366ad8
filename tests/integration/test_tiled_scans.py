"""An image that is analysed field by field has the cells of the whole, one by one."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from blood_cell_system.analysis.image_analysis import AnalysisSettings
from blood_cell_system.datasets.synthetic import SmearSettings, draw_smear
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.pipeline import scan_plan
from blood_cell_system.pipeline.image import InferencePipeline
from blood_cell_system.pipeline.scan_plan import ScanSettings, plan_scans
from blood_cell_system.pipeline.system import BloodCellAnalysisSystem

DIAMETER = 61


@pytest.fixture(scope="module")
def pipeline():
    settings = AnalysisSettings(cell_diameter_px=DIAMETER)
    return InferencePipeline(BloodCellAnalysisSystem(), settings=settings, is_classifying=False)


def cells_in(path, pipeline, monkeypatch, *, blocks, region):
    """Centroid, area and type of each cell, of fields of so many blocks of 64 pixels."""
    monkeypatch.setattr(scan_plan, "_SIDES", (blocks, blocks))
    settings = ScanSettings(region=region, max_memory=10**11)
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


@pytest.mark.slow
def test_tiles_of_20_drawn_smears_have_the_cells_of_the_whole(pipeline, tmp_path, monkeypatch):
    settings = SmearSettings(cell_diameter_px=DIAMETER, shape=(480, 640))
    count, odd = 0, []
    for seed in range(20):
        path = tmp_path / f"{seed}.png"
        write_image(path, draw_smear(settings, np.random.default_rng(seed)).image)
        found = [
            cells_in(path, pipeline, monkeypatch, blocks=blocks, region=(0, 0, 640, 480))
            for blocks in (10, 4)
        ]
        assert [fields for fields, _ in found] == [1, 6]
        (_, whole), (_, tiled) = found
        count += len(whole)
        odd += without_like(whole, tiled) + without_like(tiled, whole)
    assert count > 1000
    # Slivers at the border of the smear: whether one is a cell depends on the others' size.
    assert all(area < 500 for _, _, area, _ in odd)
    assert len(odd) <= 0.005 * count
