import csv
import hashlib
import json
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.analysed_images import (
    CELLS,
    SeeingRuntime,
    analyze_by_colour,
    to_version_2,
    to_version_3,
    write_smear_image,
)

from blood_cell_system.errors import (
    FolderInUseError,
    MissingDataError,
    OutputError,
    SettingsError,
)
from blood_cell_system.folder_lock import locked_folder
from blood_cell_system.pipeline import batch as batch_module
from blood_cell_system.pipeline import image as image_module
from blood_cell_system.pipeline import model_slots
from blood_cell_system.pipeline.batch import (
    BatchSettings,
    analyze_inputs,
    batch_process_images,
    find_inputs,
    start_batch,
    write_batch,
)
from blood_cell_system.pipeline.image import InferencePipeline
from blood_cell_system.pipeline.slide_groups import group_images
from blood_cell_system.pipeline.system import BloodCellAnalysisSystem
from blood_cell_system.reports.image_files import ALL_PARTS, Part, as_written
from blood_cell_system.reports.report import DiagnosticReport, Status
from blood_cell_system.reports.slides import SlideFile


@pytest.fixture(autouse=True)
def _by_colour(monkeypatch):
    monkeypatch.setattr(image_module, "analyze_image", analyze_by_colour)
    monkeypatch.setattr(model_slots, "bundled_classifier", lambda kind: None)


@pytest.fixture
def pipeline():
    system = BloodCellAnalysisSystem()
    system.segmentation_model = SeeingRuntime()
    return InferencePipeline(system)


@pytest.fixture
def folder(tmp_path):
    """Three good images of 4, 3 and 0 cells, and one that is cut off."""
    root = tmp_path / "in"
    write_smear_image(root / "a.png")
    write_smear_image(root / "b.png", CELLS[1:])
    write_smear_image(root / "d.png", [])
    (root / "c.png").write_bytes((root / "a.png").read_bytes()[:200])
    return root


def run(folder, pipeline, out, **options):
    inputs = find_inputs([folder], output_dir=out)
    outcomes = list(analyze_inputs(inputs, pipeline, out, BatchSettings(**options)))
    return write_batch(inputs, outcomes, pipeline, out)


def statuses(summary):
    return {outcome.name: str(outcome.status) for outcome in summary.outcomes}


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_bad_file_does_not_stop_the_others(folder, pipeline, tmp_path, jobs):
    summary = run(folder, pipeline, tmp_path / "out", jobs=jobs)
    assert list(statuses(summary).items()) == [
        ("a", "ok"),
        ("b", "ok"),
        ("c", "failed"),
        ("d", "warned"),
    ]
    assert "cut off or damaged" in summary.outcomes[2].reason
    assert "No cell was found" in summary.outcomes[3].warnings[0]
    assert not (tmp_path / "out" / "c_report.json").exists()


def test_the_model_is_not_asked_for_images_that_cannot_be_read(folder, pipeline, tmp_path):
    run(folder, pipeline, tmp_path / "out")
    assert pipeline.system.segmentation_model.asked == 3


def test_jobs_change_nothing_in_the_files(folder, pipeline, tmp_path):
    for jobs in (1, 4):
        run(folder, pipeline, tmp_path / str(jobs), jobs=jobs)
    files = sorted(path.name for path in (tmp_path / "1").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "4").iterdir())
    for name in files:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "4" / name).read_bytes()


def test_images_are_worked_on_at_the_same_time(folder, pipeline, tmp_path, monkeypatch):
    meeting = threading.Barrier(2, timeout=10)
    monkeypatch.setattr(
        image_module, "analyze_image", lambda *a: meeting.wait() * 0 or analyze_by_colour(*a)
    )
    (folder / "c.png").unlink()
    (folder / "d.png").unlink()
    assert set(statuses(run(folder, pipeline, tmp_path / "out", jobs=2)).values()) == {"ok"}


