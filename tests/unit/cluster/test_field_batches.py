import dataclasses
import json
import os

import pytest
from support.analysed_images import write_smear_image
from support.bucket_server import bucket_server
from support.cluster_runs import colour_pipeline, rows_of, smear_folder, sources_of, started
from support.drawn_cells import ellipse_box

import blood_cell_system
from blood_cell_system.cluster import source_files
from blood_cell_system.cluster.field_batches import (
    FieldBatch,
    WorkerVersionError,
    are_unchanged,
    packed,
    run_batch,
)
from blood_cell_system.cluster.source_files import size_and_time
from blood_cell_system.cluster.storage import Storage
from blood_cell_system.pipeline import scan_labels, scan_plan
from blood_cell_system.pipeline.batch import (
    BatchSettings,
    analyze_inputs,
    find_inputs,
    with_fields_of_scans,
    write_batch,
)
from blood_cell_system.pipeline.image import InferencePipeline
from blood_cell_system.pipeline.scan_goal import Goal
from blood_cell_system.pipeline.scan_plan import ScanSettings
from blood_cell_system.pipeline.slide_groups import group_images
from blood_cell_system.reports.image_files import ALL_PARTS, Part
from blood_cell_system.taxonomy import RBC

pytest.importorskip("pyarrow", reason="of the extra [cluster]")

VERSION = blood_cell_system.__version__


@pytest.fixture
def pipeline(tmp_path):
    return colour_pipeline(tmp_path / "models")


def batch_of(images, dataset, pipeline, **options):
    recipe = pipeline.recipe(threads=1)
    images = tuple(images)
    return FieldBatch(
        images=images, recipe=recipe, record=dataset.record, storage=dataset.storage, **options
    )


def done(dataset, batch):
    found = run_batch(VERSION, packed(batch))
    dataset.commit(found.key, found.rows, found.cells)
    return found


def without_scans(row):
    """A row of cells without the columns of scans, which a table of images alone has not."""
    cell = json.loads(row)
    of_scans = {"scan_cell_id", "scan_centroid_x", "scan_centroid_y"}
    assert {cell.pop(name) for name in of_scans} == {None}
    return json.dumps(cell, sort_keys=True)


def test_a_batch_has_the_cells_that_the_local_run_has(tmp_path, pipeline):
    folder = smear_folder(tmp_path / "in", broken=["s1/bad.png"])
    dataset = started(tmp_path / "out", pipeline)
    found = done(dataset, batch_of(sources_of(folder), dataset, pipeline))
    assert [row["status"] for row in found.rows].count("failed") == 1
    assert any("bad.png: not an image" in row["reason"] for row in found.rows)
    inputs = find_inputs([folder], output_dir=tmp_path / "local", recursive=True)
    slides = group_images(inputs.images, "folder")
    outcomes = list(
        analyze_inputs(inputs, pipeline, tmp_path / "local", BatchSettings(slides=slides))
    )
    write_batch(inputs, outcomes, pipeline, tmp_path / "local")
    (tmp_path / "local" / "one").mkdir()
    (tmp_path / "local" / "cells.parquet").rename(tmp_path / "local" / "one" / "cells.parquet")
    local = [without_scans(row.replace(".png", "")) for row in rows_of(tmp_path / "out")]
    assert len(local) > 0
    assert sorted(local) == rows_of(tmp_path / "local", "one")


def test_the_key_of_a_batch_is_that_of_its_content(tmp_path, pipeline):
    dataset = started(tmp_path / "out", pipeline)
    images = list(sources_of(smear_folder(tmp_path / "in")))
    batch = batch_of(images, dataset, pipeline)
    assert batch.key == batch_of(images, dataset, pipeline).key
    other = dataclasses.replace(images[0], slide="another")
    assert batch.key != batch_of([other, *images[1:]], dataset, pipeline).key


