import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.drawn_cells import ellipse_box, is_in_ellipse

from blood_cell_system.cells.rescaling import rescale_cells, resize_labels
from blood_cell_system.cells.separation import separate_cells
from blood_cell_system.classes import CellType

SHAPE = (120, 200)
BOXES = [
    ellipse_box(CellType.RBC, 40, 50, 48),
    ellipse_box(CellType.WBC, 120, 60, 64),
    ellipse_box(CellType.RBC, 190, 100, 48),
]


def separated():
    probabilities = np.zeros((*SHAPE, 3), np.float32)
    probabilities[..., 0] = 1
    for box in BOXES:
        value = 1 if box.cell_type == CellType.RBC else 2
        probabilities[is_in_ellipse(box, SHAPE)] = np.eye(3, dtype=np.float32)[value]
    return separate_cells(probabilities, None, None)


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.5, 3.0])
def test_cells_are_as_large_as_the_picture_makes_them(factor):
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
