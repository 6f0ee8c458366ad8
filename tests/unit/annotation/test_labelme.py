import base64
import json
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.reader_contract import (
    RED,
    SHAPE,
    WHITE,
    Drawn,
    ReaderContract,
    draw_images,
    octagon,
)

from blood_cell_system.annotation.outline import PixelOutline, PolygonOutline
from blood_cell_system.annotation.splits import Split
from blood_cell_system.boxes import Box
from blood_cell_system.errors import DatasetError

SQUARE = [[10, 10], [30, 10], [30, 30], [10, 30]]


def shape_of(points, kind="polygon", *, label="RBC", **more):
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, **more}


def content_of(shapes, *, image="a.png", size=SHAPE):
    return {
        "version": "5.4.1",
        "flags": {},
        "shapes": shapes,
        "imagePath": image,
        "imageData": None,
        "imageHeight": size[0],
        "imageWidth": size[1],
    }


def write_labels(root, *shapes, name="a", **more):
    text = json.dumps(content_of(list(shapes), image=f"{name}.png") | more)
    (root / f"{name}.json").write_text(text, encoding="utf-8")


def png_text(pixels):
    return base64.b64encode(cv2.imencode(".png", pixels)[1].tobytes()).decode("ascii")


class TestLabelMe(ReaderContract):
    format_name = "labelme"
    text_suffix = ".json"

    def write(self, root: Path, images: Mapping[str, Drawn]) -> None:
        draw_images(root, list(images))
        for name, drawn in images.items():
            shapes = [shape_of(octagon(box), label=label) for label, box in drawn.marks]
            content = content_of(shapes, image=drawn.reference, size=drawn.declared)
            (root / name).with_suffix(".json").write_text(json.dumps(content), encoding="utf-8")

    def cells(self, root: Path):
        return self.read(root).samples[0].cells

    @pytest.mark.parametrize("text", ["{", "", "[]"])
    def test_a_damaged_file_beside_its_image_is_told(self, root: Path, text):
        draw_images(root, ["a.png", "b.png"])
        write_labels(root, shape_of(SQUARE))
        (root / "b.json").write_text(text, encoding="utf-8")
        (failed,) = self.read(root).failed
        assert failed.name == "b"
        assert "b.json" in failed.reason

    def test_a_polygon_comes_with_its_corners(self, root: Path):
        write_labels(root, shape_of(SQUARE))
        assert self.cells(root)[0].outline == PolygonOutline.from_points(SQUARE)

    @pytest.mark.parametrize("points", [[[5, 5], [25, 25]], [[25, 5], [5, 25]]])
    def test_a_rectangle_may_be_drawn_from_any_corner(self, root: Path, points):
        write_labels(root, shape_of(points, "rectangle"))
        assert self.cells(root)[0].box == RED
        assert self.cells(root)[0].outline is None

    def test_a_circle_is_given_by_its_middle_and_a_place_on_its_rim(self, root: Path):
        write_labels(root, shape_of([[30, 30], [40, 30]], "circle"))
        (cell,) = self.cells(root)
        assert cell.box == pytest.approx((20, 20, 40, 40), abs=0.1)
        assert cell.outline.window(SHAPE)[2].sum() == pytest.approx(np.pi * 100, rel=0.02)

    def test_a_point_is_the_centre_of_a_cell(self, root: Path):
        write_labels(root, shape_of([[30, 20]], "point"))
        assert self.cells(root)[0].point == (30, 20)

    def test_a_mask_lies_between_its_first_and_its_last_pixel(self, root: Path):
        pixels = np.zeros((20, 30), bool)
        pixels[2:, 3:] = True
        text = png_text(pixels.astype(np.uint8) * 255)
        write_labels(root, shape_of([[10, 12], [39, 31]], "mask", mask=text))
        expected = PixelOutline.from_pixels(pixels, offset=(10, 12))
        assert self.cells(root)[0].outline == expected

    def test_polygons_of_one_group_are_one_cell_and_that_is_told(self, root: Path):
        other = [[x + 30, y] for x, y in SQUARE]
        write_labels(root, shape_of(SQUARE, group_id=4), shape_of(other, group_id=4))
        reading = self.read(root)
        (cell,) = reading.samples[0].cells
        assert cell.box == Box(10, 10, 60, 30)
        assert "1 outlines have the group" in reading.notes[0]

    def test_polygons_of_one_group_with_two_labels_are_two_cells(self, root: Path):
        write_labels(root, shape_of(SQUARE, group_id=4), shape_of(SQUARE, label="WBC", group_id=4))
        assert len(self.cells(root)) == 2

    def test_overlapping_parts_are_joined_without_a_size_in_the_file(self, root: Path):
        other = [[x + 5, y] for x, y in SQUARE]
        write_labels(
            root, shape_of(SQUARE, group_id=4), shape_of(other, group_id=4), imageHeight=None
        )
        assert self.cells(root)[0].outline.pixels.sum() == 25 * 20

    def test_a_shape_flagged_as_difficult_is_not_scored(self, root: Path):
        write_labels(root, shape_of(SQUARE, flags={"Difficult": True, "pale": True}))
        sample = self.read(root).samples[0]
        assert sample.cells == ()
        assert sample.unscored == (PolygonOutline.from_points(SQUARE),)

    def test_old_files_without_a_shape_type_hold_polygons(self, root: Path):
        write_labels(root, {"label": "RBC", "points": SQUARE})
        assert self.cells(root)[0].outline == PolygonOutline.from_points(SQUARE)

    def test_a_folder_tells_the_split(self, root: Path):
        self.write(root, {"val/c.png": Drawn(reference="c.png")})
        assert self.read(root).samples[-1].split == Split.VAL

    def test_a_file_without_shapes_says_that_there_are_no_cells(self, root: Path):
        write_labels(root)
        assert self.cells(root) == ()

    def test_points_that_count_from_one_are_moved_when_that_is_told(self, root: Path):
        write_labels(root, shape_of([[6, 6], [26, 26]], "rectangle"))
        assert self.read(root, first_pixel=1).samples[0].cells[0].box == RED

    def test_a_polygon_of_two_points_is_dropped_and_listed(self, root: Path):
        write_labels(root, shape_of(SQUARE[:2]), shape_of([[55, 20], [85, 50]], "rectangle"))
        reading = self.read(root)
        assert [cell.box for cell in reading.samples[0].cells] == [WHITE]
        (dropped,) = reading.dropped
        assert (dropped.file, dropped.object_index) == ("a.json", 1)

    @pytest.mark.parametrize("kind", ["line", "linestrip", "cuboid", "circle"])
    def test_a_shape_without_a_place_is_listed_and_takes_nothing_with_it(self, root: Path, kind):
        write_labels(root, shape_of(SQUARE[:3], kind), shape_of(SQUARE))
        reading = self.read(root)
        assert [drop.object_index for drop in reading.dropped] == [1]
        assert len(reading.samples[0].cells) == 1

    @pytest.mark.parametrize("kind", ["rectangle", "rotation"])
    def test_a_rectangle_of_four_corners_is_a_box_or_turned(self, root: Path, kind: str):
        turned = [[40, 10], [50, 20], [40, 30], [30, 20]]
        write_labels(root, shape_of(SQUARE, kind), shape_of(turned, kind))
        upright, other = self.read(root).samples[0].cells
        assert (upright.box, upright.outline) == (Box(10, 10, 30, 30), None)
        assert other.outline == PolygonOutline.from_points(turned)

    def test_difficult_of_another_program_is_not_scored(self, root: Path):
        write_labels(root, {**shape_of(SQUARE), "difficult": True})
        sample = self.read(root).samples[0]
        assert (sample.cells, len(sample.unscored)) == ((), 1)

    def test_a_polygon_that_crosses_itself_is_read_and_told(self, root: Path):
        write_labels(root, shape_of([[10, 10], [30, 30], [30, 10], [10, 30]]))
        assert "cross themselves" in self.read(root).notes[0]

    @pytest.mark.parametrize(
        ("shape", "words"),
        [
            (shape_of([[1, 2], ["x", 4]], "rectangle"), "is no number"),
            (shape_of([[1, 2], [3, 1e9]], "circle"), "an ellipse at"),
            ({"points": SQUARE}, "'label' is missing"),
            ("polygon", "a value is of another kind"),
            (shape_of([[0, 0], [9, 9]], "mask", mask="?"), "not base64"),
            (shape_of([[0, 0], [9, 9]], "mask", mask="AAAA"), "is no PNG"),
            (
                shape_of([[0, 0], [9, 9]], "mask", mask=png_text(np.ones((3, 4), np.uint8))),
                "4×3 pixels, its corners are 10×10",
            ),
            (
                shape_of([[0, 0], [3, 2]], "mask", mask=png_text(np.ones((3, 4), np.uint8))[:60]),
                "damaged",
            ),
        ],
    )
    def test_a_shape_that_cannot_be_read_fails_its_image_alone(self, root: Path, shape, words):
        write_labels(root, shape)
        reading = self.read(root)
        assert [sample.stem for sample in reading.samples] == ["b"]
        reason = self.reason(reading, "a")
        assert "a.json: object 1" in reason
        assert words in reason

    @pytest.mark.parametrize("changes", [{"shapes": 3}, {"imageHeight": "tall"}])
    def test_a_file_of_another_kind_fails_its_image_alone(self, root: Path, changes):
        write_labels(root, **changes)
        assert "a.json" in self.reason(self.read(root), "a")

    def test_a_file_that_is_cut_off_fails_its_image_alone(self, root: Path):
        text = (root / "a.json").read_text()
        (root / "a.json").write_text(text[:-5])
        assert "not JSON, or cut off" in self.reason(self.read(root), "a")

    def test_a_folder_without_labels_is_refused(self, tmp_path: Path):
        draw_images(tmp_path)
        with pytest.raises(DatasetError, match="expected LabelMe's"):
            self.read(tmp_path)
