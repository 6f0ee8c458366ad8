import dataclasses

import pytest
from support.bucket_server import bucket_server
from support.cluster_runs import colour_pipeline, rows_of, smear_folder, sources_of, started

import blood_cell_system
from blood_cell_system.cluster import field_batches
from blood_cell_system.cluster.field_batches import (
    FieldBatch,
    WorkerVersionError,
    are_unchanged,
    packed,
    run_batch,
)
from blood_cell_system.cluster.storage import Storage
from blood_cell_system.pipeline.batch import BatchSettings, analyze_inputs, find_inputs, write_batch
from blood_cell_system.pipeline.slide_groups import group_images

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
    local = [row.replace(".png", "") for row in rows_of(tmp_path / "out")]
    assert len(local) > 0
    assert sorted(local) == rows_of(tmp_path / "local", "one")


def test_the_key_of_a_batch_is_that_of_its_content(tmp_path, pipeline):
    dataset = started(tmp_path / "out", pipeline)
    images = list(sources_of(smear_folder(tmp_path / "in")))
    batch = batch_of(images, dataset, pipeline)
    assert batch.key == batch_of(images, dataset, pipeline).key
    other = dataclasses.replace(images[0], slide="another")
    assert batch.key != batch_of([other, *images[1:]], dataset, pipeline).key


def test_masks_outlines_and_reports_are_written_if_they_are_asked_for(tmp_path, pipeline):
    dataset = started(tmp_path / "out", pipeline)
    images = list(sources_of(smear_folder(tmp_path / "in", slides=1, images=1)))
    done(dataset, batch_of(images, dataset, pipeline))
    assert not (tmp_path / "out" / "files").exists()
    done(dataset, batch_of(images, dataset, pipeline, with_files=True))
    names = {path.name for path in (tmp_path / "out" / "files" / "s0").iterdir()}
    assert {"0.png_mask.png", "0.png_annotated.png", "0.png_report.json"} < names


def test_images_and_results_may_be_in_a_bucket(tmp_path, pipeline):
    folder = smear_folder(tmp_path / "in", slides=1)
    with bucket_server() as bucket:
        for path in folder.rglob("*.png"):
            bucket.objects[f"images/in/{path.relative_to(folder)}"] = path.read_bytes()
        bucket.objects["images/in/s0/bad.png"] = b"no image"
        dataset = started(bucket.place("images/out"), pipeline)
        images = list(sources_of(bucket.place("images/in")))
        found = done(dataset, batch_of(images, dataset, pipeline, with_files=True))
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
    monkeypatch.setattr(field_batches, "_PAUSE_S", 0.01)
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
