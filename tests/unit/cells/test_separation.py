import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.drawn_cells import ellipse_box, perfect_outputs, touching_field

from blood_cell_system.cells.separation import (
    SHAPE_ONLY,
    SeparationSettings,
    most_likely_class,
    separate_cells,
)
from blood_cell_system.metrics.matching import Overlaps, match
from blood_cell_system.taxonomy import BUILT_IN, PLATELET, RBC, WBC

RBC, WBC, PLATELET = RBC, WBC, PLATELET


def f1_against(truth, found, true_count, threshold=0.5):
    overlaps = Overlaps.of_labels(
        truth, found.label_image, true_count=true_count, found_count=len(found)
    )
    return match(overlaps, threshold).f1


def types_of(found):
    return sorted(found["cell_type"])


@pytest.mark.parametrize("seed", range(6))
def test_perfect_heat_maps_give_back_every_drawn_cell(seed):
    boxes = touching_field(seed=seed)
    probabilities, heat, log_size, truth = perfect_outputs(boxes, (480, 640))
    found = separate_cells(probabilities, heat, log_size)
    assert f1_against(truth, found, len(boxes)) >= 0.98
    assert f1_against(truth, found, len(boxes), 0.75) >= 0.9


@pytest.mark.parametrize("seed", range(6))
def test_without_heat_maps_most_touching_cells_come_apart(seed):
    boxes = touching_field(seed=seed)
    probabilities, _, _, truth = perfect_outputs(boxes, (480, 640))
    found = separate_cells(probabilities, None, None)
    assert f1_against(truth, found, len(boxes)) >= 0.85


@pytest.mark.parametrize("heads", [True, False])
def test_two_touching_discs_are_two_cells_cut_in_the_middle(heads):
    boxes = [ellipse_box(RBC, 60, 60, 80), ellipse_box(RBC, 138, 60, 80)]
    probabilities, heat, log_size, _ = perfect_outputs(boxes, (120, 200))
    found = separate_cells(probabilities, *((heat, log_size) if heads else (None, None)))
    first, second = sorted(found["box"].tolist())
    assert first[2] == pytest.approx(99, abs=2)
    assert second[0] == pytest.approx(99, abs=2)


@pytest.mark.parametrize("heads", [True, False])
def test_a_ring_is_one_cell_with_its_pallor(heads):
    box = ellipse_box(RBC, 64, 64, 80)
    probabilities, heat, log_size, truth = perfect_outputs([box], (128, 128), ring=0.5)
    found = separate_cells(probabilities, *((heat, log_size) if heads else (None, None)))
    assert types_of(found) == ["RBC"]
    assert found["area"][0] == pytest.approx((truth > 0).sum(), rel=0.02)


def test_the_gap_between_touching_cells_belongs_to_none():
    boxes = [ellipse_box(RBC, x, y, 81) for x in (60, 140) for y in (60, 140)]
    probabilities, _, _, truth = perfect_outputs(boxes, (200, 200))
    found = separate_cells(probabilities, None, None)
    assert found.label_image[100, 100] == 0
    assert f1_against(truth, found, 4, 0.9) == 1.0


def test_a_clump_with_centres_comes_apart_completely():
    boxes = [
        ellipse_box(RBC, 80 + 62 * column + 31 * (row % 2), 70 + 56 * row, 80)
        for row in range(5)
        for column in range(6)
    ]
    probabilities, heat, log_size, truth = perfect_outputs(boxes, (384, 512))
    found = separate_cells(probabilities, heat, log_size)
    assert f1_against(truth, found, len(boxes)) == 1.0


@pytest.mark.parametrize("heads", [True, False])
def test_nothing_gives_no_cells(heads):
    probabilities, heat, log_size, _ = perfect_outputs([], (50, 70))
    found = separate_cells(probabilities, *((heat, log_size) if heads else (None, None)))
    assert len(found) == 0
    assert not found.label_image.any()


