import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.fields import cropped, drawn_fields, stage_moved
from support.labelled_smears import (
    HEIGHT,
    SOUND,
    WIDTH,
    draw_smear,
    write_by_hand,
    write_prepared,
    write_smear,
    write_sound_folder,
)

from blood_cell_system.boxes import BoxOrigin, LabelledBox
from blood_cell_system.classes import NOT_SCORED, CellType
from blood_cell_system.datasets.prepared import (
    UNFINISHED_NAME,
    PreparedDataset,
    write_annotations,
    write_manifest,
)
from blood_cell_system.errors import MissingDataError
from blood_cell_system.image_io import write_image
from blood_cell_system.mask_encoding import encode_class_mask
from blood_cell_system.masks.verification.findings import Finding, Severity, listed
from blood_cell_system.masks.verification.overlay_sheet import overlay_sheet
from blood_cell_system.masks.verification.report import VerificationReport
from blood_cell_system.masks.verification.verify import verify_folder


@pytest.fixture
def root(tmp_path) -> Path:
    return write_sound_folder(tmp_path / "data")


def found(report: VerificationReport, check: str) -> list[Finding]:
    return [finding for finding in report.findings if finding.check == check]


def checks(report: VerificationReport) -> set[str]:
    return {finding.check for finding in report.findings}


def rows(**changes: dict[str, str | None]) -> list[dict[str, str | None]]:
    return [
        {"stem": stem, "split": split, "source": "drawn", "original": stem} | changes.get(stem, {})
        for stem, split in SOUND.items()
    ]


def box(cell_type: CellType, *corners: float) -> LabelledBox:
    names = ("x_min", "y_min", "x_max", "y_max")
    return LabelledBox(cell_type=cell_type, **dict(zip(names, corners, strict=True)))


def test_nothing_is_found_in_a_sound_folder(root):
    report = verify_folder(root)
    assert report.findings == ()
    assert report.is_ok


def test_nothing_but_a_missing_manifest_distinguishes_a_folder_made_by_hand(tmp_path):
    report = verify_folder(write_by_hand(tmp_path))
    assert report.findings == ()


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(MissingDataError, match="no such folder"):
        verify_folder(tmp_path / "none")


def test_a_folder_without_images_and_masks_is_reported_not_raised(tmp_path):
    report = verify_folder(tmp_path)
    assert {f.message for f in found(report, "missing-folder")} == {
        "there is no folder images/",
        "there is no folder masks/",
    }
    assert not report.is_ok


def test_an_unfinished_folder_is_an_error(root):
    (root / UNFINISHED_NAME).write_text("{}")
    assert found(verify_folder(root), "unfinished-folder")[0].severity == Severity.ERROR


def test_a_picture_without_a_mask_and_a_mask_without_a_picture_are_named(root):
    (root / "masks" / "a.png").rename(root / "masks" / "z.png")
    report = verify_folder(root)
    assert found(report, "missing-mask")[0].stems == ("a",)
    assert found(report, "missing-image")[0].stems == ("z",)


def test_a_mask_with_an_ending_of_its_own_is_pointed_out(root):
    (root / "masks" / "a.png").rename(root / "masks" / "a_mask.png")
    assert "masks/a_mask.png looks like it" in found(verify_folder(root), "missing-mask")[0].message


def test_two_pictures_of_one_name_are_an_error(root):
    Image.open(root / "images" / "a.png").save(root / "images" / "a.jpg")
    assert found(verify_folder(root), "same-name")[0].stems == ("a",)


def test_a_file_name_that_is_no_text_is_reported_and_does_not_break_the_report(root):
    odd = os.fsencode(root / "images") + b"/\xff.png"
    with open(odd, "wb") as file:  # noqa: PTH123 (a Path cannot hold these bytes everywhere)
        file.write((root / "images" / "a.png").read_bytes())
    report = verify_folder(root)
    assert found(report, "odd-name")
    json.dumps(report.to_json(), ensure_ascii=False).encode()


