import numpy as np
import pytest

from blood_cell_system.errors import SettingsError
from blood_cell_system.training.domains import domains_of_images


def stained(*densities):
    """Images with a stain each."""
    for density in densities:
        image = np.full((96, 96, 3), 240, np.uint8)
        image[20:70, 20:70] = (240 * np.exp(-np.array([0.1, density, 0.1]))).round()
        yield image


def test_the_manifests_sources_are_the_domains():
    domains = domains_of_images(["two", "one", "two"], (), seed=0)
    assert domains.names == ("one", "two")
    np.testing.assert_array_equal(domains.index, [1, 0, 1])


def test_domains_count_alike_however_many_images_they_have():
    domains = domains_of_images(["two", "one", "two", "two"], (), seed=0)
    assert domains.weight[1] == pytest.approx(domains.weight[[0, 2, 3]].sum())
    assert domains.weight.sum() == pytest.approx(4)


def test_domains_count_alike_where_a_small_one_is_shown_more_often():
    shown = np.array([0.8, 1.6, 0.8, 0.8])
    four = ["two", "one", "two", "two"]
    domains = domains_of_images(four, (), seed=0, frequencies=shown)
    by_crops = domains.weight * shown
    assert by_crops[1] == pytest.approx(by_crops[[0, 2, 3]].sum())


def test_within_one_source_domains_are_groups_of_stain():
    domains = domains_of_images(["one"] * 5, stained(0.3, 0.3, 0.8, 0.3, 0.8), seed=0)
    np.testing.assert_array_equal(domains.index, [0, 0, 1, 0, 1])
    assert domains.names == ("stain 1", "stain 2")


def test_images_of_one_source_and_one_stain_are_an_error():
    with pytest.raises(SettingsError, match="all 3 training images are from one source"):
        domains_of_images(["one"] * 3, stained(0.3, 0.3, 0.3), seed=0)
