import shutil
from pathlib import Path

import numpy as np
import pytest
from support.voc_folder import BOXES, add_image, voc_xml, write_voc_folder

from blood_cell_system.annotation.formats.voc import BCCD_LABELS, read_voc_folder
from blood_cell_system.annotation.splits import Split
from blood_cell_system.errors import AnnotationError, DatasetError, MissingDataError
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.taxonomy import PLATELET, RBC, WBC


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_voc_folder(tmp_path)


def cells_of(folder: Path, *boxes, labels=BCCD_LABELS):
    add_image(folder, "pic_0", boxes)
    dataset = read_voc_folder(folder, labels=labels)
    return next(sample.cells for sample in dataset.samples if sample.stem == "pic_0")


def drops_of(folder: Path, *boxes):
    add_image(folder, "pic_0", boxes)
    return [(box.object_index, box.reason) for box in read_voc_folder(folder).dropped]


def test_the_clone_and_its_subfolder_are_the_same_data_set(folder: Path):
    assert read_voc_folder(folder) == read_voc_folder(folder.parent)


def test_every_image_has_the_split_of_its_list(folder: Path):
    splits = {sample.stem: sample.split for sample in read_voc_folder(folder).samples}
    assert splits == {"pic_0": Split.TRAIN, "pic_1": Split.VAL, "pic_2": Split.TEST}


def test_images_have_no_split_when_there_are_no_lists(folder: Path):
    shutil.rmtree(folder / "ImageSets")
    assert {sample.split for sample in read_voc_folder(folder).samples} == {None}


def test_a_second_column_and_empty_lines_of_a_split_list_are_passed_over(folder: Path):
    (folder / "ImageSets" / "Main" / "train.txt").write_text("\npic_0  1\n\n")
    assert read_voc_folder(folder).samples[0].split == Split.TRAIN


def test_an_image_in_two_splits_is_an_error(folder: Path):
    (folder / "ImageSets" / "Main" / "val.txt").write_text("pic_0\npic_1\n")
    with pytest.raises(DatasetError, match=r"val\.txt: pic_0 is in train\.txt as well"):
        read_voc_folder(folder)


def test_labels_become_cell_types(folder: Path):
    types = [cell.cell_type for cell in read_voc_folder(folder).samples[0].cells]
    assert types == [RBC, RBC, WBC, PLATELET]


def test_corners_become_zero_based_and_half_open(folder: Path):
    (cell,) = cells_of(folder, ("RBC", 1, 2, 10, 20))
    assert (cell.x_min, cell.y_min, cell.x_max, cell.y_max) == (0, 1, 10, 20)


def test_a_box_that_leaves_the_image_is_clipped(folder: Path):
    (cell,) = cells_of(folder, ("RBC", 0, -5, 100, 20))
    assert (cell.x_min, cell.y_min, cell.x_max, cell.y_max) == (0, 0, 96, 20)


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        (("RBC", 5, 5, 5, 5), "too small for a cell: 1×1 px in the image"),
        (("RBC", 5, 5, 7, 40), "too small for a cell: 3×36 px in the image"),
        (("RBC", 94, 5, 110, 40), "too small for a cell: 3×36 px in the image"),
        (("RBC", 94, 5, 300, 40), "too small for a cell: 3×36 px in the image"),
        (("RBC", 200, 5, 230, 25), "outside the image: (200, 5) to (230, 25)"),
    ],
)
def test_a_broken_box_is_dropped_and_listed(folder: Path, box, reason: str):
    assert drops_of(folder, BOXES[0], box) == [(2, reason)]


def test_a_side_of_four_pixels_is_kept(folder: Path):
    assert drops_of(folder, ("Platelets", 5, 5, 8, 8)) == []


def test_the_second_of_two_boxes_around_one_cell_is_dropped(folder: Path):
    twice = ("RBC", 6, 6, 26, 25)
    assert drops_of(folder, BOXES[2], BOXES[0], twice) == [(3, "same RBC as object 2: IoU 0.95")]


def test_equal_boxes_of_different_types_are_both_kept(folder: Path):
    assert drops_of(folder, ("RBC", 6, 6, 25, 25), ("WBC", 6, 6, 25, 25)) == []


def test_a_dropped_box_names_its_file_in_the_data_set(folder: Path):
    add_image(folder, "pic_1", [("RBC", 5, 5, 5, 5)])
    assert read_voc_folder(folder).dropped[0].file == "Annotations/pic_1.xml"


def test_a_label_that_is_not_in_the_table_is_an_error_at_once(folder: Path):
    add_image(folder, "pic_1", [("rbc", 5, 5, 25, 25)])
    with pytest.raises(AnnotationError, match=r"pic_1\.xml: object 1 is labelled 'rbc'; expected "):
        read_voc_folder(folder)