def test_a_folder_that_cannot_be_listed_is_reported(root, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert "Permission denied" in found(verify_folder(root), "unreadable-folder")[0].message


def test_files_that_are_no_pictures_are_information(root):
    (root / "images" / "notes.txt").write_text("x")
    (root / "masks" / "old").mkdir()
    assert [f.severity for f in found(verify_folder(root), "passed-over")] == [Severity.INFO] * 2


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


def test_a_picture_cut_in_half_is_an_error(root):
    path = root / "images" / "b.png"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    finding = found(verify_folder(root), "unreadable")[0]
    assert finding.stems == ("b",)
    assert "images/b.png" in finding.message
    assert str(root) not in finding.message


def test_a_mask_that_is_no_picture_is_an_error(root):
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


def test_a_picture_without_cells_is_information_only(root):
    write_smear(root, "a", 50, red=0, white=0)
    report = verify_folder(root)
    assert found(report, "no-cells")[0].severity == Severity.INFO


def test_a_mask_that_is_mostly_not_scored_is_a_warning(root):
    class_mask = draw_smear(0)[1]
    class_mask[:, : int(WIDTH * 0.7)] = NOT_SCORED
    write_image(root / "masks" / "a.png", encode_class_mask(class_mask))
    assert "7" in found(verify_folder(root), "mostly-not-scored")[0].message


def test_a_small_and_a_blank_picture_are_warnings(root):
    write_image(root / "images" / "a.png", np.full((40, 40, 3), 220, dtype=np.uint8))
    write_image(root / "masks" / "a.png", encode_class_mask(np.zeros((40, 40), dtype=np.uint8)))
    assert {"small-picture", "blank-picture"} <= checks(verify_folder(root))


def test_masks_with_red_and_blue_exchanged_are_recognised(tmp_path):
    write_by_hand(tmp_path)
    for path in (tmp_path / "masks").iterdir():
        write_image(path, np.asarray(Image.open(path))[:, :, ::-1])
    report = verify_folder(tmp_path)
    assert len(found(report, "swapped-channels")[0].stems) == 4
    assert not found(report, "mask-does-not-fit")


def test_the_mask_of_another_picture_is_noticed_by_its_brightness(root):
    image = np.asarray(Image.open(root / "images" / "a.png"))
    write_image(root / "images" / "a.png", 255 - image)
    assert found(verify_folder(root), "mask-does-not-fit")[0].stems == ("a",)


# Manifest and annotations


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"format_version": 99}', '{"format_version": 1, "images": 3}', "\xff"]
)
@pytest.mark.parametrize("name", ["manifest", "annotations"])
def test_a_broken_label_file_is_reported_not_raised(root, name, text):
    (root / f"{name}.json").write_bytes(text.encode("latin-1"))
    assert found(verify_folder(root), f"broken-{name}")[0].severity == Severity.ERROR


def test_a_broken_entry_of_the_manifest_does_not_hide_the_others(root):
    entries = [7, {"split": "train"}, {"stem": "a", "split": "exam"}, *rows()[1:], *rows()[1:2]]
    manifest = {"format_version": 1, "images": entries}
    (root / "manifest.json").write_text(json.dumps(manifest))
    report = verify_folder(root)
    messages = " ".join(f.message for f in found(report, "broken-manifest"))
    assert "entry 0" in messages
    assert "entry 1" in messages
    assert "'exam'" in messages
    assert "b is listed twice" in messages
    assert report.statistics["splits"]["val"]["pictures"] == 1


def test_pictures_that_only_manifest_or_folder_know_are_named(root):
    write_manifest(root, [*rows()[1:], {"stem": "gone", "split": "train"}], {})
    report = verify_folder(root)
    assert found(report, "not-in-folder")[0].stems == ("gone",)
    assert found(report, "not-in-manifest")[0].stems == ("a",)


def test_cells_that_cannot_be_read_are_counted_one_by_one(root):
    cells = [{"cell_type": "rbc", "bbox": [1, 2, 3, 4]}, {"bbox": [1]}, None]
    value = {"format_version": 1, "images": {"a": cells, "b": 5}}
    (root / "annotations.json").write_text(json.dumps(value))
    assert len(found(verify_folder(root), "broken-annotations")) == 4


def test_a_label_picture_of_another_size_or_kind_is_an_error(root):
    (root / "instances").mkdir()
    write_image(root / "instances" / "a.png", np.zeros((10, 10), dtype=np.uint16))
    (root / "instances" / "b.png").write_text("nonsense")
    stems = [f.stems for f in found(verify_folder(root), "broken-instances")]
    assert stems == [("a",), ("b",)]


# Boxes

BROKEN = {
    "broken-box": (Severity.ERROR, (50, 50, 40, 60)),
    "box-outside": (Severity.ERROR, (WIDTH + 5, 5, WIDTH + 20, 20)),
    "box-over-edge": (Severity.WARNING, (-9, 5, 15, 25)),
    "tiny-box": (Severity.WARNING, (5, 5, 6, 6)),
}


@pytest.mark.parametrize("check", BROKEN)
def test_a_box_that_cannot_be_right_is_found_and_pointed_at(root, check):
    severity, corners = BROKEN[check]
    write_annotations(root, {"a": [box(CellType.PLATELET, *corners)]})
    finding = found(verify_folder(root), check)[0]
    assert (finding.severity, finding.stems) == (severity, ("a",))
    assert finding.regions == (tuple(map(float, corners)),)


