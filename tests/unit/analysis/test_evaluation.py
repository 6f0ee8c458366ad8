import math
from dataclasses import replace

import numpy as np
import pytest
from support.prepared_cells import ColourRuntime, write_cells_folder

from blood_cell_system.analysis.segmenter_evaluation import EvaluationSettings, evaluate
from blood_cell_system.annotation.sample import Origin
from blood_cell_system.datasets.prepared import PreparedDataset
from blood_cell_system.errors import DatasetError
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.metrics.matching import TruthKind
from blood_cell_system.taxonomy import RBC, WBC


@pytest.fixture
def images(tmp_path):
    return PreparedDataset.open(write_cells_folder(tmp_path, splits=["test"] * 4)).images


def test_a_perfect_model_has_perfect_scores(images):
    result = evaluate(ColourRuntime(), images)
    assert result.confusion.mean_iou == 1.0
    assert result.mean_iou_interval == (1.0, 1.0)
    (cells,) = result.cells
    assert cells.matching.truth == TruthKind.OUTLINES
    assert cells.matching.matches[RBC][0.9].f1 == 1.0
    assert cells.counts[RBC].error.true_total == 1 + 2 + 3 + 4


def test_annotated_boxes_are_compared_as_boxes(tmp_path):
    root = write_cells_folder(tmp_path, splits=["test"] * 2, with_outlines=False)
    (cells,) = evaluate(ColourRuntime(), PreparedDataset.open(root).images).cells
    assert cells.matching.truth == TruthKind.BOXES
    assert cells.matching.matches[WBC][0.9].matched == 2


def test_both_kinds_of_truth_are_scored_apart(images):
    mixed = [images[0], replace(images[1], instance_path=None)]
    kinds = [cells.matching.truth for cells in evaluate(ColourRuntime(), mixed).cells]
    assert kinds == [TruthKind.OUTLINES, TruthKind.BOXES]


def test_images_without_cells_are_scored_by_pixels_only(images):
    result = evaluate(ColourRuntime(), [replace(images[0], cells=None)])
    assert result.cells == ()
    assert result.confusion.mean_iou == 1.0


def test_one_unreadable_image_does_not_stop_the_others(images):
    images[1].image_path.write_bytes(b"no image")
    result = evaluate(ColourRuntime(), images)
    assert [failure.stem for failure in result.failures] == ["img_1"]
    assert "img_1.png" in result.failures[0].reason
    assert len(result.images) == 3


def test_labels_that_do_not_fit_the_cells_are_a_failure(images):
    write_image(images[0].instance_path, np.full((96, 192), 99, np.uint16))
    (failure,) = evaluate(ColourRuntime(), images).failures
    assert "labels up to 99" in failure.reason


def test_nothing_measured_is_an_error(images):
    images[0].image_path.write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"img_0\.png"):
        evaluate(ColourRuntime(), images[:1])


def test_no_images_are_an_error():
    with pytest.raises(DatasetError, match="expected one at least"):
        evaluate(ColourRuntime(), [])


def test_the_worst_images_come_first(images):
    class_mask = np.zeros((96, 192, 3), np.uint8)
    class_mask[..., 2] = 255
    write_image(images[2].mask_path, class_mask)
    result = evaluate(ColourRuntime(), images)
    worst = result.worst(2)
    assert worst[0].stem == "img_2"
    assert len(worst) == 2


def test_an_image_without_a_scored_pixel_is_never_the_worst(images):
    write_image(images[0].mask_path, np.zeros((96, 192, 3), np.uint8))
    result = evaluate(ColourRuntime(), images)
    assert math.isnan(result.worst(4)[-1].confusion.mean_iou)


def test_the_interval_holds_the_mean_and_comes_again_with_the_seed(images):
    half = images[2].read()[1]
    half[:, ::2] = 0
    write_image(images[2].mask_path, np.eye(3, dtype=np.uint8)[half] * 255)
    result = evaluate(ColourRuntime(), images, seed=3)
    low, high = result.mean_iou_interval
    assert low < result.confusion.mean_iou < high
    assert evaluate(ColourRuntime(), images, seed=3).mean_iou_interval == (low, high)


def test_a_single_image_has_no_interval(images):
    assert evaluate(ColourRuntime(), images[:1]).mean_iou_interval is None


def test_training_images_give_the_constant_answer_without_their_copies(images):
    copy = replace(images[3], stem="img_3_aug", original="img_3")
    result = evaluate(
        ColourRuntime(), images[:1], training_images=[images[0], images[1], copy, copy]
    )
    assert result.cells[0].counts[RBC].training_constant == 1


def test_images_are_shown_at_the_size_that_the_network_knows(images):
    runtime = SeenBy(training_diameter_px=40)
    settings = EvaluationSettings(cell_diameters={images[0].source: 20.0})
    result = evaluate(runtime, images[:1], settings=settings)
    height, width = images[0].read()[1].shape
    assert runtime.seen == [(2 * height, 2 * width)]
    assert result.confusion.mean_iou > 0.95


@pytest.mark.parametrize(
    ("diameter", "source"), [(None, "unknown"), (40, "another source")], ids=["network", "image"]
)
def test_where_a_diameter_is_not_known_images_are_taken_as_they_are(images, diameter, source):
    runtime = SeenBy(training_diameter_px=diameter)
    evaluate(runtime, images[:1], settings=EvaluationSettings(cell_diameters={source: 20.0}))
    assert runtime.seen == [images[0].read()[1].shape]


class SeenBy(ColourRuntime):
    """Remembers the sizes of the images that it was shown."""

    def __init__(self, *, training_diameter_px):
        super().__init__()
        self.training_diameter_px = training_diameter_px
        self.seen = []

    def predict(self, batch):
        self.seen.append(batch.shape[1:3])
        return super().predict(batch)


def test_a_point_of_which_nobody_knows_the_size_is_no_box_to_match(images):
    point = replace(images[0].cells[-1], origin=Origin.POINT)
    images = [replace(images[0], instance_path=None, cells=(*images[0].cells[:-1], point))]
    (cells,) = evaluate(ColourRuntime(), images).cells
    assert cells.counts[WBC].error.true_total == 0
    assert cells.counts[RBC].error.true_total == 1
