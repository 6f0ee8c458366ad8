import pytest

from blood_cell_system.datasets.synthetic import MIXED, STAINS, SmearSettings
from blood_cell_system.datasets.synthetic.smear_settings import Dye
from blood_cell_system.errors import SettingsError


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shape": (16, 640)}, "640×16"),
        ({"shape": (480, 10_000)}, "10000×480"),
        ({"stain": "ketchup"}, "ketchup"),
        ({"cell_diameter_px": 2.0}, "Cell diameter"),
        ({"cell_diameter_px": float("nan")}, "Cell diameter"),
        ({"shape": (2000, 2000), "cell_diameter_px": 10.0}, "10,000 cells"),
        ({"coverage": (0.5, 0.2)}, "Coverage"),
        ({"clumping": (0.0, 1.5)}, "Clumping"),
        ({"defocus": (-0.1, 0.1)}, "Defocus"),
        ({"noise": (0.0, 99.0)}, "Noise"),
        ({"jpeg_quality": (0, 90)}, "JPEG quality"),
        ({"white_cell_counts": (0.5, 0.2)}, "white cells"),
        ({"white_cell_counts": (-0.5, 1.5)}, "white cells"),
        ({"white_cell_counts": ()}, "white cells"),
        ({"platelet_rate": -1.0}, "Platelet rate"),
        ({"dirt_rate": 1e6}, "Dirt rate"),
    ],
)
def test_settings_that_make_no_sense_are_named(options, words):
    with pytest.raises(SettingsError, match=words):
        SmearSettings(**options)


def test_the_error_for_an_unknown_stain_lists_the_known_ones():
    with pytest.raises(SettingsError) as caught:
        SmearSettings(stain="none")
    assert all(name in str(caught.value) for name in (*STAINS, MIXED))


@pytest.mark.parametrize("name", STAINS)
def test_every_stain_makes_nuclei_darker_in_red_light_than_red_cells(name):
    absorption = STAINS[name].absorption()
    assert absorption.shape == (len(Dye), 3)
    assert absorption[Dye.CHROMATIN, 0] > 1.5 * absorption[Dye.HAEMOGLOBIN, 0]
