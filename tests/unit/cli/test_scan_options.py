import pytest

from blood_cell_system.cli.analyze import scan_settings_of
from blood_cell_system.errors import SettingsError

DEFAULTS = {
    "region": None,
    "level": 0,
    "pages": "first",
    "zones": "monolayer",
    "until": None,
    "precision_of": None,
    "max_memory": None,
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2GB", 2 * 10**9),
        ("1500 MB", 1_500_000_000),
        ("1.5g", 1_500_000_000),
        ("900000000", 9 * 10**8),
    ],
)
def test_a_size_of_memory_is_read(text, expected):
    assert scan_settings_of(**DEFAULTS | {"max_memory": text}).max_memory == expected


@pytest.mark.parametrize("text", ["much", "0", "-1GB", "2TB"])
def test_a_size_that_cannot_be_read_is_refused(text):
    with pytest.raises(SettingsError, match="--max-memory: received"):
        scan_settings_of(**DEFAULTS | {"max_memory": text})


def test_a_region_is_left_top_width_and_height():
    settings = scan_settings_of(**DEFAULTS | {"region": "10, 20, 300x400"})
    assert settings.region == (10, 20, 300, 400)


@pytest.mark.parametrize("text", ["10,20", "a,b,cxd", "1,2,0x5", "-1,2,3x4"])
def test_a_region_that_cannot_be_read_is_refused(text):
    with pytest.raises(SettingsError, match="--region: received"):
        scan_settings_of(**DEFAULTS | {"region": text})