def test_the_summary_counts_everything(folder, pipeline, tmp_path):
    run(folder, pipeline, tmp_path / "out")
    value = json.loads((tmp_path / "out" / "batch_summary.json").read_text("utf-8"))
    assert value["images_by_status"] == {"ok": 2, "warned": 1, "failed": 1}
    former = {"name", "path", "status", "reason", "warnings", "counts"}
    assert value["pictures"] == [{key: row[key] for key in former} for row in value["images"]]
    assert value["counts"] == {"RBC": 6, "WBC": 1, "Platelet": 0}
    assert [(rate["count"], rate["total"]) for rate in value["rates"]] == [(1, 7), (0, 6)]
    assert value["images"][0]["counts"]["RBC"] == 3
    assert value["images"][2]["counts"] is None
    assert value["disclaimer"] == "Research use only; not a medical device."
    with (tmp_path / "out" / "batch_summary.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["ok", "ok", "failed", "warned"]
    assert [row["RBC"] for row in rows] == ["3", "3", "", "0"]
    assert "<!DOCTYPE html>" in (tmp_path / "out" / "index.html").read_text("utf-8")


def test_inputs_without_images_are_failed_outcomes(folder, pipeline, tmp_path):
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out"
    inputs = find_inputs([folder / "a.png", tmp_path / "empty"], output_dir=out)
    outcomes = list(analyze_inputs(inputs, pipeline, out))
    assert [outcome.status for outcome in outcomes] == [Status.OK, Status.FAILED]
    assert "no image in it" in outcomes[1].reason
    assert write_batch(inputs, outcomes, pipeline, out).to_json()["images"][1]["name"] == ""


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "the memory is full"),
        (ZeroDivisionError("by zero"), "a fault of this program (ZeroDivisionError: by zero)"),
    ],
)
def test_any_error_in_one_image_costs_that_image_alone(
    folder, pipeline, tmp_path, monkeypatch, error, reason
):
    calls = []

    def fail_once(*arguments):
        calls.append(1)
        if len(calls) == 1:
            raise error
        return analyze_by_colour(*arguments)

    monkeypatch.setattr(image_module, "analyze_image", fail_once)
    summary = run(folder, pipeline, tmp_path / "out")
    assert reason in summary.outcomes[0].reason
    assert statuses(summary)["b"] == "ok"


# Resuming


def test_a_stopped_batch_goes_on_where_it_was(folder, pipeline, tmp_path):
    out = tmp_path / "out"
    inputs = find_inputs([folder], output_dir=out)
    started = analyze_inputs(inputs, pipeline, out)
    assert next(started).name == "a"
    started.close()
    whole = run(folder, pipeline, tmp_path / "whole")
    asked = pipeline.system.segmentation_model.asked
    summary = run(folder, pipeline, out, resume=True)
    assert next(o for o in summary.outcomes if o.name == "a").was_kept
    assert pipeline.system.segmentation_model.asked < asked + 3
    assert summary.to_json() == whole.to_json()
    for path in (tmp_path / "whole").iterdir():
        assert (out / path.name).read_bytes() == path.read_bytes(), path.name


def test_everything_is_done_anew_without_resume(folder, pipeline, tmp_path):
    for _ in range(2):
        summary = run(folder, pipeline, tmp_path / "out")
    assert not any(outcome.was_kept for outcome in summary.outcomes)


def test_a_report_of_another_version_of_the_runtime_is_kept(folder, pipeline, tmp_path):
    out = tmp_path / "out"
    run(folder, pipeline, out)
    for path in out.glob("*_report.json"):
        value = json.loads(path.read_text("utf-8"))
        value["provenance"]["runs_in"] = "onnxruntime 1.0.0, cpu, f32"
        path.write_text(json.dumps(value), "utf-8")
        text = DiagnosticReport.from_json(value).text
        stem = path.name.removesuffix("_report.json")
        path.with_name(f"{stem}_summary.txt").write_bytes(as_written(text))
    summary = run(folder, pipeline, out, resume=True)
    assert [o.name for o in summary.outcomes if o.was_kept] == ["a", "b", "d"]


