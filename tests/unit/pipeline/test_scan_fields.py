import errno
import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile
from support.analysed_images import report_of
from support.colour_runtime import ColourRuntime
from support.colours import COLOURS

from blood_cell_system.analysis.image_analysis import AnalysisSettings
from blood_cell_system.analysis.scan_zones import Zone
from blood_cell_system.errors import ImageReadError, OutputError, SettingsError
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.imaging.pixel_size import PixelSize
from blood_cell_system.pipeline import model_slots, scan_labels, scan_plan
from blood_cell_system.pipeline.batch import (
    BatchSettings,
    analyze_inputs,
    find_inputs,
    with_fields_of_scans,
    write_batch,
)
from blood_cell_system.pipeline.image import InferencePipeline
from blood_cell_system.pipeline.scan_goal import Goal, Tally
from blood_cell_system.pipeline.scan_labels import check_zarr, labels_path, write_scan_labels
from blood_cell_system.pipeline.scan_plan import ScanSettings, plan_scans, spread
from blood_cell_system.pipeline.system import BloodCellAnalysisSystem
from blood_cell_system.reports.report import Status
from blood_cell_system.taxonomy import BUILT_IN

DIAMETER = 30
SHAPE = (530, 790)
WHOLE = (0, 0, 790, 530)


def grid_places(spacing=55):
    """Places of cells, many of them on the seams of fields."""
    rows, columns = np.mgrid[40 : SHAPE[0] - 30 : spacing, 40 : SHAPE[1] - 30 : spacing]
    return np.stack([columns.ravel(), rows.ravel()], axis=1)