def test_the_guessed_size_of_a_point_may_reach_over_the_edge(root):
    point = replace(box(CellType.PLATELET, -9, 5, 15, 25), origin=BoxOrigin.POINT)
    write_annotations(root, {"a": [point]})
    assert not found(verify_folder(root), "box-over-edge")


def test_a_box_that_is_not_a_number_is_broken_and_its_report_is_json(root):
    # Python's own JSON writer, which other tools use as it is, writes NaN.
    cells = [{"cell_type": "RBC", "bbox": [float("nan"), 1, 9, 9]}]
    (root / "annotations.json").write_text(
        json.dumps({"format_version": 1, "images": {"a": cells}})
    )
    report = verify_folder(root)
    assert found(report, "broken-box")
    json.dumps(report.to_json(), allow_nan=False)


def test_two_boxes_around_one_cell_are_a_warning(root):
    cell = draw_smear(0)[2][0]
    write_annotations(root, {"a": [cell, cell]})
    assert found(verify_folder(root), "duplicate-box")


def test_a_box_where_the_mask_has_no_cell_is_a_warning(root):
    boxes = draw_smear(0)[2]
    mask = draw_smear(0)[1]
    red = boxes[-1]
    rows_, columns = slice(int(red.y_min), int(red.y_max)), slice(int(red.x_min), int(red.x_max))
    mask[rows_, columns] = 0
    write_image(root / "masks" / "a.png", encode_class_mask(mask))
    assert len(found(verify_folder(root), "box-without-mask")[0].regions) == 1


def test_a_box_where_nothing_is_scored_is_no_contradiction(root):
    boxes = draw_smear(0)[2]
    mask = draw_smear(0)[1]
    red = boxes[-1]
    rows_, columns = slice(int(red.y_min), int(red.y_max)), slice(int(red.x_min), int(red.x_max))
    mask[rows_, columns] = NOT_SCORED
    write_image(root / "masks" / "a.png", encode_class_mask(mask))
    assert "box-without-mask" not in checks(verify_folder(root))


def test_a_white_cell_that_the_edge_cuts_needs_no_box(root):
    mask = draw_smear(0)[1]
    mask[:12, :12] = 2
    write_image(root / "masks" / "a.png", encode_class_mask(mask))
    assert "mask-without-box" not in checks(verify_folder(root))


def test_a_white_cell_that_no_box_marks_is_a_warning(root):
    write_annotations(root, {"a": draw_smear(0)[2][1:]})
    assert found(verify_folder(root), "mask-without-box")[0].stems == ("a",)


def test_a_cell_far_from_the_median_of_its_kind_is_a_warning(root):
    cells = {stem: draw_smear(number)[2] for number, stem in enumerate(SOUND)}
    cells["c"].append(box(CellType.RBC, 10, 10, 70, 70))
    write_annotations(root, cells)
    finding = found(verify_folder(root), "size-outlier")[0]
    assert finding.stems == ("c",)
    assert finding.regions == ((10.0, 10.0, 70.0, 70.0),)


def test_a_small_cell_that_the_edge_cuts_is_no_outlier(root):
    cells = {stem: draw_smear(number)[2] for number, stem in enumerate(SOUND)}
    cells["c"].append(box(CellType.RBC, 0, 10, 5, 30))
    write_annotations(root, cells)
    assert "size-outlier" not in checks(verify_folder(root))


# Duplicates and leaks


def copy_pair(root: Path, source: str, target: str, transform=lambda pixels: pixels) -> None:
    for folder in ("images", "masks"):
        pixels = np.asarray(Image.open(root / folder / f"{source}.png"))
        write_image(root / folder / f"{target}.png", np.ascontiguousarray(transform(pixels)))


def test_the_same_picture_in_two_splits_is_an_error(root):
    copy_pair(root, "a", "e")
    finding = found(verify_folder(root), "leak-exact-duplicate")[0]
    assert finding.severity == Severity.ERROR
    assert "a (train), e (test)" in finding.message


def test_the_same_picture_twice_in_a_split_is_a_warning(root):
    copy_pair(root, "a", "b")
    assert found(verify_folder(root), "exact-duplicate")[0].severity == Severity.WARNING


def test_the_same_picture_with_two_masks_is_called_a_contradiction(root):
    write_image(root / "images" / "b.png", np.asarray(Image.open(root / "images" / "a.png")))
    assert "different masks" in found(verify_folder(root), "exact-duplicate")[0].message


