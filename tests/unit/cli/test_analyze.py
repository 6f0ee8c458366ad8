import dataclasses
import json
import shutil

import numpy as np
import pytest
from support.analysed_images import CELLS, SeeingRuntime, analyze_by_colour, write_smear_image
from support.colour_classifiers import colour_classifier

from blood_cell_system.cli.main import main
from blood_cell_system.imaging.image_file import read_image, write_image
from blood_cell_system.pipeline import batch, model_slots
from blood_cell_system.pipeline import image as image_module


@pytest.fixture(autouse=True)
def runtime(monkeypatch):
    """Tell cells by colour: neither a network nor TensorFlow is loaded."""
    runtime = SeeingRuntime()
    runtime.loaded = []
    monkeypatch.setattr(
        model_slots, "load_runtime", lambda path, **_: runtime.loaded.append(path) or runtime
    )
    monkeypatch.setattr(model_slots, "bundled_classifier", lambda kind: None)
    monkeypatch.setattr(image_module, "analyze_image", analyze_by_colour)
    return runtime


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.onnx").write_bytes(b"a model")
    write_smear_image(tmp_path / "in" / "a.png")
    write_smear_image(tmp_path / "in" / "b.png", CELLS[1:])
    return tmp_path


def analyze(*words, output="out"):
    return main(["analyze", "--model", "m.onnx", "--output-dir", output, *map(str, words)])


def test_one_image_prints_its_summary(here, capsys):
    assert analyze("in/a.png") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Blood smear report: a.png")
    assert (here / "out" / "a_summary.txt").read_text("utf-8") in printed
    assert "out/index.html" in printed


def test_a_folder_prints_totals_and_loads_the_model_once(here, capsys, runtime):
    assert analyze("in") == 0
    printed = capsys.readouterr().out
    assert "Images: 2 ok, 0 warned, 0 failed" in printed
    assert "Cells: 6 RBC, 1 WBC, 0 Platelet" in printed
    assert "Research use only; not a medical device." in printed
    assert len(runtime.loaded) == 1


def test_one_failed_image_makes_the_exit_code_1_and_is_named(here, capsys):
    (here / "in" / "bad.png").write_bytes(b"no image")
    assert analyze("in") == 1
    printed = capsys.readouterr().out
    assert "failed  in/bad.png: not an image" in printed
    assert "2 ok, 0 warned, 1 failed" in printed


def test_warnings_are_told_and_the_exit_code_is_0(here, capsys):
    write_smear_image(here / "in" / "blank.png", [])
    assert analyze("in") == 0
    assert "warned  in/blank.png: No cell was found" in capsys.readouterr().out


def test_json_lines_are_a_line_an_image_and_nothing_else(here, capsys):
    (here / "in" / "bad\n1.png").write_bytes(b"no image")
    assert analyze("in", "--json-lines") == 1
    values = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [value["status"] for value in values] == ["ok", "ok", "failed"]
    assert values[0]["counts"] == {"RBC": 3, "WBC": 1, "Platelet": 0}
    assert "not an image" in values[2]["reason"]
    assert values[2]["name"] == "bad\n1"


def test_resume_keeps_what_was_done(here, capsys, runtime):
    analyze("in")
    asked = runtime.asked
    write_smear_image(here / "in" / "c.png")
    assert analyze("in", "--resume") == 0
    assert runtime.asked == asked + 1
    assert "3 ok, 0 warned, 0 failed (2 kept from before)" in capsys.readouterr().out


def test_a_leading_dash_and_blanks_in_names_work(here):
    write_smear_image(here / "-rf.png")
    write_smear_image(here / "two words ä.png")
    assert analyze("--", "-rf.png", "two words ä.png") == 0
    assert (here / "out" / "-rf_report.json").is_file()
    assert (here / "out" / "two words ä_annotated.png").is_file()