def cells_image(places):
    image = np.full((*SHAPE, 3), COLOURS[0], np.uint8)
    for x, y in places.tolist():
        cv2.circle(image, (x, y), DIAMETER // 2, COLOURS[1].tolist(), -1)
    return image


@pytest.fixture
def small_fields(monkeypatch):
    """Fields of 256 pixels, with a margin of 64."""
    monkeypatch.setattr(scan_plan, "_SIDES", (4, 4))
    monkeypatch.setattr(scan_plan, "_MARGIN_PX", 64)
    monkeypatch.setattr(model_slots, "bundled_classifier", lambda kind: None)


@pytest.fixture
def slide(tmp_path):
    path = tmp_path / "in" / "slide.tif"
    path.parent.mkdir()
    image = cells_image(grid_places())
    with tifffile.TiffWriter(path) as file:
        file.write(image, tile=(128, 128), photometric="rgb", subifds=1)
        file.write(image[::2, ::2], tile=(128, 128), photometric="rgb", subfiletype=1)
    return path


@pytest.fixture
def pipeline():
    system = BloodCellAnalysisSystem()
    system.segmentation_model = ColourRuntime(training_diameter_px=float(DIAMETER))
    # The diameter that was given vouches for circles of one colour.
    return InferencePipeline(system, settings=AnalysisSettings(cell_diameter_px=DIAMETER))


def planned(path, settings=None, **options):
    options = {"training_diameter_px": float(DIAMETER), "jobs": 1} | options
    analysis = options.pop("analysis", AnalysisSettings(cell_diameter_px=DIAMETER))
    return list(plan_scans(path, path.stem, settings or ScanSettings(), analysis, **options))


def run(path, pipeline, out, *, settings=None, resume=False, jobs=1, region=WHOLE):
    inputs = find_inputs([path], output_dir=out)
    settings = settings or ScanSettings(region=region)
    inputs, slides = with_fields_of_scans(inputs, pipeline, settings, jobs=jobs, slides={})
    batch = BatchSettings(jobs=jobs, resume=resume, slides=slides)
    outcomes = list(analyze_inputs(inputs, pipeline, out, batch))
    return write_batch(inputs, outcomes, pipeline, out)


def found_places(summary):
    """Places of all cells on level 0."""
    places = []
    for outcome in summary.outcomes:
        place = outcome.report.image.place
        corner = (place.x_px, place.y_px)
        places += (outcome.report.cells["centroid"] * place.downsample + corner).tolist()
    return np.array(places)


@pytest.mark.parametrize("jobs", [1, 3])
def test_cells_at_seams_are_neither_cut_nor_counted_twice(
    small_fields, slide, pipeline, tmp_path, jobs
):
    summary = run(slide, pipeline, tmp_path / "out", jobs=jobs)
    assert len(summary.outcomes) > 6
    [of_slide] = summary.slides
    expected = grid_places()
    assert of_slide.counts["RBC"] == len(expected)
    found = np.round(found_places(summary) - 0.5)
    assert sorted(map(tuple, found.tolist())) == sorted(map(tuple, expected.tolist()))
    areas = np.concatenate([one.report.cells["area"] for one in summary.outcomes])
    assert len(set(areas.tolist())) == 1
    assert not any(one.report.cells["touches_border"].any() for one in summary.outcomes)


def test_a_field_gives_its_own_cells_of_what_the_network_sees(
    small_fields, slide, pipeline, tmp_path
):
    [plan] = planned(slide, ScanSettings(region=WHOLE))
    field = plan.fields["slide/r2_c2"]
    assert field.own == (256, 192, 256, 192)
    assert field.seen == (192, 128, 384, 320)
    assert field.around == field.seen
    network = pipeline.system.segmentation_model
    network.seen.clear()
    result = pipeline.analyze_field(field)
    assert network.seen[0] == (320, 384)
    np.testing.assert_array_equal(result.analysis.image, field.read())
    assert result.analysis.cells.label_image.shape == (320, 384)
    x, y = result.report.cells["centroid"].T
    assert ((x >= 64) & (x < 320) & (y >= 64) & (y < 256)).all()


def test_the_network_sees_fields_of_one_size_beyond_the_scan_by_reflection(small_fields, slide):
    [plan] = planned(slide, ScanSettings(region=WHOLE))
    image = cells_image(grid_places())
    assert {field.around[2:] for field in plan.fields.values()} == {(384, 320)}
    for field in plan.fields.values():
        pixels = field.read_around()
        assert pixels.shape == (320, 384, 3)
        left, top, *_ = field.around
        inside = image[top : top + 320, left : left + 384]
        np.testing.assert_array_equal(pixels[: inside.shape[0], : inside.shape[1]], inside)
        assert min(320 - inside.shape[0], 384 - inside.shape[1]) >= 0
        assert 320 - inside.shape[0] < 64
        assert 384 - inside.shape[1] < 64
        rest = pixels[inside.shape[0] :, : inside.shape[1]]
        np.testing.assert_array_equal(rest, inside[::-1][1 : len(rest) + 1])


def test_marks_are_found_once_in_a_saved_image_and_not_in_a_pyramid(
    small_fields, slide, pipeline, tmp_path
):
    image = cv2.GaussianBlur(cells_image(grid_places()), (0, 0), 3)
    cv2.rectangle(image, (600, 480), (720, 486), (0, 0, 0), -1)
    write_image(tmp_path / "in" / "saved.png", image)
    [plan] = planned(tmp_path / "in" / "saved.png", ScanSettings(region=WHOLE))
    is_marked = {name for name, field in plan.fields.items() if field.frame.marks is not None}
    assert {"saved/r3_c3"} <= is_marked <= {"saved/r3_c3", "saved/r3_c4"}
    assert len(plan.fields) > 6
    field = plan.fields["saved/r3_c3"]
    rows, columns = np.nonzero(field.frame.marks)
    assert abs(columns.min() + field.seen[0] - 600) <= 6
    assert abs(rows.min() + field.seen[1] - 480) <= 6
    [plan] = planned(slide, ScanSettings(region=WHOLE))
    assert not any(field.marks is not None for field in plan.fields.values())


def test_the_slide_has_a_record_an_overview_and_its_area(small_fields, slide, pipeline, tmp_path):
    summary = run(slide, pipeline, tmp_path / "out")
    file = json.loads((tmp_path / "out" / "slides" / "slide_slide.json").read_text())
    [scan] = file["scans"]
    assert (scan["width_px"], scan["height_px"]) == (790, 530)
    assert scan["levels"][1][:2] == [395, 265]
    assert scan["fields_analysed"] == scan["fields_planned"] > 6
    shares = [one.report.quality.judged_share for one in summary.outcomes]
    pixels = [one.report.image.width_px * one.report.image.height_px for one in summary.outcomes]
    places = [one.report.image.place.own for one in summary.outcomes]
    area = sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in places)
    assert area >= 2 * 256 * 3 * 256
    assert np.dot(shares, pixels) == pytest.approx(area, rel=1e-3)
    page = (tmp_path / "out" / "slides" / "slide_slide.html").read_text()
    assert f"{scan['fields_planned']} of {scan['fields_planned']} fields analysed" in page