@pytest.mark.parametrize("downgrade", [to_version_2, to_version_3])
def test_reports_of_a_former_version_lack_measures_and_are_made_anew(
    folder, pipeline, tmp_path, downgrade
):
    out = tmp_path / "out"
    run(folder, pipeline, out)
    run(folder, pipeline, tmp_path / "whole")
    for path in out.glob("*_report.json"):
        value = json.loads(path.read_text("utf-8"))
        downgrade(value)
        path.write_text(json.dumps(value), "utf-8")
    summary = run(folder, pipeline, out, resume=True)
    assert not any(outcome.was_kept for outcome in summary.outcomes)
    for path in (tmp_path / "whole").iterdir():
        assert (out / path.name).read_bytes() == path.read_bytes(), path.name


def change_image(folder, out, pipeline):
    write_smear_image(folder / "a.png", CELLS[2:])


def change_model(folder, out, pipeline):
    class Other(SeeingRuntime):
        pass

    pipeline.system.segmentation_model = Other()


def change_report(folder, out, pipeline):
    (out / "a_report.json").write_text("{", "utf-8")


def change_format(folder, out, pipeline):
    (out / "a_report.json").write_text('["no report"]', "utf-8")


def lose_labels(folder, out, pipeline):
    (out / "a_instances.png").unlink()


def swap_labels(folder, out, pipeline):
    write_smear_image(out / "x.png", [], shape=(32, 32))
    (out / "a_instances.png").write_bytes((out / "x.png").read_bytes())


def lose_image(folder, out, pipeline):
    (out / "a_annotated.png").unlink()


def lose_a_part_of_the_report(folder, out, pipeline):
    value = json.loads((out / "a_report.json").read_text("utf-8"))
    del value["cells"]
    (out / "a_report.json").write_text(json.dumps(value), "utf-8")


def give_a_part_another_type(folder, out, pipeline):
    value = json.loads((out / "a_report.json").read_text("utf-8"))
    value["provenance"] = value["types"] = [3]
    (out / "a_report.json").write_text(json.dumps(value), "utf-8")


def lose_cells_of_the_report(folder, out, pipeline):
    value = json.loads((out / "a_report.json").read_text("utf-8"))
    value["cells"] = value["cells"][1:]
    (out / "a_report.json").write_text(json.dumps(value), "utf-8")


def cut_off_the_table(folder, out, pipeline):
    text = (out / "a_cells.csv").read_bytes()
    (out / "a_cells.csv").write_bytes(text[:100])


def empty_a_drawing(folder, out, pipeline):
    (out / "a_annotated.png").write_bytes(b"")


@pytest.mark.parametrize(
    "change",
    [
        change_image,
        change_model,
        change_report,
        change_format,
        lose_labels,
        swap_labels,
        lose_image,
        lose_a_part_of_the_report,
        give_a_part_another_type,
        lose_cells_of_the_report,
        cut_off_the_table,
        empty_a_drawing,
    ],
)
def test_what_would_come_out_differently_is_done_anew(folder, pipeline, tmp_path, change):
    out = tmp_path / "out"
    run(folder, pipeline, out)
    change(folder, out, pipeline)
    summary = run(folder, pipeline, out, resume=True)
    assert not summary.outcomes[0].was_kept
    assert summary.outcomes[1].was_kept == (change is not change_model)


def test_an_image_that_is_replaced_during_its_analysis_is_reported_as_it_was_read(
    folder, pipeline, tmp_path, monkeypatch
):
    was = hashlib.sha256((folder / "a.png").read_bytes()).hexdigest()

    def analyze_and_replace(runtime, image, settings, stated=None):
        write_smear_image(folder / "a.png", CELLS[2:])
        return analyze_by_colour(runtime, image, settings)

    monkeypatch.setattr(image_module, "analyze_image", analyze_and_replace)
    assert pipeline.analyze(folder / "a.png").report.provenance.data_sha256 == was
    write_smear_image(folder / "a.png")
    out = tmp_path / "out"
    run(folder, pipeline, out)
    monkeypatch.setattr(image_module, "analyze_image", analyze_by_colour)
    assert not run(folder, pipeline, out, resume=True).outcomes[0].was_kept


