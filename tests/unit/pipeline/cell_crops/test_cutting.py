from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from support.collections_of_cells import field_of_red_cells, write_iml, write_pbc, write_taleqani
from support.colour_runtime import ColourRuntime
from support.single_cells import draw_red_cell, draw_white_cell, piece_of_smear

from blood_cell_system.annotation.sample import Annotation, Origin
from blood_cell_system.boxes import Box
from blood_cell_system.cells.table import Cells
from blood_cell_system.datasets.cell_fields import CellField
from blood_cell_system.datasets.collections.labelled_images import collection
from blood_cell_system.datasets.collections.marked_images import read_iml_malaria
from blood_cell_system.errors import CellImageError, SettingsError
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.pipeline.cell_crops import cutting
from blood_cell_system.pipeline.cell_crops.cutting import cut_image
from blood_cell_system.pipeline.cell_crops.plan import (
    CropClass,
    CutMethod,
    CutPlan,
    CutTask,
    Extra,
)
from blood_cell_system.taxonomy import RBC, WBC

HEALTHY = CropClass("healthy_RBC")


def task(field, method, classes, cell_type=RBC, seed=0, **more):
    plan = CutPlan(method=method, cell_type=cell_type, classes=classes, **more)
    return CutTask(field=field, source="s", plan=plan, seed=seed)


@pytest.fixture
def iml_field(tmp_path):
    return read_iml_malaria(write_iml(tmp_path, count=1)).fields[0]


def test_boxes_give_a_cell_of_the_class_of_their_label(iml_field):
    classes = {"red blood cell": HEALTHY, "ring": CropClass("malaria_RBC")}
    cells = cut_image(task(iml_field, CutMethod.BOXES, classes))
    classes = sorted((record.condition, record.source_label) for record, _ in cells)
    assert classes == [("healthy_RBC", "red blood cell")] * 3 + [("malaria_RBC", "ring")]
    assert {record.origin for record, _ in cells} == {Origin.ANNOTATED}
    assert all(image.shape == (130, 130, 4) for _, image in cells)


def test_labels_without_a_class_are_left_out(iml_field):
    assert len(cut_image(task(iml_field, CutMethod.BOXES, {"ring": HEALTHY}))) == 1


def test_at_most_so_many_are_taken_and_the_seed_decides(iml_field):
    def names(seed):
        chosen = task(
            iml_field,
            CutMethod.BOXES,
            {"red blood cell": HEALTHY},
            seed=seed,
            most_an_image={"red blood cell": 1},
        )
        return [record.file for record, _ in cut_image(chosen)]

    assert len(names(0)) == 1
    assert names(3) == names(3)
    assert len({names(seed)[0] for seed in range(12)}) > 1


def test_extras_are_outliers(iml_field):
    cells = cut_image(task(iml_field, CutMethod.BOXES, {}, extras={Extra.SLIDE: 1}))
    ((record, _),) = cells
    assert record.is_outlier
    assert record.file.startswith("not_a_cell/")
    assert record.file.endswith("_slide1.png")


def test_an_image_of_one_cell_has_the_class_of_its_folder(tmp_path):
    field = (
        collection("pbc_wbc_types").read(write_pbc(tmp_path, count=1, folders=("ig",))).fields[0]
    )
    classes = {"ig": CropClass("healthy_WBC", "immature_granulocyte")}
    cells = cut_image(task(field, CutMethod.LONE, classes, WBC))
    assert [record.cell_type for record, _ in cells] == ["immature_granulocyte"]
    assert cut_image(task(field, CutMethod.LONE, {}, WBC)) == []


def test_an_image_without_its_one_cell_is_an_error(tmp_path):
    write_image(tmp_path / "a.png", piece_of_smear(100))
    field = CellField(name="a", image_path=tmp_path / "a.png", label="ig", block="b")
    with pytest.raises(CellImageError, match="no cell is seen"):
        cut_image(task(field, CutMethod.LONE, {"ig": HEALTHY}, WBC))


def test_nuclei_give_the_white_cells_of_a_field(tmp_path):
    field = (
        collection("taleqani_all")
        .read(write_taleqani(tmp_path, count=1, folders=("Pre",)))
        .fields[0]
    )
    cells = cut_image(
        task(
            field,
            CutMethod.NUCLEI,
            {"Pre": CropClass("cancer_WBC")},
            WBC,
            extras={Extra.RED_CELL: 9},
        )
    )
    assert sum(record.condition == "cancer_WBC" for record, _ in cells) == 2
    assert sum(record.is_outlier for record, _ in cells) == 2