def test_resume_keeps_the_fields_that_are_done(small_fields, slide, pipeline, tmp_path):
    out = tmp_path / "out"
    run(slide, pipeline, out)
    (out / "slide" / "r1_c2_report.json").unlink()
    kept = {one.name: one.was_kept for one in run(slide, pipeline, out, resume=True).outcomes}
    assert [name for name, was_kept in kept.items() if not was_kept] == ["slide/r1_c2"]


def test_a_region_in_pixels_of_level_0_is_analysed_alone(small_fields, slide, pipeline, tmp_path):
    summary = run(slide, pipeline, tmp_path / "out", region=(200, 100, 300, 280))
    places = grid_places()
    inside = (places >= (200, 100)).all(axis=1) & (places < (500, 380)).all(axis=1)
    assert summary.slides[0].counts["RBC"] == inside.sum()


def test_fields_of_another_level_are_half_as_large_and_know_their_place(small_fields, slide):
    [plan] = planned(slide, ScanSettings(region=WHOLE, level=1))
    assert plan.scale.red_cell_diameter_px == DIAMETER / 2
    field = list(plan.fields.values())[1]
    assert field.own == (128, 0, 128, 96)
    assert (field.place.x_px, field.place.downsample) == (field.seen[0] * 2, 2)
    left, top, width, height = field.seen
    level = cells_image(grid_places())[::2, ::2]
    np.testing.assert_array_equal(field.read(), level[top : top + height, left : left + width])


def test_a_level_that_does_not_exist_is_refused(slide):
    with pytest.raises(SettingsError, match=r"has no level 2; it has 0 \(790×530\), 1 \(395×265\)"):
        planned(slide, ScanSettings(level=2))


def test_a_region_outside_is_refused(slide):
    with pytest.raises(SettingsError, match="--region 790,0,10,10 lies outside of its 790×530"):
        planned(slide, ScanSettings(region=(790, 0, 10, 10)))


def test_memory_below_what_one_field_needs_is_refused(slide):
    with pytest.raises(SettingsError, match=r"--max-memory: .*the smallest field .* or --jobs 1"):
        planned(slide, ScanSettings(max_memory=500_000_000), jobs=2)


def test_less_memory_gives_smaller_fields(slide):
    region = (0, 0, 1300, 900)
    large = planned(slide, ScanSettings(region=region))
    small = planned(slide, ScanSettings(region=region, max_memory=550_000_000))
    assert len(large[0].fields) < len(small[0].fields)


def test_without_the_side_of_a_pixel_outlines_give_the_size(slide):
    [plan] = planned(slide, ScanSettings(region=WHOLE), analysis=AnalysisSettings())
    assert plan.scan.pixel_size is None
    assert plan.scale.red_cell_diameter_px == pytest.approx(DIAMETER * 1.07, rel=0.12)


def test_only_the_monolayer_is_analysed_unless_all_is_asked_for(small_fields, slide, monkeypatch):
    names = [Zone.GLASS, Zone.THICK, Zone.MONOLAYER, Zone.EDGE] * 3
    monkeypatch.setattr(scan_plan, "zones_of", lambda measures: tuple(names))
    [plan] = planned(slide)
    assert {str(field.zone) for field in plan.fields.values()} == {"monolayer"}
    [plan] = planned(slide, ScanSettings(is_everywhere=True))
    assert len(plan.fields) == 9
    monkeypatch.setattr(scan_plan, "zones_of", lambda measures: (Zone.THICK,) * 12)
    with pytest.raises(ImageReadError, match=r"no part of it is a monolayer .*found thick end"):
        planned(slide)


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_scan_stops_at_the_same_field_however_many_are_in_work(
    small_fields, slide, pipeline, tmp_path, jobs
):
    goal = Goal.read("rbc=40", None)
    settings = ScanSettings(region=WHOLE, goal=goal)
    out = tmp_path / "out"
    summary = run(slide, pipeline, out, settings=settings, jobs=jobs)
    counts = [one.report.counts["RBC"] for one in summary.outcomes]
    assert sum(counts) >= 40 > sum(counts[:-1])
    reports = {path.name.removesuffix("_report.json") for path in out.glob("slide/*_report.json")}
    assert reports == {one.name.removeprefix("slide/") for one in summary.outcomes}
    file = json.loads((out / "slides" / "slide_slide.json").read_text())
    assert file["scans"][0]["is_stopped"]


