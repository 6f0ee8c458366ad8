import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from support.reader_contract import RED, SHAPE, WHITE, Drawn, ReaderContract, draw_images

from blood_cell_system.boxes import Box
from blood_cell_system.errors import AnnotationError, DatasetError

HEIGHT, WIDTH = SHAPE


def percent(box: Box) -> dict[str, float]:
    return {
        "x": box.x_min / WIDTH * 100,
        "y": box.y_min / HEIGHT * 100,
        "width": box.width / WIDTH * 100,
        "height": box.height / HEIGHT * 100,
        "rotation": 0,
    }


def region(kind, value, *, label="RBC", declared=SHAPE, identity="r", **around):
    return {
        "id": identity,
        "type": f"{kind}labels",
        "value": {**value, f"{kind}labels": [label]},
        "original_height": declared[0],
        "original_width": declared[1],
        "image_rotation": 0,
        **around,
    }


def task(reference, *results, **annotation):
    return {
        "id": 1,
        "data": {"image": reference},
        "annotations": [{"id": 1, "result": list(results), **annotation}],
        "predictions": [],
    }


def write_tasks(root: Path, *tasks) -> None:
    (root / "project.json").write_text(json.dumps(list(tasks)), encoding="utf-8")


def packed(pixels: np.ndarray) -> list[int]:
    """Pack a mask as Label Studio's brush does: runs and single values of an RGBA image."""
    values = np.repeat(pixels.ravel().astype(np.uint8) * 255, 4).tolist()
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    place = 0
    while place < len(values):
        end = place
        while end < len(values) and values[end] == values[place] and end - place < 2**16:
            end += 1
        if end - place > 4:
            bits += f"1{3:02b}{end - place - 1:016b}{values[place]:08b}"
        else:
            bits += f"0{0:02b}{end - place - 1:03b}" + f"{values[place]:08b}" * (end - place)
        place = end
    bits += "0" * (-len(bits) % 8)
    return [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]