def test_the_segmenters_cells_have_the_label_of_their_image(tmp_path, monkeypatch):
    image = field_of_red_cells()
    draw_white_cell(image, 60, 60, 12, nucleus_share=0.9)
    write_image(tmp_path / "a.png", image)
    found = [(30, 30), (90, 30), (30, 90), (90, 90), (60, 60)]
    monkeypatch.setattr(cutting, "_runtime", ColourRuntime)
    monkeypatch.setattr(cutting, "find_cells", lambda *_, **__: found_at(found))
    field = CellField(name="a", image_path=tmp_path / "a.png", label="negative", block="b")
    cells = cut_image(task(field, CutMethod.SEGMENTER, {"negative": HEALTHY}))
    # The fifth has a nucleus, whatever the network calls it.
    assert len(cells) == 4
    assert {record.origin for record, _ in cells} == {Origin.PREDICTED}


def test_the_segmenter_tells_marked_cells_from_unmarked_neighbours(tmp_path, monkeypatch):
    image = piece_of_smear(160)
    draw_red_cell(image, 60, 80, 22)
    draw_red_cell(image, 100, 80, 22)
    write_image(tmp_path / "a.png", image)
    monkeypatch.setattr(cutting, "_runtime", ColourRuntime)
    monkeypatch.setattr(cutting, "find_cells", lambda *_, **__: found_at([(60, 80), (100, 80)], 22))
    mark = Annotation(cell_type="sickle", box=Box(37, 57, 83, 103))
    field = CellField(name="a", image_path=tmp_path / "a.png", cells=(mark,), block="b")
    chosen = task(field, CutMethod.BOXES, {"sickle": HEALTHY}, window_px=400)
    cells = cut_image(chosen)
    ((_, image),) = cells
    # The cut half way to the neighbour leaves most of the disc.
    assert 0.36 < (image[:, :, 3] > 0).mean() < 0.52


def found_at(places, radius=18):
    labels = np.zeros((160, 160), np.int32)
    boxes = []
    for label, (x, y) in enumerate(places, start=1):
        cv2.circle(labels, (x, y), radius if label < 5 else 12, label, -1)
        boxes.append((x - radius, y - radius, x + radius + 1, y + radius + 1))
    cells = Cells(label_image=labels[:120, :120] if radius == 18 else labels).with_columns(
        cell_type=[RBC] * len(boxes), box=boxes, touches_border=[False] * len(boxes)
    )
    return SimpleNamespace(cells=cells)


def test_a_negative_number_an_image_is_refused():
    with pytest.raises(SettingsError, match="expected 0 or more"):
        CutPlan(
            method=CutMethod.BOXES,
            cell_type=RBC,
            classes={},
            most_an_image={"a": -1},
        )


def smear_with_points(tmp_path, points, *, label="normal", **more):
    image = draw_red_cell(piece_of_smear(240), 60, 60, 24)
    draw_red_cell(image, 170, 60, 24)
    draw_red_cell(image, 120, 170, 44, ratio=0.4, angle=20)
    write_image(tmp_path / "a.png", image)
    cells = tuple(Annotation(cell_type=label, point=point) for point in points)
    return CellField(
        name="a", image_path=tmp_path / "a.png", label="field", cells=cells, block="b", **more
    )


@pytest.fixture
def halves(monkeypatch):
    """A segmenter that finds the round cells, and the long one in two halves."""
    labels = np.zeros((240, 240), np.int32)
    cv2.circle(labels, (60, 60), 24, 1, -1)
    cv2.circle(labels, (170, 60), 24, 2, -1)
    cv2.ellipse(labels, (120, 170), (44, 18), 20, 0, 360, 3, -1)
    labels[:, 120:][labels[:, 120:] == 3] = 4
    found = SimpleNamespace(cells=Cells(label_image=labels))
    monkeypatch.setattr(cutting, "_runtime", lambda: SimpleNamespace(training_diameter_px=48.0))
    monkeypatch.setattr(cutting, "find_cells", lambda *args, **options: found)