def test_options_reach_the_report(here):
    words = ["--cell-diameter", 40, "--pixel-size-um", 0.2, "--border-rule", "two-sides"]
    words += ["--uncertain-margin", 0.2, "--views", 8]
    assert analyze("in/a.png", *words, "--confidence-threshold", 0.9, "--jobs", 1) == 0
    report = json.loads((here / "out" / "a_report.json").read_text("utf-8"))
    assert report["settings"] == {
        "border_rule": "two-sides",
        "cell_diameter_px": 40.0,
        "classifier_views": 8,
        "confidence_threshold": 0.9,
        "counts_unproven": False,
        "pixel_size_um": 0.2,
        "uncertain_margin": 0.2,
    }


@pytest.mark.parametrize(
    "words",
    [
        ["--jobs", "0"],
        ["--cell-diameter", "-3"],
        ["--cell-diameter", "nan"],
        ["--pixel-size-um", "inf"],
        ["--confidence-threshold", "2"],
        ["--border-rule", "none"],
        ["--views", "2"],
        ["--unheard-of"],
    ],
)
def test_options_that_make_no_sense_are_exit_code_2(here, words):
    assert analyze("in", *words) == 2
    assert not (here / "out").exists()


@pytest.mark.parametrize(("adapter", "expected"), [([], 0.0345), (["--adapter", "0.5"], 0.069)])
def test_the_pixel_size_follows_from_the_microscope(here, adapter, expected):
    words = ["--objective", 100, "--camera-pixel-um", 3.45, *adapter]
    assert analyze("in/a.png", *words, "--jobs", 1) == 0
    report = json.loads((here / "out" / "a_report.json").read_text("utf-8"))
    assert report["settings"]["pixel_size_um"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--objective", 100], "--camera-pixel-um: missing"),
        (["--camera-pixel-um", 3.45], "--objective: missing"),
        (
            ["--objective", 100, "--camera-pixel-um", 3.45, "--pixel-size-um", 0.1],
            "--pixel-size-um: received beside",
        ),
    ],
)
def test_half_a_microscope_or_two_sizes_are_refused(here, capsys, words, message):
    assert analyze("in", *words) == 1
    assert message in capsys.readouterr().err


def test_without_a_path_the_exit_code_is_2(here):
    assert analyze() == 2


def test_an_output_folder_that_is_a_file_is_told_before_the_model_is_loaded(here, capsys, runtime):
    assert analyze("in", output="m.onnx") == 1
    assert "m.onnx: cannot make this folder" in capsys.readouterr().err
    assert runtime.loaded == []


def test_without_any_image_nothing_is_written(here, capsys):
    (here / "none").mkdir()
    assert analyze("none") == 1
    assert "there is no image in it" in capsys.readouterr().err
    assert analyze("nowhere") == 1
    assert "nowhere: there is no such file or folder" in capsys.readouterr().err
    assert not (here / "out").exists()


def test_images_in_subfolders_are_told_of(here, capsys):
    (here / "in" / "sub").mkdir()
    (here / "in" / "b.png").rename(here / "in" / "sub" / "b.png")
    analyze("in")
    assert "Not read: 1 image in subfolders; --recursive reads them" in capsys.readouterr().err
    analyze("in", "--recursive")
    assert "subfolders" not in capsys.readouterr().err


def test_the_lack_of_a_built_in_model_is_told_with_the_remedy(here, capsys, monkeypatch):
    monkeypatch.setattr("blood_cell_system.pipeline.model_slots.resources.files", lambda _: here)
    assert main(["analyze", "in", "--output-dir", "out"]) == 1
    assert "--model checkpoints/segmentation_model_best.keras" in capsys.readouterr().err


def test_images_that_are_no_smears_are_told_to_be_left_out(here, capsys, monkeypatch):
    def doubt(*arguments):
        analysis = analyze_by_colour(*arguments)
        quality = dataclasses.replace(analysis.quality, is_smear=False)
        return dataclasses.replace(analysis, quality=quality)

    monkeypatch.setattr(image_module, "analyze_image", doubt)
    analyze("in")
    printed = capsys.readouterr().out
    assert "Left out of the sums: 2 not taken for a smear" in printed
    assert "Cells: 0 RBC" in printed


def test_the_default_threshold_is_that_of_the_pipeline(here):
    analyze("in/a.png")
    report = json.loads((here / "out" / "a_report.json").read_text("utf-8"))
    assert report["settings"]["confidence_threshold"] == image_module.CONFIDENCE_THRESHOLD


