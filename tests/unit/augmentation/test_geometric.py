import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.augmentation.augmentation_settings import AugmentationSettings
from blood_cell_system.augmentation.geometric import (
    Geometry,
    sample_geometry,
    transform_boxes,
    transform_cells,
    warp,
)
from blood_cell_system.boxes import Box
from blood_cell_system.taxonomy import RBC

SHAPE = (96, 128)
MIRROR = Geometry(matrix=np.array([[-1.0, 0, SHAPE[1]], [0, 1, 0]]))
SETTINGS = AugmentationSettings()
ELASTIC = AugmentationSettings(elastic_share=1)


def draw_field(shape=SHAPE) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    image = generator.integers(0, 256, (*shape, 3), dtype=np.uint8)
    class_mask = generator.choice(np.array([0, 1, 2, 255], np.uint8), shape)
    return image, class_mask, generator.integers(0, 400, shape).astype(np.uint16)


def box(x_min: float, y_min: float, x_max: float, y_max: float) -> Annotation:
    return Annotation(cell_type=RBC, box=Box(x_min, y_min, x_max, y_max))


def corners(cell: Annotation) -> tuple[float, float, float, float]:
    return cell.x_min, cell.y_min, cell.x_max, cell.y_max


def drawn(seed: int, settings=SETTINGS, centre=(64.0, 48.0), shape=SHAPE) -> Geometry:
    generator = np.random.default_rng(seed)
    return sample_geometry(generator, settings, centre=centre, output_shape=shape)


def ellipse_of(cell: Annotation, shape=SHAPE) -> np.ndarray:
    rows, columns = np.indices(shape) + 0.5
    x, y = cell.centre
    inside = ((columns - x) / cell.width) ** 2 + ((rows - y) / cell.height) ** 2 <= 0.25
    return inside.astype(np.uint16)


def test_a_mirrored_image_is_numpys_mirror():
    for moved, array in zip(warp(*draw_field(), MIRROR, SHAPE), draw_field(), strict=True):
        assert np.array_equal(moved, array[:, ::-1])


def test_mirroring_twice_changes_nothing():
    once = warp(*draw_field(), MIRROR, SHAPE)
    for twice, array in zip(warp(*once, MIRROR, SHAPE), draw_field(), strict=True):
        assert np.array_equal(twice, array)


def test_mirroring_a_box_twice_changes_nothing():
    cells = (box(3, 4, 40, 30), box(50, 60, 70, 95.5))
    once = transform_boxes(cells, MIRROR, SHAPE)
    assert corners(once[0]) == (128 - 40, 4, 128 - 3, 30)
    assert transform_boxes(once, MIRROR, SHAPE) == cells


def test_a_quarter_turn_moves_every_pixel_exactly():
    image, class_mask, labels = draw_field((64, 64))
    turn = Geometry(matrix=np.array([[0.0, 1, 0], [-1, 0, 64]]))
    moved = warp(image, class_mask, labels, turn, (64, 64))
    for result, array in zip(moved, (image, class_mask, labels), strict=True):
        assert np.array_equal(result, np.rot90(array))


def test_a_crop_shows_the_centre_in_its_middle():
    image, class_mask, labels = draw_field()
    settings = AugmentationSettings(
        any_angle_share=0, flip_share=0, scale_range=(1, 1), elastic_share=0
    )
    for seed in range(8):
        geometry = drawn(seed, settings, centre=(70.5, 40.5), shape=(31, 31))
        crop, mask, crop_labels = warp(image, class_mask, labels, geometry, (31, 31))
        assert np.array_equal(crop[15, 15], image[40, 70])
        assert mask[15, 15] == class_mask[40, 70]
        assert crop_labels[15, 15] == labels[40, 70]


def test_without_a_label_image_there_is_none():
    image, class_mask, _ = draw_field()
    assert warp(image, class_mask, None, MIRROR, SHAPE)[2] is None


@given(
    st.integers(0, 2**32),
    st.floats(-200, 300),
    st.floats(-200, 300),
    st.sampled_from([SETTINGS, ELASTIC]),
)
def test_masks_stay_valid_for_any_geometry(seed, x, y, settings):
    image, class_mask, labels = draw_field()
    geometry = drawn(seed, settings, centre=(x, y), shape=(40, 56))
    crop, mask, moved_labels = warp(image, class_mask, labels, geometry, (40, 56))
    assert crop.shape == (40, 56, 3)
    assert set(np.unique(mask)) <= {0, 1, 2, 255}
    assert moved_labels.dtype == np.uint16
    assert set(np.unique(moved_labels)) <= {0, *np.unique(labels)}


@given(st.integers(0, 2**32), st.sampled_from([SETTINGS, ELASTIC]))
def test_nothing_is_scored_or_labelled_outside_of_the_image(seed, settings):
    image, class_mask, labels = draw_field()
    geometry = drawn(seed, settings, centre=(1000.0, -900.0))
    _, mask, moved_labels = warp(image, class_mask, labels, geometry, SHAPE)
    assert (mask == 255).all()
    assert (moved_labels == 0).all()


