import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from support.reader_contract import (
    RED,
    SHAPE,
    Drawn,
    ReaderContract,
    draw_images,
    octagon,
)

from blood_cell_system.annotation.outline import PolygonOutline
from blood_cell_system.annotation.splits import Split
from blood_cell_system.boxes import Box
from blood_cell_system.errors import DatasetError

SQUARE = [[10, 10], [30, 10], [30, 30], [10, 30]]
RING = [*SQUARE, SQUARE[0]]


def feature(coordinates, kind="Polygon", *, classified="RBC", **properties):
    classification = {} if classified is None else {"classification": {"name": classified}}
    return {
        "type": "Feature",
        "id": "00000000-0000-0000-0000-000000000001",
        "geometry": {"type": kind, "coordinates": coordinates},
        "properties": {"objectType": "annotation", **classification, **properties},
    }


def collection(*features):
    return {"type": "FeatureCollection", "features": list(features)}


class TestGeoJson(ReaderContract):
    format_name = "geojson"
    names_images = False
    declares_sizes = False
    text_suffix = ".geojson"

    def write(self, root: Path, images: Mapping[str, Drawn]) -> None:
        draw_images(root, list(images))
        for name, drawn in images.items():
            features = [feature([octagon(box)], classified=label) for label, box in drawn.marks]
            self.write_content(root, collection(*features), name=str(Path(name).with_suffix("")))

    def write_content(self, root: Path, content: object, *, name: str = "a") -> None:
        (root / f"{name}.geojson").write_text(json.dumps(content), encoding="utf-8")

    def cells(self, root: Path):
        return self.read(root).samples[0].cells

    @pytest.mark.parametrize(
        "content", [collection(feature([RING])), feature([RING]), [feature([RING])]]
    )
    def test_features_come_in_three_wrappings(self, root: Path, content):
        self.write_content(root, content)
        assert self.cells(root)[0].outline == PolygonOutline.from_points(SQUARE)

    def test_a_ring_within_a_ring_is_a_hole(self, root: Path):
        inner = (np.array(RING) / 2 + 10).tolist()
        self.write_content(root, collection(feature([RING, inner])))
        assert self.cells(root)[0].outline.window(SHAPE)[2].sum() == 20 * 20 - 10 * 10

    def test_the_parts_of_a_multipolygon_are_one_cell(self, root: Path):
        other = [[x + 30, y] for x, y in RING]
        self.write_content(root, collection(feature([[RING], [other]], "MultiPolygon")))
        (cell,) = self.cells(root)
        assert cell.box == Box(10, 10, 60, 30)

    def test_points_are_centres_of_cells(self, root: Path):
        self.write_content(
            root,
            collection(feature([10, 20], "Point"), feature([[40, 30], [50.5, 9]], "MultiPoint")),
        )
        assert [cell.point for cell in self.cells(root)] == [(10, 20), (40, 30), (50.5, 9)]

    @pytest.mark.parametrize(
        "properties",
        [
            {"classification": {"name": "WBC", "colorRGB": -3140401}},
            {"classification": {"names": ["WBC"], "color": [1, 2, 3]}},
            {"classification": "WBC"},
            {"class": "WBC"},
            {"label": "WBC"},
            {"name": "WBC", "classification": None},
        ],
    )
    def test_the_class_is_found_where_programs_put_it(self, root: Path, properties):
        self.write_content(root, collection(feature([RING], classified=None, **properties)))
        assert self.cells(root)[0].cell_type == "WBC"

    def test_an_object_without_a_class_must_be_told_what_it_is(self, root: Path):
        self.write_content(root, collection(feature([RING], classified=None)))
        with pytest.raises(Exception, match=r"'unclassified' \(1\)"):
            self.read(root)
        sample = self.read(root, label_map={"unclassified": None}).samples[0]
        assert sample.unscored == (PolygonOutline.from_points(SQUARE),)

    def test_a_region_around_cells_is_left_out_and_told(self, root: Path):
        around = [[0, 0], [90, 0], [90, 50], [0, 50], [0, 0]]
        other = [[x + 40, y] for x, y in RING]
        self.write_content(
            root, collection(feature([around], classified=None), feature([RING]), feature([other]))
        )
        reading = self.read(root)
        assert (len(reading.samples[0].cells), reading.samples[0].unscored) == (2, ())
        assert "1 objects without a class lie around cells" in reading.notes[0]

    def test_a_region_around_a_single_cell_is_left_out(self, root: Path):
        around = [[0, 0], [90, 0], [90, 50], [0, 50], [0, 0]]
        self.write_content(root, collection(feature([around], classified=None), feature([RING])))
        assert [cell.cell_type for cell in self.cells(root)] == ["RBC"]

    def test_a_cell_marked_twice_is_no_region(self, root: Path):
        self.write_content(root, collection(feature([RING], classified=None), feature([RING])))
        with pytest.raises(Exception, match=r"'unclassified' \(1\)"):
            self.read(root)

    def test_an_object_without_a_place_is_listed_and_takes_nothing_with_it(self, root: Path):
        nowhere = feature(None) | {"geometry": None}
        self.write_content(root, collection(nowhere, feature([RING])))
        reading = self.read(root)
        assert [drop.object_index for drop in reading.dropped] == [1]
        assert len(reading.samples[0].cells) == 1

    def test_tiles_are_passed_over(self, root: Path):
        self.write_content(root, collection(feature([RING], classified=None, objectType="tile")))
        assert self.cells(root) == ()

    def test_numbers_that_count_from_one_are_moved_when_that_is_told(self, root: Path):
        ring = [[6, 6], [26, 6], [26, 26], [6, 26], [6, 6]]
        self.write_content(root, collection(feature([ring])))
        assert self.read(root, first_pixel=1).samples[0].cells[0].box == RED

    def test_a_file_may_be_named_json_and_with_the_images_ending(self, root: Path):
        (root / "a.geojson").rename(root / "a.png.json")
        assert [sample.stem for sample in self.read(root).samples] == ["a", "b"]

    def test_a_folder_tells_the_split(self, root: Path):
        self.write(root, {"test/c.png": Drawn(reference="c.png")})
        assert self.read(root).samples[-1].split == Split.TEST

    def test_a_polygon_of_two_points_is_dropped_and_listed(self, root: Path):
        self.write_content(root, collection(feature([RING[:2]]), feature([RING])))
        reading = self.read(root)
        assert len(reading.samples[0].cells) == 1
        assert "2 different corners" in reading.dropped[0].reason

    def test_a_line_is_dropped_and_listed(self, root: Path):
        self.write_content(root, collection(feature(RING, "LineString"), feature([RING])))
        assert "neither box nor outline nor point" in self.read(root).dropped[0].reason

    def test_a_polygon_that_crosses_itself_is_read_and_told(self, root: Path):
        bow = [SQUARE[0], SQUARE[2], SQUARE[1], SQUARE[3]]
        self.write_content(root, collection(feature([bow])))
        assert "cross themselves" in self.read(root).notes[0]

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (collection(feature([[["x", 1], [2, 3]]])), "is no number"),
            (collection(feature([[[1], [2, 3]]])), "more or fewer values"),
            (collection(feature(7)), "object 1: a value is of another kind"),
            (collection("cell"), "object 1: a value is of another kind"),
            ({"type": "FeatureCollection"}, "expected a FeatureCollection"),
            ({"type": "Polygon", "coordinates": [RING]}, "expected a FeatureCollection"),
        ],
    )
    def test_what_cannot_be_read_fails_its_image_alone(self, root: Path, content, words: str):
        self.write_content(root, content)
        reading = self.read(root)
        assert [sample.stem for sample in reading.samples] == ["b"]
        reason = self.reason(reading, "a")
        assert "a.geojson" in reason
        assert words in reason

    def test_a_file_that_is_cut_off_fails_its_image_alone(self, root: Path):
        text = (root / "a.geojson").read_text()
        (root / "a.geojson").write_text(text[:-5])
        assert "not JSON, or cut off" in self.reason(self.read(root), "a")

    def test_a_folder_without_features_is_refused(self, tmp_path: Path):
        draw_images(tmp_path)
        with pytest.raises(DatasetError, match="expected GeoJSON"):
            self.read(tmp_path)
