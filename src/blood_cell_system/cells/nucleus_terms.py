"""What the form of a nucleus says about the type of a white cell.

A network that knows a few laboratories takes their colours for the cell's. The form of the nucleus,
found by the cell's own two densities, is much alike in all of them: that of a lymphocyte is round
and fills the cell, that of a neutrophil has lobes. So its log odds are added to the network's.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.cells.nucleus import FORM, nucleus_form
from blood_cell_system.model_metadata import NucleusEvidence

_WHITE: Final = 250.0
"""Light of the empty slide in a cell image; what is brighter is as bright."""
_OPAQUE: Final = 128
"""Alpha from which a pixel of a cell image belongs to the cell."""
_SHARE: Final = FORM.index("share")
_ROUND: Final = (FORM.index("solidity"), FORM.index("roundness"))


def nucleus_terms(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """Measure the nuclei of cell images.

    Parameters
    ----------
    images : sequence of ndarray of shape (130, 130, 4), dtype uint8
        RGBA; see ``cell_image_format``.

    Returns
    -------
    ndarray of shape (n, 16)
        ``FORM``, the share times solidity and roundness, and the squares; NaN without a nucleus.
    """
    forms = np.empty((len(images), len(FORM)))
    for row, image in enumerate(images):
        light = np.clip(image[:, :, :3].astype(np.float32), 1, _WHITE)
        density = (np.log(_WHITE) - np.log(light)).astype(np.float32)
        forms[row] = nucleus_form(density, image[:, :, 3] >= _OPAQUE)
    return np.column_stack([forms, forms[:, [_SHARE]] * forms[:, _ROUND], forms**2])


def design(
    terms: NDArray[np.float64], means: Sequence[float], scales: Sequence[float]
) -> NDArray[np.float64]:
    """Give standardised terms with a first column of ones; what is NaN counts as the mean."""
    standard = np.nan_to_num((terms - np.asarray(means)) / np.asarray(scales))
    return np.column_stack([np.ones(len(terms)), standard])


def log_odds(
    evidence: NucleusEvidence, subtypes: Sequence[str], terms: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Say by how much the nucleus speaks for each subtype.

    Parameters
    ----------
    subtypes : sequence of str
        In the order of the columns.
    terms : ndarray of shape (n, 16)
        Of :func:`nucleus_terms`.

    Returns
    -------
    ndarray of shape (n, len(subtypes))
        Weighted; 0 where nothing is said: of other subtypes, and of cells without a nucleus.
    """
    found = np.zeros((len(terms), len(subtypes)))
    logits = design(terms, evidence.means, evidence.scales) @ np.array(evidence.coefficients)
    columns = [subtypes.index(name) for name in evidence.subtypes]
    against_chance = _log_shares(logits) + np.log(len(evidence.subtypes))
    found[:, columns] = evidence.weight * against_chance
    found[np.isnan(terms).any(axis=1)] = 0
    return found


def with_log_odds(
    probabilities: NDArray[np.floating], odds: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Give probabilities of subtypes to which log odds are added."""
    logits = np.log(np.maximum(probabilities.astype(np.float64), 1e-7)) + odds
    return np.exp(_log_shares(logits))


def _log_shares(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithms of the softmax of each row; SciPy has it, and takes half a second to load."""
    logits = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))
