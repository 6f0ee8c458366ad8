"""What the page shows of one image: the image itself, outlines, and cells to review."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.cells.neighbours import crops_of
from blood_cell_system.cells.table import Cells
from blood_cell_system.reports.page.field_spool import (
    FieldSpool,
    PackedField,
    Polygon,
    SpooledField,
    encoded_jpeg,
    pack_field,
)
from blood_cell_system.reports.report import DiagnosticReport, certainty
from blood_cell_system.reports.text import name_of


def outline_polygons(cells: Cells, *, tolerance_px: float = 0.7) -> list[Polygon]:
    """Outline of every cell as a polygon through the middles of its outermost pixels.

    Parameters
    ----------
    tolerance_px : float
        How far the polygon may be from the outline, so that it has few corners.

    Returns
    -------
    list of list of tuple
        For each cell its corners ``(x, y)`` in pixels, where the middle of the first pixel is
        (0.5, 0.5); of its largest part where a cell is in pieces; empty for one without pixels.
    """
    polygons: list[Polygon] = []
    for label, place in enumerate(crops_of(cells.label_image, len(cells)), start=1):
        mask = (cells.label_image[place] == label).astype(np.uint8)
        if not mask.size:
            polygons.append([])
            continue
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        largest = max(contours, key=len)
        corners = cv2.approxPolyDP(largest, epsilon=tolerance_px, closed=True).reshape(-1, 2)
        x, y = place[1].start + 0.5, place[0].start + 0.5
        polygons.append([(float(column) + x, float(row) + y) for column, row in corners])
    return polygons


@dataclass(frozen=True, slots=True, kw_only=True)
class PageLimits:
    """What a page shows of each image, so that it stays below some 50 MB.

    Parameters
    ----------
    images : int
        Up to how many images these limits are for.
    side_px : int
        Longer side of an image on the page; 0 where images are only linked to.
    crops : int
        Uncertain cells of an image that the gallery may choose from.
    """

    images: int
    side_px: int
    crops: int


# Together below some 50 MB; a test multiplies them out.
_LIMITS: Final = (
    PageLimits(images=60, side_px=1280, crops=20),
    PageLimits(images=250, side_px=768, crops=12),
    PageLimits(images=1000, side_px=400, crops=6),
)
_NO_IMAGES: Final = PageLimits(images=sys.maxsize, side_px=0, crops=2)


def page_limits(images: int) -> PageLimits:
    """Choose what a page of so many images shows of each."""
    return next((limits for limits in _LIMITS if images <= limits.images), _NO_IMAGES)


_CROP_SIDE: Final = 112
"""Pixels a side of a cell in the gallery: ten in a row on a desktop, three on a phone."""
_CROP_CONTEXT: Final = 1.7
"""Side of a crop in lengths of its cell: some of what is around it is seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellCrop:
    """A cell to review.

    Parameters
    ----------
    name : str
        Its type, or its condition where that was assessed.
    certainty : float
        The smaller of its confidence and the probability of its condition.
    jpeg : bytes
        The cell and some of what is around it.
    """

    cell_id: int
    name: str
    certainty: float
    jpeg: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """An image of the page.

    Parameters
    ----------
    width_px, height_px : int
        Of the image itself.
    jpeg : bytes
        The image, scaled down; empty where the page is to show none.
    outlines : tuple of str
        Of each cell in the report's order: ``x,y x,y …`` in pixels of the image itself; none
        without the image.
    crops : tuple of CellCrop
        The least certain cells, the worst first.
    review : PackedField or SpooledField or None
        What the review page shows; None without such a page.
    """

    width_px: int
    height_px: int
    jpeg: bytes
    outlines: tuple[str, ...]
    crops: tuple[CellCrop, ...]
    review: PackedField | SpooledField | None = None

    def spooled(self, spool: FieldSpool | None) -> Self:
        """Put what the review page shows on the disk, where there is a spool."""
        if spool is None or not isinstance(self.review, PackedField):
            return self
        return replace(self, review=spool.add(self.review))


def make_panel(
    image: NDArray[np.uint8],
    label_image: NDArray[np.integer],
    report: DiagnosticReport,
    limits: PageLimits,
    *,
    is_reviewable: bool = False,
) -> Panel:
    """Prepare an image for the page, and for the review page where there is to be one.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
    label_image : ndarray of int, shape (height, width)
        Of the report's cells.
    """
    height, width = image.shape[:2]
    cells = replace(report.cells, label_image=label_image.astype(np.int32, copy=False))
    certainties = certainty(cells)
    boxes = np.rint(cells["whole_box"]).astype(np.int64).tolist()
    polygons = outline_polygons(cells) if limits.side_px or is_reviewable else []
    shown = polygons if limits.side_px else []
    return Panel(
        width_px=width,
        height_px=height,
        jpeg=encoded_jpeg(_shrunk(image, limits.side_px)) if limits.side_px else b"",
        outlines=tuple(" ".join(f"{x:g},{y:g}" for x, y in polygon) for polygon in shown),
        review=pack_field(image, polygons, report.scale.red_cell_diameter_px)
        if is_reviewable
        else None,
        crops=tuple(
            CellCrop(
                cell_id=cell_id,
                name=name_of(cells, cell_id - 1),
                certainty=float(certainties[cell_id - 1]),
                jpeg=cell_tile(image, boxes[cell_id - 1]),
            )
            for cell_id in report.uncertain_cells[: limits.crops]
        ),
    )


def _shrunk(image: NDArray[np.uint8], max_side_px: int) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    scale = max_side_px / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def cell_tile(image: NDArray[np.uint8], bbox: Sequence[int]) -> bytes:
    """Cut a square around a cell, as JPEG; what lies outside of the image is grey."""
    x_min, y_min, x_max, y_max = bbox
    side = max(4, round(max(x_max - x_min, y_max - y_min) * _CROP_CONTEXT))
    left, top = (x_min + x_max - side) // 2, (y_min + y_max - side) // 2
    height, width = image.shape[:2]
    inner = image[max(top, 0) : top + side, max(left, 0) : left + side]
    below, right = max(0, top + side - height), max(0, left + side - width)
    framed = cv2.copyMakeBorder(
        inner, max(0, -top), below, max(0, -left), right, cv2.BORDER_CONSTANT, value=(128,) * 3
    )
    method = cv2.INTER_AREA if side > _CROP_SIDE else cv2.INTER_CUBIC
    tile = cv2.resize(framed, (_CROP_SIDE, _CROP_SIDE), interpolation=method)
    return encoded_jpeg(np.asarray(tile, dtype=np.uint8))
