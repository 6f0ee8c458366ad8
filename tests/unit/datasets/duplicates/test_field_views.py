import cv2
import numpy as np
import pytest
from support.fields import cropped, drawn_fields, stage_moved

from blood_cell_system.datasets.duplicates.field_alignment import field_view, same_field_pairs


@pytest.fixture(scope="module")
def fields():
    return drawn_fields(6)


CHANGES = {
    "flipped": lambda image: image[::-1],
    "turned": lambda image: np.rot90(image),
    "darker and tinted": lambda image: (image * [0.8, 0.6, 0.9]).astype(np.uint8),
    "channels exchanged": lambda image: image[:, :, ::-1],
    "recompressed": lambda image: cv2.imdecode(
        cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], 1
    ),
    "half as large": lambda image: cv2.resize(image, None, fx=0.5, fy=0.5),
    "enlarged": lambda image: cv2.resize(image, None, fx=1.5, fy=1.5),
    "cut": cropped,
    "cut and turned": lambda image: np.rot90(cropped(image)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_shows_the_same_field(fields, change):
    copy = np.ascontiguousarray(CHANGES[change](fields[2]))
    pairs, _ = same_field_pairs([field_view(image) for image in (*fields, copy)])
    assert pairs.tolist() == [[2, len(fields)]]


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize(("down", "across"), [(0.08, 0.09), (0.05, 0), (0.03, 0.1)])
def test_a_field_of_which_the_stage_was_moved_a_little_is_the_same_field(
    fields, down, across, turn
):
    first, second = stage_moved(fields[2], down=down, across=across)
    images = (fields[0], first, fields[1], np.rot90(second, turn))
    pairs, _ = same_field_pairs([field_view(np.ascontiguousarray(image)) for image in images])
    assert pairs.tolist() == [[1, 3]]


def test_an_image_of_nothing_has_no_view():
    assert field_view(np.full((90, 120, 3), 200, dtype=np.uint8)) is None


def test_one_image_has_no_pair(fields):
    pairs, correlations = same_field_pairs([field_view(fields[0])])
    assert pairs.shape == (0, 2)
    assert len(correlations) == 0


def single_cell(seed, tone):
    """One dark disc in the middle, grainy inside: as images of single cells are."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:160, :160]
    grain = cv2.GaussianBlur(generator.normal(0, 1, (160, 160)), (0, 0), 4) * 300
    is_cell = np.hypot(rows - 80, columns - 80) < 40
    gray = np.where(is_cell, tone + grain, 230)
    return np.clip(np.repeat(gray[:, :, None], 3, axis=2), 0, 255).astype(np.uint8)


def test_cells_in_the_middle_of_two_images_do_not_make_them_one_field():
    pairs, _ = same_field_pairs([field_view(single_cell(seed, 90)) for seed in range(4)])
    assert len(pairs) == 0
