import numpy as np
import pytest

from blood_cell_system.annotation.clean import CleanAnnotations, clean_annotations, crosses_itself
from blood_cell_system.annotation.label_map import COMMON_LABELS, LabelReader
from blood_cell_system.annotation.outline import PixelOutline, PolygonOutline
from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.boxes import Box
from blood_cell_system.taxonomy import BUILT_IN

SHAPE = (60, 96)


def cleaned(*marks: Annotation, **labels: str) -> CleanAnnotations:
    return clean_annotations(
        marks,
        file="labels/a.json",
        where="folder/labels/a.json",
        shape=SHAPE,
        labels=LabelReader(labels={**COMMON_LABELS, **labels}),
    )


def box(*corners: float, label: str = "RBC") -> Annotation:
    return Annotation(cell_type=label, box=Box(*corners))


def polygon(*corners: tuple[float, float], label: str = "RBC") -> Annotation:
    return Annotation(cell_type=label, outline=PolygonOutline.from_points(corners))


SQUARE = ((10, 10), (30, 10), (30, 30), (10, 30))
BOW = ((10, 10), (30, 30), (30, 10), (10, 30))


def reasons(*marks: Annotation) -> list[tuple[int, str]]:
    return [(dropped.object_index, dropped.reason) for dropped in cleaned(*marks).dropped]


def test_sound_marks_are_kept_in_their_order():
    found = cleaned(
        box(5, 5, 25, 25), polygon(*SQUARE, label="WBC"), Annotation(cell_type="PLT", point=(50, 9))
    )
    assert [cell.cell_type for cell in found.cells] == list(BUILT_IN.names)
    assert found.dropped == []


def test_the_box_of_an_outline_is_around_it():
    (cell,) = cleaned(polygon(*SQUARE)).cells
    assert cell.box == Box(10, 10, 30, 30)


def test_a_box_that_leaves_the_image_is_cut():
    (cell,) = cleaned(box(-5, 50, 20, 80)).cells
    assert cell.box == Box(0, 50, 20, 60)


@pytest.mark.parametrize(
    ("mark", "reason"),
    [
        (box(200, 5, 230, 25), "outside the image: (200, 5) to (230, 25)"),
        (box(5, 5, 8, 25), "too small for a cell: 3×20 px in the image"),
        (box(5, float("nan"), 25, 25), "no numbers: (5, nan) to (25, 25)"),
        (polygon((10, 10), (30, 30)), "no outline: 2 different corners, expected 3 or more"),
        (polygon((9, 9), (30, 30), (9, 9)), "no outline: 2 different corners, expected 3 or more"),
        (polygon((9, 9), (30, np.inf), (9, 30)), "no outline: a corner is not a number"),
        (polygon((5, 5), (25, 25), (15, 15)), "no outline: it holds no pixel of the image"),
        (
            polygon((200, 5), (230, 5), (230, 25)),
            "outside the image: (200, 5) to (230, 25)",
        ),
        (
            Annotation(cell_type="RBC", outline=PixelOutline.from_pixels(np.zeros((9, 9), bool))),
            "no outline: the mask is empty",
        ),
        (Annotation(cell_type="RBC", point=(96, 5)), "outside the image: point (96, 5)"),
        (Annotation(cell_type="RBC"), "neither box nor outline nor point"),
    ],
)
def test_a_mark_that_makes_no_sense_is_dropped_and_listed(mark: Annotation, reason: str):
    assert reasons(box(40, 5, 60, 25), mark) == [(2, reason)]


def test_a_broken_ring_does_not_take_the_others_of_its_outline_with_it():
    outline = PolygonOutline.from_points(SQUARE, [(50, 50), (51, 51)])
    (cell,) = cleaned(Annotation(cell_type="RBC", outline=outline)).cells
    assert cell.outline == PolygonOutline.from_points(SQUARE)


