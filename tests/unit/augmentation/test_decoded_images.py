import numpy as np
import pytest
from support.smears import small_prepared_folder

from blood_cell_system.augmentation.decoded_images import DecodedImages
from blood_cell_system.datasets.prepared import (
    PreparedDataset,
    PreparedImage,
)
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.imaging.mask_encoding import encode_class_mask

SIDE = 32
BYTES = SIDE * SIDE * 4


@pytest.fixture
def images(tmp_path) -> tuple[PreparedImage, ...]:
    for number in range(4):
        write_image(tmp_path / f"images/{number}.png", np.full((SIDE, SIDE, 3), number, np.uint8))
        class_mask = np.full((SIDE, SIDE), number % 3, np.uint8)
        write_image(tmp_path / f"masks/{number}.png", encode_class_mask(class_mask))
    return PreparedDataset.open(tmp_path).images


@pytest.fixture
def count_decodings(monkeypatch):
    decoded = []
    original = PreparedImage.decoded

    def counting(image, **options):
        decoded.append(image.stem)
        return original(image, **options)

    monkeypatch.setattr(PreparedImage, "decoded", counting)
    return decoded


def test_an_image_is_decoded_once(images, count_decodings):
    held = DecodedImages(images)
    for _ in range(3):
        assert held[2].pixels[0, 0, 0] == 2
        assert held[2].class_mask[0, 0] == 2
    assert count_decodings == ["2"]


def test_beyond_the_budget_the_longest_unused_image_gives_way(images, count_decodings):
    held = DecodedImages(images, budget_bytes=2 * BYTES)
    for position in (0, 1, 0, 2, 0, 1):
        assert held[position].pixels[0, 0, 0] == position
    assert count_decodings == ["0", "1", "2", "1"]


def test_an_image_larger_than_the_budget_is_still_given(images):
    assert DecodedImages(images, budget_bytes=1)[3].pixels[0, 0, 0] == 3


def test_images_of_a_source_are_resampled_with_their_labels(tmp_path):
    root = small_prepared_folder(tmp_path / "smears", count=1)
    images = PreparedDataset.open(root).images
    plain = DecodedImages(images)[0]
    half = DecodedImages(images, magnifications={"synthetic": 0.5, "other": 3.0})[0]
    height, width = plain.class_mask.shape
    assert half.pixels.shape == (height // 2, width // 2, 3)
    assert half.class_mask.shape == half.label_image.shape == (height // 2, width // 2)
    assert [cell.width for cell in half.cells] == [cell.width / 2 for cell in plain.cells]
    assert [cell.origin for cell in half.cells] == [cell.origin for cell in plain.cells]
