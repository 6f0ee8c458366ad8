import itertools
from dataclasses import replace

import cv2
import numpy as np
import pytest
from support.colour_runtime import ColourRuntime
from support.colours import RED, WHITE

from blood_cell_system.analysis.image_analysis import AnalysisSettings, BorderRule, analyze_image
from blood_cell_system.analysis.pose import Pose, standard_pose
from blood_cell_system.analysis.scale import magnification_for
from blood_cell_system.analysis.segmentation import find_cells
from blood_cell_system.cells.measures import measure_cells
from blood_cell_system.cells.table import Cells

POSES = [
    Pose(is_transposed=a, mirrors_rows=b, mirrors_columns=c)
    for a, b, c in itertools.product((False, True), repeat=3)
]


class LopsidedRuntime(ColourRuntime):
    """Sees no cell in the right third of an image."""

    def predict(self, batch):
        outputs = super().predict(batch)
        classes = outputs.class_probabilities
        classes[:, :, 2 * classes.shape[2] // 3 :] = (1, 0, 0)
        return replace(outputs, class_probabilities=classes)


def scattered_cells(shape=(300, 400), seed=0):
    image = np.full((*shape, 3), WHITE, np.uint8)
    y, x = np.mgrid[: shape[0], : shape[1]]
    random = np.random.default_rng(seed)
    for _ in range(25):
        row, column = random.uniform(0, shape[0]), random.uniform(0, shape[1])
        image[np.hypot(y - row, x - column) < 18] = RED
    return image


@pytest.mark.parametrize("pose", POSES)
def test_pixels_come_back_from_every_pose(pose):
    pixels = np.arange(24).reshape(2, 4, 3)
    np.testing.assert_array_equal(pose.undo(pose.apply(pixels)), pixels)


@pytest.mark.parametrize("pose", POSES)
def test_places_of_cells_come_back_as_if_measured_anew(pose):
    labels = np.zeros((20, 30), np.int32)
    labels[2:5, 4:9] = 1
    labels[11:18, 20:22] = 2
    given = Cells(label_image=labels).with_columns(cell_type=["RBC", "WBC"])
    given = measure_cells(given, "box", "centroid").with_columns(
        whole_box=[[3.0, 1.0, 10.0, 6.0], [19.0, 10.0, 23.0, 19.0]]
    )
    posed = measure_cells(replace(given, label_image=pose.apply(labels)), "box", "centroid")
    whole = posed["box"] + np.array([-1.0, -1.0, 1.0, 1.0])
    back = pose.undo_cells(posed.with_columns(whole_box=whole))
    np.testing.assert_array_equal(back.label_image, labels)
    assert back["cell_type"].tolist() == ["RBC", "WBC"]
    np.testing.assert_allclose(back["box"], given["box"])
    np.testing.assert_allclose(back["centroid"], given["centroid"])
    np.testing.assert_allclose(back["whole_box"], given["whole_box"])


@pytest.mark.parametrize("shape", [(300, 400), (300, 300)])
@pytest.mark.parametrize("pose", POSES)
def test_all_views_of_an_image_have_one_standard_pose(shape, pose):
    image = scattered_cells(shape)
    seen = pose.apply(image)
    np.testing.assert_array_equal(
        standard_pose(seen).apply(seen), standard_pose(image).apply(image)
    )


def test_losing_a_row_does_not_turn_a_square_image():
    image = scattered_cells((300, 300))
    assert standard_pose(image[1:]) == standard_pose(image) == standard_pose(image[:, 1:])


@pytest.mark.parametrize("pose", POSES)
def test_counts_do_not_depend_on_how_an_image_lies(pose):
    image = scattered_cells()
    found = analyze_image(LopsidedRuntime(), image)
    turned = analyze_image(LopsidedRuntime(), pose.apply(image))
    assert len(turned.cells) == len(found.cells) > 8
    np.testing.assert_array_equal(turned.class_mask, pose.apply(found.class_mask))
    is_cell = pose.apply(found.cells.label_image) > 0
    np.testing.assert_array_equal(turned.cells.label_image > 0, is_cell)


def test_an_image_may_be_analysed_as_it_lies():
    image = scattered_cells()
    settings = AnalysisSettings(keeps_pose=True)
    found = analyze_image(LopsidedRuntime(), image, settings)
    mirrored = analyze_image(LopsidedRuntime(), np.ascontiguousarray(image[:, ::-1]), settings)
    assert not (found.class_mask[:, 280:]).any()
    assert not (mirrored.class_mask[:, 280:]).any()


def test_the_border_rule_takes_the_sides_of_the_image_as_given():
    image = np.full((200, 300, 3), WHITE, np.uint8)
    y, x = np.mgrid[:200, :300]
    for row, column in ((0, 60), (100, 0), (100, 299), (199, 200), (100, 150)):
        image[np.hypot(y - row, x - column) < 20] = RED
    # Cells have soft edges; half discs with hard ones are taken for marks.
    image = cv2.GaussianBlur(image, (0, 0), 1.5)
    for pose in POSES:
        seen = pose.apply(image)
        settings = AnalysisSettings(cell_diameter_px=40, border_rule=BorderRule.TWO_SIDES)
        cells = analyze_image(ColourRuntime(), seen, settings).cells
        assert len(cells) == 5
        at_left_or_top = (cells["box"][:, :2] <= 1).any(axis=1)
        is_inner = ~cells["touches_border"]
        np.testing.assert_array_equal(cells["is_counted"], at_left_or_top | is_inner)


def test_a_network_sees_the_standard_pose_unless_it_is_to_keep_the_given_one():
    image = scattered_cells((200, 300))
    found = find_cells(LopsidedRuntime(), image)
    turned = find_cells(LopsidedRuntime(), np.rot90(image))
    np.testing.assert_array_equal(turned.class_mask, np.rot90(found.class_mask))
    mirrored = np.ascontiguousarray(image[:, ::-1])
    kept = [find_cells(LopsidedRuntime(), seen, keeps_pose=True) for seen in (image, mirrored)]
    # A pallor's filling lets a cell reach a little beyond.
    assert not any(found.class_mask[:, 220:].any() for found in kept)


def test_the_magnification_does_not_depend_on_how_an_image_lies():
    image = scattered_cells()
    given = magnification_for(image, training_diameter_px=61)
    assert magnification_for(np.rot90(image), training_diameter_px=61) == given > 1.2
