import numpy as np
import pytest
from support.colour_runtime import ColourRuntime
from support.colours import RED, WHITE, colour_image
from support.found_cells import assert_same_cells
from support.odd_scenes import through_eyepiece, with_scale_bar

from blood_cell_system.analysis.image_analysis import AnalysisSettings, BorderRule, analyze_image
from blood_cell_system.analysis.scale import ScaleSource
from blood_cell_system.errors import ImageReadError, SettingsError
from blood_cell_system.taxonomy import NOT_SCORED, RBC, WBC


def smear(diameter=40, shape=(360, 480), spacing=1.5):
    """Red cells in a grid, none of them at the border; and how many there are."""
    step = round(spacing * diameter)
    class_mask = np.zeros(shape, np.uint8)
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    count = 0
    for row in range(step, shape[0] - diameter, step):
        for column in range(step, shape[1] - diameter, step):
            class_mask[np.hypot(x - column, y - row) < diameter / 2] = 1
            count += 1
    return colour_image(class_mask), class_mask, count


def test_cells_of_another_size_are_resampled_found_and_brought_back():
    image, class_mask, count = smear(diameter=40)
    runtime = ColourRuntime()
    found = analyze_image(runtime, image)
    assert found.scale.source == ScaleSource.ESTIMATED
    assert found.scale.red_cell_diameter_px == pytest.approx(40, rel=0.12)
    assert runtime.seen[0][0] > 1.8 * image.shape[0]
    assert found.cells["is_counted"].sum() == len(found.cells) == count
    assert (found.class_mask == class_mask).mean() > 0.98
    assert np.median(found.cells["equivalent_diameter_area"]) == pytest.approx(40, rel=0.05)


def test_a_given_diameter_sets_the_magnification():
    runtime = ColourRuntime(training_diameter_px=80)
    found = analyze_image(runtime, smear()[0], AnalysisSettings(cell_diameter_px=40))
    assert found.scale.magnification_applied == pytest.approx(2.0)
    assert found.scale.source == ScaleSource.GIVEN


def test_outside_of_a_round_field_nothing_is_judged():
    image, _, _ = smear(diameter=30, shape=(500, 500))
    image, disc = through_eyepiece(image)
    found = analyze_image(ColourRuntime(), image)
    assert (found.class_mask[~disc] == NOT_SCORED).all()
    assert found.quality.judged_share == pytest.approx(found.field_mask.mean())
    assert 0.5 < found.quality.judged_share < 0.67
    columns, rows = found.cells["centroid"].astype(int).T
    assert found.field_mask[rows, columns].all()
    assert found.cells["touches_border"].any()


def test_the_rim_of_a_round_field_is_no_cell():
    image = np.full((500, 500, 3), WHITE, np.uint8)
    image, _ = through_eyepiece(image)
    assert len(analyze_image(ColourRuntime(), image).cells) == 0


def test_a_scale_bar_is_no_cell():
    image, _, count = smear()
    bare = np.full((480, 640, 3), WHITE, np.uint8)
    bare[: image.shape[0], : image.shape[1]] = image
    # For this network what is dark is a white cell.
    settings = AnalysisSettings(cell_diameter_px=40)
    found = analyze_image(ColourRuntime(), with_scale_bar(bare), settings)
    assert found.cells.count(RBC) == count
    assert found.cells.count(WBC) == 0


def test_the_image_is_left_as_it_was():
    image = with_scale_bar(smear()[0])
    before = image.copy()
    found = analyze_image(ColourRuntime(), image)
    np.testing.assert_array_equal(image, before)
    assert found.image is image


def test_the_border_rule_is_applied():
    image = np.full((200, 200, 3), WHITE, np.uint8)
    image[80:120, :40] = image[80:120, 160:] = RED
    settings = AnalysisSettings(cell_diameter_px=100, border_rule=BorderRule.TWO_SIDES)
    found = analyze_image(ColourRuntime(), image, settings)
    assert sorted(found.cells["is_counted"]) == [False, True]


def test_two_analyses_are_equal():
    image = smear()[0]
    first, second = (analyze_image(ColourRuntime(), image) for _ in range(2))
    assert_same_cells(first.cells, second.cells)
    assert first.quality == second.quality


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (40, 3)])
def test_tiny_images_are_analysed(shape):
    found = analyze_image(ColourRuntime(), np.full((*shape, 3), WHITE, np.uint8))
    assert found.class_mask.shape == shape
    assert not found.quality.is_smear


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)],
)
def test_what_is_no_image_is_refused(image):
    with pytest.raises(ImageReadError, match="expected an array"):
        analyze_image(ColourRuntime(), image)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["cell_diameter_px", "pixel_size_um"])
def test_a_size_that_is_none_is_refused(name, value):
    with pytest.raises(SettingsError, match=name):
        AnalysisSettings(**{name: value})
