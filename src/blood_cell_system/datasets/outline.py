"""The exact region of one cell, as polygons or as pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.boxes import Box

Ring = NDArray[np.float64]
"""Corners of a polygon, shape (n, 2), columns x and y in pixels; the last joins the first."""

Window = tuple[slice, slice, NDArray[np.bool_]]
"""Rows and columns of a picture, and which pixels of that window are meant."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PolygonOutline:
    """A region between polygons, by the even-odd rule: a ring within a ring is a hole.

    Parameters
    ----------
    rings : tuple of ndarray of shape (n, 2), dtype float64
        Columns x and y in pixels; the middle of the first pixel is (0.5, 0.5).
    """

    rings: tuple[Ring, ...]

    @classmethod
    def from_points(cls, *rings: Sequence[Sequence[float]] | Ring) -> Self:
        """Make an outline from corners in any form.

        Examples
        --------
        >>> PolygonOutline.from_points([(1, 1), (4, 1), (4, 3)]).box
        Box(x_min=1.0, y_min=1.0, x_max=4.0, y_max=3.0)
        """
        return cls(rings=tuple(np.array(ring, np.float64).reshape(-1, 2) for ring in rings))

    @property
    def box(self) -> Box:
        """Smallest box around all corners."""
        corners = np.concatenate(self.rings)
        return Box(*map(float, (*corners.min(axis=0), *corners.max(axis=0))))

    def window(self, shape: tuple[int, int]) -> Window:
        """Pixels within the region.

        Parameters
        ----------
        shape : tuple of int
            ``(height, width)`` of the picture in pixels; what lies outside is cut off.

        Returns
        -------
        rows, columns : slice
        inside : ndarray of shape (rows, columns), dtype bool

        Notes
        -----
        A pixel belongs to the region when its *centre* does. Every edge changes the side of all
        pixels to the right of it, so that the sum along a row is odd inside.
        """
        box = self.box
        height, width = shape
        top = int(np.clip(np.floor(box.y_min), 0, height))
        bottom = int(np.clip(np.ceil(box.y_max), top, height))
        left = int(np.clip(np.floor(box.x_min), 0, width))
        right = int(np.clip(np.ceil(box.x_max), left, width))
        rows, columns = slice(top, bottom), slice(left, right)
        window = (bottom - top, right - left)
        crossings = np.zeros((window[0], window[1] + 1), np.int64)
        for ring in self.rings:
            start, end = ring, np.roll(ring, -1, axis=0)
            upper = np.minimum(start[:, 1], end[:, 1])
            lower = np.maximum(start[:, 1], end[:, 1])
            # Rows whose middle an edge passes, from its upper end on.
            first = np.clip(np.ceil(upper - 0.5), top, bottom).astype(np.int64)
            last = np.clip(np.ceil(lower - 0.5), top, bottom).astype(np.int64)
            counts = last - first
            edge = np.repeat(np.arange(len(ring)), counts)
            row = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            row += first[edge]
            # Only edges that pass a row come here, so the height is never 0.
            share = (row + 0.5 - start[edge, 1]) / (end[edge, 1] - start[edge, 1])
            x = start[edge, 0] + share * (end[edge, 0] - start[edge, 0])
            column = np.clip(np.ceil(x - 0.5) - left, 0, window[1]).astype(np.int64)
            np.add.at(crossings, (row - top, column), 1)
        inside = np.cumsum(crossings, axis=1)[:, :-1] % 2 == 1
        return rows, columns, inside

    def __eq__(self, other: object) -> bool:
        """Whether the rings are the same, corner by corner."""
        return (
            isinstance(other, PolygonOutline)
            and len(self.rings) == len(other.rings)
            and all(map(np.array_equal, self.rings, other.rings))
        )

    def __hash__(self) -> int:
        """Equal outlines have equal hashes."""
        return hash(tuple(ring.tobytes() for ring in self.rings))


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelOutline:
    """A region given pixel by pixel.

    Made by :meth:`from_pixels`. Eight pixels share a byte: a large data set has millions.

    Parameters
    ----------
    packed : bytes
        Rows one after the other, as of ``numpy.packbits``.
    size : tuple of int
        ``(height, width)`` of the region's window in pixels.
    offset : tuple of int
        ``(x, y)`` of the window's upper left pixel in the picture.
    """

    packed: bytes
    size: tuple[int, int]
    offset: tuple[int, int]

    @classmethod
    def from_pixels(
        cls, pixels: NDArray[np.bool_] | NDArray[np.uint8], *, offset: tuple[int, int] = (0, 0)
    ) -> Self:
        """Make an outline from a picture of it, cut down to what is set.

        Parameters
        ----------
        pixels : ndarray of shape (height, width)
            Not 0 within the cell.
        offset : tuple of int
            ``(x, y)`` of the first pixel in the picture.
        """
        is_set = np.ascontiguousarray(pixels != 0)
        x, y, width, height = cv2.boundingRect(is_set.view(np.uint8))
        part = is_set[y : y + height, x : x + width]
        return cls(
            packed=np.packbits(part).tobytes(),
            size=(height, width),
            offset=(offset[0] + x, offset[1] + y),
        )

    @property
    def pixels(self) -> NDArray[np.bool_]:
        """The window, shape ``size``: True within the cell."""
        height, width = self.size
        bits = np.unpackbits(np.frombuffer(self.packed, np.uint8), count=height * width)
        return bits.reshape(self.size).astype(bool)

    @property
    def box(self) -> Box:
        """Smallest box around all pixels."""
        (x, y), (height, width) = self.offset, self.size
        return Box(float(x), float(y), float(x + width), float(y + height))

    def window(self, shape: tuple[int, int]) -> Window:
        """Pixels within the region, as of :meth:`PolygonOutline.window`."""
        (x, y), (height, width) = self.offset, self.size
        top, bottom = (int(np.clip(value, 0, shape[0])) for value in (y, y + height))
        left, right = (int(np.clip(value, 0, shape[1])) for value in (x, x + width))
        inside = self.pixels[top - y : bottom - y, left - x : right - x]
        return slice(top, bottom), slice(left, right), inside


Outline = PolygonOutline | PixelOutline
"""Region of one cell, in either form."""
