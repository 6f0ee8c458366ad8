from pathlib import Path

import numpy as np
import pytest

from blood_cell_system.annotation.outline import PixelOutline
from blood_cell_system.annotation.sample import Annotation, Origin
from blood_cell_system.annotation.splits import Split
from blood_cell_system.boxes import Box
from blood_cell_system.datasets.prepared import (
    PreparedDataset,
    prepared_samples,
    write_annotations,
    write_manifest,
)
from blood_cell_system.errors import DatasetError
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.imaging.mask_encoding import encode_class_mask
from blood_cell_system.taxonomy import NOT_SCORED, PLATELET, RBC, WBC, MaskClass

SHAPE = (40, 60)
RED = Annotation(cell_type=RBC, box=Box(5, 5, 15, 20))
PLATELET = Annotation(cell_type=PLATELET, box=Box(30.5, 4, 36, 10))
CENTRE = Annotation(cell_type=WBC, box=Box(40, 20, 50, 30), origin=Origin.POINT)


def write_folder(root, *, cells=(RED, PLATELET, CENTRE), labels=None):
    class_mask = np.zeros(SHAPE, np.uint8)
    class_mask[5:20, 5:15] = MaskClass.RBC
    class_mask[30:34, 10:20] = class_mask[38, 58] = NOT_SCORED
    if labels is None:
        labels = (class_mask == MaskClass.RBC).astype(np.uint16)
    write_image(root / "images/a.png", np.full((*SHAPE, 3), 200, np.uint8))
    write_image(root / "masks/a.png", encode_class_mask(class_mask))
    write_image(root / "instances/a.png", labels)
    if cells is not None:
        write_annotations(root, {"a": cells})
    write_manifest(root, [{"stem": "a", "split": "val", "source": "x", "original": "a"}], {})
    return PreparedDataset.open(root)


def test_a_cell_with_pixels_comes_with_its_outline(tmp_path: Path):
    (sample,) = prepared_samples(write_folder(tmp_path))
    cell = sample.cells[0]
    expected = PixelOutline.from_pixels(np.ones((15, 10), bool), offset=(5, 5))
    assert (cell.cell_type, cell.outline) == (RBC, expected)


def test_a_cell_without_pixels_comes_with_its_box(tmp_path: Path):
    (sample,) = prepared_samples(write_folder(tmp_path))
    assert sample.cells[1].outline is None
    assert sample.cells[1].box == Box(30.5, 4, 36, 10)


def test_a_cell_whose_size_is_a_guess_comes_with_its_centre(tmp_path: Path):
    (sample,) = prepared_samples(write_folder(tmp_path))
    assert (sample.cells[2].point, sample.cells[2].box) == ((45, 25), None)


def test_name_size_and_split_come_along(tmp_path: Path):
    (sample,) = prepared_samples(write_folder(tmp_path))
    assert (sample.stem, sample.shape, sample.split) == ("a", SHAPE, Split.VAL)


def test_an_image_without_known_cells_stays_unknown(tmp_path: Path):
    dataset = write_folder(tmp_path, cells=None)
    (sample,) = prepared_samples(dataset)
    assert sample.cells is None


def test_regions_that_are_not_scored_come_only_when_asked_for(tmp_path: Path):
    dataset = write_folder(tmp_path)
    (without,) = prepared_samples(dataset)
    (with_them,) = prepared_samples(dataset, with_unscored=True)
    assert without.unscored == ()
    assert [region.box for region in with_them.unscored] == [
        Box(10, 30, 20, 34),
        Box(58, 38, 59, 39),
    ]


@pytest.mark.parametrize(
    "labels",
    [np.zeros((39, 60), np.uint16), np.full(SHAPE, 4, np.uint16)],
    ids=["another size", "more labels than cells"],
)
def test_a_label_image_that_does_not_fit_is_refused(tmp_path: Path, labels):
    dataset = write_folder(tmp_path, labels=labels)
    with pytest.raises(DatasetError, match="expected \\(40, 60\\), and at most the 3 cells"):
        list(prepared_samples(dataset))
