"""Files as the tools themselves write them, as far as that can be told without them."""

import json
import uuid
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from pycocotools.coco import COCO
from support.reader_contract import SHAPE, draw_images
from support.written_labels import pixels_in

from blood_cell_system.annotation.format_registry import matches_for
from blood_cell_system.annotation.outline import PixelOutline, PolygonOutline
from blood_cell_system.annotation.sample import Annotation, Origin, Sample
from blood_cell_system.annotation.splits import Split
from blood_cell_system.annotation.writer import OutlineForm, WriteStyle, write_labels
from blood_cell_system.boxes import Box
from blood_cell_system.errors import DatasetError
from blood_cell_system.taxonomy import PLATELET, RBC, WBC


def disc(radius):
    rows, columns = np.ogrid[: 2 * radius + 1, : 2 * radius + 1]
    return (rows - radius) ** 2 + (columns - radius) ** 2 <= radius**2


def ring_of_pixels():
    pixels = disc(9)
    pixels[6:13, 6:13] = False
    return pixels


def two_parts():
    return np.hstack([disc(4), np.zeros((9, 3), bool), disc(4)])


WHOLE = PixelOutline.from_pixels(disc(12), offset=(0, 30))
HOLED = PixelOutline.from_pixels(ring_of_pixels(), offset=(30, 10))
PARTED = PixelOutline.from_pixels(two_parts(), offset=(60, 40))
BOX = Box(60, 5, 72.5, 15)
CELLS = (
    Annotation(cell_type=RBC, box=WHOLE.box, outline=WHOLE, origin=Origin.PREDICTED),
    Annotation(cell_type=WBC, box=HOLED.box, outline=HOLED),
    Annotation(cell_type=RBC, box=PARTED.box, outline=PARTED),
    Annotation(cell_type=PLATELET, box=BOX),
)
POINT = Annotation(cell_type=WBC, point=(90.0, 50.0))
REGION = PixelOutline.from_pixels(disc(5), offset=(80, 20))


def write(tmp_path, format_name, *, cells=(*CELLS, POINT), unscored=(REGION,), split=None, **style):
    draw_images(tmp_path, ["a.png"])
    sample = Sample(
        stem="a",
        image_path=tmp_path / "a.png",
        shape=SHAPE,
        cells=cells,
        unscored=unscored,
        split=split,
    )
    write_labels([sample], tmp_path / "out", format_name=format_name, style=WriteStyle(**style))
    return tmp_path / "out"


# COCO


def coco_of(tmp_path, **options):
    path = write(tmp_path, "coco", **options) / "annotations" / "instances_default.json"
    return COCO(path)


def test_coco_has_the_keys_that_programs_ask_for(tmp_path: Path):
    content = coco_of(tmp_path).dataset
    assert content.keys() == {"info", "licenses", "images", "annotations", "categories"}
    assert content["images"][0] == {
        "id": 1,
        "file_name": "a.png",
        "height": 60,
        "width": 96,
        "license": 0,
    }
    for annotation in content["annotations"]:
        needed = {"id", "image_id", "category_id", "segmentation", "area", "bbox", "iscrowd"}
        assert needed <= annotation.keys()
    names = [category["name"] for category in content["categories"]]
    assert names == ["RBC", "WBC", "Platelet", "ignore"]


def test_coco_without_regions_that_are_not_scored_has_no_category_for_them(tmp_path: Path):
    content = coco_of(tmp_path, unscored=()).dataset
    assert [c["name"] for c in content["categories"]] == ["RBC", "WBC", "Platelet"]


@pytest.mark.parametrize("form", [OutlineForm.POLYGONS, OutlineForm.MASKS])
def test_pycocotools_paints_what_was_written(tmp_path: Path, form: OutlineForm):
    coco = coco_of(tmp_path, outlines=form)
    for cell, annotation in zip(CELLS[:3], coco.dataset["annotations"], strict=False):
        painted = coco.annToMask(annotation).astype(bool)
        expected = pixels_in(cell.outline)
        assert annotation["area"] == expected.sum()
        x, y, width, height = annotation["bbox"]
        assert (x, y, x + width, y + height) == tuple(cell.box)
        if isinstance(annotation["segmentation"], dict):
            np.testing.assert_array_equal(painted, expected)
        else:
            # Its own rule for pixels on the rim of a polygon differs a little.
            assert (painted ^ expected).sum() < 0.1 * expected.sum()


def test_in_coco_an_outline_with_a_hole_is_run_lengths_and_parts_are_polygons(tmp_path: Path):
    _, holed, parted, boxed, *_ = coco_of(tmp_path).dataset["annotations"]
    assert isinstance(holed["segmentation"], dict)
    assert len(parted["segmentation"]) == 2
    assert (boxed["segmentation"], boxed["bbox"]) == ([], [60, 5, 12.5, 10])


