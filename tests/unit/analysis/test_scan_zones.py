import cv2
import numpy as np
import pytest

from blood_cell_system.analysis.scan_zones import (
    SURVEY_DIAMETER_PX,
    Zone,
    ZoneMeasures,
    measure_zone,
    stain_of_slide,
    zones_of,
)
from blood_cell_system.datasets.synthetic.drawn_slide import (
    SlideDrawing,
    SlideSettings,
    zone_at,
)

SETTINGS = SlideSettings(height=2048, width=8192, cell_diameter_px=48)
SIDE = 512


@pytest.fixture(scope="module")
def parts():
    """Parts of a drawn slide that lie in one zone: by zone, as the survey sees them."""
    drawing = SlideDrawing(SETTINGS, seed=3)
    found = {}
    shrink = SURVEY_DIAMETER_PX / SETTINGS.cell_diameter_px
    for top in (512, 1024):
        for left in range(0, SETTINGS.width, SIDE):
            x, y = np.meshgrid(np.linspace(left, left + SIDE, 6), np.linspace(top, top + SIDE, 6))
            names = set(zone_at(x.ravel(), y.ravel(), SETTINGS))
            if len(names) == 1:
                image = drawing.draw(left, top, SIDE, SIDE)
                small = cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
                found.setdefault(names.pop(), []).append(small)
    return found


def test_zones_of_a_drawn_slide_are_those_that_were_drawn(parts):
    everything = [part for of_zone in parts.values() for part in of_zone]
    stain = stain_of_slide(everything)
    zones = zones_of([measure_zone(part, stain) for part in everything])
    drawn = [name for name, of_zone in parts.items() for _ in of_zone]
    assert set(drawn) == {"glass", "monolayer", "thick end", "feathered edge"}
    assert list(map(str, zones)) == drawn


def test_a_slide_without_stain_is_glass():
    blank = np.full((60, 60, 3), 230, np.uint8)
    measures = measure_zone(blank, stain_of_slide([blank]))
    assert zones_of([measures]) == (Zone.GLASS,)


def test_flat_cells_apart_are_the_edge_only_beside_cells_with_pallor():
    flat = ZoneMeasures(coverage=0.3, apart=0.8, dense=0.0, pallor=0.01)
    pale = ZoneMeasures(coverage=0.4, apart=0.6, dense=0.0, pallor=0.3)
    assert zones_of([flat, pale, pale]) == (Zone.EDGE, Zone.MONOLAYER, Zone.MONOLAYER)
    assert zones_of([flat, flat]) == (Zone.MONOLAYER, Zone.MONOLAYER)


def test_a_clump_among_few_cells_is_no_thick_end():
    clump = ZoneMeasures(coverage=0.03, apart=0.2, dense=0.5, pallor=None)
    assert zones_of([clump]) == (Zone.EDGE,)