@pytest.mark.parametrize("heads", [True, False])
def test_a_cell_that_fills_the_image_is_one_cell(heads):
    box = ellipse_box(WBC, 100, 80, 500, 500)
    probabilities, heat, log_size, _ = perfect_outputs([box], (160, 200))
    found = separate_cells(probabilities, *((heat, log_size) if heads else (None, None)))
    assert types_of(found) == ["WBC"]
    assert found["area"][0] == 160 * 200
    assert found["touches_border"][0]


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2))
@settings(max_examples=20)
def test_images_of_a_few_pixels_do_no_harm(height, width, value):
    probabilities = np.zeros((height, width, 3), dtype=np.float32)
    probabilities[:, :, value] = 1
    small = -(-height // 4), -(-width // 4)
    heat = np.ones((*small, 3), dtype=np.float32)
    found = separate_cells(probabilities, heat, np.zeros((*small, 2), dtype=np.float32))
    assert found.label_image.shape == (height, width)
    assert len(found) <= 1


def test_several_peaks_in_one_white_cell_are_one_cell():
    box = ellipse_box(WBC, 128, 128, 160, 150)
    lobes = [ellipse_box(WBC, 128 + dx, 128 + dy, 70) for dx, dy in ((-30, 0), (25, 25), (20, -28))]
    probabilities, heat, log_size, _ = perfect_outputs([box], (256, 256))
    _, lobe_heat, _, _ = perfect_outputs(lobes, (256, 256))
    found = separate_cells(probabilities, np.maximum(heat, 0.8 * lobe_heat), log_size)
    assert types_of(found) == ["WBC"]


def test_a_peak_that_the_class_mask_contradicts_is_no_cell():
    boxes = [ellipse_box(RBC, 100, 100, 80)]
    probabilities, heat, log_size, _ = perfect_outputs(boxes, (200, 200))
    elsewhere = perfect_outputs([ellipse_box(WBC, 100, 100, 80)], (200, 200))[1]
    found = separate_cells(probabilities, np.maximum(heat, elsewhere), log_size)
    assert types_of(found) == ["RBC"]


def test_a_platelet_takes_the_background_of_its_ellipse():
    boxes = [ellipse_box(RBC, 60, 64, 80), ellipse_box(PLATELET, 110, 64, 24)]
    probabilities, heat, log_size, truth = perfect_outputs(boxes, (128, 160))
    found = separate_cells(probabilities, heat, log_size)
    assert found.count(PLATELET) == 1
    assert f1_against(truth, found, 2, 0.9) == 1.0


def test_a_low_peak_is_no_cell_but_a_red_one_is_found_by_its_shape_all_the_same():
    boxes = [ellipse_box(PLATELET, 42, 42, 28), ellipse_box(RBC, 120, 60, 60)]
    probabilities, heat, log_size, _ = perfect_outputs(boxes, (120, 200))
    found = separate_cells(probabilities, 0.2 * heat, log_size)
    assert types_of(found) == [RBC]
    assert found["confidence"] == pytest.approx(SHAPE_ONLY * 0.9, rel=0.05)


def test_a_peak_of_half_the_height_is_a_platelet():
    boxes = [ellipse_box(PLATELET, 42, 42, 28)]
    probabilities, heat, log_size, _ = perfect_outputs(boxes, (120, 200))
    found = separate_cells(probabilities, 0.5 * heat, log_size)
    assert types_of(found) == [PLATELET]
    assert found["confidence"] == pytest.approx(0.5 * 0.9, rel=0.05)


def test_a_cell_without_a_peak_is_found_with_less_confidence():
    boxes = [ellipse_box(RBC, 60, 60, 80), ellipse_box(RBC, 160, 60, 80)]
    outputs = perfect_outputs(boxes, (120, 220), with_heads_of=boxes[:1])
    found = separate_cells(*outputs[:3])
    known, missed = found["confidence"][np.argsort(found["box"][:, 0])]
    assert missed == pytest.approx(SHAPE_ONLY * known, rel=0.05)


def test_specks_are_no_cells():
    probabilities, heat, log_size, _ = perfect_outputs([], (100, 100))
    probabilities[40:44, 40:44] = (0, 1, 0)
    assert len(separate_cells(probabilities, heat, log_size)) == 0
    assert len(separate_cells(probabilities, None, None)) == 0


def test_a_stray_piece_goes_to_the_cell_that_it_touches():
    probabilities, heat, log_size, truth = perfect_outputs(
        [ellipse_box(RBC, 60, 60, 80)], (120, 120)
    )
    # A rim that the network takes for a white cell.
    probabilities[55:65, 18:24] = (0, 0.1, 0.9)
    found = separate_cells(probabilities, heat, log_size)
    assert types_of(found) == ["RBC"]
    assert (found.label_image[truth > 0] == 1).all()


def test_every_cell_is_one_connected_piece_with_its_own_measures():
    boxes = touching_field(seed=3)
    found = separate_cells(*perfect_outputs(boxes, (480, 640))[:3])
    assert len(found) > 10
    for row, label in enumerate(found.ids):
        rows, columns = np.nonzero(found.label_image == label)
        assert len(rows) == found["area"][row]
        middle = (columns.mean() + 0.5, rows.mean() + 0.5)
        assert found["centroid"][row] == pytest.approx(middle)
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert found["box"][row].tolist() == box
        diameter = np.sqrt(4 * len(rows) / np.pi)
        assert found["equivalent_diameter_area"][row] == pytest.approx(diameter)
        is_at_edge = rows.min() == 0 or columns.min() == 0
        is_at_edge |= rows.max() == 479 or columns.max() == 639
        assert found["touches_border"][row] == is_at_edge
    assert set(np.unique(found.label_image)) == {0, *found.ids}


@pytest.mark.parametrize("heads", [True, False])
@pytest.mark.parametrize("turn", [(1, False), (2, False), (0, True), (3, True)])
def test_a_turned_or_mirrored_image_has_the_same_cells(turn, heads):
    boxes = touching_field((384, 384), seed=5)
    outputs = perfect_outputs(boxes, (384, 384))[: 3 if heads else 1]

    def moved(array):
        array = np.rot90(array, turn[0])
        return np.ascontiguousarray(array[:, ::-1] if turn[1] else array)

    def found_in(arrays):
        return separate_cells(*arrays, *([] if heads else [None, None]))

    turned_outputs = [moved(array) for array in outputs]
    if heads and turn[0] % 2:
        turned_outputs[2] = np.ascontiguousarray(turned_outputs[2][:, :, ::-1])
    before, after = found_in(outputs), found_in(turned_outputs)
    assert types_of(before) == types_of(after)
    assert f1_against(moved(before.label_image), after, len(before), 0.9) == 1.0


def test_a_saturated_heat_map_is_one_peak_not_thousands():
    probabilities, _, log_size, _ = perfect_outputs([ellipse_box(RBC, 64, 64, 80)], (128, 128))
    heat = np.ones((32, 32, 3), dtype=np.float32)
    assert types_of(separate_cells(probabilities, heat, log_size)) == ["RBC"]


def test_heat_maps_without_numbers_are_as_good_as_none():
    boxes = [ellipse_box(RBC, 64, 64, 80)]
    probabilities, heat, log_size, _ = perfect_outputs(boxes, (128, 128))
    nowhere = np.full_like(heat, np.nan)
    assert types_of(separate_cells(probabilities, nowhere, np.full_like(log_size, np.nan))) == [
        "RBC"
    ]


@pytest.mark.slow
def test_more_cells_than_a_16_bit_image_can_hold():
    block = np.zeros((8, 8), dtype=np.float32)
    block[1:7, 1:7] = 1
    rbc = np.tile(block, (260, 260))
    probabilities = np.stack([1 - rbc, rbc, np.zeros_like(rbc)], axis=2)
    found = separate_cells(probabilities, None, None, SeparationSettings(min_area_px=20))
    assert len(found) == 260 * 260
    assert found.label_image.max() == 260 * 260


@given(st.integers(0, 10_000))
@settings(max_examples=10)
def test_the_class_mask_is_the_argmax(seed):
    probabilities = np.random.default_rng(seed).integers(0, 4, (9, 7, 3)).astype(np.float32)
    assert (most_likely_class(probabilities) == probabilities.argmax(axis=2)).all()


def test_a_thin_cell_that_stands_alone_is_found_without_a_peak():
    boxes = [ellipse_box(RBC, 60, 60, 80), ellipse_box(RBC, 200, 60, 22, 100)]
    outputs = perfect_outputs(boxes, (120, 260), with_heads_of=boxes[:1])
    assert types_of(separate_cells(*outputs[:3])) == ["RBC", "RBC"]


def test_a_thin_crescent_beside_a_cell_is_its_rim():
    true_box, predicted = ellipse_box(RBC, 100, 100, 120), ellipse_box(RBC, 85, 100, 80)
    probabilities, _, _, truth = perfect_outputs([true_box], (200, 200))
    _, heat, log_size, _ = perfect_outputs([predicted], (200, 200))
    found = separate_cells(probabilities, heat, log_size)
    assert (found.label_image == truth).all()


def test_a_sliver_at_the_border_is_no_cell_and_half_a_cell_is_one():
    whole, half = ellipse_box(RBC, 60, 60, 80), ellipse_box(RBC, 199, 60, 80)
    sliver = ellipse_box(RBC, 130, 118, 36, 12)
    boxes = [whole, half, sliver]
    probabilities, heat, log_size, _ = perfect_outputs(boxes, (124, 200))
    found = separate_cells(probabilities, heat, log_size)
    assert found["touches_border"].tolist() == [False, True]
    all_pieces = BUILT_IN.with_detection(min_border_share=0.0)
    kept = separate_cells(probabilities, heat, log_size, taxonomy=all_pieces)
    assert len(kept) == 3


def test_a_sliver_is_measured_by_a_red_cell_of_the_whole_scan_where_that_is_known():
    half, sliver = ellipse_box(RBC, 199, 60, 80), ellipse_box(RBC, 130, 118, 36, 12)
    probabilities, heat, log_size, _ = perfect_outputs([half, sliver], (124, 200))
    assert len(separate_cells(probabilities, heat, log_size)) == 2
    known = SeparationSettings(red_cell_area_px=np.pi / 4 * 80**2)
    assert len(separate_cells(probabilities, heat, log_size, known)) == 1


def test_the_whole_box_reaches_under_the_cell_that_lies_upon_it():
    boxes = [ellipse_box(RBC, 60, 60, 80), ellipse_box(RBC, 110, 60, 80)]
    probabilities, heat, log_size, _ = perfect_outputs(boxes, (120, 200))
    found = separate_cells(probabilities, heat, log_size)
    assert found["box"][0, 2] == pytest.approx(85, abs=2)
    assert found["whole_box"][0, 2] == pytest.approx(100, abs=3)
    assert found["whole_box"][1, 0] == pytest.approx(70, abs=3)


def test_the_whole_box_of_a_cell_that_touches_none_is_its_box():
    probabilities, heat, log_size, _ = perfect_outputs([ellipse_box(RBC, 60, 60, 80)], (120, 200))
    found = separate_cells(probabilities, heat, log_size)
    assert found["whole_box"].tolist() == found["box"].tolist()
