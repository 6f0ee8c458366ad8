import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from blood_cell_system.annotation.sample import Annotation, Origin
from blood_cell_system.boxes import Box
from blood_cell_system.cells.peaks import CellPeaks
from blood_cell_system.datasets.prepared import DecodedImage
from blood_cell_system.errors import CheckpointError
from blood_cell_system.networks.reynolds_unet import ReynoldsUNetConfig, build_reynolds_unet
from blood_cell_system.taxonomy import BUILT_IN, NOT_SCORED, PLATELET, RBC, WBC, MaskClass
from blood_cell_system.training.peak_calibration import (
    THRESHOLDS,
    bake_thresholds,
    best_thresholds,
    peak_finder,
)

SIDE = 400


def box(x, y, cell_type=RBC, origin=Origin.ANNOTATED):
    return Annotation(cell_type=cell_type, box=Box(x - 8, y - 8, x + 8, y + 8), origin=origin)


def places(count):
    """Places of cells that do not touch, from the upper left corner on."""
    return [(20.0 + 40 * (i % 9), 20.0 + 40 * (i // 9)) for i in range(count)]


def image(cells, *, unmarked=(), class_mask=None):
    mask = np.zeros((SIDE, SIDE), np.uint8) if class_mask is None else class_mask
    return DecodedImage(
        pixels=np.zeros((SIDE, SIDE, 3), np.uint8),
        class_mask=mask,
        label_image=None,
        cells=cells,
        unmarked_types=unmarked,
    )


def finder(centres, scores, cell_type=RBC):
    """Peaks at these places with these heights, whatever the image."""
    order = np.argsort(scores)[::-1]

    def peaks_in(pixels, settings):
        count = len(scores)
        return CellPeaks(
            type_index=np.full(count, BUILT_IN.names.index(cell_type)),
            centre=np.array(centres, float).reshape(-1, 2)[order],
            size=np.full((count, 2), 16.0),
            score=np.array(scores, float)[order],
        )

    return peaks_in


def test_threshold_lies_between_the_peaks_of_cells_and_those_of_chance():
    where = places(80)
    scores = [0.32] * 50 + [0.11] * 30
    found = best_thresholds([image([box(*at) for at in where[:50]])], finder(where, scores))
    assert 0.11 < found[RBC] <= 0.32


def test_of_equally_good_thresholds_the_middle_one_is_taken():
    where = places(50)
    found = best_thresholds([image([box(*at) for at in where])], finder(where, [0.5] * 50))
    good = [threshold for threshold in THRESHOLDS if threshold <= 0.5]
    assert found[RBC] == good[(len(good) - 1) // 2]


def test_types_with_few_cells_are_left_as_they_are():
    where = places(39)
    images = [image([box(*at) for at in where])]
    assert best_thresholds(images, finder(where, [0.2] * 39)) == {}


def test_cells_of_several_images_count_together():
    where = places(25)
    images = [image([box(*at) for at in where])] * 2
    assert RBC in best_thresholds(images, finder(where, [0.2] * 25))


def test_a_type_that_nobody_marked_in_an_image_does_not_count_there():
    where = places(50)
    cells = [box(*at, PLATELET) for at in where]
    images = [image(cells, unmarked=(PLATELET,))]
    assert best_thresholds(images, finder(where, [0.2] * 50, PLATELET)) == {}


def test_images_of_which_nobody_has_said_where_cells_are_do_not_count():
    assert best_thresholds([image(None)], finder([], [])) == {}


@pytest.mark.parametrize("value", [NOT_SCORED, MaskClass.RBC])
def test_peaks_where_nobody_has_said_what_is_there_are_not_held_against_a_threshold(value):
    where = places(81)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for x, y in where[50:]:
        mask[int(y) - 8 : int(y) + 8, int(x) - 8 : int(x) + 8] = value
    cells = [box(*at) for at in where[:50]]
    peaks = finder(where, [0.5] * 36 + [0.2] * 14 + [0.3] * 31)
    # Without an excuse it is better to miss the 14 low ones than to believe the other 31.
    assert best_thresholds([image(cells)], peaks)[RBC] > 0.3
    assert best_thresholds([image(cells, class_mask=mask)], peaks)[RBC] <= 0.2


def test_points_are_no_cells_whose_size_could_match():
    where = places(50)
    cells = [box(*at, origin=Origin.POINT) for at in where]
    assert best_thresholds([image(cells)], finder(where, [0.2] * 50)) == {}


def tiny_segmenter():
    keras.utils.set_random_seed(0)
    return build_reynolds_unet(ReynoldsUNetConfig(widths=(4, 4, 8), d_reduced=0))


@pytest.fixture(scope="module")
def model():
    return tiny_segmenter()


@given(found=st.floats(0.05, 0.7))
def test_what_was_at_the_threshold_found_comes_to_the_usual_one(found):
    before = np.log(found / (1 - found))
    layer = type("Layer", (), {"name": "centre_logits", "bias": keras.Variable(np.zeros(3))})
    stand_in = type("Model", (), {"name": "m", "layers": [layer]})
    bake_thresholds(stand_in, {RBC: found})
    after = 1 / (1 + np.exp(-(before + np.asarray(layer.bias)[0])))
    assert after == pytest.approx(BUILT_IN[RBC].detection.peak_threshold, abs=1e-5)


def test_other_types_and_the_classes_stay_as_they_are(model):
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype(np.float32)
    before = model.predict_on_batch(pixels)
    bake_thresholds(model, {WBC: 0.1})
    after = model.predict_on_batch(pixels)
    wbc = BUILT_IN.names.index(WBC)
    others = [index for index in range(len(BUILT_IN.names)) if index != wbc]
    np.testing.assert_array_equal(before["centres"][..., others], after["centres"][..., others])
    assert (after["centres"][..., wbc] > before["centres"][..., wbc]).all()
    np.testing.assert_array_equal(before["classes"], after["classes"])
    np.testing.assert_array_equal(before["log_size"], after["log_size"])


def test_a_model_without_centres_is_an_error():
    plain = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(3, 1, name="by_colour")])
    with pytest.raises(CheckpointError, match="has no layer 'centre_logits'"):
        bake_thresholds(plain, {RBC: 0.2})


def test_peaks_are_found_in_images_of_any_size(model):
    pixels = np.random.default_rng(0).integers(0, 255, (70, 101, 3)).astype(np.uint8)
    everything = BUILT_IN.with_detection(peak_threshold=1e-6, min_agreement=0.0)
    peaks = peak_finder(model)(pixels, everything)
    assert len(peaks) > 0
    assert (peaks.centre >= 0).all()
    # The maps' last places reach beyond the image by less than one place.
    assert (peaks.centre < [104, 72]).all()
