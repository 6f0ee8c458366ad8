import numpy as np
from PIL import Image
from support.fields import cropped, drawn_fields, stage_moved
from support.labelled_smears import write_by_hand
from support.verified_folders import checks, copy_pair, found, rows, write_images

from blood_cell_system.datasets.prepared import write_manifest
from blood_cell_system.datasets.verify.checks import Severity
from blood_cell_system.datasets.verify.verification import verify_folder
from blood_cell_system.imaging.image_file import write_image


def test_the_same_image_in_two_splits_is_an_error(root):
    copy_pair(root, "a", "e")
    finding = found(verify_folder(root), "leak-exact-duplicate")[0]
    assert finding.severity == Severity.ERROR
    assert "a (train), e (test)" in finding.message


def test_the_same_image_twice_in_a_split_is_a_warning(root):
    copy_pair(root, "a", "b")
    assert found(verify_folder(root), "exact-duplicate")[0].severity == Severity.WARNING


def test_the_same_image_with_two_masks_is_called_a_contradiction(root):
    write_image(root / "images" / "b.png", np.asarray(Image.open(root / "images" / "a.png")))
    assert "different masks" in found(verify_folder(root), "exact-duplicate")[0].message


def test_a_mirrored_image_in_another_split_is_a_warning_about_a_leak(root):
    copy_pair(root, "a", "d", lambda pixels: pixels[:, ::-1])
    finding = found(verify_folder(root), "leak-near-duplicate")[0]
    assert finding.stems == ("a", "d")
    assert finding.severity == Severity.WARNING


def test_a_cut_and_recoloured_image_in_another_split_is_a_warning_about_a_leak(tmp_path):
    field = drawn_fields(1)[0]
    copy = (cropped(field)[:, :, ::-1] * 0.8).astype(np.uint8)
    root = write_images(tmp_path, a=field, e=copy)
    assert found(verify_folder(root), "leak-near-duplicate")[0].stems == ("a", "e")


def test_a_field_of_which_the_stage_was_moved_is_a_warning_about_a_leak(tmp_path):
    before, after = stage_moved(drawn_fields(1)[0], down=0.05, across=0.08)
    root = write_images(tmp_path, b=before, d=np.rot90(after))
    assert found(verify_folder(root), "leak-near-duplicate")[0].stems == ("b", "d")


def test_three_versions_of_one_field_are_one_finding(root):
    copy_pair(root, "a", "b", lambda pixels: pixels[::-1])
    copy_pair(root, "a", "c", lambda pixels: pixels[:, ::-1])
    findings = found(verify_folder(root), "near-duplicate")
    assert [finding.stems for finding in findings] == [("a", "b", "c")]


def test_augmented_copies_of_one_original_are_no_duplicates(root):
    copy_pair(root, "a", "b", lambda pixels: pixels[::-1])
    copy_pair(root, "a", "c")
    write_manifest(root, rows(b={"original": "a"}, c={"original": "a"}), {})
    assert not {"exact-duplicate", "near-duplicate"} & checks(verify_folder(root))


def test_without_a_manifest_the_name_tells_a_copy(tmp_path):
    root = write_by_hand(tmp_path)
    copy_pair(root, "s0", "s0_aug1", lambda pixels: pixels[::-1])
    report = verify_folder(root)
    assert report.findings == ()
    assert report.statistics["splits"]["no split"]["augmented_copies"] == 1