def test_masks_and_outlines_are_written_if_they_are_asked_for(tmp_path, pipeline):
    dataset = started(tmp_path / "out", pipeline)
    images = list(sources_of(smear_folder(tmp_path / "in", slides=1, images=1)))
    done(dataset, batch_of(images, dataset, pipeline))
    assert not (tmp_path / "out" / "files").exists()
    parts = frozenset({Part.MASKS, Part.OVERLAY})
    done(dataset, batch_of(images, dataset, pipeline, parts=parts))
    names = {path.name for path in (tmp_path / "out" / "files" / "s0").iterdir()}
    assert names == {"0.png_mask.png", "0.png_annotated.png", "0.png_instances.png"}


def test_images_and_results_may_be_in_a_bucket(tmp_path, pipeline):
    folder = smear_folder(tmp_path / "in", slides=1)
    with bucket_server() as bucket:
        for path in folder.rglob("*.png"):
            bucket.objects[f"images/in/{path.relative_to(folder)}"] = path.read_bytes()
        bucket.objects["images/in/s0/bad.png"] = b"no image"
        dataset = started(bucket.place("images/out"), pipeline)
        images = list(sources_of(bucket.place("images/in")))
        found = done(dataset, batch_of(images, dataset, pipeline, parts=ALL_PARTS))
        assert [row["status"] == "failed" for row in found.rows] == [False, False, True]
        assert found.rows[0]["path"] == "s3://images/in/s0/0.png"
        assert "images/out/files/s0/0.png_mask.png" in bucket.objects
        package = packed((dataset.storage, dataset.record, found.key, [bucket.place("images/in")]))
        assert are_unchanged(VERSION, package)
        bucket.objects["images/in/s0/0.png"] += b" "
        assert not are_unchanged(VERSION, package)
        for name, data in bucket.objects.items():
            if name.startswith("images/out/") and data:
                path = tmp_path / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
    local = started(tmp_path / "local", pipeline)
    done(local, batch_of(sources_of(folder), local, pipeline))
    assert rows_of(tmp_path / "images" / "out") == rows_of(tmp_path / "local")


def test_an_image_that_has_gone_is_failed_and_one_in_a_failing_bucket_is_asked_for_again(
    tmp_path, pipeline, monkeypatch
):
    monkeypatch.setattr(source_files, "_PAUSE_S", 0.01)
    with bucket_server() as bucket:
        bucket.objects["images/in/a.png"] = b"x"
        dataset = started(tmp_path / "out", pipeline, has_slides=False)
        images = list(sources_of(bucket.place("images/in"), group_by=None))
        del bucket.objects["images/in/a.png"]
        (row,) = run_batch(VERSION, packed(batch_of(images, dataset, pipeline))).rows
        assert row["reason"] == "s3://images/in/a.png: there is no such file. Check the address."
        bucket.objects["images/in/a.png"] = (
            smear_folder(tmp_path / "in", slides=1) / "s0/0.png"
        ).read_bytes()
        bucket.failures = 6
        (row,) = run_batch(VERSION, packed(batch_of(images, dataset, pipeline))).rows
        assert row["status"] != "failed"


def test_a_changed_image_is_seen_and_one_that_has_gone_is_not_missed(tmp_path, pipeline):
    folder = smear_folder(tmp_path / "in", slides=1)
    dataset = started(tmp_path / "out", pipeline)
    found = done(dataset, batch_of(sources_of(folder), dataset, pipeline))
    package = packed((dataset.storage, dataset.record, found.key, ()))
    assert are_unchanged(VERSION, package)
    (folder / "s0/0.png").unlink()
    assert are_unchanged(VERSION, package)
    (folder / "s0/1.png").write_bytes(b"another image")
    assert not are_unchanged(VERSION, package)


def test_a_file_of_the_same_size_and_time_is_not_read_again(tmp_path, pipeline, monkeypatch):
    folder = smear_folder(tmp_path / "in", slides=1, images=1)
    image = folder / "s0/0.png"
    os.utime(image, (1_000_000, 1_000_000))
    dataset = started(tmp_path / "out", pipeline)
    found = done(dataset, batch_of(sources_of(folder), dataset, pipeline))
    package = packed((dataset.storage, dataset.record, found.key, ()))
    digests = []

    def digest_of_file(path):
        digests.append(path)
        return "another"

    monkeypatch.setattr(source_files, "digest_of_file", digest_of_file)
    assert are_unchanged(VERSION, package)
    assert digests == []
    os.utime(image, (1_000_000, 1_000_001))
    assert not are_unchanged(VERSION, package)
    assert digests == [image]