@pytest.mark.parametrize("ending", ["report.json", "mask.png", "instances.png", "cells.csv"])
def test_results_that_are_removed_during_the_run_are_failures(folder, pipeline, tmp_path, ending):
    out = tmp_path / "out"
    inputs = find_inputs([folder], output_dir=out)
    outcomes = list(analyze_inputs(inputs, pipeline, out))
    (out / f"a_{ending}").unlink()
    summary = write_batch(inputs, outcomes, pipeline, out)
    assert statuses(summary) == {"a": "failed", "b": "ok", "c": "failed", "d": "warned"}
    assert summary.outcomes[0].reason.startswith(f"{out / f'a_{ending}'}: was removed during")
    written = json.loads((out / "batch_summary.json").read_text("utf-8"))
    assert written["images_by_status"]["failed"] == 2


def test_partial_files_of_a_killed_run_are_removed(folder, pipeline, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / ".a_annotated.0123456789abcdef.partial.png").touch()
    run(folder, pipeline, out)
    assert not list(out.glob(".*"))


def test_a_second_batch_in_the_same_folder_is_refused(folder, pipeline, tmp_path):
    refused = []

    def second():
        try:
            batch_process_images(folder, pipeline, tmp_path / "out")
        except FolderInUseError as error:
            refused.append(str(error))

    with locked_folder(tmp_path / "out", command="analyze"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert "another run is writing into this folder (analyze, process" in refused[0]


def test_other_settings_are_done_anew(folder, pipeline, tmp_path):
    run(folder, pipeline, tmp_path / "out")
    other = InferencePipeline(pipeline.system, confidence_threshold=0.9)
    summary = run(folder, other, tmp_path / "out", resume=True)
    assert not any(outcome.was_kept for outcome in summary.outcomes)


# Places


def test_a_foreign_page_is_not_overwritten(folder, pipeline, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "index.html").write_text("mine", "utf-8")
    with pytest.raises(OutputError, match="not written"):
        start_batch(out)
    assert (out / "index.html").read_text("utf-8") == "mine"


def test_a_page_of_a_former_run_is(folder, pipeline, tmp_path):
    run(folder, pipeline, tmp_path / "out")
    start_batch(tmp_path / "out")


def test_an_output_folder_that_is_a_file_is_refused(folder, pipeline, tmp_path):
    (tmp_path / "out").write_text("x", "utf-8")
    with pytest.raises(OutputError, match="cannot make this folder"):
        next(
            analyze_inputs(
                find_inputs([folder], output_dir=tmp_path / "out"), pipeline, tmp_path / "out"
            )
        )


def test_equal_stems_of_different_folders_keep_apart(pipeline, tmp_path):
    for number, name in enumerate(("s1", "s2")):
        write_smear_image(tmp_path / "in" / name / "field.png", CELLS[number:])
    out = tmp_path / "out"
    inputs = find_inputs([tmp_path / "in"], output_dir=out, recursive=True)
    outcomes = list(analyze_inputs(inputs, pipeline, out))
    write_batch(inputs, outcomes, pipeline, out)
    counts = [
        json.loads((out / name / "field_report.json").read_text("utf-8"))["counts"]["WBC"]
        for name in ("s1", "s2")
    ]
    assert counts == [1, 0]


def test_more_images_than_the_page_shows_have_no_panel(folder, pipeline, tmp_path, monkeypatch):
    limits = batch_module.page_limits(10**6)
    monkeypatch.setattr(batch_module, "page_limits", lambda _: limits)
    summary = run(folder, pipeline, tmp_path / "out")
    assert summary.outcomes[0].panel.jpeg == b""
    assert summary.outcomes[0].panel.outlines == ()


@pytest.mark.parametrize("is_reviewable", [True, False])
def test_cells_can_be_reviewed_unless_nobody_wants_to(folder, pipeline, tmp_path, is_reviewable):
    out, inputs = tmp_path / "out", find_inputs([folder], output_dir=tmp_path / "out")
    parts = ALL_PARTS if is_reviewable else ALL_PARTS - {Part.REVIEW}
    settings = BatchSettings(parts=parts)
    write_batch(inputs, tuple(analyze_inputs(inputs, pipeline, out, settings)), pipeline, out)
    assert (out / "review.html").is_file() == is_reviewable
    assert ("review.html" in (out / "index.html").read_text("utf-8")) == is_reviewable


def run_parts(folder, pipeline, out, *parts, resume=False):
    inputs = find_inputs([folder], output_dir=out)
    settings = BatchSettings(parts=frozenset(parts), resume=resume)
    outcomes = tuple(analyze_inputs(inputs, pipeline, out, settings))
    return write_batch(inputs, outcomes, pipeline, out, parts=settings.parts)


def test_only_the_parts_that_are_chosen_are_written(folder, pipeline, tmp_path):
    run_parts(folder, pipeline, tmp_path, *ALL_PARTS)
    whole = {path.name for path in tmp_path.iterdir() if path.is_file()}
    summary = run_parts(folder, pipeline, tmp_path, Part.TABLE)
    left = {path.name for path in tmp_path.iterdir() if path.is_file()}
    always = {"batch_summary.json", "batch_summary.csv"}
    assert left == always | {name for name in whole if name.startswith("cells.")} | {
        f"{name}_cells.csv" for name in "abd"
    }
    assert summary.count(Status.OK) == 2
    assert summary.outcomes[0].panel is None


def test_a_page_without_annotated_images_does_not_link_to_them(folder, pipeline, tmp_path):
    run_parts(folder, pipeline, tmp_path, Part.REPORT)
    page = (tmp_path / "index.html").read_text("utf-8")
    assert "_annotated.png" not in page
    assert "annotated image not written" in page
    assert not (tmp_path / "cells.csv").exists()


def test_what_is_left_out_is_not_missing_when_a_run_goes_on(folder, pipeline, tmp_path):
    parts = (Part.REPORT, Part.MASKS)
    run_parts(folder, pipeline, tmp_path, *parts)
    again = run_parts(folder, pipeline, tmp_path, *parts, resume=True)
    assert again.outcomes[0].was_kept
    assert (
        not run_parts(folder, pipeline, tmp_path, *parts, Part.OVERLAY, resume=True)
        .outcomes[0]
        .was_kept
    )


@pytest.mark.parametrize("part", [Part.REPORT, Part.MASKS])
def test_without_what_it_rests_on_nothing_goes_on(part):
    with pytest.raises(SettingsError, match="leaves out report or masks"):
        BatchSettings(parts=ALL_PARTS - {part}, resume=True)


def test_fewer_than_one_job_is_refused():
    with pytest.raises(SettingsError, match="expected 1 or more"):
        BatchSettings(jobs=0)


def test_the_guide_s_function_does_it_all(folder, pipeline, tmp_path):
    summary = batch_process_images(str(folder), pipeline, str(tmp_path / "out"))
    assert summary.count(Status.OK) == 2
    assert (tmp_path / "out" / "index.html").is_file()


@pytest.mark.parametrize("name", ["empty", "gone", "file.png"])
def test_a_folder_without_images_is_told(pipeline, tmp_path, name):
    (tmp_path / "empty").mkdir()
    write_smear_image(tmp_path / "file.png")
    with pytest.raises(MissingDataError, match="no folder with images"):
        batch_process_images(tmp_path / name, pipeline, tmp_path / "out")


def test_without_a_model_nothing_is_begun(folder, tmp_path, monkeypatch):
    def lacking():
        raise MissingDataError("no model")

    monkeypatch.setattr("blood_cell_system.pipeline.model_slots.bundled_segmenter", lacking)
    pipeline = InferencePipeline(BloodCellAnalysisSystem())
    with pytest.raises(MissingDataError, match="no model"):
        batch_process_images(folder, pipeline, tmp_path / "out")


# Slides


def run_by(folder, pipeline, out, by, **options):
    inputs = find_inputs([folder], output_dir=out, recursive=True)
    slides = group_images(inputs.images, by)
    settings = BatchSettings(slides=slides, **options)
    return write_batch(inputs, list(analyze_inputs(inputs, pipeline, out, settings)), pipeline, out)


@pytest.fixture
def patients(tmp_path):
    """Two slides of one patient and one of another, two fields each."""
    root = tmp_path / "in"
    for place in ("p1/s1/a", "p1/s1/b", "p1/s2/a", "p1/s2/b", "p2/s1/a", "p2/s1/b"):
        cells = CELLS if place.endswith("a") else CELLS[1:]
        write_smear_image(root / f"{place}.png", cells)
    return root


def test_every_slide_has_its_files(patients, pipeline, tmp_path):
    run_by(patients, pipeline, tmp_path / "out", "folder")
    names = sorted(path.name for path in (tmp_path / "out" / "slides").iterdir())
    stems = ("p1_s1_slide", "p1_s2_slide", "p2_s1_slide")
    assert names == sorted(f"{stem}.{end}" for stem in stems for end in ("html", "json", "txt"))
    value = json.loads((tmp_path / "out" / "slides" / "p1_s2_slide.json").read_text("utf-8"))
    report = SlideFile.model_validate(value).report
    assert (report.slide, report.patient) == ("p1/s2", "p1")
    assert report.counts == {"RBC": 6, "WBC": 1, "Platelet": 0}
    summary = json.loads((tmp_path / "out" / "batch_summary.json").read_text("utf-8"))
    assert summary["slides"][1] == value["report"]
    assert [one["counts"]["RBC"] for one in summary["patients"]] == [12, 6]


def test_the_documented_lines_compute_the_figures_of_a_slide_again(
    patients, pipeline, tmp_path, monkeypatch
):
    run_by(patients, pipeline, tmp_path / "results", "folder")
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).resolve().parents[3] / "docs" / "lab_figures.md").read_text("utf-8")
    (lines,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    names = {}
    exec(lines.replace("P1_S1", "p1_s1").replace("read_text()", "read_text('utf-8')"), names)
    assert len(names["report"].figures) > 10


def test_another_grouping_analyses_nothing_anew(patients, pipeline, tmp_path):
    run_by(patients, pipeline, tmp_path / "out", "folder")
    asked = pipeline.system.segmentation_model.asked
    again = run_by(patients, pipeline, tmp_path / "out", r"(p\d)/", resume=True)
    assert pipeline.system.segmentation_model.asked == asked
    assert all(outcome.was_kept for outcome in again.outcomes)
    assert [report.slide for report in again.slides] == ["p1", "p2"]
    left = sorted(path.name for path in (tmp_path / "out" / "slides").iterdir())
    assert left == sorted(f"p{n}_slide.{end}" for n in (1, 2) for end in ("html", "json", "txt"))


def test_without_a_grouping_the_slides_of_a_former_one_go(patients, pipeline, tmp_path):
    run_by(patients, pipeline, tmp_path / "out", "folder")
    inputs = find_inputs([patients], output_dir=tmp_path / "out", recursive=True)
    settings = BatchSettings(resume=True)
    outcomes = list(analyze_inputs(inputs, pipeline, tmp_path / "out", settings))
    write_batch(inputs, outcomes, pipeline, tmp_path / "out")
    assert list((tmp_path / "out" / "slides").iterdir()) == []


def test_without_slides_nothing_of_them_is_loaded():
    code = (
        "import sys, blood_cell_system.pipeline.batch;"
        "print([m for m in sys.modules if m.endswith(('.slides', '_figures', '.control_chart'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_input_folder_called_slides_keeps_its_results(pipeline, tmp_path):
    write_smear_image(tmp_path / "in" / "slides" / "my_slide.png")
    run_by(tmp_path / "in", pipeline, tmp_path / "out", "folder")
    assert (tmp_path / "out" / "slides" / "my_slide_report.json").is_file()
    assert (tmp_path / "out" / "slides" / "slides_slide.json").is_file()
