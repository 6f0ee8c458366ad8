from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.drawn_cells import ellipse_box, is_in_ellipse

from blood_cell_system.cells import rescaling
from blood_cell_system.cells.rescaling import enlarged_class_mask, rescale_cells, resize_labels
from blood_cell_system.cells.separation import SeparatedCells, most_likely_class, separate_cells
from blood_cell_system.taxonomy import PLATELET, RBC, WBC

SHAPE = (120, 200)
BOXES = [
    ellipse_box(RBC, 40, 50, 48),
    ellipse_box(WBC, 120, 60, 64),
    ellipse_box(RBC, 190, 100, 48),
]


def separated():
    probabilities = np.zeros((*SHAPE, 3), np.float32)
    probabilities[..., 0] = 1
    for box in BOXES:
        value = 1 if box.cell_type == RBC else 2
        probabilities[is_in_ellipse(box, SHAPE)] = np.eye(3, dtype=np.float32)[value]
    return separate_cells(probabilities, None, None)


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.5, 3.0])
def test_cells_are_as_large_as_the_image_makes_them(factor):
    before = separated()
    shape = (round(SHAPE[0] * factor), round(SHAPE[1] * factor))
    after = rescale_cells(before, shape)
    assert after.label_image.shape == shape
    for old, new in zip(before.cells, after.cells, strict=True):
        assert new.cell_type == old.cell_type
        assert new.confidence == old.confidence
        assert new.area_px == pytest.approx(old.area_px * factor**2, rel=0.05)
        assert new.centroid == pytest.approx(np.multiply(old.centroid, factor), abs=1)
        assert new.touches_border == old.touches_border


def test_cells_measure_what_the_label_image_shows():
    after = rescale_cells(separated(), (75, 125))
    for cell in after.cells:
        rows, columns = np.nonzero(after.label_image == cell.label)
        assert cell.area_px == len(rows)
        assert (cell.box.x_min, cell.box.y_max) == (columns.min(), rows.max() + 1)
        assert cell.centroid == pytest.approx((columns.mean() + 0.5, rows.mean() + 0.5))


def test_cells_of_which_nothing_is_left_are_gone():
    after = rescale_cells(separated(), (1, 2))
    assert [cell.label for cell in after.cells] == list(range(1, len(after.cells) + 1))
    assert set(np.unique(after.label_image)) <= set(range(len(after.cells) + 1))


def test_at_the_same_size_nothing_changes():
    before = separated()
    assert rescale_cells(before, SHAPE) is before


@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.booleans()
)
def test_resized_labels_are_labels_that_were_there(height, width, new_height, new_width, many):
    dtype, limit = (np.int32, 2**31 - 1) if many else (np.uint8, 256)
    labels = np.random.default_rng(0).integers(0, limit, (height, width)).astype(dtype)
    resized = resize_labels(labels, (new_height, new_width))
    assert resized.dtype == dtype
    assert resized.shape == (new_height, new_width)
    assert np.isin(resized, labels).all()


def seen_small(boxes, shape, factor):
    """What a network that sees the image made smaller says of it."""
    classes = np.zeros(shape, np.uint8)
    for box in boxes:
        classes[is_in_ellipse(box, shape)] = 1 if box.cell_type == RBC else 2
    probabilities = np.eye(3, dtype=np.float32)[classes]
    small = cv2.resize(
        probabilities,
        (round(shape[1] * factor), round(shape[0] * factor)),
        interpolation=cv2.INTER_AREA,
    )
    return small, classes


@pytest.mark.parametrize("factor", [0.4, 0.64, 0.8])
def test_interpolated_probabilities_bring_boundaries_back_to_their_places(factor):
    small, classes = seen_small(BOXES, SHAPE, factor)
    enlarged = enlarged_class_mask(small, SHAPE)
    stairs = resize_labels(most_likely_class(small), SHAPE)
    assert (enlarged != classes).sum() < 0.5 * (stairs != classes).sum()
    assert (enlarged != classes).mean() < 0.004


def test_strips_of_a_large_image_have_no_seams(monkeypatch):
    small, _ = seen_small(BOXES, SHAPE, 0.64)
    whole = enlarged_class_mask(small, SHAPE)
    monkeypatch.setattr(rescaling, "_STRIP_ROWS", 7)
    np.testing.assert_array_equal(enlarged_class_mask(small, SHAPE), whole)


def test_cells_end_where_the_large_class_mask_does():
    small, classes = seen_small(BOXES, SHAPE, 0.64)
    found = rescale_cells(separate_cells(small, None, None), SHAPE, class_mask=classes)
    assert [cell.cell_type for cell in found.cells] == [RBC, WBC, RBC]
    np.testing.assert_array_equal(found.label_image > 0, classes > 0)


def test_a_filled_pallor_stays_with_its_cell():
    small, classes = seen_small(BOXES[:1], SHAPE, 0.64)
    cell = separate_cells(small, None, None)
    classes[46:54, 36:44] = 0
    found = rescale_cells(cell, SHAPE, class_mask=classes)
    assert found.label_image[50, 40] == 1


def test_platelets_keep_their_place_though_no_class_mask_shows_them():
    labels = np.zeros((64, 64), np.int32)
    labels[20:30, 30:42] = 1
    platelet = replace(separated().cells[0], cell_type=PLATELET)
    before = SeparatedCells(label_image=labels, cells=(platelet,))
    found = rescale_cells(before, (100, 100), class_mask=np.zeros((100, 100), np.uint8))
    (cell,) = found.cells
    assert cell.area_px == pytest.approx(120 * (100 / 64) ** 2, rel=0.06)