def test_in_coco_a_region_that_is_not_scored_is_a_crowd(tmp_path: Path):
    region = coco_of(tmp_path).dataset["annotations"][-1]
    assert (region["iscrowd"], region["category_id"]) == (1, 4)


def test_coco_has_a_file_for_each_split(tmp_path: Path):
    folder = write(tmp_path, "coco", split=Split.VAL) / "annotations"
    assert [path.name for path in folder.iterdir()] == ["instances_val.json"]


# LabelMe


def labelme_of(tmp_path, **options):
    return json.loads((write(tmp_path, "labelme", **options) / "a.json").read_text())


def test_labelme_has_the_keys_that_it_asks_for(tmp_path: Path):
    content = labelme_of(tmp_path)
    assert content.keys() == {
        "version",
        "flags",
        "shapes",
        "imagePath",
        "imageData",
        "imageHeight",
        "imageWidth",
    }
    assert content["version"].startswith("5.")
    assert (content["imagePath"], content["imageData"]) == ("a.png", None)
    for shape in content["shapes"]:
        assert shape.keys() == {
            "label",
            "points",
            "group_id",
            "description",
            "shape_type",
            "flags",
            "mask",
        }


def test_in_labelme_each_kind_of_cell_has_its_shape(tmp_path: Path):
    shapes = labelme_of(tmp_path)["shapes"]
    assert [(shape["label"], shape["shape_type"]) for shape in shapes] == [
        ("RBC", "polygon"),
        ("WBC", "mask"),
        ("RBC", "polygon"),
        ("RBC", "polygon"),
        ("Platelet", "rectangle"),
        ("WBC", "point"),
        ("ignore", "polygon"),
    ]


def test_in_labelme_parts_of_a_cell_share_a_group(tmp_path: Path):
    shapes = labelme_of(tmp_path)["shapes"]
    groups = [shape["group_id"] for shape in shapes]
    assert groups[2] == groups[3] is not None
    assert [group for group in groups if group is not None] == groups[2:4]


def test_the_split_is_a_folder_beside_which_labelme_finds_the_image(tmp_path: Path):
    folder = write(tmp_path, "labelme", split=Split.TRAIN) / "train"
    assert sorted(path.name for path in folder.iterdir()) == ["a.json", "a.png"]


# CVAT


def cvat_of(tmp_path, **options):
    return ElementTree.parse(write(tmp_path, "cvat", **options) / "annotations.xml").getroot()


def test_cvat_begins_as_its_own_dumps_do(tmp_path: Path):
    root = cvat_of(tmp_path, split=Split.VAL)
    assert [child.tag for child in root] == ["version", "meta", "image"]
    assert root.findtext("version") == "1.1"
    assert root.findtext("meta/task/mode") == "annotation"
    labels = [label.findtext("name") for label in root.iterfind("meta/task/labels/label")]
    assert labels == ["RBC", "WBC", "Platelet", "ignore"]
    image = root.find("image")
    assert list(image.attrib) == ["id", "name", "subset", "width", "height"]
    assert (image.get("name"), image.get("subset")) == ("a.png", "val")


def test_in_cvat_each_kind_of_cell_has_its_element(tmp_path: Path):
    image = cvat_of(tmp_path).find("image")
    assert [(shape.tag, shape.get("label")) for shape in image] == [
        ("polygon", "RBC"),
        ("mask", "WBC"),
        ("mask", "RBC"),
        ("box", "Platelet"),
        ("points", "WBC"),
        ("polygon", "ignore"),
    ]
    for shape in image:
        assert list(shape.attrib)[:3] == ["label", "source", "occluded"]
        assert list(shape.attrib)[-1] == "z_order"


def test_cvat_is_told_what_a_program_has_found(tmp_path: Path):
    sources = [shape.get("source") for shape in cvat_of(tmp_path).find("image")]
    assert sources[:2] == ["auto", "manual"]


def test_masks_of_cvat_fill_their_boxes(tmp_path: Path):
    mask = cvat_of(tmp_path).find("image/mask")
    counts = [int(count) for count in mask.get("rle").split(",")]
    assert sum(counts) == int(mask.get("width")) * int(mask.get("height"))
    assert sum(counts[1::2]) == ring_of_pixels().sum()


# YOLO


def test_yolo_names_its_folders_and_classes(tmp_path: Path):
    root = write(tmp_path, "yolo", split=Split.TRAIN, unscored=())
    assert (root / "data.yaml").read_text() == (
        "path: .\ntrain: images/train\nval: images\nnames:\n  0: RBC\n  1: WBC\n  2: Platelet\n"
    )
    assert (root / "images/train/a.png").is_file()
    assert (root / "labels/train/a.txt").is_file()


