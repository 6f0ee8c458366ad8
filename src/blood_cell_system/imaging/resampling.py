"""An image and its labels at another magnification, each pixel's label by the area that it covers.

Taking the nearest pixel's label makes outlines ragged and moves them by up to half a pixel of the
larger of the two grids. Here every label votes with the share of the new pixel that it covers
(shrinking) or with its linear interpolation (enlarging), and the largest share wins.
"""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

from blood_cell_system.boxes import Box
from blood_cell_system.taxonomy import NOT_SCORED, MaskClass

_VALUES = (*MaskClass, NOT_SCORED)

# Decides ties, which are frequent when a side is halved, by the nearest pixel: neither cells nor
# background may win them all, or cells would shrink or grow.
_TIE_BREAK = np.float32(1e-3)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Resampler:
    """Takes images and labels of one size to another size.

    Parameters
    ----------
    shape, new_shape : tuple of int
        ``(height, width)`` in pixels.
    rows, columns : sparse array of shape (new side, side)
        Share of every old row (column) in every new one; each of its rows sums to 1.
    """

    shape: tuple[int, int]
    new_shape: tuple[int, int]
    rows: sparse.csr_array
    columns: sparse.csr_array

    @classmethod
    def by(cls, magnification: float, shape: tuple[int, int]) -> Self:
        """Resample by a factor, to the nearest whole pixel, and at least one.

        Parameters
        ----------
        magnification : float
            Above 1 enlarges.
        shape : tuple of int
        """
        height, width = (max(1, round(side * magnification)) for side in shape)
        return cls(
            shape=shape,
            new_shape=(height, width),
            rows=axis_shares(shape[0], height),
            columns=axis_shares(shape[1], width),
        )

    def image(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resample the image itself, by area when shrinking, by cubic curves when enlarging."""
        shrinks = self.new_shape[0] < self.shape[0]
        kind = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        return np.asarray(cv2.resize(image, self.new_shape[::-1], interpolation=kind), np.uint8)

    def class_mask(self, class_mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resample class values; "not scored" votes like a class.

        Parameters
        ----------
        class_mask : ndarray of shape (height, width), dtype uint8

        Returns
        -------
        ndarray of shape (new height, new width), dtype uint8
        """
        present = [value for value in _VALUES if (class_mask == value).any()]
        shares = [self._shares(class_mask == value) for value in present]
        return np.asarray(np.array(present, dtype=np.uint8)[np.argmax(shares, axis=0)])

    def label_image(
        self,
        label_image: NDArray[np.uint16],
        class_mask: NDArray[np.uint8],
        new_class_mask: NDArray[np.uint8],
    ) -> NDArray[np.uint16]:
        """Resample cells' numbers, in agreement with the resampled class mask.

        Among the labels that have a pixel's new class, the one with the largest share gets it, so
        that no cell reaches over pixels of another class than its own pixels had.

        Parameters
        ----------
        label_image : ndarray of shape (height, width), dtype uint16
            0 is no cell.
        class_mask : ndarray of shape (height, width), dtype uint8
        new_class_mask : ndarray of shape (new height, new width), dtype uint8
            As :meth:`class_mask` gave it.

        Returns
        -------
        ndarray of shape (new height, new width), dtype uint16
        """
        new_labels = np.zeros(self.new_shape, dtype=np.uint16)
        best = np.zeros(self.new_shape, dtype=np.float32)
        for value in np.unique(new_class_mask):
            is_free = self._shares((label_image == 0) & (class_mask == value))
            np.copyto(best, is_free, where=new_class_mask == value)
        for index, place in enumerate(ndimage.find_objects(label_image)):
            if place is None:
                continue
            new_place = self._new_place(place)
            is_cell = label_image[place] == index + 1
            for value in np.unique(class_mask[place][is_cell]):
                shares = self._shares(is_cell & (class_mask[place] == value), place, new_place)
                wins = (new_class_mask[new_place] == value) & (shares > best[new_place])
                best[new_place][wins] = shares[wins]
                new_labels[new_place][wins] = index + 1
        return new_labels

    def box(self, box: Box) -> Box:
        """Bring a box to the new pixels."""
        down = self.new_shape[0] / self.shape[0]
        across = self.new_shape[1] / self.shape[1]
        return Box(box.x_min * across, box.y_min * down, box.x_max * across, box.y_max * down)

    def _shares(
        self,
        is_set: NDArray[np.bool_],
        place: tuple[slice, slice] = (slice(None), slice(None)),
        new_place: tuple[slice, slice] = (slice(None), slice(None)),
    ) -> NDArray[np.float32]:
        """Share of set pixels in every new pixel; set pixels lie in ``place`` only."""
        rows = self.rows[new_place[0], place[0]]
        columns = self.columns[new_place[1], place[1]]
        half = rows @ is_set.astype(np.float32)
        return np.asarray((columns @ half.T).T, dtype=np.float32)

    def _new_place(self, place: tuple[slice, slice]) -> tuple[slice, slice]:
        """Where the pixels of ``place`` have a share, and a pixel more on each side."""
        ends = []
        for part, old, new in zip(place, self.shape, self.new_shape, strict=True):
            scale = new / old
            reach = 1 + int(np.ceil(scale))
            start, stop = int(part.start * scale) - reach, int(part.stop * scale) + reach + 1
            ends.append(slice(max(0, start), min(new, stop)))
        return ends[0], ends[1]


def axis_shares(old: int, new: int) -> sparse.csr_array:
    """Share of each of ``old`` pixels in a row in each of ``new`` pixels of the same row.

    By the covered length when there are fewer new pixels, by linear interpolation between the
    middles of the old ones when there are more. The nearest pixel gets a trifle more.

    Examples
    --------
    >>> axis_shares(4, 2).toarray().round(2).tolist()
    [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]]
    >>> axis_shares(2, 4).toarray().round(2).tolist()
    [[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]]
    """
    positions = (np.arange(new) + 0.5) * old / new
    if new < old:
        edges = np.arange(new + 1) * old / new
        first = np.floor(edges[:-1]).astype(np.intp)
        offsets = np.arange(int(np.ceil(old / new)) + 1)
        pixels = first[:, None] + offsets
        covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
        shares = np.clip(covered, 0, None)
    else:
        left = np.floor(positions - 0.5)
        pixels = (left[:, None] + np.array([0, 1])).astype(np.intp)
        shares = 1 - np.abs(positions[:, None] - 0.5 - pixels)
    pixels = np.clip(pixels, 0, old - 1)
    nearest = np.clip(np.floor(positions), 0, old - 1).astype(np.intp)
    pixels = np.concatenate([pixels, nearest[:, None]], axis=1)
    shares = shares / shares.sum(axis=1, keepdims=True)
    shares = np.concatenate([shares, np.full((new, 1), _TIE_BREAK)], axis=1) / (1 + _TIE_BREAK)
    lines = np.repeat(np.arange(new), pixels.shape[1])
    entries = (shares.ravel().astype(np.float32), (lines, pixels.ravel()))
    return sparse.csr_array(sparse.coo_array(entries, shape=(new, old)))
