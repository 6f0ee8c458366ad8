import csv
import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from support.reader_contract import (
    RED,
    SHAPE,
    Drawn,
    ReaderContract,
    as_box,
    draw_images,
    octagon,
)

from blood_cell_system.annotation.format_registry import read_folder
from blood_cell_system.boxes import Box
from blood_cell_system.errors import AnnotationError

COLUMNS = (
    "filename",
    "file_size",
    "file_attributes",
    "region_count",
    "region_id",
    "region_shape_attributes",
    "region_attributes",
)


def rect(box: Box) -> dict[str, object]:
    return {
        "name": "rect",
        "x": box.x_min,
        "y": box.y_min,
        "width": box.width,
        "height": box.height,
    }


def region(shape: Mapping[str, object], **attributes: object) -> dict[str, object]:
    return {"shape_attributes": shape, "region_attributes": attributes or {"label": "RBC"}}


def entry(name: str, *regions: object) -> dict[str, object]:
    return {"filename": name, "size": 1, "regions": list(regions), "file_attributes": {}}


def write_json(root: Path, *entries: Mapping[str, object], name: str = "via.json") -> None:
    content = {f"{one['filename']}{number}": one for number, one in enumerate(entries)}
    (root / name).write_text(json.dumps(content), encoding="utf-8")


def write_csv(root: Path, *entries: Mapping[str, object]) -> None:
    with (root / "via.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            [
                "filename",
                "file_size",
                "file_attributes",
                "region_count",
                "region_id",
                "region_shape_attributes",
                "region_attributes",
            ]
        )
        for one in entries:
            regions = one["regions"] or [{"shape_attributes": {}, "region_attributes": {}}]
            for index, part in enumerate(regions):
                row = [one["filename"], 1, "{}", len(one["regions"]), index]
                row += [json.dumps(part[key]) for key in ("shape_attributes", "region_attributes")]
                writer.writerow(row)


class TestViaJson(ReaderContract):
    format_name = "via"
    text_suffix = ".json"
    declares_sizes = False

    def write(self, root: Path, images: Mapping[str, Drawn]) -> None:
        draw_images(root, list(images))
        self.write_labels(root, *(self.entry(drawn) for drawn in images.values()))

    def write_labels(self, root: Path, *entries: Mapping[str, object]) -> None:
        write_json(root, *entries)

    def entry(self, drawn: Drawn) -> dict[str, object]:
        return entry(
            drawn.reference, *(region(rect(box), label=label) for label, box in drawn.marks)
        )

    def cell(self, root: Path, shape: Mapping[str, object]):
        self.write_labels(root, entry("a.png", region(shape)))
        (cell,) = self.read(root).samples[0].cells
        return cell

    def test_a_polygon_comes_with_its_corners(self, root: Path):
        x, y = zip(*octagon(RED), strict=True)
        cell = self.cell(root, {"name": "polygon", "all_points_x": x, "all_points_y": y})
        np.testing.assert_allclose(cell.outline.rings[0], octagon(RED))

    def test_circles_ellipses_and_points_are_read(self, root: Path):
        circle = self.cell(root, {"name": "circle", "cx": 30, "cy": 30, "r": 10})
        assert as_box(circle) == pytest.approx((20, 20, 40, 40), abs=0.1)
        turned = {"cx": 40, "cy": 30, "rx": 20, "ry": 10, "theta": math.pi / 2}
        ellipse = self.cell(root, {"name": "ellipse", **turned})
        assert as_box(ellipse) == pytest.approx((30, 10, 50, 50), abs=0.1)
        assert self.cell(root, {"name": "point", "cx": 30, "cy": 20}).point == (30, 20)

    def test_a_line_is_dropped_and_takes_nothing_with_it(self, root: Path):
        line = {"name": "polyline", "all_points_x": [1, 9], "all_points_y": [1, 9]}
        self.write_labels(root, entry("a.png", region(line), region(rect(RED))))
        reading = self.read(root)
        assert len(reading.samples[0].cells) == 1
        assert len(reading.dropped) == 1

    def test_the_attribute_that_holds_labels_is_found(self, root: Path):
        self.write_labels(root, entry("a.png", region(rect(RED), stain="pale", Type="WBC")))
        assert self.read(root).samples[0].cells[0].cell_type == "WBC"

    def test_an_only_attribute_may_have_any_name_and_boxes_to_tick(self, root: Path):
        self.write_labels(
            root, entry("a.png", region(rect(RED), Zelle={"WBC": True, "RBC": False}))
        )
        assert self.read(root).samples[0].cells[0].cell_type == "WBC"

    def test_what_is_not_sure_is_not_scored(self, root: Path):
        self.write_labels(root, entry("a.png", region(rect(RED), label="RBC", difficult="yes")))
        assert len(self.read(root).samples[0].unscored) == 1

    def test_a_region_without_a_label_is_asked_for(self, root: Path):
        self.write_labels(root, entry("a.png", region(rect(RED), label="")))
        with pytest.raises(AnnotationError, match=r"'unlabelled' \(1\)"):
            self.read(root)

    def test_an_image_without_regions_has_no_cells(self, root: Path):
        self.write_labels(root, entry("a.png", region(rect(RED))), entry("b.png"))
        assert self.read(root).samples[1].cells == ()

    def test_a_shape_without_its_numbers_is_located(self, root: Path):
        self.write_labels(root, entry("a.png", region({"name": "rect", "x": 1})), entry("b.png"))
        assert "a.png: object 1: 'y' is missing" in self.reason(self.read(root), "a")

    def test_an_export_beside_its_project_is_read_once(self, root: Path):
        entries = [entry("a.png", region(rect(RED))), entry("b.png")]
        write_json(root, *entries)
        content = {
            "_via_settings": {},
            "_via_img_metadata": {str(i): e for i, e in enumerate(entries)},
        }
        (root / "project.json").write_text(json.dumps(content), encoding="utf-8")
        write_csv(root, *entries)
        reading = self.read(root)
        assert reading.failed == ()
        assert len(reading.samples) == 2


class TestViaCsv(TestViaJson):
    text_suffix = ".csv"

    def write_labels(self, root: Path, *entries: Mapping[str, object]) -> None:
        write_csv(root, *entries)

    def test_a_short_row_is_located(self, root: Path):
        with (root / "via.csv").open("a", encoding="utf-8") as file:
            file.write("a.png,1\n")
        with pytest.raises(AnnotationError, match=r"via.csv: line 5: .* is missing"):
            self.read(root)


def test_an_image_without_a_list_of_regions_is_an_error(tmp_path: Path):
    draw_images(tmp_path, ["a.png"])
    (tmp_path / "via.json").write_text('{"a": {"filename": "a.png"}, "shape_attributes": 1}')
    with pytest.raises(AnnotationError, match="'regions' is missing"):
        read_folder(tmp_path, format_name="via")


def test_version_1_numbers_its_regions(tmp_path: Path):
    draw_images(tmp_path, ["a.png"])
    write_json(tmp_path, {**entry("a.png"), "regions": {"0": region(rect(RED))}})
    assert as_box(read_folder(tmp_path).samples[0].cells[0]) == RED
    assert read_folder(tmp_path).samples[0].shape == SHAPE
