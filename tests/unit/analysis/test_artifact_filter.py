import cv2
import numpy as np

from blood_cell_system.analysis.artifact_filter import without_artifacts
from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.boxes import Box
from blood_cell_system.cells.separation import DetectedCell, SeparatedCells
from blood_cell_system.taxonomy import PLATELET, RBC

SLIDE, PURPLE, GREY = (210, 212, 200), (150, 120, 185), (180, 182, 172)


def draw_field(*spots, cell_type=PLATELET, slide=SLIDE):
    image = np.full((60, 40 * len(spots), 3), slide, np.uint8)
    labels = np.zeros(image.shape[:2], np.int32)
    cells = []
    for number, colour in enumerate(spots, start=1):
        x = 40 * number - 20
        cv2.circle(image, (x, 30), 8, colour, -1)
        inside = np.zeros(labels.shape, np.uint8)
        cv2.circle(inside, (x, 30), 8, (1,), -1)
        labels[inside > 0] = number
        box = Annotation(cell_type=cell_type, box=Box(x - 8, 22, x + 9, 39))
        cells.append(
            DetectedCell(
                label=number,
                cell_type=cell_type,
                box=box,
                whole_box=box,
                centroid=(x + 0.5, 30.5),
                area_px=int(inside.sum()),
                equivalent_diameter_px=16.0,
                confidence=0.8,
                touches_border=False,
            )
        )
    return image, SeparatedCells(label_image=labels, cells=tuple(cells))


def test_dust_goes_and_platelets_stay():
    image, found = draw_field(GREY, PURPLE)
    (kept,) = without_artifacts(found, image).cells
    assert kept.centroid == (60.5, 30.5)


def test_labels_stay_without_gaps():
    image, found = draw_field(GREY, PURPLE)
    assert np.unique(without_artifacts(found, image).label_image).tolist() == [0, 1]


def test_red_cells_may_be_grey():
    image, found = draw_field(GREY, cell_type=RBC)
    assert without_artifacts(found, image) is found


def test_the_colour_of_the_light_makes_no_dust_a_platelet():
    yellow = (230, 215, 160)
    dimmed = tuple(round(0.85 * value) for value in yellow)
    image, found = draw_field(dimmed, slide=yellow)
    assert without_artifacts(found, image).cells == ()


def test_an_image_without_colours_keeps_everything():
    image, found = draw_field((150, 150, 150), slide=(210, 210, 210))
    assert without_artifacts(found, image) is found


def test_what_fills_its_surroundings_is_left_alone():
    image, found = draw_field(GREY)
    everywhere = SeparatedCells(label_image=np.ones((60, 40), np.int32), cells=found.cells)
    assert without_artifacts(everywhere, image) is everywhere
