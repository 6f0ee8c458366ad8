from pathlib import Path

import cv2
import numpy as np
import pytest
from support.single_cells import RED_CELL, piece_of_smear

from blood_cell_system.datasets.cell_fields import (
    CellField,
    FieldReading,
    joined_by_view,
    same_views,
)
from blood_cell_system.errors import MissingDataError
from blood_cell_system.imaging.image_file import write_image


def place(seed, *, shift=(0, 0), side=200, gain=1.0):
    """A window of a slide of its own, drawn from the seed, at a shift on it."""
    generator = np.random.default_rng(seed)
    slide = piece_of_smear(300, seed=seed)
    for x, y in generator.uniform(10, 290, (40, 2)):
        cv2.circle(slide, (int(x), int(y)), 11, RED_CELL, -1)
    x, y = shift[0] + 40, shift[1] + 40
    window = slide[y : y + side, x : x + side]
    return np.clip(window * gain, 0, 255).astype(np.uint8)


def test_different_places_are_told_apart():
    assert same_views([place(seed) for seed in range(8)]) == []


@pytest.mark.parametrize("shift", [(0, 0), (25, -10), (-30, 30)])
def test_the_same_place_is_known_again_when_shifted(shift):
    assert same_views([place(1), place(2), place(1, shift=shift)]) == [(0, 2)]


def test_light_and_size_do_not_matter():
    large = cv2.resize(place(1, gain=0.8), (500, 500), interpolation=cv2.INTER_CUBIC)
    assert same_views([place(1), large]) == [(0, 1)]


def test_empty_images_are_not_alike():
    assert same_views([np.full((50, 60, 3), level, np.uint8) for level in (0, 255)]) == []
    assert same_views([]) == []


def reading(tmp_path, images, *, labels=None):
    fields = []
    for number, image in enumerate(images):
        path = tmp_path / f"{number}.png"
        write_image(path, image)
        label = labels[number] if labels else ""
        field = CellField(name=str(number), image_path=path, label=label, block=f"b{number // 2}")
        fields.append(field)
    return FieldReading(root=tmp_path, source="s", licence="", fields=tuple(fields))


def blocks(found):
    return [field.block for field in found.fields]


def test_blocks_that_share_a_place_become_one(tmp_path):
    images = [place(0), place(1), place(2), place(3), place(4), place(1, shift=(10, 5))]
    assert blocks(joined_by_view(reading(tmp_path, images))) == ["b0", "b0", "b1", "b1", "b0", "b0"]


def test_blocks_are_joined_by_way_of_a_third(tmp_path):
    images = [place(0), place(1), place(1), place(2), place(2), place(3)]
    assert set(blocks(joined_by_view(reading(tmp_path, images)))) == {"b0"}


def test_images_of_different_labels_are_not_compared(tmp_path):
    found = reading(tmp_path, [place(0)] * 4, labels=("x", "x", "y", "y"))
    assert blocks(joined_by_view(found)) == ["b0", "b0", "b1", "b1"]


def test_without_repetition_all_stays_as_it_is(tmp_path):
    found = reading(tmp_path, [place(seed) for seed in range(4)])
    assert joined_by_view(found) == found


def test_an_image_that_has_gone_is_told(tmp_path):
    found = reading(tmp_path, [place(0)])
    Path(found.fields[0].image_path).unlink()
    with pytest.raises(MissingDataError, match="no such image"):
        joined_by_view(found)
