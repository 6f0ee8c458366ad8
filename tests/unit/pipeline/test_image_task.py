"""Tasks of a batch: in processes of their own they give what they give in this one."""

import os
import pickle
from concurrent.futures import Future
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from support.analysed_images import SeeingRuntime, analysis_of, report_of, write_smear_image
from support.tiny_onnx import colour_model

from blood_cell_system.analysis.image_analysis import AnalysisSettings
from blood_cell_system.errors import CheckpointError, WorkerError
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.imaging.scan import open_in_memory, open_scan
from blood_cell_system.pipeline import batch
from blood_cell_system.pipeline.batch import BatchSettings, analyze_inputs, find_inputs, write_batch
from blood_cell_system.pipeline.image import InferencePipeline, pipeline_of
from blood_cell_system.pipeline.image_task import ImageTask, InputImage, TaskOutcome, run_task
from blood_cell_system.pipeline.system import BloodCellAnalysisSystem
from blood_cell_system.reports.batch_summary import ImageOutcome
from blood_cell_system.reports.image_files import ALL_PARTS
from blood_cell_system.reports.page.panel import page_limits

IMAGES = ("a", "b", "c")


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "segmentation_model.onnx"
    path.write_bytes(colour_model())
    return path


@pytest.fixture
def pipeline(model):
    system = BloodCellAnalysisSystem()
    system.load_segmenter(model)
    settings = AnalysisSettings(cell_diameter_px=60)
    return InferencePipeline(system, settings=settings, is_classifying=False)


@pytest.fixture
def folder(tmp_path):
    for name in IMAGES:
        write_smear_image(tmp_path / "in" / f"{name}.png")
    return tmp_path / "in"


def run(folder, pipeline, out, **options):
    inputs = find_inputs([folder], output_dir=out)
    outcomes = list(analyze_inputs(inputs, pipeline, out, BatchSettings(**options)))
    return write_batch(inputs, outcomes, pipeline, out)


def task_of(folder, pipeline, out, **changes):
    task = ImageTask(
        image=InputImage(path=folder / "a.png", name="a"),
        output_dir=out,
        provenance=pipeline.provenance,
        limits=page_limits(1),
        parts=ALL_PARTS,
        resume=False,
    )
    return replace(task, **changes)


def test_processes_write_the_same_files_byte_for_byte(folder, pipeline, tmp_path, monkeypatch):
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:200])
    run(folder, pipeline, tmp_path / "threads", jobs=2)
    monkeypatch.setattr(batch, "_MANY_PIXELS", 1)
    monkeypatch.setattr(batch, "_Threads", None)
    summary = run(folder, pipeline, tmp_path / "processes", jobs=2)
    assert [(o.name, str(o.status)) for o in summary.outcomes][1] == ("b", "failed")
    assert len(summary.outcomes[0].report.cells) > 0
    files = sorted(path.name for path in (tmp_path / "threads").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "processes").iterdir())
    for name in files:
        expected = (tmp_path / "threads" / name).read_bytes()
        assert (tmp_path / "processes" / name).read_bytes() == expected, name
    resumed = run(folder, pipeline, tmp_path / "processes", jobs=2, resume=True)
    assert [outcome.was_kept for outcome in resumed.outcomes] == [True, False, True]


class Failing:
    """Workers of which the one that has image b ends."""

    def __init__(self, *_):
        pass

    def submit(self, task):
        future = Future()
        if task.image.name == "b":
            future.set_exception(WorkerError("a helper process ended"))
        else:
            outcome = ImageOutcome(name=task.image.name, path="x", report=report_of())
            future.set_result(TaskOutcome(outcome=outcome))
        return future

    def close(self):
        pass


def test_a_worker_that_ends_costs_one_image(folder, pipeline, tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "_Threads", Failing)
    inputs = find_inputs([folder], output_dir=tmp_path / "out")
    outcomes = list(analyze_inputs(inputs, pipeline, tmp_path / "out"))
    assert [str(outcome.status) for outcome in outcomes] == ["ok", "failed", "ok"]
    assert outcomes[1].reason == f"{folder / 'b.png'}: a helper process ended"


def test_few_pixels_stay_in_this_process(folder, pipeline, tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "_Processes", None)
    run(folder, pipeline, tmp_path / "out", jobs=2)


def test_a_recipe_makes_the_same_pipeline_once(pipeline):
    recipe = pickle.loads(pickle.dumps(pipeline.recipe(threads=1)))
    again = pipeline_of(recipe)
    assert again is pipeline_of(pipeline.recipe(threads=1))
    assert again.provenance == pipeline.provenance
    assert again.report_settings == pipeline.report_settings
    assert again.system.execution.threads == 1


def test_a_recipe_leaves_out_the_classifiers_that_were_left_out(pipeline):
    del pipeline.system._slots["wbc"]
    again = pipeline_of(pipeline.recipe(threads=1))
    assert list(again.system.model_files()) == list(pipeline.system.model_files()) == [None, "rbc"]


def test_a_model_in_memory_has_no_recipe():
    system = BloodCellAnalysisSystem()
    system.segmentation_model = SeeingRuntime()
    assert InferencePipeline(system).recipe() is None


def test_a_worker_with_another_model_refuses_the_task(folder, model, pipeline, tmp_path):
    task, recipe = task_of(folder, pipeline, tmp_path / "out"), pipeline.recipe()
    model.write_bytes(colour_model(output_name="other"))
    pipeline_of.cache_clear()
    with pytest.raises(CheckpointError, match="another file or version than that which the batch"):
        run_task(recipe, task)


def test_a_task_and_its_outcome_can_be_pickled(folder, pipeline, tmp_path):
    task = pickle.loads(pickle.dumps(task_of(folder, pipeline, tmp_path / "out")))
    done = run_task(pipeline.recipe(), task)
    again = pickle.loads(pickle.dumps(done)).outcome
    assert again.report.to_json() == done.outcome.report.to_json()
    assert again.panel == done.outcome.panel


def test_cells_come_back_from_another_process_as_they_were():
    cells = analysis_of().cells
    again = pickle.loads(pickle.dumps(cells))
    assert np.array_equal(again.label_image, cells.label_image)
    assert again.taxonomy == cells.taxonomy
    for name in cells:
        assert np.array_equal(again[name], cells[name]), name
    with pytest.raises(TypeError):
        again.data["area"] = 0


@pytest.mark.parametrize("opener", [open_scan, open_in_memory])
def test_a_scan_is_opened_once_in_another_process(tmp_path, opener):
    path = tmp_path / "a.tif"
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    write_image(tmp_path / "a.png", image)
    tifffile.imwrite(path, image)
    data = pickle.dumps(opener(path if opener is open_scan else tmp_path / "a.png"))
    scan = pickle.loads(data)
    assert np.array_equal(scan.read((0, 0, 64, 64)), image)
    assert pickle.loads(data) is scan
    changed = scan.path
    os.utime(changed, ns=(1, 1))
    assert pickle.loads(pickle.dumps(scan)) is not scan


def test_holes_of_another_process_are_noted(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((64, 64, 3), np.uint8))
    scan = open_scan(path)
    scan.note_holes(0, [(0, 0, 8, 8)])
    assert scan.holes_in((4, 4, 16, 16)) == ((0, 0, 8, 8),)
