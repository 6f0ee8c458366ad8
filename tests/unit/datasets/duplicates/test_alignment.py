import numpy as np
import pytest
from support.fields import drawn_fields

from blood_cell_system.datasets.duplicates.field_alignment import detail_correlation, field_view
from blood_cell_system.datasets.duplicates.field_features import POSITIONS, position_parts

WHOLE = (0.0, 0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def view():
    return field_view(drawn_fields(1)[0])


@pytest.mark.parametrize("position", range(POSITIONS))
def test_a_view_agrees_with_itself_in_its_own_position(view, position):
    is_swapped, down, across = position_parts(position)
    turned = view[:: -1 if down else 1, :: -1 if across else 1]
    turned = turned.T if is_swapped else turned
    # The position is what brings it back.
    agreement = detail_correlation(turned, view, part=WHOLE, window=WHOLE, position=position)
    assert agreement > 0.99


def test_a_view_of_nothing_agrees_with_nothing(view):
    nothing = np.zeros((64, 64), dtype=np.int8)
    assert detail_correlation(nothing, view, part=WHOLE, window=WHOLE, position=0) == -1
