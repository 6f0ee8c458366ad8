import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blood_cell_system.datasets.synthetic import SmearSettings, draw_smear
from blood_cell_system.datasets.synthetic.drawn_red_cells import parasite_dyes, sickle_outline
from blood_cell_system.datasets.synthetic.drawn_white_cells import WhiteCellKind
from blood_cell_system.datasets.synthetic.shapes import make_outline, make_patch
from blood_cell_system.errors import SettingsError


@given(st.integers(0, 10_000))
def test_a_sickle_is_long_and_slender_and_of_one_piece(seed):
    outline = sickle_outline(np.random.default_rng(seed), centre=(80, 80), radius_px=30)
    assert outline.radii_px.min() > 0
    inside = make_patch(outline, (160, 160)).inside
    rows, columns = np.nonzero(inside)
    spread = np.linalg.eigvalsh(np.cov(np.stack([rows, columns])))
    assert np.sqrt(spread[1] / spread[0]) > 1.8
    assert 0.2 < inside.sum() / (np.pi * 30**2) < 0.9


@given(st.integers(0, 10_000))
def test_a_parasite_lies_within_its_cell(seed):
    generator = np.random.default_rng(seed)
    patch = make_patch(make_outline(generator, centre=(50, 50), radius_px=30), (100, 100))
    for amount in parasite_dyes(patch, generator, radius_px=30).values():
        assert (amount >= 0).all()
        assert amount.max() > 0.2
        assert amount[~patch.inside].max(initial=0) == 0


def smear_of(**options):
    settings = SmearSettings(shape=(200, 300), cell_diameter_px=40, **options)
    return draw_smear(settings, np.random.default_rng(5))


def test_kinds_are_those_that_were_asked_for():
    smear = smear_of(malaria_share=0.5, sickle_share=0.5, white_cell_counts=(1.0,))
    assert (
        {"malaria_RBC", "sickle_RBC"}
        <= set(smear.kinds)
        <= {
            "malaria_RBC",
            "sickle_RBC",
            "platelet",
        }
    )
    assert len(smear.kinds) == len(smear.cells)


@pytest.mark.parametrize("kind", WhiteCellKind)
def test_every_kind_of_white_cell_can_be_drawn(kind):
    smear = smear_of(white_cell_counts=(0.0, 1.0), white_kinds=(kind.value,), coverage=(0, 0.1))
    assert kind.value in smear.kinds


@pytest.mark.parametrize("shares", [(-0.1, 0), (0.6, 0.6)])
def test_shares_that_make_no_sense_are_refused(shares):
    with pytest.raises(SettingsError, match="1 or less together"):
        SmearSettings(malaria_share=shares[0], sickle_share=shares[1])
