"""What a classifier says of the cells of a folder, as arrays to take figures of."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.inference.classification import (
    ClassificationSettings,
    classify_pictures,
)
from blood_cell_system.inference.classifier_runtimes import ClassifierRuntime

_SILHOUETTE_COLOUR: Final = (200, 160, 180)

CellPicture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Predictions:
    """What a classifier says of n cells.

    Parameters
    ----------
    condition : ndarray of shape (n, conditions)
        Probabilities, in the order of the facts' conditions.
    cell_type : ndarray of shape (n, types) or None
    known : ndarray of shape (n,) or None
    """

    condition: NDArray[np.float64]
    cell_type: NDArray[np.float64] | None = None
    known: NDArray[np.float64] | None = None


def predict_cells(
    classifier: ClassifierRuntime,
    pictures: Iterable[CellPicture],
    settings: ClassificationSettings | None = None,
) -> Predictions:
    """Run a classifier on cell pictures, on the same path as ``bloodcells classify``.

    Parameters
    ----------
    classifier : ClassifierRuntime
    pictures : iterable of ndarray of shape (130, 130, 4), dtype uint8
    settings : ClassificationSettings, optional
    """
    facts = classifier.facts
    found = list(classify_pictures(classifier, pictures, settings))
    condition = [[cell.probabilities[name] for name in facts.conditions] for cell in found]
    types = [
        [cell.type_probabilities[name] for name in facts.types]
        for cell in found
        if cell.cell_type is not None
    ]
    known = [cell.known for cell in found if cell.known is not None]
    return Predictions(
        condition=np.array(condition, dtype=np.float64).reshape(-1, len(facts.conditions)),
        cell_type=np.array(types, dtype=np.float64) if types else None,
        known=np.array(known, dtype=np.float64) if known else None,
    )


def blanked(picture: CellPicture) -> CellPicture:
    """Take the cell away: only what surrounds it could still tell the class."""
    empty = picture.copy()
    empty[:, :, :3] = 255
    return empty


def silhouette(picture: CellPicture) -> CellPicture:
    """Leave nothing of the cell but its outline, all of one colour."""
    flat = picture.copy()
    flat[:, :, :3] = _SILHOUETTE_COLOUR
    return flat
