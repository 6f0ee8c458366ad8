import json
from dataclasses import replace

import pytest
from support.labelled_smears import WIDTH, draw_smear
from support.verified_folders import box, checks, found

from blood_cell_system.annotation.sample import Origin
from blood_cell_system.datasets.prepared import write_annotations
from blood_cell_system.datasets.verify.checks import Severity
from blood_cell_system.datasets.verify.verification import verify_folder
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.imaging.mask_encoding import encode_class_mask
from blood_cell_system.taxonomy import NOT_SCORED, PLATELET

BROKEN = {
    "broken-box": (Severity.ERROR, (50, 50, 40, 60)),
    "box-outside": (Severity.ERROR, (WIDTH + 5, 5, WIDTH + 20, 20)),
    "box-over-edge": (Severity.WARNING, (-9, 5, 15, 25)),
    "tiny-box": (Severity.WARNING, (5, 5, 6, 6)),
}


@pytest.mark.parametrize("check", BROKEN)
def test_a_box_that_cannot_be_right_is_found_and_pointed_at(root, check):
    severity, corners = BROKEN[check]
    write_annotations(root, {"a": [box(PLATELET, *corners)]})
    finding = found(verify_folder(root), check)[0]
    assert (finding.severity, finding.stems) == (severity, ("a",))
    assert finding.regions == (tuple(map(float, corners)),)


def test_the_guessed_size_of_a_point_may_reach_over_the_edge(root):
    point = replace(box(PLATELET, -9, 5, 15, 25), origin=Origin.POINT)
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