@pytest.mark.parametrize("images", [1, 2])
def test_files_that_are_passed_over_are_counted_by_their_ending(here, capsys, images):
    if images == 1:
        (here / "in" / "b.png").unlink()
    for name in ("notes.txt", "more.txt", "film.GIF", "README"):
        (here / "in" / name).write_text("x", "utf-8")
    analyze("in")
    printed = capsys.readouterr().out
    assert "Passed over: 4 files without the ending of an image (1 .gif, 2 .txt, 1 none)" in printed


@pytest.mark.parametrize("more", [[], ["--no-classify"]])
def test_a_folder_of_models_brings_classifiers(here, more):
    (here / "mine").mkdir()
    (here / "mine" / "rbc_classifier.onnx").write_bytes(colour_classifier())
    assert analyze("in/a.png", "--models", "mine", *more) == 0
    report = json.loads((here / "out" / "a_report.json").read_text("utf-8"))
    is_used = not more
    assert (report["provenance"]["rbc_classifier"] is not None) == is_used
    assert (report["findings"]["RBC"]["state"] == "assessed") == is_used


def test_another_classifier_makes_former_results_stale(here, runtime):
    analyze("in")
    (here / "mine").mkdir()
    (here / "mine" / "rbc_classifier.onnx").write_bytes(colour_classifier())
    asked = runtime.asked
    analyze("in", "--models", "mine", "--resume")
    assert runtime.asked > asked
    asked = runtime.asked
    analyze("in", "--models", "mine", "--resume")
    assert runtime.asked == asked
    summary = json.loads((here / "out" / "batch_summary.json").read_text("utf-8"))
    assert sum(summary["findings"]["RBC"]["counts"].values()) == 2


def test_a_folder_without_models_is_told(here, capsys):
    (here / "mine").mkdir()
    assert main(["analyze", "in", "--output-dir", "out", "--models", "mine"]) == 1
    assert "no models there" in capsys.readouterr().err


def test_what_becomes_of_the_results_of_a_former_run_is_told(here, capsys):
    write_smear_image(here / "more" / "b.png")
    analyze("in")
    assert "former" not in capsys.readouterr().err
    analyze("more")
    told = capsys.readouterr().err
    assert "Replaced in out: results that a former run had of other images" in told
    assert "of the same name: b\n" in told
    assert "Kept in out: 1 result of former runs" in told


def test_the_same_images_again_are_nothing_to_tell_of(here, capsys):
    analyze("in")
    analyze("in")
    assert "former" not in capsys.readouterr().err


def test_a_file_that_is_there_twice_is_told(here, capsys):
    shutil.copy(here / "in" / "a.png", here / "in" / "copy.png")
    analyze("in")
    assert "The same field, summed up 2 times: a, copy\n" in capsys.readouterr().out
    page = (here / "out" / "index.html").read_text("utf-8")
    assert "The same field, summed up 2 times: a, copy." in page


def test_the_same_pixels_in_another_format_are_told(here, capsys):
    write_image(here / "in" / "copy.bmp", read_image(here / "in" / "a.png"))
    analyze("in")
    assert "The same field, summed up 2 times: a, copy\n" in capsys.readouterr().out


def test_a_copy_that_was_saved_again_with_losses_is_told(here, capsys):
    write_image(here / "in" / "copy.jpg", read_image(here / "in" / "a.png"))
    analyze("in")
    assert "The same field, summed up 2 times: a, copy\n" in capsys.readouterr().out
    paths = [here / "out" / f"{name}_report.json" for name in ("a", "copy")]
    first, second = (json.loads(path.read_text("utf-8"))["provenance"] for path in paths)
    assert first["pixels_sha256"] != second["pixels_sha256"]


def test_how_to_go_on_after_ctrl_c_is_told(here, capsys, monkeypatch):
    def stopped(*_):
        yield from ()
        raise KeyboardInterrupt

    monkeypatch.setattr(batch, "analyze_inputs", stopped)
    assert analyze("in") == 130
    assert "0 done; with --resume the same command goes on" in capsys.readouterr().err


