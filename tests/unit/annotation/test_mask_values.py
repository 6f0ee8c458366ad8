import pytest

from blood_cell_system.annotation.mask_files import read_mask_values
from blood_cell_system.errors import SettingsError


def test_numbers_and_colours_stand_for_classes():
    table = read_mask_values("0=background,1=erythrocyte,#0000FF=WBC,ff0000=platelets,9=Unscored")
    assert table == {0: 0, 1: 1, (0, 0, 255): 2, (255, 0, 0): 0, 9: 255}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0", "'0' is no pair"),
        ("blue=WBC", "'blue' is neither a number nor a colour"),
        ("-1=WBC", "'-1' is neither a number nor a colour"),
        ("1=zebra", "'zebra' is no class"),
        ("1=difficult", "'difficult' is no class"),
    ],
)
def test_what_makes_no_sense_is_an_error(text: str, message: str):
    with pytest.raises(SettingsError, match=message):
        read_mask_values(text)