SHAPES = {"normal": CropClass("healthy_RBC", "normal")}


def test_a_point_gets_the_cell_that_the_segmenter_finds_around_it(tmp_path, halves):
    field = smear_with_points(tmp_path, [(62, 58)])
    ((record, image),) = cut_image(task(field, CutMethod.POINTS, SHAPES))
    assert (record.cell_type, record.origin) == ("normal", Origin.POINT)
    assert record.file.startswith("normal/")
    assert (image[:, :, 3] > 127).mean() == pytest.approx(np.pi / 4 * 104**2 / 130**2, rel=0.06)


def test_a_long_cell_that_the_segmenter_has_cut_in_two_stays_whole(tmp_path, halves):
    field = smear_with_points(tmp_path, [(121, 170)])
    ((_, image),) = cut_image(task(field, CutMethod.POINTS, SHAPES))
    # An ellipse of 100 by 41 px with its rim.
    assert (image[:, :, 3] > 127).mean() == pytest.approx(0.21, abs=0.03)


@pytest.mark.parametrize(
    "points",
    [[(60, 60), (64, 64)], [(80, 60)], [(120, 120)], [(900, 60)]],
    ids=["two on a cell", "at its rim", "on the slide", "outside of the image"],
)
def test_a_point_without_a_cell_of_its_own_gives_none(tmp_path, halves, points):
    field = smear_with_points(tmp_path, points)
    assert cut_image(task(field, CutMethod.POINTS, SHAPES)) == []


def test_every_cell_has_the_standard_of_its_smear(tmp_path, halves):
    field = smear_with_points(tmp_path, [(60, 60)], red_cell_diameter_px=48.0)
    ((record, _),) = cut_image(task(field, CutMethod.POINTS, SHAPES))
    assert record.red_cell_diameter_px == 48
    # Colours of the drawn slide and its red cells.
    expected = np.log(np.divide((240, 228, 222), (200, 140, 150)))
    found = [getattr(record, f"red_cell_density_{name}") for name in ("red", "green", "blue")]
    assert found == pytest.approx(expected, abs=0.03)
    assert not record.surround_filled


def test_boxes_of_red_cells_give_their_diameter(tmp_path):
    marks = [
        Annotation(cell_type="RBC", box=Box(x - 20, 40, x + 20, 80)) for x in range(40, 400, 50)
    ]
    image = piece_of_smear(440)
    for mark in marks:
        draw_red_cell(image, mark.x_min + 20, 60, 19)
    write_image(tmp_path / "a.png", image)
    field = CellField(name="a", image_path=tmp_path / "a.png", cells=tuple(marks), block="b")
    records = [record for record, _ in cut_image(task(field, CutMethod.BOXES, {"RBC": HEALTHY}))]
    assert {record.red_cell_diameter_px for record in records} == {40.0}


def test_a_cell_that_was_cut_out_before_has_no_standard_and_says_so(tmp_path):
    image = draw_red_cell(np.zeros((90, 90, 3), np.uint8), 45, 45, 40)
    write_image(tmp_path / "a.png", image)
    field = CellField(
        name="a", image_path=tmp_path / "a.png", label="x", block="b", red_cell_diameter_px=80.0
    )
    ((record, _),) = cut_image(task(field, CutMethod.LONE, {"x": HEALTHY}))
    assert record.surround_filled
    assert record.red_cell_density_green is None


def test_every_cell_has_the_size_and_the_border_colour_of_its_image(tmp_path, halves):
    field = smear_with_points(tmp_path, [(60, 60)])
    ((record, _),) = cut_image(task(field, CutMethod.POINTS, SHAPES))
    assert (record.image_width_px, record.image_height_px) == (240, 240)
    border = (record.border_red, record.border_green, record.border_blue)
    assert border == pytest.approx((240, 228, 222), abs=1)


def test_a_crop_of_less_than_half_a_red_cell_is_refused(tmp_path):
    write_image(tmp_path / "a.png", draw_red_cell(piece_of_smear(40), 20, 20, 12))
    field = CellField(
        name="a", image_path=tmp_path / "a.png", label="x", block="b", red_cell_diameter_px=122.0
    )
    with pytest.raises(CellImageError, match=r"40×40 px, less than half a red cell \(122 px"):
        cut_image(task(field, CutMethod.LONE, {"x": HEALTHY}))