def test_what_is_dropped_names_its_file():
    assert cleaned(box(5, 5, 5, 5)).dropped[0].file == "labels/a.json"


def test_corners_are_told_as_they_stand_in_the_file():
    mark = Annotation(cell_type="RBC", box=Box(200, 4, 230, 25), written=(201, 5, 230, 25))
    assert reasons(mark) == [(1, "outside the image: (201, 5) to (230, 25)")]


@pytest.mark.parametrize("corners", [(30, 5, 10, 25), (10, 25, 30, 5), (30, 25, 10, 5)])
def test_swapped_corners_are_sorted(corners):
    (cell,) = cleaned(box(*corners)).cells
    assert cell.box == Box(10, 5, 30, 25)


def test_a_label_to_drop_leaves_neither_a_cell_nor_an_unscored_region():
    clean = cleaned(Annotation(cell_type="region", box=Box(0, 0, 60, 60)), region="drop")
    assert (clean.cells, clean.unscored, clean.dropped) == ([], [], [])


def test_the_second_mark_of_a_cell_is_dropped():
    assert reasons(box(5, 5, 25, 25), box(5, 5, 25, 26)) == [(2, "same RBC as object 1: IoU 0.95")]


def test_marks_of_different_types_are_both_kept():
    assert len(cleaned(box(5, 5, 25, 25), box(5, 5, 25, 25, label="WBC")).cells) == 2


@pytest.mark.parametrize("step", [1, -1])
def test_of_an_outline_and_a_box_of_one_cell_the_outline_is_kept(step: int):
    marks = [polygon(*SQUARE), box(10, 10, 30, 30)]
    (cell,) = cleaned(*marks[::step]).cells
    assert cell.outline is not None


@pytest.mark.parametrize(("step", "dropped"), [(1, 2), (-1, 1)])
def test_of_a_box_and_a_point_of_one_cell_the_box_is_kept(step: int, dropped: int):
    marks = [box(10, 10, 30, 30), Annotation(cell_type="RBC", point=(20, 20))]
    found = cleaned(*marks[::step])
    (cell,) = found.cells
    assert cell.box == Box(10, 10, 30, 30)
    assert [mark.object_index for mark in found.dropped] == [dropped]


def test_a_polygon_that_crosses_itself_is_kept_and_counted():
    found = cleaned(polygon(*BOW), polygon(*((x + 40, y) for x, y in SQUARE)))
    assert (len(found.cells), found.crossing) == (2, 1)


@pytest.mark.parametrize(("ring", "expected"), [(SQUARE, False), (BOW, True)])
def test_crossing_is_seen_wherever_a_polygon_begins(ring, expected):
    for start in range(4):
        turned = np.roll(np.array(ring, float), start, axis=0)
        assert crosses_itself(turned) is expected
        assert crosses_itself(turned[::-1]) is expected


def test_what_is_not_definite_is_a_region_that_is_not_scored():
    found = cleaned(
        Annotation(cell_type="RBC", box=Box(5, 5, 25, 25), is_definite=False),
        Annotation(cell_type="RBC", outline=PolygonOutline.from_points(SQUARE), is_definite=False),
    )
    assert found.cells == []
    assert [region.box for region in found.unscored] == [Box(5, 5, 25, 25), Box(10, 10, 30, 30)]


def test_a_label_that_is_left_out_is_a_region_that_is_not_scored():
    found = cleaned(
        box(5, 5, 25, 25, label="difficult"), Annotation(cell_type="difficult", point=(50, 9))
    )
    assert found.cells == []
    assert len(found.unscored) == 1


@pytest.mark.parametrize("corners", [(5, 5, 1e300, 9), (-5000, 5, 9, 9), (5, -5000, 9, 9)])
def test_a_box_that_goes_far_beyond_the_image_is_dropped_and_listed(corners):
    found = cleaned(box(*corners))
    assert found.cells == []
    assert found.dropped[0].reason.startswith("far outside the image: (")
