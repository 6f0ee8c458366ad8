"""Learns from several laboratories what a nucleus says about the type of a white cell."""

from collections import Counter
from typing import Final

import numpy as np

from blood_cell_system.cells.nucleus_terms import design, nucleus_terms
from blood_cell_system.metrics.trivial_answer import fit_logistic
from blood_cell_system.model_metadata import NucleusEvidence
from blood_cell_system.training.classifier_data import CellSet

WEIGHT: Final = 0.5
"""Of its log odds beside those of the network. Macro F1 of types in laboratories left out, with
0, 0.5 and 1: PBC 0.69, 0.70, 0.69; Raabin 0.67, 0.74, 0.73; Chula 0.60, 0.60, 0.59; BCCD 0.67,
0.71, 0.69."""
_FEWEST: Final = 5
"""Cells by which a laboratory shows a type."""
_RIDGE: Final = 3.0
"""Weight of the squared coefficients, in cells."""
_EQUAL: Final = 10
"""Cells of a type in a laboratory below which each counts the same."""


def fit_nucleus_evidence(cells: CellSet, subtypes: tuple[str, ...]) -> NucleusEvidence | None:
    """Fit the evidence to the cells that a classifier learns from.

    Parameters
    ----------
    subtypes : tuple of str
        By the number of the labels.

    Returns
    -------
    NucleusEvidence or None
        Of the types that two laboratories or more show; None where these are fewer than two.
        Within one laboratory the network knows all that a nucleus says.
    """
    labels = cells.labels
    pairs = list(zip(labels.cell_type.tolist(), labels.source.tolist(), strict=True))
    counts = Counter(pairs)
    shown = Counter(kind for (kind, _), count in counts.items() if kind >= 0 and count >= _FEWEST)
    chosen = [kind for kind in range(len(subtypes)) if shown[kind] > 1]
    if len(chosen) < 2:
        return None
    places = [place for place, (kind, _) in enumerate(pairs) if kind in chosen]
    terms = nucleus_terms([cells.cells[place] for place in places])
    has_nucleus = ~np.isnan(terms).any(axis=1)
    terms, places = terms[has_nucleus], np.array(places)[has_nucleus].tolist()
    means, scales = terms.mean(axis=0), np.maximum(terms.std(axis=0), 1e-9)
    coefficients = fit_logistic(
        design(terms, means, scales),
        np.array([chosen.index(pairs[place][0]) for place in places]),
        num_classes=len(chosen),
        weight=np.array([max(counts[pairs[place]], _EQUAL) ** -0.5 for place in places]),
        ridge=_RIDGE,
    )
    return NucleusEvidence(
        subtypes=tuple(subtypes[kind] for kind in chosen),
        means=tuple(np.round(means, 6).tolist()),
        scales=tuple(np.round(scales, 6).tolist()),
        coefficients=tuple(tuple(row) for row in np.round(coefficients, 5).tolist()),
        weight=WEIGHT,
    )
