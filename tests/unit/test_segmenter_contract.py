import pytest
from hypothesis import given
from hypothesis import strategies as st

from blood_cell_system.model_metadata import diameter_in_name, model_name


@given(st.floats(1, 2000))
def test_a_name_tells_the_diameter_to_the_pixel(diameter):
    assert diameter_in_name(model_name(diameter)) == pytest.approx(diameter, abs=0.5)


@pytest.mark.parametrize(
    "name",
    ["blood_cell_segmenter", "functional_1", "blood_cell_segmenter_0px", "my_64px", "", "64px"],
)
def test_other_names_tell_no_diameter(name):
    assert diameter_in_name(name) is None


def test_a_diameter_that_is_not_known_is_not_named():
    assert diameter_in_name(model_name(None)) is None
