"""How an image lies, and the one way in which it is analysed however it lies.

A smear has no top. A convolutional network does: turned by a quarter or mirrored, an image gives
another twentieth of its red cells (``benchmarks/invariance.py``). So every image is brought to its
standard pose first, which depends on what it shows and not on how it lies, and what was found is
brought back.

Source: Kaba et al., *Equivariance with Learned Canonicalization Functions*, ICML 2023; here the
function is not learned.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.cells.separation import in_reading_order
from blood_cell_system.cells.table import Cells

_SIDE_PX: Final = 64
"""Longer side of the copy that is looked at."""
_SQUARE: Final = 1.05
"""Longer over shorter side up to which an image is square: one that lost a few rows still is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """A mirror image or a turn by quarters: rows and columns exchanged, then both mirrored.

    Parameters
    ----------
    is_transposed : bool
        Whether rows become columns.
    mirrors_rows, mirrors_columns : bool
        Whether the order of the rows (columns) is reversed after that.
    """

    is_transposed: bool = False
    mirrors_rows: bool = False
    mirrors_columns: bool = False

    @property
    def is_as_given(self) -> bool:
        """Whether nothing changes."""
        return not (self.is_transposed or self.mirrors_rows or self.mirrors_columns)

    def apply(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Bring pixels into the pose.

        Parameters
        ----------
        pixels : ndarray of shape (height, width, ...)

        Returns
        -------
        ndarray
            In memory order; the one that was given where nothing changes.
        """
        turned = pixels.swapaxes(0, 1) if self.is_transposed else pixels
        return np.ascontiguousarray(turned[self._order])

    def undo(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Bring pixels back from the pose.

        Examples
        --------
        >>> pose = Pose(is_transposed=True, mirrors_rows=True)
        >>> pose.undo(pose.apply(np.array([[1, 2, 3], [4, 5, 6]]))).tolist()
        [[1, 2, 3], [4, 5, 6]]
        """
        turned = pixels[self._order]
        return np.ascontiguousarray(turned.swapaxes(0, 1) if self.is_transposed else turned)

    @property
    def _order(self) -> tuple[slice, slice]:
        return (
            slice(None, None, -1 if self.mirrors_rows else 1),
            slice(None, None, -1 if self.mirrors_columns else 1),
        )

    def undo_cells(self, cells: Cells) -> Cells:
        """Bring cells back from the pose, and order them anew."""
        if self.is_as_given:
            return cells
        height, width = cells.label_image.shape
        columns = {name: self._undo_places(cells[name], height, width) for name in _PLACES}
        back = replace(cells, label_image=self.undo(cells.label_image))
        return in_reading_order(back.with_columns(**columns))

    def _undo_places(
        self, places: NDArray[np.float64], height: int, width: int
    ) -> NDArray[np.float64]:
        """Bring back places x, y or boxes x_min, y_min, x_max, y_max of the posed image."""
        corners = places.reshape(len(places), places.shape[1] // 2, 2)
        if self.mirrors_columns:
            corners = np.stack([width - corners[:, ::-1, 0], corners[:, :, 1]], axis=2)
        if self.mirrors_rows:
            corners = np.stack([corners[:, :, 0], height - corners[:, ::-1, 1]], axis=2)
        if self.is_transposed:
            corners = corners[:, :, ::-1]
        return corners.reshape(places.shape)


_PLACES: Final = ("box", "whole_box", "centroid")
"""Columns of cells that are places in the image."""


def standard_pose(image: NDArray[np.uint8]) -> Pose:
    """Find the pose in which an image is analysed: the same of all its turns and mirror images.

    It lies on its longer side, and green light, in which stain is dark, weighs most at its lower
    right. A square image lies so that more of the imbalance is along its rows.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.
    """
    height, width = image.shape[:2]
    shrink = min(1.0, _SIDE_PX / max(height, width))
    size = max(round(width * shrink), 1), max(round(height * shrink), 1)
    green = np.ascontiguousarray(image[:, :, 1])
    light = cv2.resize(green, size, interpolation=cv2.INTER_AREA).astype(np.float64)
    light -= light.mean()
    down = float((light.mean(axis=1) * np.linspace(-1, 1, size[1])).mean())
    across = float((light.mean(axis=0) * np.linspace(-1, 1, size[0])).mean())
    if max(height, width) > _SQUARE * min(height, width):
        is_transposed = height > width
    else:
        is_transposed = abs(down) > abs(across)
    if is_transposed:
        down, across = across, down
    return Pose(is_transposed=is_transposed, mirrors_rows=down < 0, mirrors_columns=across < 0)
