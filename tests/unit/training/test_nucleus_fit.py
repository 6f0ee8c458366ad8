from types import SimpleNamespace

import cv2
import numpy as np

from blood_cell_system.cells.nucleus_terms import log_odds, nucleus_terms
from blood_cell_system.training.nucleus_fit import fit_nucleus_evidence

TYPES = ("neutrophil", "lymphocyte", "erythroblast")


def cell_image(kind, random):
    image = np.full((130, 130, 4), 255, np.uint8)
    image[:, :, 3] = cv2.circle(np.zeros((130, 130), np.uint8), (65, 65), 48, 255, -1)
    image[image[:, :, 3] > 0, :3] = (225, 205, 235)
    stain = (*random.integers(90, 160, 3).tolist(), 255)
    discs = [(45, 65, 14), (85, 65, 14)] if kind == 0 else [(65, 65, int(random.integers(32, 42)))]
    for x, y, radius in discs:
        cv2.circle(image, (x, y), radius, stain, -1)
    return image


def cells(*groups):
    """Cells of groups (type, source, count), as a training reads them."""
    random = np.random.default_rng(0)
    drawn = [(kind, source) for kind, source, count in groups for _ in range(count)]
    labels = SimpleNamespace(
        cell_type=np.array([kind for kind, _ in drawn]),
        source=np.array([source for _, source in drawn]),
    )
    return SimpleNamespace(cells=[cell_image(kind, random) for kind, _ in drawn], labels=labels)


def test_evidence_of_two_laboratories_tells_a_third_one():
    fitted = fit_nucleus_evidence(cells((0, 0, 8), (0, 1, 8), (1, 0, 8), (1, 1, 8)), TYPES)
    new = cells((0, 2, 5), (1, 2, 5))
    odds = log_odds(fitted, TYPES, nucleus_terms(new.cells))
    assert (odds.argmax(axis=1) == new.labels.cell_type).all()


def test_a_type_of_one_laboratory_is_left_out():
    found = fit_nucleus_evidence(
        cells((0, 0, 6), (0, 1, 6), (1, 0, 6), (1, 1, 6), (2, 0, 6), (2, 1, 4)), TYPES
    )
    assert found.subtypes == ("neutrophil", "lymphocyte")


def test_one_laboratory_gives_no_evidence():
    assert fit_nucleus_evidence(cells((0, 0, 6), (1, 0, 6)), TYPES) is None


def test_cells_without_a_type_give_none():
    assert fit_nucleus_evidence(cells((-1, 0, 6), (-1, 1, 6)), TYPES) is None
