from pathlib import Path

import numpy as np
import pytest
from support.prepared_pairs import BOX, row, three_pairs

from blood_cell_system.datasets.prepared import (
    PreparedDataset,
    write_annotations,
    write_manifest,
)
from blood_cell_system.errors import MissingDataError
from blood_cell_system.imaging.image_file import write_image


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return three_pairs(tmp_path)


def test_the_hash_of_equal_contents_is_equal(root):
    assert PreparedDataset.open(root).content_hash() == PreparedDataset.open(root).content_hash()


def test_the_hash_does_not_depend_on_where_the_folder_is(root, tmp_path_factory):
    before = PreparedDataset.open(root).content_hash()
    moved = root.rename(tmp_path_factory.mktemp("elsewhere") / "moved")
    assert PreparedDataset.open(moved).content_hash() == before


@pytest.mark.parametrize("name", ["images/a.png", "masks/c.png", "instances/b.png"])
def test_the_hash_changes_with_any_byte_of_a_file(root, name):
    write_image(root / "instances" / "b.png", np.zeros((2, 2), np.uint16))
    path = root / name
    dataset = PreparedDataset.open(root)
    hashes, data = {dataset.content_hash()}, path.read_bytes()
    for position in range(0, len(data), 7):
        changed = bytearray(data)
        changed[position] ^= 1
        path.write_bytes(changed)
        hashes.add(dataset.content_hash())
    assert len(hashes) == 1 + len(range(0, len(data), 7))


def test_the_hash_changes_when_bytes_move_from_image_to_mask(root):
    image, mask = root / "images" / "a.png", root / "masks" / "a.png"
    dataset = PreparedDataset.open(root)
    before = dataset.content_hash()
    data = image.read_bytes()
    image.write_bytes(data[:-1])
    mask.write_bytes(data[-1:] + mask.read_bytes())
    assert dataset.content_hash() != before


def test_the_hash_changes_with_boxes_splits_and_originals(root):
    hashes = {PreparedDataset.open(root).content_hash()}
    write_annotations(root, {"a": [BOX]})
    hashes.add(PreparedDataset.open(root).content_hash())
    write_manifest(root, [row("a", split="train")], {})
    hashes.add(PreparedDataset.open(root).content_hash())
    write_manifest(root, [row("a", split="train", original="b")], {})
    hashes.add(PreparedDataset.open(root).content_hash())
    assert len(hashes) == 4


def test_a_file_that_has_gone_is_missing(root):
    dataset = PreparedDataset.open(root)
    (root / "masks" / "a.png").unlink()
    with pytest.raises(MissingDataError, match=r"masks/a\.png"):
        dataset.content_hash()


def test_what_is_not_marked_is_part_of_what_can_be_learned_from(root):
    before = PreparedDataset.open(root).content_hash()
    write_manifest(root, [row("a", unmarked_types=["Platelet"]), row("b"), row("c")], {})
    assert PreparedDataset.open(root).content_hash() != before
