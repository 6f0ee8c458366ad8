"""The best closed outline around a centre, by dynamic programming over angles."""

import numpy as np
from numpy.typing import NDArray


def best_closed_contour(
    score: NDArray[np.float32], *, bend_cost: float, max_step: int = 3
) -> NDArray[np.intp]:
    """Radius index at every angle, so that the sum of scores less the cost of bends is largest.

    Parameters
    ----------
    score : ndarray of shape (angles, radii), dtype float32
        How well the outline passes through a radius at an angle; the angles go once around.
    bend_cost : float
        Cost of a step of one radius between neighbouring angles; it grows with the square.
    max_step : int
        Largest step between neighbouring angles.

    Returns
    -------
    ndarray of shape (angles,), dtype intp

    Notes
    -----
    The circle is cut open, followed for two turns, and the middle turn is kept: after half a turn
    the beginning no longer matters, so the ends meet.

    Examples
    --------
    >>> score = np.zeros((8, 5), dtype=np.float32)
    >>> score[:, 3] = 1.0
    >>> best_closed_contour(score, bend_cost=0.1).tolist()
    [3, 3, 3, 3, 3, 3, 3, 3]
    """
    angles, radii = score.shape
    start = angles // 2
    order = (np.arange(2 * angles) - start) % angles
    steps = np.arange(-max_step, max_step + 1)
    costs = (bend_cost * steps.astype(np.float32) ** 2)[:, None]
    padded = np.full(radii + 2 * max_step, -np.inf, dtype=np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(padded, radii)
    came_from = np.empty((len(order), radii), dtype=np.intp)
    columns = np.arange(radii)
    padded[max_step : max_step + radii] = score[order[0]]
    for index in range(1, len(order)):
        options = windows - costs
        best = options.argmax(axis=0)
        came_from[index] = columns + best - max_step
        padded[max_step : max_step + radii] = options[best, columns] + score[order[index]]
    path = np.empty(len(order), dtype=np.intp)
    path[-1] = int(padded[max_step : max_step + radii].argmax())
    for index in range(len(order) - 1, 0, -1):
        path[index - 1] = came_from[index, path[index]]
    return path[start : start + angles]