def test_a_file_that_had_just_been_changed_is_read_again(tmp_path):
    (tmp_path / "a.png").write_bytes(b"x")
    assert size_and_time(str(tmp_path / "a.png")) == (1, None)
    os.utime(tmp_path / "a.png", (1_000_000, 1_000_000))
    assert size_and_time(str(tmp_path / "a.png")) == (1, 10**15)


def write_field(path):
    """Write an image of cells in rows, as wide as some fields of a scan."""
    cells = [ellipse_box(RBC, x, y, 60) for x in range(60, 700, 100) for y in (60, 160, 260)]
    return write_smear_image(path, cells, shape=(320, 740))


@pytest.fixture
def scan(tmp_path, monkeypatch):
    """A scan of several fields, and the settings that make it one."""
    monkeypatch.setattr(scan_plan, "_SIDES", (4, 4))
    monkeypatch.setattr(scan_plan, "_MARGIN_PX", 64)
    (tmp_path / "in" / "s0").mkdir(parents=True)
    write_field(tmp_path / "in" / "s0" / "scan.png")
    return ScanSettings(region=(0, 0, 740, 320))


def test_a_scan_is_one_image_with_the_cells_of_the_local_run(tmp_path, pipeline, scan):
    dataset = started(tmp_path / "out", pipeline)
    images = list(sources_of(tmp_path / "in"))
    found = done(dataset, batch_of(images, dataset, pipeline, scans=scan))
    assert len(found.rows) > 1
    assert {row["source"] for row in found.rows} == {"s0/scan.png"}
    assert [one.sources for one in dataset.settle()] == [(("s0/scan.png", "s0", None),)]
    local = tmp_path / "local"
    inputs = find_inputs([tmp_path / "in"], output_dir=local, recursive=True)
    slides = group_images(inputs.images, "folder")
    inputs, slides = with_fields_of_scans(inputs, pipeline, scan, jobs=1, slides=slides)
    outcomes = list(analyze_inputs(inputs, pipeline, local, BatchSettings(slides=slides)))
    write_batch(inputs, outcomes, pipeline, local)
    (local / "one").mkdir()
    (local / "cells.parquet").rename(local / "one" / "cells.parquet")
    cells = [row.replace(".png", "") for row in rows_of(tmp_path / "out")]
    assert len(cells) > 10
    assert sorted(cells) == rows_of(local, "one")


def test_a_changed_scan_is_seen_and_one_with_a_failed_field_is_done_again(
    tmp_path, pipeline, scan, monkeypatch
):
    dataset = started(tmp_path / "out", pipeline)
    batch = batch_of(sources_of(tmp_path / "in"), dataset, pipeline, scans=scan)
    analyze_field = InferencePipeline.analyze_field

    def failing(self, one):
        if one.own[0] > 0:
            raise RuntimeError("it burst")
        return analyze_field(self, one)

    monkeypatch.setattr(InferencePipeline, "analyze_field", failing)
    states = {row["status"] == "failed" for row in done(dataset, batch).rows}
    assert states == {True, False}
    dataset.forget_failed()
    assert list(dataset.settle()) == []
    monkeypatch.setattr(InferencePipeline, "analyze_field", analyze_field)
    found = done(dataset, batch)
    package = packed((dataset.storage, dataset.record, found.key, ()))
    assert are_unchanged(VERSION, package)
    write_smear_image(tmp_path / "in" / "s0" / "scan.png")
    assert not are_unchanged(VERSION, package)


def test_a_scan_stops_at_its_goal(tmp_path, pipeline, scan):
    dataset = started(tmp_path / "out", pipeline)
    goal = dataclasses.replace(scan, goal=Goal.read("rbc=1", None))
    images = list(sources_of(tmp_path / "in"))
    batch = batch_of(images, dataset, pipeline, scans=goal)
    assert len(run_batch(VERSION, packed(batch)).rows) == 1