def test_a_rotation_invents_no_background():
    image, class_mask, labels = draw_field()
    class_mask[:] = 1
    for seed in range(20):
        _, mask, _ = warp(image, class_mask, labels, drawn(seed, ELASTIC), SHAPE)
        assert set(np.unique(mask)) <= {1, 255}


def test_outside_of_the_image_there_is_its_mean_colour():
    image = np.full((*SHAPE, 3), (200, 150, 100), np.uint8)
    mask = np.zeros(SHAPE, np.uint8)
    crop, _, _ = warp(image, mask, None, drawn(1, centre=(0.0, 0.0)), SHAPE)
    assert (crop == (200, 150, 100)).all()


@pytest.mark.parametrize("scale", [0.25, 0.4, 0.6])
def test_an_image_made_smaller_is_averaged_not_sampled(scale: float):
    checks = (np.indices((256, 256)).sum(axis=0) % 2 * 255).astype(np.uint8)
    settings = AugmentationSettings(any_angle_share=0, scale_range=(scale, scale), elastic_share=0)
    geometry = drawn(0, settings, centre=(128.0, 128.0), shape=(48, 48))
    image = cv2.merge([checks] * 3)
    crop, _, _ = warp(image, np.zeros((256, 256), np.uint8), None, geometry, (48, 48))
    assert abs(crop.astype(float).mean() - 127.5) < 2
    assert crop.std() < 20


@pytest.mark.parametrize("seed", range(12))
def test_an_image_made_smaller_stays_in_place_with_its_mask(seed: int):
    mask = ellipse_of(box(60, 30, 230, 160), (201, 303)).astype(np.uint8)
    image = cv2.merge([mask * 255] * 3)
    settings = AugmentationSettings(scale_range=(0.3, 0.7), elastic_share=seed % 2)
    geometry = drawn(seed, settings, centre=(150.0, 100.0), shape=(128, 128))
    crop, moved, _ = warp(image, mask, None, geometry, (128, 128))
    seen = moved != 255
    assert np.abs(crop[seen, 0] / 255.0 - moved[seen]).mean() < 0.02


@given(st.integers(0, 2**32), st.sampled_from([SETTINGS, ELASTIC]))
def test_the_moved_box_is_tight_around_the_moved_ellipse(seed, settings):
    cell = box(44, 36, 86, 62)
    shape = (160, 160)
    geometry = drawn(seed, settings, shape=shape)
    labels = ellipse_of(cell)
    image = np.zeros((*SHAPE, 3), np.uint8)
    _, _, moved = warp(image, np.zeros(SHAPE, np.uint8), labels, geometry, shape)
    (moved_box,) = transform_boxes([cell], geometry, shape)
    rows, columns = np.nonzero(moved)
    found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    # Half a pixel of the source's ellipse, magnified, and the points of an elastic outline.
    assert np.abs(np.subtract(found, corners(moved_box))).max() < 3


@pytest.mark.parametrize("angle", [0.3, 1.2, 2.9])
def test_a_turned_circle_keeps_its_box(angle: float):
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    middle = np.array([64.0, 48.0])
    geometry = Geometry(matrix=np.column_stack([turn, middle - turn @ middle]))
    (moved,) = transform_boxes([box(54, 38, 74, 58)], geometry, SHAPE)
    assert np.allclose(corners(moved), (54, 38, 74, 58))


def test_a_displacement_moves_boxes_against_its_direction():
    shift = np.full((*SHAPE, 2), (7, -3), np.float32)
    geometry = Geometry(matrix=np.eye(2, 3), displacement=shift)
    (moved,) = transform_boxes([box(40, 40, 60, 60)], geometry, SHAPE)
    assert np.allclose(corners(moved), (33, 43, 53, 63), atol=0.1)


def test_a_cell_of_which_little_is_in_view_has_no_box():
    identity = Geometry(matrix=np.eye(2, 3))
    cells = (box(-30, 10, 5, 30), box(-10, 10, 20, 30), box(200, 10, 230, 30))
    moved = transform_cells(cells, identity, SHAPE)
    assert [cell is None for cell in moved] == [True, False, True]
    assert corners(moved[1]) == (0, 10, 20, 30)


def test_no_cells_are_no_boxes():
    assert transform_boxes((), MIRROR, SHAPE) == ()


def test_equal_seeds_give_equal_geometries():
    first, second = drawn(9, ELASTIC), drawn(9, ELASTIC)
    assert np.array_equal(first.matrix, second.matrix)
    assert np.array_equal(first.displacement, second.displacement)


@given(st.integers(0, 2**32))
def test_the_magnification_stays_in_its_range(seed):
    linear = drawn(seed).matrix[:, :2]
    scale = math.sqrt(abs(np.linalg.det(linear)))
    assert 0.4 - 1e-9 <= scale <= 1.6 + 1e-9
    assert np.allclose(linear @ linear.T, np.eye(2) * scale**2)


def test_all_quarter_turns_and_mirrors_occur():
    settings = AugmentationSettings(any_angle_share=0, scale_range=(1, 1))
    seen = {tuple(drawn(seed, settings).matrix[:, :2].round(9).ravel() + 0.0) for seed in range(99)}
    assert len(seen) == 8
