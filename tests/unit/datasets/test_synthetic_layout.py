import numpy as np
import pytest

from blood_cell_system.datasets.synthetic.layout import (
    Field,
    place_red_cells,
    place_white_cells,
    walls_between,
)


def pairwise_nearness(circles):
    x, y, radius = np.array(circles).T
    distance = np.hypot(x[:, None] - x, y[:, None] - y)
    near = distance / (radius[:, None] + radius)
    return near[np.triu_indices(len(circles), 1)]


def placed(clumping, count=60, seed=0):
    field = Field((480, 640), margin_px=20)
    radii = np.full(count, 20.0)
    return place_red_cells(field, np.random.default_rng(seed), radii, clumping=clumping)


def test_without_clumping_no_cells_touch():
    assert pairwise_nearness(placed(0.0)).min() >= 1.0


def test_with_clumping_cells_overlap_but_none_hides_another():
    near = pairwise_nearness(placed(0.9))
    assert near.min() < 0.9
    assert near.min() >= 0.34


def test_more_clumping_makes_more_overlaps():
    overlaps = [
        sum((pairwise_nearness(placed(c, seed=s)) < 0.99).sum() for s in range(5))
        for c in (0.0, 0.3, 0.9)
    ]
    assert overlaps[0] < overlaps[1] < overlaps[2]


def test_a_full_field_takes_no_more_cells():
    field = Field((100, 100), margin_px=0)
    cells = place_red_cells(field, np.random.default_rng(0), np.full(400, 20.0), clumping=0.0)
    assert 1 <= len(cells) <= 10


def test_cells_stay_within_the_margin():
    for x, y, _ in placed(0.8):
        assert -20 <= x <= 660
        assert -20 <= y <= 500


def test_white_cells_keep_apart_and_have_their_centres_in_the_image():
    field = Field((300, 300), margin_px=20)
    places = place_white_cells(field, np.random.default_rng(0), [40.0, 40.0, 40.0])
    assert len(places) == 3
    assert pairwise_nearness([(x, y, 40.0) for x, y in places]).min() >= 1.02
    assert all(0 <= value <= 300 for place in places for value in place)


def test_a_white_cell_that_finds_no_room_is_left_out():
    field = Field((60, 60), margin_px=0)
    places = place_white_cells(field, np.random.default_rng(0), [50.0, 50.0, 50.0])
    assert [place is None for place in places] == [False, True, True]
    assert len(field) == 1


def test_red_cells_make_way_for_white_ones():
    field = Field((300, 300), margin_px=0)
    field.add(150, 150, 60)
    cells = place_red_cells(field, np.random.default_rng(0), np.full(60, 15.0), clumping=0.9)
    assert min(np.hypot(x - 150, y - 150) for x, y, _ in cells) >= 0.95 * 75


def test_a_wall_is_shared_by_both_neighbours():
    circles = [(0.0, 0.0, 10.0), (18.0, 0.0, 10.0), (100.0, 100.0, 10.0)]
    seen = [walls_between(circles, np.random.default_rng(seed)) for seed in range(20)]
    with_wall = [walls for walls in seen if walls[0]]
    assert 0 < len(with_wall) < 20
    for walls in with_wall:
        (direction, distance), (other_direction, other_distance) = walls[0][0], walls[1][0]
        assert walls[2] == []
        assert direction == pytest.approx(0)
        assert other_direction == pytest.approx(np.pi)
        assert distance + other_distance == pytest.approx(0.99 * 18)


def test_a_single_cell_has_no_walls():
    assert walls_between([(1.0, 1.0, 1.0)], np.random.default_rng(0)) == [[]]