def test_a_scan_without_a_slide_fails_with_the_remedy(tmp_path, pipeline, scan):
    dataset = started(tmp_path / "out", pipeline, has_slides=False)
    images = list(sources_of(tmp_path / "in", group_by=None))
    [row] = run_batch(VERSION, packed(batch_of(images, dataset, pipeline, scans=scan))).rows
    assert "a scan is a slide of its own; expected slides to be named" in row["reason"]


def test_labels_of_images_and_scans_are_written_as_zarr(tmp_path, pipeline, scan):
    zarr = pytest.importorskip("zarr", reason="of the extra [slides]")
    dataset = started(tmp_path / "out", pipeline)
    images = list(sources_of(tmp_path / "in"))
    for name, scans in (("image", ScanSettings()), ("scan", scan)):
        batch = batch_of(images, dataset, pipeline, scans=scans, has_label_zarr=True)
        found = run_batch(VERSION, packed(batch))
        files = tmp_path / "out" / "files"
        assert not list(files.rglob("*.png")), name
        labels = zarr.open_group(files / "s0/scan.png_labels.ome.zarr", mode="r")["labels/cells/0"]
        assert labels.shape == (320, 740)
        assert labels[:].max() == sum(row["RBC"] + row["WBC"] for row in found.rows), name


def test_a_worker_that_cannot_write_zarr_refuses(tmp_path, pipeline, monkeypatch):
    monkeypatch.setattr(scan_labels, "find_spec", lambda name: None)
    dataset = started(tmp_path / "out", pipeline)
    batch = batch_of([], dataset, pipeline, has_label_zarr=True)
    with pytest.raises(WorkerVersionError, match="a worker: --label-zarr: the library"):
        run_batch(VERSION, packed(batch))


def test_a_scan_of_several_files_in_a_bucket_fails_with_the_remedy(tmp_path, pipeline):
    dataset = started(tmp_path / "out", pipeline)
    with bucket_server() as bucket:
        bucket.objects["images/s0/a.mrxs"] = b"x"
        images = list(sources_of(bucket.place("images/s0")))
        [row] = run_batch(VERSION, packed(batch_of(images, dataset, pipeline))).rows
    assert row["reason"].startswith("s3://images/s0/a.mrxs: a scan of several files; expected one")


def test_a_worker_may_have_another_version_of_the_runtime(tmp_path, pipeline):
    dataset = started(tmp_path / "out", pipeline)
    assert pipeline.provenance.runs_in
    assert dataset.record.provenance.runs_in is None
    batch = batch_of(sources_of(smear_folder(tmp_path / "in")), dataset, pipeline)
    assert len(run_batch(VERSION, packed(batch)).rows) == 4


def test_a_worker_of_another_version_or_model_refuses(tmp_path, pipeline):
    dataset = started(tmp_path / "out", pipeline)
    batch = batch_of(sources_of(smear_folder(tmp_path / "in")), dataset, pipeline)
    with pytest.raises(WorkerVersionError, match=r"a worker has version .* the run has version 9"):
        run_batch("9.9", b"what another version packs")
    other = dataset.record.provenance.model_copy(update={"model_sha256": "ab" * 32})
    record = dataset.record.model_copy(update={"provenance": other})
    with pytest.raises(WorkerVersionError, match="a worker has another model than the run: segm"):
        run_batch(VERSION, packed(dataclasses.replace(batch, record=record)))
    (tmp_path / "models" / "segmentation_model.onnx").unlink()
    recipe = pipeline.recipe(threads=2)
    with pytest.raises(WorkerVersionError, match="a worker lacks a model of the run"):
        run_batch(VERSION, packed(dataclasses.replace(batch, recipe=recipe)))


def test_what_is_sent_shows_no_secret_where_it_is_printed():
    assert "SECRET" not in repr(Storage("s3://KEY:SECRET@images/out"))
