from dataclasses import replace

import cv2
import numpy as np

from blood_cell_system.analysis.marks import without_dust
from blood_cell_system.cells.table import Cells
from blood_cell_system.taxonomy import PLATELET, RBC

SLIDE, PURPLE, GREY = (210, 212, 200), (150, 120, 185), (180, 182, 172)


def draw_field(*spots, cell_type=PLATELET, slide=SLIDE, confidence=0.9):
    image = np.full((60, 40 * len(spots), 3), slide, np.uint8)
    labels = np.zeros(image.shape[:2], np.int32)
    boxes = []
    for number, colour in enumerate(spots, start=1):
        x = 40 * number - 20
        cv2.circle(image, (x, 30), 8, colour, -1)
        inside = np.zeros(labels.shape, np.uint8)
        cv2.circle(inside, (x, 30), 8, (1,), -1)
        labels[inside > 0] = number
        boxes.append((x - 8, 22, x + 9, 39))
    confidences = np.broadcast_to(confidence, len(spots)).astype(np.float64)
    return image, Cells(label_image=labels).with_columns(
        cell_type=[cell_type] * len(spots), box=boxes, confidence=confidences
    )


def test_dust_goes_and_platelets_stay():
    image, found = draw_field(GREY, PURPLE)
    kept = without_dust(found, image)
    assert kept["box"].tolist() == [[52, 22, 69, 39]]


def test_labels_stay_without_gaps():
    image, found = draw_field(GREY, PURPLE)
    assert np.unique(without_dust(found, image).label_image).tolist() == [0, 1]


def test_red_cells_may_be_grey():
    image, found = draw_field(GREY, cell_type=RBC)
    assert without_dust(found, image) is found


RED, NEARLY_SLIDE, PALE = (170, 120, 130), (208, 206, 197), (198, 174, 182)
SURE_ONES = (0.9, 0.9, 0.9, 0.4)


def test_an_outline_of_empty_slide_is_no_red_cell():
    image, found = draw_field(RED, RED, RED, NEARLY_SLIDE, cell_type=RBC, confidence=SURE_ONES)
    assert without_dust(found, image)["box"][:, 0].tolist() == [12, 52, 92]


def test_a_pale_red_cell_stays():
    image, found = draw_field(RED, RED, RED, PALE, cell_type=RBC, confidence=SURE_ONES)
    assert without_dust(found, image) is found


def test_a_red_cell_that_is_sure_stays_however_pale():
    image, found = draw_field(RED, RED, RED, NEARLY_SLIDE, cell_type=RBC)
    assert without_dust(found, image) is found


def test_without_sure_red_cells_none_is_empty():
    image, found = draw_field(RED, RED, NEARLY_SLIDE, cell_type=RBC, confidence=(0.9, 0.9, 0.4))
    assert without_dust(found, image) is found


def test_the_colour_of_the_light_makes_no_dust_a_platelet():
    yellow = (230, 215, 160)
    dimmed = tuple(round(0.85 * value) for value in yellow)
    image, found = draw_field(dimmed, slide=yellow)
    assert len(without_dust(found, image)) == 0


def test_an_image_without_colours_keeps_everything():
    image, found = draw_field((150, 150, 150), slide=(210, 210, 210))
    assert without_dust(found, image) is found


def test_what_fills_its_surroundings_is_left_alone():
    image, found = draw_field(GREY)
    everywhere = replace(found, label_image=np.ones((60, 40), np.int32))
    assert without_dust(everywhere, image) is everywhere
