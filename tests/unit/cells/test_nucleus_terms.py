import cv2
import numpy as np
import pytest

from blood_cell_system.cells.nucleus import FORM, nucleus_of_cell
from blood_cell_system.cells.nucleus_terms import (
    log_odds,
    nucleus_terms,
    with_log_odds,
)
from blood_cell_system.model_metadata import NucleusEvidence

TERMS = 16


def cell_image(*discs, stain=(150, 90, 190), cytoplasm=(225, 205, 235)):
    """A cell of radius 48 whose nucleus is made of discs (x, y, radius)."""
    image = np.full((130, 130, 4), 255, np.uint8)
    image[:, :, 3] = cv2.circle(np.zeros((130, 130), np.uint8), (65, 65), 48, 255, -1)
    image[image[:, :, 3] > 0, :3] = cytoplasm
    for x, y, radius in discs:
        cv2.circle(image, (x, y), radius, (*stain, 255), -1)
    return image


def form_of(image, name):
    return nucleus_terms([image])[0, FORM.index(name)]


ROUND = cell_image((65, 65, 38))
LOBED = cell_image((45, 65, 14), (85, 65, 14))


def test_a_round_nucleus_fills_its_circle_and_a_lobed_one_does_not():
    assert form_of(ROUND, "share") == pytest.approx((38 / 48) ** 2, rel=0.03)
    assert form_of(ROUND, "roundness") > 0.95 > 0.5 > form_of(LOBED, "roundness")
    assert [form_of(one, "parts") for one in (ROUND, LOBED)] == [1, 2]


@pytest.mark.parametrize("stain", [(90, 40, 120), (190, 150, 215)], ids=["strong", "pale"])
def test_the_form_is_the_same_in_a_strong_and_in_a_pale_stain(stain):
    usual = nucleus_terms([LOBED])[0, : FORM.index("contrast")]
    other = nucleus_terms([cell_image((45, 65, 14), (85, 65, 14), stain=stain)])[0]
    assert other[: FORM.index("contrast")] == pytest.approx(usual, rel=0.05)


def test_a_pale_cell_without_a_nucleus_has_no_terms():
    assert np.isnan(nucleus_terms([cell_image()])).all()


def test_a_cell_that_is_dark_all_over_is_all_nucleus():
    assert form_of(cell_image(cytoplasm=(120, 60, 160)), "share") == pytest.approx(1, abs=0.02)


def test_a_cell_without_pixels_has_no_nucleus():
    density = np.ones((5, 5, 3), np.float32)
    assert not nucleus_of_cell(density, np.zeros((5, 5), np.bool_)).any()


def evidence(weight=0.5):
    """Knows two of three types, and goes by the share of the nucleus alone."""
    coefficients = np.zeros((1 + TERMS, 2))
    coefficients[1 + FORM.index("share")] = (2, -2)
    return NucleusEvidence(
        subtypes=("lymphocyte", "neutrophil"),
        means=(0.5,) * TERMS,
        scales=(1.0,) * TERMS,
        coefficients=tuple(tuple(row) for row in coefficients.tolist()),
        weight=weight,
    )


SUBTYPES = ("neutrophil", "erythroblast", "lymphocyte")


def test_a_large_nucleus_speaks_for_its_type_and_says_nothing_of_types_it_does_not_know():
    neutrophil, erythroblast, lymphocyte = log_odds(evidence(), SUBTYPES, nucleus_terms([ROUND]))[0]
    assert lymphocyte > 0 == erythroblast > neutrophil


def test_the_weight_scales_what_a_nucleus_says():
    terms = nucleus_terms([ROUND])
    half, whole = (log_odds(evidence(weight), SUBTYPES, terms) for weight in (0.5, 1))
    assert whole == pytest.approx(2 * half)


def test_without_a_nucleus_the_answer_stays():
    odds = log_odds(evidence(), SUBTYPES, nucleus_terms([cell_image()]))
    probabilities = np.array([[0.2, 0.3, 0.5]], np.float32)
    assert with_log_odds(probabilities, odds) == pytest.approx(probabilities, abs=1e-6)


def test_log_odds_move_the_answer():
    probabilities = np.array([[0.5, 0.1, 0.4]])
    moved = with_log_odds(probabilities, np.array([[0, 0, 1.0]]))
    assert moved.sum() == pytest.approx(1)
    assert moved[0].argmax() == 2
