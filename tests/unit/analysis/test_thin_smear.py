import numpy as np
import pytest
from support.colour_runtime import ColourRuntime
from support.no_smears import NO_SMEARS, draw_no_smear
from support.odd_scenes import field_of_cells

from blood_cell_system.analysis.image_analysis import AnalysisSettings, analyze_image
from blood_cell_system.analysis.scale import estimate_diameter
from blood_cell_system.analysis.survey import find_field, survey
from blood_cell_system.analysis.thin_smear import WEIGHTS, smear_measures
from blood_cell_system.datasets.synthetic import SmearSettings, draw_smear


class NeverAsked(ColourRuntime):
    """Fails when it is asked."""

    def predict(self, images):
        raise AssertionError("the network was asked")


@pytest.mark.parametrize("kind", NO_SMEARS)
def test_other_things_are_refused_before_a_network_sees_them(kind):
    found = analyze_image(NeverAsked(), draw_no_smear(kind, 1))
    assert not found.quality.is_smear
    assert len(found.cells) == 0
    assert "Nothing was counted" in found.quality.findings[-1].message


@pytest.mark.parametrize(
    ("kind", "seed"), [("thick_film", 5), ("thick_film", 42), ("screen", 17), ("gradient", 32)]
)
def test_what_is_blurred_straight_or_of_many_hues_is_refused(kind, seed):
    assert not analyze_image(NeverAsked(), draw_no_smear(kind, seed)).quality.is_smear


def test_a_small_image_that_is_refused_may_be_one_of_a_single_cell():
    image = np.full((200, 200, 3), 225, np.uint8)
    image[60:140, 60:140] = (120, 80, 150)
    message = analyze_image(NeverAsked(), image).quality.findings[-1].message
    assert message.endswith("An image of one cell is for bloodcells classify.")


@pytest.mark.parametrize("seed", range(3))
def test_drawn_smears_are_not_refused(seed):
    image = draw_smear(SmearSettings(), np.random.default_rng(seed)).image
    assert analyze_image(ColourRuntime(), image).quality.is_smear


def test_a_given_diameter_has_any_image_analysed_with_a_warning():
    settings = AnalysisSettings(cell_diameter_px=40)
    quality = analyze_image(ColourRuntime(), draw_no_smear("noise", 0), settings).quality
    assert quality.is_smear
    assert "may be no thin stained blood smear" in quality.findings[-1].message


def test_every_measure_has_a_weight():
    image = field_of_cells(40)
    field = find_field(image)
    view = survey(image, field)
    for vote in (estimate_diameter(image, field, first=view), None):
        measures = smear_measures(view, vote, None)
        assert measures.keys() | {"constant"} == WEIGHTS.keys()
        assert all(np.isfinite(value) for value in measures.values())