class TestLabelStudio(ReaderContract):
    format_name = "labelstudio"
    text_suffix = ".json"

    def write(self, root: Path, images: Mapping[str, Drawn]) -> None:
        draw_images(root / "images", list(images))
        tasks = [
            task(
                drawn.reference,
                *(
                    region(
                        "rectangle",
                        percent(box),
                        label=label,
                        declared=drawn.declared,
                        identity=str(index),
                    )
                    for index, (label, box) in enumerate(drawn.marks)
                ),
            )
            for drawn in images.values()
        ]
        write_tasks(root, *tasks)

    def cells(self, root: Path, *results):
        write_tasks(root, task("a.png", *results))
        return self.read(root).samples[0].cells

    @pytest.mark.parametrize(
        "reference",
        [
            "/data/upload/1/0a1b2c3d-a.png",
            "/data/local-files/?d=smears/a.png",
            "s3://bucket/smears/a.png",
            "https://lab.example/smears/a.png?X-Amz-Signature=1",
        ],
    )
    def test_addresses_of_label_studio_name_images(self, root: Path, reference: str):
        self.rewrite(root, reference=reference)
        assert [sample.stem for sample in self.read(root).samples] == ["a", "b"]

    def test_an_image_that_was_saved_with_its_uploaded_name_is_found(self, root: Path):
        (root / "images" / "a.png").rename(root / "images" / "0a1b2c3d-a.png")
        self.write_reference(root, "/data/upload/1/0a1b2c3d-a.png")
        assert [sample.stem for sample in self.read(root).samples] == ["0a1b2c3d-a"]

    def write_reference(self, root: Path, reference: str) -> None:
        write_tasks(root, task(reference, region("rectangle", percent(RED))))

    def test_json_min_is_read(self, root: Path):
        rows = [
            {
                "image": f"/data/upload/1/0a1b2c3d-{name}.png",
                "id": 1,
                "label": [
                    {
                        **percent(box),
                        "rectanglelabels": [label],
                        "original_width": WIDTH,
                        "original_height": HEIGHT,
                    }
                ],
                "annotator": 1,
            }
            for name, label, box in (("a", "RBC", RED), ("b", "WBC", WHITE))
        ]
        write_tasks(root, *rows)
        first, second = self.read(root).samples
        np.testing.assert_allclose(first.cells[0].box, RED, atol=1e-6)
        assert second.cells[0].cell_type == "WBC"

    def test_an_annotation_of_cloud_storage_is_read(self, root: Path):
        content = {
            "id": 3,
            "result": [region("rectangle", percent(RED))],
            "task": {"id": 1, "data": {"image": "a.png"}},
        }
        (root / "project.json").write_text(json.dumps(content), encoding="utf-8")
        assert len(self.read(root).samples[0].cells) == 1

    def test_a_rectangle_is_turned_about_its_first_corner(self, root: Path):
        value = percent(Box(40, 10, 60, 20)) | {"rotation": 90}
        (cell,) = self.cells(root, region("rectangle", value))
        # A quarter clockwise: what went right goes down, what went down goes left.
        np.testing.assert_allclose(cell.box, (30, 10, 40, 30), atol=1e-6)

    def test_an_ellipse_is_turned_about_its_middle(self, root: Path):
        value = {"x": 50, "y": 50, "radiusX": 10, "radiusY": 25, "rotation": 0}
        (upright,) = self.cells(root, region("ellipse", value))
        np.testing.assert_allclose(upright.box, (38.4, 15, 57.6, 45), atol=0.1)
        (turned,) = self.cells(root, region("ellipse", value | {"rotation": 90}))
        np.testing.assert_allclose(turned.box, (33, 20.4, 63, 39.6), atol=0.1)

    def test_a_polygon_comes_with_its_corners(self, root: Path):
        value = {"points": [[10, 10], [50, 10], [50, 50]], "closed": True}
        (cell,) = self.cells(root, region("polygon", value))
        np.testing.assert_allclose(cell.outline.rings[0], [(9.6, 6), (48, 6), (48, 30)])

    def test_a_key_point_is_the_centre_of_a_cell(self, root: Path):
        (cell,) = self.cells(root, region("keypoint", {"x": 50, "y": 50, "width": 1}))
        assert cell.point == (48, 30)

    def test_a_brush_comes_with_its_pixels(self, root: Path):
        pixels = np.zeros(SHAPE, bool)
        pixels[10:30, 20:50] = True
        pixels[12, 22] = False
        (cell,) = self.cells(root, region("brush", {"format": "rle", "rle": packed(pixels)}))
        rows, columns, window = cell.outline.window(SHAPE)
        assert (window == pixels[rows, columns]).all()
        assert window.sum() == pixels.sum()

    def test_a_brush_of_another_size_or_cut_off_is_told(self, root: Path):
        pixels = np.zeros(SHAPE, bool)
        for numbers, words in (
            (packed(pixels[:10]), "the brush has 3840 values"),
            (packed(pixels)[:8], "cut off"),
        ):
            write_tasks(root, task("a.png", region("brush", {"rle": numbers})), task("b.png"))
            assert words in self.reason(self.read(root), "a")

    def test_shape_and_label_may_stand_apart(self, root: Path):
        shape = {"id": "r", "type": "rectangle", "value": percent(RED)}
        label = {"id": "r", "type": "labels", "value": {**percent(RED), "labels": ["WBC"]}}
        (cell,) = self.cells(root, shape, label)
        assert cell.cell_type == "WBC"

    @pytest.mark.parametrize("choice", ["difficult", "Unsure"])
    def test_what_is_not_sure_is_not_scored(self, root: Path, choice: str):
        note = {"id": "r", "type": "choices", "value": {**percent(RED), "choices": [choice]}}
        write_tasks(root, task("a.png", region("rectangle", percent(RED)), note))
        sample = self.read(root).samples[0]
        assert sample.cells == ()
        assert len(sample.unscored) == 1

    def test_a_region_without_a_label_is_asked_for(self, root: Path):
        write_tasks(root, task("a.png", {"id": "r", "type": "rectangle", "value": percent(RED)}))
        with pytest.raises(AnnotationError, match=r"'unlabelled' \(1\)"):
            self.read(root)

    def test_ground_truth_counts_before_the_last(self, root: Path):
        entry = task("a.png", region("rectangle", percent(RED)), ground_truth=True)
        entry["annotations"].append({"result": [region("rectangle", percent(WHITE))]})
        write_tasks(root, entry)
        reading = self.read(root)
        np.testing.assert_allclose(reading.samples[0].cells[0].box, RED, atol=1e-6)
        assert "1 image was annotated several times" in reading.notes[0]

    @pytest.mark.parametrize("annotations", [[], [{"was_cancelled": True, "result": []}]])
    def test_what_was_skipped_is_not_taken_for_empty(self, root: Path, annotations):
        skipped = {"data": {"image": "b.png"}, "annotations": annotations}
        write_tasks(root, task("a.png", region("rectangle", percent(RED))), skipped)
        assert "not annotated yet" in self.reason(self.read(root), "b")

    def test_an_annotation_without_regions_is_an_image_without_cells(self, root: Path):
        write_tasks(root, task("a.png", region("rectangle", percent(RED))), task("b.png"))
        assert self.read(root).samples[1].cells == ()

    def test_an_image_that_was_turned_there_is_told(self, root: Path):
        write_tasks(
            root, task("a.png", region("rectangle", percent(RED), image_rotation=90)), task("b.png")
        )
        assert "was turned in Label Studio" in self.reason(self.read(root), "a")

    def test_a_task_without_an_image_is_told(self, root: Path):
        write_tasks(root, {"data": {"text": "hello"}, "annotations": [{"result": []}]})
        with pytest.raises(DatasetError, match="task 1: names no image"):
            self.read(root)

    def test_a_region_without_its_place_is_dropped_and_listed(self, root: Path):
        results = [region("rectangle", {}), region("rectangle", percent(RED), identity="s")]
        write_tasks(root, task("a.png", *results), task("b.png"))
        (dropped,) = self.read(root).dropped
        assert dropped.reason == "neither box nor outline nor point"

    def test_nonsense_in_a_value_is_located(self, root: Path):
        bad = region("rectangle", percent(RED) | {"x": "left"})
        write_tasks(root, task("a.png", bad), task("b.png"))
        reason = self.reason(self.read(root), "a")
        assert "a.png: object 1" in reason
