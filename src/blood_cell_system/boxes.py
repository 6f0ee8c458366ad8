"""Boxes around cells, in pixels, 0-based and half-open."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Box(NamedTuple):
    """Where something is, without saying what: ``[x_min, x_max) × [y_min, y_max)`` in pixels.

    A cell of one pixel at the origin is (0, 0, 1, 1).
    """

    x_min: float
    y_min: float
    x_max: float
    y_max: float

    @property
    def width(self) -> float:
        """Width in pixels; negative when the box is inside out."""
        return self.x_max - self.x_min

    @property
    def height(self) -> float:
        """Height in pixels; negative when the box is inside out."""
        return self.y_max - self.y_min

    def sorted_corners(self) -> "Box":
        """Box whose corners are in order, whichever two opposite ones were given.

        Examples
        --------
        >>> Box(30, 5, 10, 25).sorted_corners()
        Box(x_min=10, y_min=5, x_max=30, y_max=25)
        """
        x_min, y_min, x_max, y_max = self
        # Not min and max, which lose a NaN.
        if x_max < x_min:
            x_min, x_max = x_max, x_min
        if y_max < y_min:
            y_min, y_max = y_max, y_min
        return Box(x_min, y_min, x_max, y_max)

    @classmethod
    def around(cls, place: tuple[slice, slice]) -> "Box":
        """Box of the rows and columns of an array, as ``scipy.ndimage.find_objects`` gives them."""
        rows, columns = place
        return cls(float(columns.start), float(rows.start), float(columns.stop), float(rows.stop))

    @property
    def centre(self) -> tuple[float, float]:
        """Middle of the box as ``(x, y)``."""
        return (self.x_min + self.x_max) / 2, (self.y_min + self.y_max) / 2


def pairwise_box_iou(
    first: NDArray[np.float64], second: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Intersection over union of every box of one array with every box of the other.

    Parameters
    ----------
    first, second : ndarray of shape (n, 4) and (m, 4)
        Columns x_min, y_min, x_max, y_max in pixels.

    Returns
    -------
    ndarray of shape (n, m)
        0 where the boxes do not meet or have no area.

    Examples
    --------
    >>> a = np.array([[0.0, 0.0, 2.0, 2.0]])
    >>> b = np.array([[1.0, 0.0, 3.0, 2.0], [5.0, 5.0, 6.0, 6.0]])
    >>> pairwise_box_iou(a, b).round(3).tolist()
    [[0.333, 0.0]]
    """
    top_left = np.maximum(first[:, None, :2], second[None, :, :2])
    bottom_right = np.minimum(first[:, None, 2:], second[None, :, 2:])
    overlap = np.prod(np.clip(bottom_right - top_left, 0, None), axis=2)
    first_area = np.prod(np.clip(first[:, 2:] - first[:, :2], 0, None), axis=1)
    second_area = np.prod(np.clip(second[:, 2:] - second[:, :2], 0, None), axis=1)
    union = first_area[:, None] + second_area[None, :] - overlap
    return np.asarray(np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0))
