from pathlib import Path

import numpy as np
import pytest

from blood_cell_system.datasets.prepared import PreparedImage
from blood_cell_system.errors import SettingsError
from blood_cell_system.training.segmenter import ImageDomains


class Images:
    """Stand in for decoded images: a stain each."""

    def __init__(self, densities):
        self._densities = densities

    def __getitem__(self, position):
        pixels = np.full((96, 96, 3), 240, np.uint8)
        density = np.array([0.1, self._densities[position], 0.1])
        pixels[20:70, 20:70] = (240 * np.exp(-density)).round()
        return type("Image", (), {"pixels": pixels})


def images(*sources):
    return [
        PreparedImage(
            stem=str(number),
            image_path=Path("a"),
            mask_path=Path("b"),
            source=source,
            original=str(number),
        )
        for number, source in enumerate(sources)
    ]


def test_the_manifests_sources_are_the_domains():
    domains = ImageDomains.of(images("two", "one", "two"), Images([]), seed=0)
    assert domains.names == ("one", "two")
    np.testing.assert_array_equal(domains.index, [1, 0, 1])


def test_domains_count_alike_however_many_images_they_have():
    domains = ImageDomains.of(images("two", "one", "two", "two"), Images([]), seed=0)
    assert domains.weight[1] == pytest.approx(domains.weight[[0, 2, 3]].sum())
    assert domains.weight.sum() == pytest.approx(4)


def test_domains_count_alike_where_a_small_one_is_shown_more_often():
    shown = np.array([0.8, 1.6, 0.8, 0.8])
    four = images("two", "one", "two", "two")
    domains = ImageDomains.of(four, Images([]), seed=0, frequencies=shown)
    by_crops = domains.weight * shown
    assert by_crops[1] == pytest.approx(by_crops[[0, 2, 3]].sum())


def test_within_one_source_domains_are_groups_of_stain():
    densities = [0.3, 0.3, 0.8, 0.3, 0.8]
    domains = ImageDomains.of(images(*["one"] * 5), Images(densities), seed=0)
    np.testing.assert_array_equal(domains.index, [0, 0, 1, 0, 1])
    assert domains.names == ("stain 1", "stain 2")


def test_images_of_one_source_and_one_stain_are_an_error():
    with pytest.raises(SettingsError, match="all 3 training images are from one source"):
        ImageDomains.of(images(*["one"] * 3), Images([0.3] * 3), seed=0)
