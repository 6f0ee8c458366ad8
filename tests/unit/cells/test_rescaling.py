from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.drawn_cells import ellipse_box, is_in_ellipse

from blood_cell_system.cells import rescaling
from blood_cell_system.cells.rescaling import enlarged_class_mask, rescale_cells, resize_labels
from blood_cell_system.cells.separation import most_likely_class, separate_cells
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
    for name in ("cell_type", "confidence", "touches_border"):
        assert after[name].tolist() == before[name].tolist()
    assert after["area"] == pytest.approx(before["area"] * factor**2, rel=0.05)
    assert after["centroid"] == pytest.approx(before["centroid"] * factor, abs=1)


def test_cells_measure_what_the_label_image_shows():
    after = rescale_cells(separated(), (75, 125))
    assert len(after) == 3
    for row, label in enumerate(after.ids):
        rows, columns = np.nonzero(after.label_image == label)
        assert after["area"][row] == len(rows)
        assert after["box"][row, 0] == columns.min()
        assert after["box"][row, 3] == rows.max() + 1
        middle = (columns.mean() + 0.5, rows.mean() + 0.5)
        assert after["centroid"][row] == pytest.approx(middle)


def test_cells_of_which_nothing_is_left_are_gone():
    after = rescale_cells(separated(), (1, 2))
    assert set(np.unique(after.label_image)) | {0} == {0, *after.ids}


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
    monkeypatch.setattr(rescaling, "_STRIP_PX", 7 * SHAPE[1])
    np.testing.assert_array_equal(enlarged_class_mask(small, SHAPE), whole)


def test_cells_end_where_the_large_class_mask_does():
    small, classes = seen_small(BOXES, SHAPE, 0.64)
    found = rescale_cells(separate_cells(small, None, None), SHAPE, class_mask=classes)
    assert found["cell_type"].tolist() == [RBC, WBC, RBC]
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
    one = separated().select(np.array([0]))
    before = replace(one, label_image=labels).with_columns(cell_type=[PLATELET])
    found = rescale_cells(before, (100, 100), class_mask=np.zeros((100, 100), np.uint8))
    assert found["area"] == pytest.approx(120 * (100 / 64) ** 2, rel=0.06)