def test_a_mirrored_picture_in_another_split_is_a_warning_about_a_leak(root):
    copy_pair(root, "a", "d", lambda pixels: pixels[:, ::-1])
    finding = found(verify_folder(root), "leak-near-duplicate")[0]
    assert finding.stems == ("a", "d")
    assert finding.severity == Severity.WARNING


def test_a_cut_and_recoloured_picture_in_another_split_is_a_warning_about_a_leak(tmp_path):
    field = drawn_fields(1)[0]
    copy = (cropped(field)[:, :, ::-1] * 0.8).astype(np.uint8)
    root = write_pictures(tmp_path, a=field, e=copy)
    assert found(verify_folder(root), "leak-near-duplicate")[0].stems == ("a", "e")


def test_a_field_of_which_the_stage_was_moved_is_a_warning_about_a_leak(tmp_path):
    before, after = stage_moved(drawn_fields(1)[0], down=0.05, across=0.08)
    root = write_pictures(tmp_path, b=before, d=np.rot90(after))
    assert found(verify_folder(root), "leak-near-duplicate")[0].stems == ("b", "d")


def write_pictures(root: Path, **pictures: np.ndarray) -> Path:
    """Write a folder of pictures with masks of background alone, split as in ``SOUND``."""
    for stem, picture in pictures.items():
        write_image(root / "images" / f"{stem}.png", np.ascontiguousarray(picture))
        background = np.zeros(picture.shape[:2], dtype=np.uint8)
        write_image(root / "masks" / f"{stem}.png", encode_class_mask(background))
    write_manifest(root, [row for row in rows() if row["stem"] in pictures], {})
    return root


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


# Classes and splits


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


def test_a_split_without_pictures_is_reported(root):
    write_manifest(root, rows(d={"split": "train"}), {})
    assert found(verify_folder(root), "empty-split")[0].message == "val has no pictures"


def test_a_split_with_far_more_of_a_class_is_a_warning(tmp_path):
    splits = {f"s{n:02}": "train" if n < 20 else "val" for n in range(40)}
    root = write_prepared(tmp_path, splits)
    for number in range(20, 40):
        write_smear(root, f"s{number:02}", number, red=1, white=3)
    message = found(verify_folder(root), "class-balance")[0].message
    assert message.startswith("RBC takes")
    assert "of val" in message


# Report


def test_statistics_count_pictures_cells_and_shares(root):
    statistics = verify_folder(root).statistics
    assert statistics["pictures"] == 5
    assert statistics["splits"]["train"]["pictures"] == 3
    assert statistics["cells"] == {"RBC": 30, "WBC": 5, "Platelet": 0}
    assert sum(statistics["class_shares"].values()) == pytest.approx(1, abs=1e-5)
    assert statistics["median_cell_side_px"]["WBC"] > statistics["median_cell_side_px"]["RBC"]
    assert statistics["picture_sizes"] == {f"{WIDTH}×{HEIGHT}": 5}


def test_the_report_is_the_same_with_one_thread_and_with_several(root):
    copy_pair(root, "a", "e")
    (root / "masks" / "b.png").unlink()
    alone, together = (verify_folder(root, jobs=jobs).to_json() for jobs in (1, 4))
    assert alone == together


def test_errors_come_before_warnings(root):
    copy_pair(root, "a", "b")
    (root / "masks" / "e.png").unlink()
    severities = [finding.severity for finding in verify_folder(root).findings]
    assert severities == sorted(severities, key=list(Severity).index)
    assert len(set(severities)) > 1


def test_what_verifies_without_errors_can_be_opened(root):
    assert verify_folder(root).is_ok
    assert len(PreparedDataset.open(root).images) == 5


def test_the_sheet_shows_faulty_pictures_first_and_bears_anything(root):
    (root / "images" / "a.png").write_text("nonsense")
    (root / "masks" / "b.png").unlink()
    (root / "masks" / "c.png").write_text("nonsense")
    mask = Image.open(root / "masks" / "d.png")
    mask.resize((100, 70)).save(root / "masks" / "d.png")
    sheet = overlay_sheet(verify_folder(root), at_most=4)
    assert sheet.shape[1] == 4 * 368 + 8
    # The first tile is framed in red, as it is an error.
    assert (sheet[35:, 8] == (176, 0, 32)).all(axis=1).any()


def test_a_sheet_of_a_sound_folder_shows_usual_pictures(root):
    assert overlay_sheet(verify_folder(root), at_most=2).shape[1] == 2 * 368 + 8


def test_a_sheet_of_an_empty_folder_says_so(tmp_path):
    assert overlay_sheet(verify_folder(tmp_path)).ndim == 3


def test_a_short_list_is_written_whole():
    assert listed(("a", "b")) == "a, b"
