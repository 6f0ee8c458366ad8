import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco_mask
from support.reader_contract import RED, SHAPE, WHITE, Drawn, ReaderContract, draw_images

from blood_cell_system.annotation.outline import PixelOutline, PolygonOutline
from blood_cell_system.annotation.run_lengths import counts_of_mask
from blood_cell_system.annotation.splits import Split
from blood_cell_system.boxes import Box
from blood_cell_system.errors import AnnotationError, DatasetError

HEIGHT, WIDTH = SHAPE
SQUARE = [10.0, 10.0, 30.0, 10.0, 30.0, 30.0, 10.0, 30.0]


def bbox(box):
    return [box.x_min, box.y_min, box.x_max - box.x_min, box.y_max - box.y_min]


def square_mask(shape=SHAPE):
    mask = np.zeros(shape, bool)
    mask[10:30, 10:30] = True
    return mask


def write_coco(root, *annotations, name="annotations.json", images=None, **more):
    content = {
        "images": images
        or [
            {"id": 7, "file_name": "a.png", "height": HEIGHT, "width": WIDTH},
            {"id": 8, "file_name": "b.png", "height": HEIGHT, "width": WIDTH},
        ],
        "annotations": [
            {"id": index, "image_id": 7, "category_id": 1, **annotation}
            for index, annotation in enumerate(annotations)
        ],
        "categories": [{"id": 1, "name": "RBC"}, {"id": 2, "name": "WBC"}],
        **more,
    }
    (root / name).write_text(json.dumps(content), encoding="utf-8")


