import json
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.damaged_jpeg import damaged_jpeg
from support.labelled_smears import HEIGHT, WIDTH, draw_smear, write_smear, write_sound_folder
from support.verified_folders import checks, found

from blood_cell_system.datasets.verify.checks import Severity
from blood_cell_system.datasets.verify.verification import overlay_sheet, verify_folder
from blood_cell_system.imaging.image_file import read_image, write_image
from blood_cell_system.imaging.mask_encoding import encode_class_mask
from blood_cell_system.taxonomy import NOT_SCORED


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_bytes_damaged_anywhere_are_never_raised(data):
    with tempfile.TemporaryDirectory() as folder:
        root = write_sound_folder(Path(folder))
        names = ["images/a.png", "masks/a.png", "manifest.json", "annotations.json"]
        path = root / data.draw(st.sampled_from(names))
        content = bytearray(path.read_bytes())
        start = data.draw(st.integers(0, len(content) - 1))
        junk = data.draw(st.binary(min_size=1, max_size=20))
        content[start : start + len(junk)] = junk
        path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
        report = verify_folder(root)
        json.dumps(report.to_json(), allow_nan=False)
        overlay_sheet(report)


def test_an_image_that_is_repaired_as_it_is_read_is_a_warning(root):
    path = root / "images" / "b.png"
    (root / "images" / "b.jpg").write_bytes(damaged_jpeg(read_image(path)))
    path.unlink()
    (finding,) = found(verify_folder(root), "damaged-image")
    assert finding.stems == ("b",)
    assert "premature end" in finding.message


def test_an_image_cut_in_half_is_an_error(root):
    path = root / "images" / "b.png"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    finding = found(verify_folder(root), "unreadable")[0]
    assert finding.stems == ("b",)
    assert "images/b.png" in finding.message
    assert str(root) not in finding.message


def test_a_mask_that_is_no_image_is_an_error(root):
    (root / "masks" / "b.png").write_text("nonsense")
    assert found(verify_folder(root), "unreadable")[0].stems == ("b",)


def test_a_mask_of_another_size_is_an_error_with_both_sizes(root):
    mask = Image.open(root / "masks" / "a.png")
    mask.resize((100, 70), Image.Resampling.NEAREST).save(root / "masks" / "a.png")
    message = found(verify_folder(root), "mask-size")[0].message
    assert "(70, 100)" in message
    assert f"({HEIGHT}, {WIDTH})" in message
    assert "exact multiple" not in message


def test_a_mask_on_its_side_is_recognised(root):
    mask = Image.open(root / "masks" / "a.png")
    mask.transpose(Image.Transpose.ROTATE_90).save(root / "masks" / "a.png")
    assert "on its side" in found(verify_folder(root), "mask-size")[0].message


def test_a_faulty_mask_is_an_error_that_says_what_it_is(root):
    mask = np.asarray(Image.open(root / "masks" / "a.png"))
    Image.fromarray(mask // 255).save(root / "masks" / "a.png")
    finding = found(verify_folder(root), "zero-one-mask")[0]
    assert finding.severity == Severity.ERROR
    assert "looks all black" in finding.message


def test_a_mask_saved_as_jpeg_is_at_least_a_warning(root):
    red = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    (root / "masks" / "a.png").unlink()
    Image.fromarray(red).save(root / "masks" / "a.jpg", quality=100)
    assert found(verify_folder(root), "lossy-mask-file")[0].severity == Severity.WARNING


def test_a_black_mask_is_an_error(root):
    write_image(root / "masks" / "a.png", np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8))
    assert found(verify_folder(root), "nothing-scored")[0].stems == ("a",)


def test_a_black_gray_mask_is_nothing_scored_among_masks_in_the_format(root):
    Image.fromarray(np.zeros((HEIGHT, WIDTH), dtype=np.uint8)).save(root / "masks" / "a.png")
    assert found(verify_folder(root), "nothing-scored")[0].stems == ("a",)


def test_a_black_gray_mask_is_background_among_index_masks(root):
    Image.fromarray(np.zeros((HEIGHT, WIDTH), dtype=np.uint8)).save(root / "masks" / "a.png")
    Image.fromarray(draw_smear(1)[1]).save(root / "masks" / "b.png")
    report = verify_folder(root)
    assert [f.stems for f in found(report, "index-mask")] == [("a",), ("b",)]
    assert not found(report, "nothing-scored")


def test_an_image_without_cells_is_information_only(root):
    write_smear(root, "a", 50, red=0, white=0)
    report = verify_folder(root)
    assert found(report, "no-cells")[0].severity == Severity.INFO


def test_a_mask_that_is_mostly_not_scored_is_a_warning(root):
    class_mask = draw_smear(0)[1]
    class_mask[:, : int(WIDTH * 0.7)] = NOT_SCORED
    write_image(root / "masks" / "a.png", encode_class_mask(class_mask))
    assert "7" in found(verify_folder(root), "mostly-not-scored")[0].message


def test_a_small_and_a_blank_image_are_warnings(root):
    write_image(root / "images" / "a.png", np.full((40, 40, 3), 220, dtype=np.uint8))
    write_image(root / "masks" / "a.png", encode_class_mask(np.zeros((40, 40), dtype=np.uint8)))
    assert {"small-image", "blank-image"} <= checks(verify_folder(root))


def test_a_label_image_of_another_size_or_kind_is_an_error(root):
    (root / "instances").mkdir()
    write_image(root / "instances" / "a.png", np.zeros((10, 10), dtype=np.uint16))
    (root / "instances" / "b.png").write_text("nonsense")
    stems = [f.stems for f in found(verify_folder(root), "broken-instances")]
    assert stems == [("a",), ("b",)]
