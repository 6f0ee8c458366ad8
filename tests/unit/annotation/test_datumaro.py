import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from support.reader_contract import RED, SHAPE, Drawn, ReaderContract, as_box, draw_images, octagon

from blood_cell_system.annotation.splits import Split

LABELS = ("RBC", "WBC")


def write_items(root: Path, *items: Mapping[str, object], labels=LABELS, name="default.json"):
    content = {
        "info": {},
        "categories": {"label": {"labels": [{"name": label, "parent": ""} for label in labels]}},
        "items": list(items),
    }
    (root / name).write_text(json.dumps(content), encoding="utf-8")


def item(path: str, *annotations: Mapping[str, object], declared=SHAPE) -> dict[str, object]:
    return {
        "id": path,
        "annotations": [{"id": 0, "attributes": {}, "label_id": 0, **one} for one in annotations],
        "image": {"path": path, "size": list(declared)},
    }


class TestDatumaro(ReaderContract):
    format_name = "datumaro"
    text_suffix = ".json"

    def write(self, root: Path, images: Mapping[str, Drawn]) -> None:
        draw_images(root, list(images))
        labels = sorted({label for drawn in images.values() for label, _ in drawn.marks})
        items = [
            item(
                drawn.reference,
                *(
                    {
                        "type": "bbox",
                        "label_id": labels.index(label),
                        "bbox": [box.x_min, box.y_min, box.width, box.height],
                    }
                    for label, box in drawn.marks
                ),
                declared=drawn.declared,
            )
            for drawn in images.values()
        ]
        write_items(root, *items, labels=labels)

    def cell(self, root: Path, **fields: object):
        write_items(root, item("a.png", fields))
        (cell,) = self.read(root).samples[0].cells
        return cell

    def test_outlines_and_points_are_read(self, root: Path):
        numbers = [number for corner in octagon(RED) for number in corner]
        cell = self.cell(root, type="polygon", points=numbers)
        np.testing.assert_allclose(cell.outline.rings[0], octagon(RED))
        assert self.cell(root, type="points", points=[30, 20]).point == (30, 20)
        ellipse = self.cell(root, type="ellipse", points=[20, 10, 40, 50])
        assert as_box(ellipse) == pytest.approx((20, 10, 40, 50), abs=0.1)
        counts = [10 * SHAPE[0], 10 * SHAPE[0], (SHAPE[1] - 20) * SHAPE[0]]
        mask = self.cell(root, type="mask", rle={"counts": counts, "size": list(SHAPE)})
        assert as_box(mask) == (10, 0, 20, SHAPE[0])

    def test_what_is_not_sure_is_not_scored(self, root: Path):
        fields = {"type": "bbox", "bbox": [5, 5, 20, 20], "attributes": {"difficult": True}}
        write_items(root, item("a.png", fields))
        assert len(self.read(root).samples[0].unscored) == 1

    def test_other_shapes_are_dropped(self, root: Path):
        write_items(
            root,
            item(
                "a.png",
                {"type": "polyline", "points": [1, 2, 3, 4]},
                {"type": "bbox", "bbox": [5, 5, 20, 20]},
            ),
        )
        assert len(self.read(root).dropped) == 1

    def test_the_name_of_the_file_is_the_split(self, root: Path):
        (root / "default.json").rename(root / "train.json")
        assert {sample.split for sample in self.read(root).samples} == {Split.TRAIN}

    def test_a_shape_without_a_label_is_located(self, root: Path):
        write_items(
            root,
            item("a.png", {"type": "bbox", "bbox": [5, 5, 20, 20], "label_id": 7}),
            item("b.png"),
        )
        assert "a.png: object 1: a value is missing" in self.reason(self.read(root), "a")