def test_slides_are_printed_one_by_one_and_not_added_up(here, capsys):
    for place in ("s1/a", "s1/b", "s2/a"):
        write_smear_image(here / "fields" / f"{place}.png")
    assert analyze("fields", "--recursive", "--group-by", "folder") == 0
    printed = capsys.readouterr().out
    assert "Slide s1: 2 fields, 6 RBC, 2 WBC, 0 Platelet" in printed
    assert "Slide s2: 1 field, 3 RBC" in printed
    assert "warned  Slide s2: One field alone" in printed
    assert "\nCells:" not in printed


def test_a_bad_grouping_ends_before_anything_is_written(here, capsys):
    (here / "groups.csv").write_text("image,slide\nx.png,S1\n", "utf-8")
    assert analyze("in", "--group-by", "groups.csv", output="new") == 1
    assert "error: groups.csv: names x.png, which are none of the images" in capsys.readouterr().err
    assert not (here / "new").exists()


def test_figures_are_of_slides_alone(here, capsys):
    (here / "f.yaml").write_text("{}", "utf-8")
    assert analyze("in", "--figures", "f.yaml", output="new") == 1
    assert "error: --figures: received without --group-by" in capsys.readouterr().err
    assert not (here / "new").exists()


def test_a_slides_files_have_the_figures_of_the_settings(here):
    (here / "f.yaml").write_text(
        "platelets: {is_reported: false}\ncounts: {in: {red_cells_per_ul: 5000000}}\n", "utf-8"
    )
    assert analyze("in", "--group-by", "folder", "--figures", "f.yaml") == 0
    value = json.loads((here / "out" / "slides" / "in_slide.json").read_text("utf-8"))
    assert value["figures_settings"]["counts"]["in"]["red_cells_per_ul"] == 5_000_000
    groups = {figure["group"] for figure in value["report"]["figures"]}
    assert "platelets" not in groups
    assert "white_cells" in groups
    text = (here / "out" / "slides" / "in_slide.txt").read_text("utf-8")
    assert "White count\n" in text
    assert "<h3>White count</h3>" in (here / "out" / "slides" / "in_slide.html").read_text("utf-8")


def test_the_table_alone_can_be_written(here, capsys):
    assert analyze("in", "--write", "table") == 0
    assert "All of it: out\n" in capsys.readouterr().out
    names = {path.name for path in (here / "out").iterdir()}
    assert {"a_cells.csv", "b_cells.csv", "cells.csv", "batch_summary.json"} <= names
    assert not names & {"a_report.json", "a_annotated.png", "a_mask.png", "index.html"}


@pytest.mark.parametrize(
    "words", [("--no-review-page",), ("--write", "table,report,overlay,masks")]
)
def test_the_review_page_is_left_out_in_two_ways(here, words):
    assert analyze("in", *words) == 0
    assert not (here / "out" / "review.html").exists()
    assert (here / "out" / "index.html").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--write", "table", "--resume"), "--resume: received with --write that leaves out"),
        (("--write", "table", "--label-zarr"), "--label-zarr: received with --write without"),
    ],
)
def test_what_rests_on_parts_that_are_left_out_is_refused(here, capsys, words, message):
    assert analyze("in", *words) == 1
    assert message in capsys.readouterr().err
    assert not list((here / "out").glob("a_*"))


def test_counts_of_no_slide_are_refused(here, capsys):
    (here / "f.yaml").write_text("counts: {S9: {red_cells_per_ul: 5000000}}\n", "utf-8")
    assert analyze("in", "--group-by", "folder", "--figures", "f.yaml", output="new") == 1
    assert "counts of S9, which is no slide and no patient" in capsys.readouterr().err


def test_a_device_that_is_not_there_ends_before_the_first_image(tmp_path, capsys, monkeypatch):
    monkeypatch.undo()
    write_image(tmp_path / "a.png", np.full((64, 64, 3), 200, dtype=np.uint8))
    words = ["analyze", str(tmp_path / "a.png"), "-o", str(tmp_path / "out"), "--device", "abacus"]
    assert main(words) == 1
    assert "received abacus; onnxruntime" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("a_*"))
