import numpy as np
from PIL import Image
from support.labelled_smears import SOUND, write_by_hand, write_prepared, write_smear
from support.verified_folders import found, rows

from blood_cell_system.datasets.prepared import write_manifest
from blood_cell_system.datasets.verify.checks import Severity
from blood_cell_system.datasets.verify.verification import verify_folder
from blood_cell_system.imaging.image_file import write_image


def test_a_copy_in_another_split_than_its_original_is_an_error(root):
    write_manifest(root, rows(b={"original": "e"}), {})
    finding = found(verify_folder(root), "leak-copy")[0]
    assert (finding.severity, finding.stems) == (Severity.ERROR, ("b", "e"))


def test_a_copy_in_validation_and_one_without_its_original_are_warnings(root):
    write_prepared(root, {**SOUND, "f": "val"})
    changed = [*rows(b={"original": "gone"}), {"stem": "f", "split": "val", "original": "d"}]
    write_manifest(root, changed, {})
    report = verify_folder(root)
    assert found(report, "copy-not-in-train")[0].stems == ("f",)
    assert found(report, "copy-without-original")[0].stems == ("b",)


def test_a_class_that_a_whole_split_lacks_is_a_warning(root):
    write_smear(root, "e", 80, white=0)
    finding = found(verify_folder(root), "missing-class")[0]
    assert finding.message == "test has no pixel of WBC"
    assert finding.severity == Severity.WARNING


def test_masks_with_black_in_place_of_background_are_an_error(tmp_path):
    write_by_hand(tmp_path)
    for path in (tmp_path / "masks").iterdir():
        mask = np.array(Image.open(path))
        mask[:, :, 0] = 0
        write_image(path, mask)
    finding = found(verify_folder(tmp_path), "missing-class")[0]
    assert finding.severity == Severity.ERROR
    assert "background is red" in finding.message


def test_a_split_without_images_is_reported(root):
    write_manifest(root, rows(d={"split": "train"}), {})
    assert found(verify_folder(root), "empty-split")[0].message == "val has no images"


def test_a_split_with_far_more_of_a_class_is_a_warning(tmp_path):
    splits = {f"s{n:02}": "train" if n < 20 else "val" for n in range(40)}
    root = write_prepared(tmp_path, splits)
    for number in range(20, 40):
        write_smear(root, f"s{number:02}", number, red=1, white=3)
    message = found(verify_folder(root), "class-balance")[0].message
    assert message.startswith("RBC takes")
    assert "of val" in message


def test_masks_with_red_and_blue_exchanged_are_recognised(tmp_path):
    write_by_hand(tmp_path)
    for path in (tmp_path / "masks").iterdir():
        write_image(path, np.asarray(Image.open(path))[:, :, ::-1])
    report = verify_folder(tmp_path)
    assert len(found(report, "swapped-channels")[0].stems) == 4
    assert not found(report, "mask-does-not-fit")


def test_the_mask_of_another_image_is_noticed_by_its_brightness(root):
    image = np.asarray(Image.open(root / "images" / "a.png"))
    write_image(root / "images" / "a.png", 255 - image)
    assert found(verify_folder(root), "mask-does-not-fit")[0].stems == ("a",)