def test_yolo_has_a_line_a_cell_within_the_image(tmp_path: Path):
    lines = (write(tmp_path, "yolo") / "labels/a.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["0", "1", "0", "2", "3"]
    for line in lines:
        numbers = np.array(line.split()[1:], dtype=float)
        assert ((numbers >= 0) & (numbers <= 1)).all()
    assert len(lines[3].split()) == 5


def test_an_outline_that_leaves_the_image_is_cut_off_for_yolo(tmp_path: Path):
    outline = PolygonOutline.from_points([(-9, 10), (20, -5), (20, 40)])
    cell = Annotation(cell_type=RBC, box=Box(0, 0, 20, 40), outline=outline)
    root = write(tmp_path, "yolo", cells=(cell,), unscored=())
    numbers = np.array((root / "labels/a.txt").read_text().split()[1:], dtype=float)
    assert numbers.min() >= 0


# GeoJSON


def geojson_of(tmp_path, **options):
    path = write(tmp_path, "geojson", **options) / "a.geojson"
    return json.loads(path.read_text())["features"]


def test_geojson_has_objects_that_qupath_knows(tmp_path: Path):
    features = geojson_of(tmp_path)
    for feature in features:
        assert feature["type"] == "Feature"
        assert uuid.UUID(feature["id"])
        assert feature["properties"]["objectType"] == "annotation"
        assert len(feature["properties"]["classification"]["color"]) == 3
    kinds = [feature["geometry"]["type"] for feature in features]
    assert kinds == ["Polygon", "Polygon", "MultiPolygon", "Polygon", "Point", "Polygon"]


def test_rings_of_geojson_end_where_they_began_and_holes_follow_their_polygon(tmp_path: Path):
    features = geojson_of(tmp_path)
    for feature in features[:2]:
        for ring in feature["geometry"]["coordinates"]:
            assert ring[0] == ring[-1]
    assert [len(f["geometry"]["coordinates"]) for f in features[:3]] == [1, 2, 2]


def test_an_island_in_a_hole_is_a_polygon_of_its_own(tmp_path: Path):
    pixels = ring_of_pixels()
    pixels[8:11, 8:11] = True
    outline = PixelOutline.from_pixels(pixels, offset=(30, 10))
    cell = Annotation(cell_type=WBC, box=outline.box, outline=outline)
    (feature,) = geojson_of(tmp_path, cells=(cell,), unscored=())
    assert sorted(len(polygon) for polygon in feature["geometry"]["coordinates"]) == [1, 2]


def test_a_box_is_told_from_an_outline_as_long_as_it_is_a_rectangle(tmp_path: Path):
    box = geojson_of(tmp_path)[3]
    assert box["properties"]["metadata"] == {"shape": "box"}


# All


@pytest.mark.parametrize("format_name", ["labelme", "geojson", "yolo"])
def test_simplified_outlines_have_fewer_corners(tmp_path: Path, format_name: str):
    sizes = []
    for name, tolerance_px in (("exact", 0.0), ("rough", 1.5)):
        root = write(tmp_path / name, format_name, unscored=(), tolerance_px=tolerance_px)
        (path,) = (path for path in root.rglob("a.*") if path.suffix != ".png")
        sizes.append(path.stat().st_size)
    assert sizes[1] < sizes[0]


@pytest.mark.parametrize(
    ("name", "text", "tool"),
    [
        ("a.json", '{"project": {"pid": "__VIA_PROJECT_ID__"}}', "VIA 3"),
        ("a.png.json", '{"objects": [{"classTitle": "RBC"}]}', "Supervisely"),
        ("a.ndjson", '{"data_row": {"id": "1"}}', "Labelbox"),
        ("a.json", '{"asset": {"name": "a.png"}, "regions": []}', "VoTT"),
        ("a.json", '[{"annotations": [{"coordinates": {"x": 1}}]}]', "Create ML"),
        ("a.json", '{"instances": [{"className": "RBC"}]}', "SuperAnnotate"),
        ("a.jsonl", '{"source-ref": "s3://a.png"}', "Amazon SageMaker"),
        ("a.csv", "RBC,5,5,20,20,a.png,96,60\n", "Makesense"),
    ],
)
def test_labels_of_other_tools_are_named_with_what_to_export(tmp_path, name, text, tool):
    (tmp_path / name).write_text(text)
    with pytest.raises(DatasetError, match=f"labels of {tool}, which are not read.*COCO JSON"):
        matches_for(tmp_path, "auto")