def test_a_broken_tile_costs_its_cells_alone(small_fields, pipeline, tmp_path):
    path = tmp_path / "in" / "slide.tif"
    path.parent.mkdir()
    image = cells_image(grid_places())
    tifffile.imwrite(path, image, tile=(128, 128), photometric="rgb", compression="deflate")
    with tifffile.TiffFile(path) as file:
        place = file.pages.first.dataoffsets[0]
    data = bytearray(path.read_bytes())
    data[place : place + 40] = b"x" * 40
    path.write_bytes(data)
    summary = run(path, pipeline, tmp_path / "out")
    places = grid_places()
    is_lost = (places < 128 - DIAMETER // 2 - 2).all(axis=1)
    is_clear = (places > 128 + DIAMETER // 2 + 2).any(axis=1)
    count = summary.slides[0].counts["RBC"]
    assert is_clear.sum() <= count <= len(places) - is_lost.sum()
    warned = [one.name for one in summary.outcomes if any("decoded" in w for w in one.warnings)]
    assert warned == ["slide/r1_c1"]
    file = json.loads((tmp_path / "out" / "slides" / "slide_slide.json").read_text())
    assert file["scans"][0]["holes"] == [[0, 0, 128, 128]]


def test_each_page_is_a_result_of_its_own(small_fields, pipeline, tmp_path):
    path = tmp_path / "in" / "two.tif"
    path.parent.mkdir()
    pages = np.stack([cells_image(grid_places()), cells_image(grid_places(110))])
    tifffile.imwrite(path, pages, photometric="rgb", tile=(128, 128))
    settings = ScanSettings(each_page=True, region=WHOLE)
    assert ScanSettings(each_page=True).is_scan(path)
    assert not ScanSettings().is_scan(path)
    summary = run(path, pipeline, tmp_path / "out", settings=settings)
    counts = {report.slide: report.counts["RBC"] for report in summary.slides}
    assert counts == {
        "two_page1": len(grid_places()),
        "two_page2": len(grid_places(110)),
    }


def written_zarr(path):
    zarr = pytest.importorskip("zarr")
    root = zarr.open_group(path, mode="w", zarr_format=2)
    image = np.moveaxis(cells_image(grid_places()), 2, 0)
    array = root.create_array("0", shape=image.shape, dtype="uint8", chunks=(3, 128, 128))
    array[:] = image
    datasets = [{"path": "0"}]
    root.attrs["multiscales"] = [{"axes": ["c", "y", "x"], "datasets": datasets}]
    return path


@pytest.mark.parametrize("recursive", [False, True])
def test_an_ome_zarr_in_a_folder_is_one_scan(small_fields, pipeline, tmp_path, recursive):
    written_zarr(tmp_path / "in" / "a.zarr")
    out = tmp_path / "out"
    inputs = find_inputs([tmp_path / "in"], output_dir=out, recursive=recursive)
    assert [(one.path.name, one.name) for one in inputs.images] == [("a.zarr", "a")]
    (tmp_path / "in" / "a.zarr" / "0" / "0.0.0").unlink()
    summary = run(tmp_path / "in" / "a.zarr", pipeline, out)
    places = grid_places()
    is_lost = (places < 128 - DIAMETER // 2 - 2).all(axis=1)
    is_clear = (places > 128 + DIAMETER // 2 + 2).any(axis=1)
    assert is_clear.sum() <= summary.slides[0].counts["RBC"] <= len(places) - is_lost.sum()
    file = json.loads((out / "slides" / "a_slide.json").read_text())
    assert file["scans"][0]["holes"] == [[0, 0, 128, 128]]


def cells_of_run(out):
    return pd.read_csv(out / "cells.csv")


def test_labels_of_a_scan_have_the_ids_of_the_table_and_no_seams(
    small_fields, slide, pipeline, tmp_path
):
    zarr = pytest.importorskip("zarr")
    out = tmp_path / "out"
    inputs = find_inputs([slide], output_dir=out)
    settings = ScanSettings(region=WHOLE)
    inputs, slides = with_fields_of_scans(inputs, pipeline, settings, jobs=1, slides={})
    outcomes = list(analyze_inputs(inputs, pipeline, out, BatchSettings(slides=slides)))
    summary = write_batch(inputs, outcomes, pipeline, out)
    [plan] = inputs.scans
    path = labels_path(plan, out)
    write_scan_labels(plan, summary.outcomes, out, path)
    group = zarr.open_group(path, mode="r")["labels/cells"]
    labels = group["0"][:]
    assert labels.shape == SHAPE
    table = cells_of_run(out)
    assert table["scan_cell_id"].tolist() == list(range(1, len(grid_places()) + 1))
    areas = np.bincount(labels.ravel())[1:]
    assert areas.tolist() == table["area"].tolist()
    at = table[["scan_centroid_y", "scan_centroid_x"]].to_numpy().astype(int)
    assert labels[tuple(at.T)].tolist() == table["scan_cell_id"].tolist()
    [scale] = dict(group.attrs)["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    assert scale == {"type": "scale", "scale": [1.0, 1.0]}
    assert not list((out / "slides").glob("*.partial"))


def test_labels_have_smaller_levels_and_the_side_of_a_pixel(
    small_fields, slide, pipeline, tmp_path, monkeypatch
):
    zarr = pytest.importorskip("zarr")
    monkeypatch.setattr(scan_labels, "_SMALLEST_PX", 200)
    monkeypatch.setattr(scan_labels, "_CHUNK_PX", 128)
    [plan] = planned(slide, ScanSettings(region=WHOLE))
    plan.scan.pixel_size = PixelSize(um=0.25, origin="the test")
    path = labels_path(plan, tmp_path)
    write_scan_labels(plan, [], tmp_path, path)
    group = zarr.open_group(path, mode="r")["labels/cells"]
    found = dict(group.attrs)["multiscales"][0]
    sides = [one["coordinateTransformations"][0]["scale"][0] for one in found["datasets"]]
    assert sides == [0.25, 0.5, 1.0]
    assert [group[str(level)].shape for level in range(3)] == [(530, 790), (265, 395), (133, 198)]
    assert {axis["unit"] for axis in found["axes"]} == {"micrometer"}


def test_labels_that_a_full_disk_cuts_off_leave_nothing_but_the_former_ones(
    small_fields, slide, tmp_path, monkeypatch
):
    pytest.importorskip("zarr")
    [plan] = planned(slide, ScanSettings(region=WHOLE))
    write_scan_labels(plan, [], tmp_path, tmp_path / "labels.zarr")
    before = sorted(str(one) for one in tmp_path.rglob("*"))

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(scan_labels, "_array", full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_scan_labels(plan, [], tmp_path, tmp_path / "labels.zarr")
    assert sorted(str(one) for one in tmp_path.rglob("*")) == before


def test_labels_need_the_library_of_the_extra(monkeypatch):
    monkeypatch.setattr(scan_labels, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"pip install 'blood-cell-system\[slides\]'"):
        check_zarr()


def test_a_disk_that_fills_half_way_costs_fields_that_resume_makes(
    small_fields, slide, pipeline, tmp_path, monkeypatch
):
    whole = run(slide, pipeline, tmp_path / "whole")
    out = tmp_path / "out"
    write_bytes = Path.write_bytes
    masks = []

    def until_full(path, data):
        if "_mask" in path.name:
            masks.append(path)
        if "_mask" in path.name and len(masks) > 3:
            write_bytes(path, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_bytes(path, data)

    with monkeypatch.context() as context:
        context.setattr(Path, "write_bytes", until_full)
        summary = run(slide, pipeline, out)
    assert summary.count(Status.OK) + summary.count(Status.WARNED) == 3
    assert all("No space left" in one.reason for one in summary.outcomes if one.report is None)
    assert not list(out.rglob("*.partial*"))
    reports = {one.name.removesuffix("_report.json") for one in out.glob("slide/*_report.json")}
    assert len(reports) == 3
    again = run(slide, pipeline, out, resume=True)
    assert sum(one.was_kept for one in again.outcomes) == 3
    assert again.slides[0].counts == whole.slides[0].counts
    tables = [(folder / "cells.csv").read_bytes() for folder in (out, tmp_path / "whole")]
    assert tables[0] == tables[1]


def test_an_image_beside_a_scan_is_a_slide_of_its_own(
    small_fields, slide, pipeline, tmp_path, monkeypatch
):
    write_image(slide.parent / "plain.png", cells_image(grid_places())[:200, :200])
    inputs = find_inputs([slide.parent], output_dir=tmp_path / "out")
    monkeypatch.setattr(ScanSettings, "is_scan", lambda settings, path: path.suffix == ".tif")
    settings = ScanSettings(region=WHOLE)
    found, slides = with_fields_of_scans(inputs, pipeline, settings, jobs=1, slides={})
    assert slides["plain"].name == "plain"
    assert {slides[name].name for name in found.scans[0].fields} == {"slide"}


@pytest.mark.parametrize(
    ("until", "words"), [("blast=5", "blast is no cell type"), ("rbc=5", "none of the images is")]
)
def test_a_goal_needs_a_known_type_and_a_scan(slide, pipeline, tmp_path, until, words):
    inputs = find_inputs([slide], output_dir=tmp_path / "out")
    settings = ScanSettings(goal=Goal.read(until, None))
    with pytest.raises(SettingsError, match=words):
        with_fields_of_scans(inputs, pipeline, settings, jobs=1, slides={})


def test_a_scan_that_cannot_be_read_fails_alone(slide, pipeline, tmp_path):
    bad = slide.parent / "bad.svs"
    bad.write_bytes(b"II*\0" + b"\xff" * 30)
    inputs = find_inputs([slide.parent], output_dir=tmp_path / "out")
    found, _ = with_fields_of_scans(inputs, pipeline, ScanSettings(), jobs=1, slides={})
    assert [one.name for one in found.failed] == [str(bad)]
    assert [one.name for one in found.images] == ["slide"]


def test_large_images_are_scans_by_the_memory_they_may_take(slide, tmp_path):
    assert not ScanSettings().is_scan(slide)
    assert ScanSettings(max_memory=425_000_000).is_scan(slide)
    assert ScanSettings(level=1).is_scan(slide)
    write_image(tmp_path / "a.png", cells_image(grid_places()))
    assert ScanSettings(max_memory=425_000_000).is_scan(tmp_path / "a.png")
    assert not ScanSettings(max_memory=900_000_000).is_scan(tmp_path / "a.png")
    assert ScanSettings().is_scan(Path("a.svs"))
    assert not ScanSettings(level=1).is_scan(tmp_path / "a.txt")


def test_a_pyramid_is_a_scan_from_the_size_on_that_photographs_have(slide, monkeypatch):
    assert not ScanSettings().is_scan(slide)
    monkeypatch.setattr(scan_plan, "_PYRAMID_PX", 400_000)
    assert ScanSettings().is_scan(slide)
    flat = slide.with_name("flat.tif")
    tifffile.imwrite(flat, cells_image(grid_places()), photometric="rgb")
    assert not ScanSettings().is_scan(flat)


def test_an_image_that_only_decodes_whole_must_fit(tmp_path):
    write_image(tmp_path / "a.png", cells_image(grid_places()))
    with pytest.raises(ImageReadError, match=r"can only be decoded whole .* tiled TIFF"):
        planned(tmp_path / "a.png", ScanSettings(max_memory=421_000_000))


@pytest.mark.parametrize("text", ["rbc", "rbc=0", "rbc=many", "=5", ""])
def test_numbers_of_cells_that_cannot_be_read_are_refused(text):
    with pytest.raises(SettingsError, match="--until: received"):
        Goal.read(text, None)


@pytest.mark.parametrize("text", ["wbc_differential", "wbc=0%", "wbc=60%", "wbc=1.2.3%"])
def test_a_precision_that_cannot_be_read_is_refused(text):
    with pytest.raises(SettingsError, match="--precision-of: received"):
        Goal.read(None, text)


def test_a_goal_names_cell_types():
    Goal.read("rbc=5,PLATELET=3", None).check(BUILT_IN)
    with pytest.raises(SettingsError, match="--until: blast is no cell type"):
        Goal.read("blast=5", None).check(BUILT_IN)


def test_a_share_is_precise_when_its_interval_is_narrow():
    report = report_of()
    name = report.rates[0].name
    many = report.rates[0].model_copy(update={"count": 400, "total": 100_000, "min_total": 1})
    few = many.model_copy(update={"count": 1, "total": 10})
    tally = Tally(goal=Goal.read(None, f"{name}=1%"))
    tally.rates = (few,)
    assert not tally.is_enough
    tally.rates = (many,)
    assert tally.is_enough


def test_every_beginning_of_an_order_is_spread_over_all():
    order = spread(list(range(100)))
    assert sorted(order) == list(range(100))
    for count in (8, 16, 50):
        gaps = np.diff(sorted(order[:count]))
        assert gaps.max() <= 3 * 100 / count
