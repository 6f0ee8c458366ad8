import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.prepared_pairs import BOX, row, three_pairs

from blood_cell_system.datasets.cell_folder import CellFolder
from blood_cell_system.datasets.prepared import (
    PreparedDataset,
    write_annotations,
    write_manifest,
)
from blood_cell_system.errors import MissingDataError
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.model_metadata import ClassifierKind
from blood_cell_system.taxonomy import BUILT_IN


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


# Computed by version 0.2.0, for the folders that the tests below write.
HASH_OF_0_2_0 = "eb270753fcdb1e27cddc48efedad5b3ef479c2ee096ea07b80ecd84d8a6ccb5d"
HASH_OF_CELLS_OF_0_2_0 = "c2bdde6b555f81c81993d3b2a4ecc2bd2dbe1e389c8732705d8761e9c06ce5e2"


def test_the_hash_is_that_of_version_0_2_0(tmp_path):
    for stem in ("a", "b", "c"):
        for folder in ("images", "masks"):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / f"{stem}.png").write_bytes(f"{folder} of {stem}".encode())
    cells = [
        {"cell_type": "RBC", "bbox": [0, 1.5, 2, 3], "origin": "annotated"},
        {"cell_type": "Platelet", "bbox": [1e-7, 0, 2, 1.25], "origin": "point"},
    ]
    rows = [
        {"stem": "a", "split": "train", "source": "l'hôpital", "original": "a"},
        {"stem": "b", "source": "x", "original": "a", "unmarked_types": ["Platelet"]},
        {"stem": "c", "split": "test", "unmarked_types": ["WBC", "Platelet"]},
    ]
    images = {"a": cells, "b": cells[:1], "c": []}
    boxes, listed = ({"format_version": 1, "images": what} for what in (images, rows))
    (tmp_path / "annotations.json").write_text(json.dumps(boxes))
    (tmp_path / "manifest.json").write_text(json.dumps(listed))
    assert PreparedDataset.open(tmp_path).content_hash() == HASH_OF_0_2_0


def test_the_hash_of_a_cell_folder_is_that_of_version_0_2_0(tmp_path):
    lines = ["file,condition,cell_type,source,field,block,split,origin"]
    for split in ("train", "val", "test"):
        for label in ("healthy_RBC", "malaria_RBC", "not_a_cell"):
            path = tmp_path / label / f"{split}.png"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(f"{label} {split}".encode())
            lines.append(f"{label}/{split}.png,{label},ring,o'Neil,f,{split},{split},stain")
    (tmp_path / "cells.csv").write_text("\n".join(lines))
    folder = CellFolder.open(tmp_path, kind=ClassifierKind("RBC"))
    assert folder.content_hash() == HASH_OF_CELLS_OF_0_2_0


def test_the_hash_depends_on_the_classes_of_ones_own(root):
    dataset = PreparedDataset.open(root)
    own = BUILT_IN.extended([replace(BUILT_IN["WBC"], min_cells=7)])
    assert replace(dataset, taxonomy=own).content_hash() != dataset.content_hash()
