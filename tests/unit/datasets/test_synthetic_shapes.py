import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blood_cell_system.datasets.synthetic.shapes import (
    depth_in_discs,
    make_outline,
    make_patch,
    pressed_against,
    ramp,
    smooth_noise,
    smooth_step,
)

centres = st.floats(-30, 90)
in_any_time = settings(deadline=None)


def circle(radius_px, centre=(40.0, 40.0)):
    return make_outline(np.random.default_rng(0), centre=centre, radius_px=radius_px, waviness=0.0)


@in_any_time
@given(x=centres, y=centres, radius_px=st.floats(2, 25))
def test_a_circle_holds_exactly_the_pixels_whose_centres_it_holds(x, y, radius_px):
    patch = make_patch(circle(radius_px, (x, y)), (60, 70))
    rows, columns = np.mgrid[:60, :70] + 0.5
    distance = np.hypot(columns - x, rows - y)
    found = np.zeros((60, 70), dtype=bool)
    if patch is not None:
        found[patch.window] = patch.inside
    is_clear = np.abs(distance - radius_px) > 1e-3
    np.testing.assert_array_equal(found[is_clear], (distance <= radius_px)[is_clear])


def test_an_outline_far_outside_the_image_has_no_patch():
    assert make_patch(circle(5.0, (-50.0, 10.0)), (60, 70)) is None


@in_any_time
@given(elongation=st.floats(1, 2), direction=st.floats(0, 6))
def test_elongation_keeps_the_area(elongation, direction):
    outline = make_outline(
        np.random.default_rng(0),
        centre=(60, 60),
        radius_px=25,
        elongation=elongation,
        direction=direction,
        waviness=0.0,
    )
    patch = make_patch(outline, (120, 120))
    assert patch.inside.sum() == pytest.approx(np.pi * 25**2, rel=0.02)


def test_a_pressed_cell_stays_on_its_side_of_the_wall():
    patch = make_patch(pressed_against(circle(20.0), direction=0.0, distance_px=12.0), (80, 80))
    assert patch.x[patch.inside].max() <= 12.0
    assert patch.x[patch.inside].min() < -19.0


def test_coverage_is_a_half_on_the_edge():
    np.testing.assert_allclose(
        ramp(np.array([-5, -0.35, 0, 0.35, 5], np.float32)), [0, 0.25, 0.5, 0.75, 1], atol=1e-6
    )


def test_a_smooth_step_rises_from_start_to_end():
    values = smooth_step(np.array([-1, 1, 2, 3, 9], np.float32), 1, 3)
    np.testing.assert_allclose(values, [0, 0, 0.5, 1, 1], atol=1e-6)


def test_a_single_disc_has_the_depth_of_a_circle():
    patch = make_patch(circle(20.0), (80, 80))
    depth = depth_in_discs(patch, [(3.0, -2.0, 8.0)], softness_px=1.0)
    expected = 8.0 - np.hypot(patch.x - 3.0, patch.y + 2.0)
    np.testing.assert_allclose(depth, expected, atol=1e-3)


def test_two_discs_are_at_least_as_deep_as_each():
    patch = make_patch(circle(20.0), (80, 80))
    discs = [(-5.0, 0.0, 7.0), (5.0, 0.0, 7.0)]
    both = depth_in_discs(patch, discs, softness_px=1.0)
    for disc in discs:
        assert (both >= depth_in_discs(patch, [disc], softness_px=1.0) - 1e-3).all()


@pytest.mark.parametrize("scale_px", [0.5, 3.0, 10.0, 30.0])
def test_noise_has_about_unit_spread_at_every_scale(scale_px):
    noise = smooth_noise(np.random.default_rng(1), (300, 400), scale_px=scale_px)
    assert noise.shape == (300, 400)
    assert abs(noise.mean()) < 0.3
    assert 0.7 < noise.std() < 1.3


def test_wider_noise_changes_more_slowly():
    steps = [
        np.abs(np.diff(smooth_noise(np.random.default_rng(1), (200, 200), scale_px=s))).mean()
        for s in (2.0, 8.0, 30.0)
    ]
    assert steps[0] > 2 * steps[1] > 4 * steps[2]
