"""Cells of a drawn smear before they are drawn, and which of them are seen."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.boxes import BoxOrigin, LabelledBox
from blood_cell_system.classes import CellType
from blood_cell_system.datasets.synthetic.red_cells import RedCellKind
from blood_cell_system.datasets.synthetic.shapes import Patch
from blood_cell_system.datasets.synthetic.white_cells import WhiteCellKind

MIN_VISIBLE_SHARE: Final = 0.2
"""A cell of which less than this is not under others is left out."""
MIN_VISIBLE_PX: Final = 12
"""A cell with fewer pixels in the image is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A cell before it is drawn.

    Parameters
    ----------
    cell_type : CellType
    kind : RedCellKind or WhiteCellKind or None
        None for a platelet.
    radius_px : float
        Mean radius.
    patch : Patch
    condition : str
        Of a red cell.
    """

    cell_type: CellType
    kind: RedCellKind | WhiteCellKind | None
    radius_px: float
    patch: Patch
    condition: str = ""

    @property
    def name(self) -> str:
        """What it is, as the truth of a smear tells it."""
        if self.kind is None:
            return "platelet"
        return str(self.kind) if isinstance(self.kind, WhiteCellKind) else self.condition


def visible(bodies: list[Body], shape: tuple[int, int]) -> tuple[list[Body], NDArray[np.uint16]]:
    """Label the cells, leaving out those that others hide, until all that are left are seen."""
    while True:
        labels = _label(bodies, shape)
        seen = np.bincount(labels.ravel(), minlength=len(bodies) + 1)[1:]
        whole = np.array([body.patch.inside.sum() for body in bodies], dtype=np.int64)
        is_kept = (seen >= MIN_VISIBLE_PX) & (seen >= MIN_VISIBLE_SHARE * whole)
        if is_kept.all():
            return bodies, labels
        bodies = [body for body, kept in zip(bodies, is_kept, strict=True) if kept]


def _label(bodies: list[Body], shape: tuple[int, int]) -> NDArray[np.uint16]:
    labels = np.zeros(shape, dtype=np.uint16)
    nearest = np.full(shape, np.inf, dtype=np.float32)
    for number, body in enumerate(bodies, start=1):
        patch = body.patch
        # White cells lie over red ones: they win wherever they are.
        rank = np.float32(-2 if body.cell_type == CellType.WBC else 0)
        claim = patch.relative_radius + rank
        view = nearest[patch.window]
        is_won = patch.inside & (claim < view)
        view[is_won] = claim[is_won]
        labels[patch.window][is_won] = number
    return labels


def box_of(body: Body) -> LabelledBox:
    """Box of a cell's whole outline, as far as it is in the image."""
    inside = body.patch.inside
    rows = np.flatnonzero(inside.any(axis=1)) + body.patch.rows.start
    columns = np.flatnonzero(inside.any(axis=0)) + body.patch.columns.start
    return LabelledBox(
        cell_type=body.cell_type,
        x_min=float(columns[0]),
        y_min=float(rows[0]),
        x_max=float(columns[-1] + 1),
        y_max=float(rows[-1] + 1),
        origin=BoxOrigin.DRAWN,
    )