def test_a_label_that_stands_for_none_is_left_out(folder: Path):
    labels = {**BCCD_LABELS, "Artefact": None}
    cells = cells_of(folder, ("Artefact", 5, 5, 25, 25), BOXES[0], labels=labels)
    assert len(cells) == 1


def test_an_image_without_cells_is_normal(folder: Path):
    assert cells_of(folder) == ()


@pytest.mark.parametrize("damage", ["<annotation><size>", "not XML", ""])
def test_a_damaged_annotation_does_not_take_the_others_with_it(folder: Path, damage: str):
    (folder / "Annotations" / "pic_1.xml").write_text(damage)
    dataset = read_voc_folder(folder)
    assert [sample.stem for sample in dataset.samples] == ["pic_0", "pic_2"]
    assert [image.name for image in dataset.failed] == ["pic_1"]


def failure(folder: Path) -> str:
    (image,) = read_voc_folder(folder).failed
    return image.reason


def test_an_annotation_without_its_image_is_listed(folder: Path):
    (folder / "JPEGImages" / "pic_1.jpg").unlink()
    assert "pic_1.xml: names the image 'pic_1', which is not in" in failure(folder)


def test_an_image_without_its_annotation_is_listed(folder: Path):
    (folder / "Annotations" / "pic_1.xml").unlink()
    assert "pic_1.jpg: there are no labels for this image" in failure(folder)


def test_a_name_in_a_split_list_without_files_is_told(folder: Path):
    (folder / "ImageSets" / "Main" / "val.txt").write_text("pic_1\npic_9\n")
    assert "val.txt: 1 lines name no image of the folder" in read_voc_folder(folder).notes[0]


def test_a_file_that_is_no_image_is_listed(folder: Path):
    (folder / "JPEGImages" / "pic_1.jpg").write_text("hello")
    assert "pic_1.jpg: not an image" in failure(folder)


def test_a_size_that_differs_from_the_image_is_listed_with_both(folder: Path):
    (folder / "Annotations" / "pic_1.xml").write_text(voc_xml(shape=(96, 60)))
    reason = failure(folder)
    assert "pic_1.xml: says (height, width) (96, 60)" in reason
    assert "pic_1.jpg has (60, 96)" in reason


@pytest.mark.parametrize("shape", [None, (0, 0)])
def test_the_size_comes_from_the_image_where_the_annotation_does_not_know(folder: Path, shape):
    (folder / "Annotations" / "pic_1.xml").write_text(voc_xml(shape=shape))
    assert read_voc_folder(folder).samples[1].shape == (60, 96)


def test_a_folder_of_which_nothing_can_be_used_is_an_error(folder: Path):
    for path in (folder / "Annotations").iterdir():
        path.write_text("")
    with pytest.raises(DatasetError, match=r"none of 3 images can be used.*pic_0\.xml"):
        read_voc_folder(folder)


def test_two_images_of_one_stem_are_listed_and_not_guessed(folder: Path):
    write_image(folder / "JPEGImages" / "pic_0.png", np.zeros((60, 96, 3), np.uint8))
    reading = read_voc_folder(folder)
    assert [sample.stem for sample in reading.samples] == ["pic_1", "pic_2"]
    assert any("both fit" in image.reason for image in reading.failed)


def test_a_missing_folder_is_an_error(tmp_path: Path):
    with pytest.raises(MissingDataError, match="there is no such folder"):
        read_voc_folder(tmp_path / "nowhere")


def test_an_empty_folder_is_an_error(tmp_path: Path):
    with pytest.raises(DatasetError, match="no folders Annotations/ and JPEGImages/"):
        read_voc_folder(tmp_path)


def test_two_voc_folders_side_by_side_are_an_error(tmp_path: Path, folder: Path):
    shutil.copytree(folder, tmp_path / "Other")
    with pytest.raises(DatasetError, match=r"several VOC folders \(BCCD, Other\)"):
        read_voc_folder(tmp_path)


def test_a_folder_without_annotations_is_an_error(folder: Path):
    for path in (folder / "Annotations").iterdir():
        path.unlink()
    with pytest.raises(DatasetError, match="no XML files"):
        read_voc_folder(folder)


def test_the_hash_changes_with_one_byte_of_an_annotation(folder: Path):
    before = read_voc_folder(folder).source_hash()
    path = folder / "Annotations" / "pic_2.xml"
    path.write_text(path.read_text() + "\n")
    assert read_voc_folder(folder).source_hash() != before
