from dataclasses import replace

import pytest
from support.prepared_cells import write_cells_folder

from blood_cell_system.datasets.cell_diameter import typical_diameter, typical_diameters
from blood_cell_system.datasets.prepared import PreparedDataset


@pytest.fixture
def images(tmp_path):
    return PreparedDataset.open(write_cells_folder(tmp_path, splits=["train"] * 6)).images


def test_drawn_cells_have_the_diameter_that_they_were_drawn_with(images):
    assert typical_diameter(images) == pytest.approx(38, rel=0.03)


def test_every_source_has_its_own(images):
    other = [replace(image, source="other") for image in images[3:]]
    assert typical_diameters([*images[:3], *other]) == {
        "drawn": pytest.approx(38, rel=0.03),
        "other": pytest.approx(38, rel=0.03),
    }


def test_a_few_cells_say_nothing(images):
    assert typical_diameter(images[:1]) is None
    assert typical_diameters(images[:1]) == {}


def test_augmented_copies_do_not_count(images):
    copies = [replace(image, original="another") for image in images]
    assert typical_diameter(copies) is None


@pytest.mark.parametrize("folder", ["images", "instances"])
def test_images_that_cannot_be_read_are_passed_over(images, folder):
    path = images[0].image_path.parents[1] / folder / images[0].image_path.name
    path.write_bytes(b"no image")
    assert typical_diameter(images) == pytest.approx(38, rel=0.03)


def test_a_label_image_without_a_list_of_its_cells_is_measured_by_the_mask(images):
    unlisted = [replace(image, cells=None) for image in images]
    assert typical_diameter(unlisted) == pytest.approx(38, rel=0.05)
