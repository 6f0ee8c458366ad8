import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blood_cell_system.masks.white_cells import best_closed_contour


def total(score, path, bend_cost):
    steps = np.diff(path, append=path[0])
    return score[np.arange(len(path)), path].sum() - bend_cost * (steps.astype(float) ** 2).sum()


@given(st.integers(0, 10_000))
def test_a_path_is_closed_and_takes_no_step_beyond_the_largest(seed):
    score = np.random.default_rng(seed).normal(size=(24, 12)).astype(np.float32)
    path = best_closed_contour(score, bend_cost=0.2, max_step=2)
    assert np.abs(np.diff(path)).max() <= 2
    assert path.shape == (24,)
    assert ((path >= 0) & (path < 12)).all()


def test_a_strong_outline_is_followed_over_the_cut():
    angles = np.arange(64) * 2 * np.pi / 64
    wanted = np.rint(15 + 6 * np.cos(angles)).astype(int)
    score = np.zeros((64, 32), dtype=np.float32)
    score[np.arange(64), wanted] = 5.0
    np.testing.assert_array_equal(best_closed_contour(score, bend_cost=0.1), wanted)


@pytest.mark.parametrize("seed", range(4))
def test_no_closed_path_of_a_small_table_is_better(seed):
    score = np.random.default_rng(seed).normal(size=(6, 3)).astype(np.float32)
    # A strong start makes the best open path over two turns close, as on a real outline.
    score[0, 1] += 10
    path = best_closed_contour(score, bend_cost=0.5, max_step=2)
    best = max(
        total(score, np.array(option), 0.5) for option in itertools.product(range(3), repeat=6)
    )
    assert total(score, path, 0.5) == pytest.approx(best, abs=1e-4)


def test_costly_bends_make_a_circle():
    score = np.random.default_rng(1).normal(size=(32, 16)).astype(np.float32)
    path = best_closed_contour(score, bend_cost=1000.0)
    assert len(set(path.tolist())) == 1
    assert path[0] == score.sum(axis=0).argmax()