class TestCoco(ReaderContract):
    format_name = "coco"
    text_suffix = ".json"

    def write(self, root: Path, images: Mapping[str, Drawn]) -> None:
        draw_images(root / "images", list(images))
        labels = sorted({label for drawn in images.values() for label, _ in drawn.marks})
        content = {
            "info": {"description": "a miniature"},
            "images": [
                {
                    "id": name,
                    "file_name": drawn.reference,
                    "height": drawn.declared[0],
                    "width": drawn.declared[1],
                }
                for name, drawn in images.items()
            ],
            "annotations": [
                {"image_id": name, "category_id": labels.index(label), "bbox": bbox(box)}
                for name, drawn in images.items()
                for label, box in drawn.marks
            ],
            "categories": [{"id": index, "name": label} for index, label in enumerate(labels)],
        }
        (root / "annotations.json").write_text(json.dumps(content), encoding="utf-8")

    def only_cell(self, root: Path):
        (cell,) = self.read(root).samples[0].cells
        return cell

    def test_a_polygon_is_taken_rather_than_the_box(self, root: Path):
        write_coco(root, {"segmentation": [SQUARE], "bbox": [0, 0, 50, 50]})
        cell = self.only_cell(root)
        assert cell.outline == PolygonOutline.from_points(np.reshape(SQUARE, (-1, 2)))
        assert cell.box == Box(10, 10, 30, 30)

    def test_polygons_that_lie_apart_are_parts_of_one_cell(self, root: Path):
        write_coco(root, {"segmentation": [SQUARE, [x + 25 for x in SQUARE]]})
        assert len(self.only_cell(root).outline.rings) == 2

    def test_polygons_that_overlap_are_parts_without_a_hole_between(self, root: Path):
        write_coco(root, {"segmentation": [SQUARE, [x + 5 for x in SQUARE]]})
        outline = self.only_cell(root).outline
        rows, columns, inside = outline.window(SHAPE)
        assert inside.sum() == 2 * 20 * 20 - 15 * 15
        assert (rows, columns) == (slice(10, 35), slice(10, 35))

    @pytest.mark.parametrize("kind", ["numbers", "compressed"])
    def test_run_lengths_become_the_pixels_of_pycocotools(self, root: Path, kind: str):
        encoded = coco_mask.encode(np.asfortranarray(square_mask().astype(np.uint8)))
        counts = {
            "numbers": counts_of_mask(square_mask().T),
            "compressed": encoded["counts"].decode("ascii"),
        }[kind]
        write_coco(root, {"segmentation": {"size": list(SHAPE), "counts": counts}})
        expected = PixelOutline.from_pixels(square_mask())
        assert self.only_cell(root).outline == expected

    def test_a_crowd_is_not_scored(self, root: Path):
        counts = counts_of_mask(square_mask().T)
        write_coco(root, {"segmentation": {"size": list(SHAPE), "counts": counts}, "iscrowd": 1})
        sample = self.read(root).samples[0]
        assert sample.cells == ()
        assert sample.unscored == (PixelOutline.from_pixels(square_mask()),)

    def test_an_image_without_annotations_has_no_cells(self, root: Path):
        write_coco(root, {"bbox": bbox(RED)})
        assert self.read(root).samples[1].cells == ()

    def test_files_of_several_splits_are_read_together(self, root: Path):
        (root / "annotations.json").unlink()
        for image_id, name, split in ((7, "a.png", "train"), (8, "b.png", "val")):
            image = {"id": image_id, "file_name": name, "height": HEIGHT, "width": WIDTH}
            write_coco(
                root,
                {"image_id": image_id, "bbox": bbox(WHITE)},
                name=f"instances_{split}2017.json",
                images=[image],
            )
        assert [sample.split for sample in self.read(root).samples] == [Split.TRAIN, Split.VAL]

    def test_boxes_that_count_pixels_from_one_are_moved_when_that_is_told(self, root: Path):
        write_coco(root, {"bbox": [6, 6, 20, 20]})
        reading = self.read(root, first_pixel=1)
        assert reading.samples[0].cells[0].box == Box(5, 5, 25, 25)

    def test_a_polygon_of_two_points_is_dropped_and_listed(self, root: Path):
        write_coco(root, {"segmentation": [[1, 1, 30, 30]]}, {"bbox": bbox(RED)})
        reading = self.read(root)
        assert len(reading.samples[0].cells) == 1
        assert "2 different corners" in reading.dropped[0].reason

    def test_a_polygon_that_crosses_itself_is_read_and_told(self, root: Path):
        write_coco(root, {"segmentation": [[10, 10, 30, 30, 30, 10, 10, 30]]})
        reading = self.read(root)
        assert len(reading.samples[0].cells) == 1
        assert "cross themselves" in reading.notes[0]

    @pytest.mark.parametrize(
        ("segmentation", "words"),
        [
            ({"size": list(SHAPE), "counts": [1, 2, 3]}, "add up to 6 pixels; expected 5760"),
            ({"size": [WIDTH, HEIGHT], "counts": [1]}, r"are of \(height, width\) \(96, 60\)"),
            ({"size": list(SHAPE), "counts": "~"}, "letters"),
            ({"size": list(SHAPE)}, "'counts' is missing"),
            ([[1, 2, 3]], "3 numbers; expected pairs"),
            ([["x", 2, 3, 4, 5, 6]], "is no number"),
            (7, "a value is of another kind"),
        ],
    )
    def test_a_damaged_outline_fails_its_image_alone(self, root: Path, segmentation, words: str):
        write_coco(root, {"segmentation": segmentation})
        reading = self.read(root)
        assert [sample.stem for sample in reading.samples] == ["b"]
        (failed,) = reading.failed
        assert failed.name == "a"
        assert re.search(words, failed.reason)

    def test_an_annotation_of_no_image_is_listed(self, root: Path):
        write_coco(root, {"image_id": 99, "bbox": bbox(RED)})
        (failed,) = self.read(root).failed
        assert "image id '99'" in failed.reason

    def test_a_category_that_is_not_listed_fails_its_image_alone(self, root: Path):
        write_coco(root, {"category_id": 5, "bbox": bbox(RED)})
        (failed,) = self.read(root).failed
        assert "category id '5' is not among the categories" in failed.reason

    @pytest.mark.parametrize("size", [-3, "tall", 1.5, 10**9])
    def test_a_size_that_no_image_has_fails_its_image_alone(self, root: Path, size):
        images = [
            {"id": 7, "file_name": "a.png", "height": size, "width": WIDTH},
            {"id": 8, "file_name": "b.png", "height": HEIGHT, "width": WIDTH},
        ]
        write_coco(root, {"bbox": bbox(RED)}, images=images)
        (failed,) = self.read(root).failed
        assert "expected numbers of pixels" in failed.reason

    @pytest.mark.parametrize("size", [0, None, "", float(HEIGHT), f"{HEIGHT}.0"])
    def test_the_size_of_the_image_itself_counts_where_none_is_declared(self, root: Path, size):
        images = [{"id": 7, "file_name": "a.png", "height": size, "width": WIDTH}]
        write_coco(root, {"bbox": bbox(RED)}, images=images)
        assert len(self.read(root).samples[0].cells) == 1

    @pytest.mark.parametrize("what", ["images", "categories"])
    def test_an_id_that_is_used_twice_is_refused_by_its_name(self, root: Path, what: str):
        write_coco(root, {"bbox": bbox(RED)})
        content = json.loads((root / "annotations.json").read_text())
        content[what][1]["id"] = str(content[what][0]["id"])
        (root / "annotations.json").write_text(json.dumps(content))
        with pytest.raises(AnnotationError, match=f"id {content[what][0]['id']} is used 2 times"):
            self.read(root)

    def test_ids_match_by_their_value(self, root: Path):
        write_coco(root, {"bbox": bbox(RED), "image_id": "7", "category_id": 1.0})
        assert [cell.cell_type for cell in self.read(root).samples[0].cells] == ["RBC"]

    @pytest.mark.parametrize("outline", [[[]], [], [10, 5, 30, 25], [[10, 5, 30, 25]], [[1, 2]]])
    def test_a_box_counts_where_the_outline_says_nothing(self, root: Path, outline):
        write_coco(root, {"bbox": bbox(RED), "segmentation": outline})
        (cell,) = self.read(root).samples[0].cells
        assert (cell.box, cell.outline) == (RED, None)

    def test_a_polygon_without_the_list_around_it_is_read(self, root: Path):
        write_coco(root, {"bbox": bbox(RED), "segmentation": SQUARE})
        (cell,) = self.read(root).samples[0].cells
        assert cell.outline.box == Box(10, 10, 30, 30)

    @pytest.mark.parametrize(
        "flags",
        [{"ignore": 1}, {"difficult": True}, {"attributes": {"difficult": True}}, {"iscrowd": 1}],
    )
    def test_what_is_not_decided_is_not_scored(self, root: Path, flags):
        write_coco(root, {"bbox": bbox(RED), **flags}, {"bbox": bbox(WHITE), "ignore": 0})
        sample = self.read(root).samples[0]
        assert (len(sample.cells), len(sample.unscored)) == (1, 1)

    def test_annotations_that_are_all_dropped_are_refused(self, root: Path):
        write_coco(root, {"bbox": [5000, 5000, 20, 20]})
        with pytest.raises(DatasetError, match=r"none of 1 annotations can be used.*outside"):
            self.read(root)

    @pytest.mark.parametrize(
        ("key", "value"),
        [("categories", [{"id": 1}]), ("images", [{"file_name": "a.png"}]), ("annotations", [3])],
    )
    def test_lists_of_anything_else_are_refused(self, root: Path, key: str, value):
        content = json.loads((root / "annotations.json").read_text())
        text = json.dumps(content | {key: value})
        (root / "annotations.json").write_text(text)
        with pytest.raises(AnnotationError, match=r"annotations\.json: "):
            self.read(root)

    def test_a_file_that_is_cut_off_is_refused(self, root: Path):
        text = (root / "annotations.json").read_text()
        (root / "annotations.json").write_text(text[:-20])
        with pytest.raises(AnnotationError, match="not JSON, or cut off"):
            self.read(root)

    def test_a_file_without_categories_is_refused(self, root: Path):
        write_coco(root, {"bbox": bbox(RED)}, categories=None)
        with pytest.raises(DatasetError, match="expected an object with the lists"):
            self.read(root)

    def test_the_boxes_of_a_prepared_folder_are_not_taken_for_coco(self, tmp_path: Path):
        text = '{"format_version": 1, "images": [{"file_name": "a"}]}'
        (tmp_path / "annotations.json").write_text(text)
        with pytest.raises(DatasetError, match="expected COCO JSON"):
            self.read(tmp_path)


@given(arrays.arrays(bool, (9, 13)))
def test_areas_and_boxes_of_outlines_are_those_of_pycocotools(mask):
    encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    outline = PixelOutline.from_pixels(mask)
    assert outline.pixels.sum() == coco_mask.area(encoded)
    if mask.any():
        np.testing.assert_array_equal(bbox(outline.box), coco_mask.toBbox(encoded))
