from dataclasses import replace

import pytest
from support.prepared_cells import write_cells_folder

from blood_cell_system.boxes import Box
from blood_cell_system.datasets.cell_diameter import (
    magnifications_of_images,
    mixed_magnifications,
    typical_diameter,
    typical_diameters,
)
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


@pytest.mark.parametrize("factor", [0.4, 2.5])
def test_images_of_two_magnifications_are_found(factor):
    diameters = {f"a{n}": [30.0] * 5 for n in range(6)}
    diameters |= {f"b{n}": [30.0 * factor] * 5 for n in range(2)}
    small, large = sorted((30, round(30 * factor)))
    words = mixed_magnifications(diameters)
    assert f"about {small} px wide in some images" in words
    assert f"{large} px in others" in words


def test_one_image_in_fifty_may_show_unusual_cells():
    diameters = {f"a{n}": [30.0] * 5 for n in range(50)}
    assert mixed_magnifications({**diameters, "b": [60.0] * 5}) == ""
    assert mixed_magnifications(diameters) == ""


def test_images_of_few_cells_are_not_compared():
    assert mixed_magnifications({"a": [30.0] * 5, "b": [80.0] * 2, "c": []}) == ""


def test_sources_that_are_scaled_to_one_size_are_not_compared(images):
    def halved(image):
        cells = tuple(
            replace(cell, box=Box(*(value / 2 for value in cell.box))) for cell in image.cells
        )
        return replace(image, cells=cells, source="other", instance_path=None)

    mixed = [*images[:3], *map(halved, images[3:])]
    assert "19 px wide in some images" in magnifications_of_images(mixed, is_by_source=False)
    assert magnifications_of_images(mixed, is_by_source=True) == ""
