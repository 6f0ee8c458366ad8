import gc
import json
import os
import shutil
from pathlib import Path

import pytest
from support.analysed_images import CELLS, SeeingRuntime, analyze_by_colour, write_smear_image

from blood_cell_system.errors import MissingDataError, OutputError, SettingsError
from blood_cell_system.pipeline import image as image_module
from blood_cell_system.pipeline import model_slots, watched_folder
from blood_cell_system.pipeline.batch import BatchSettings, analyze_inputs, find_inputs, write_batch
from blood_cell_system.pipeline.image import InferencePipeline
from blood_cell_system.pipeline.slide_groups import group_images
from blood_cell_system.pipeline.system import BloodCellAnalysisSystem
from blood_cell_system.pipeline.watched_folder import WatchedFolder, WatchSettings


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
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


class Watch:
    """A watched folder with a clock of its own."""

    def __init__(self, folder, pipeline, out, **settings):
        self.seconds, self.out = 0.0, out
        self.watched = WatchedFolder(
            folder, pipeline, out, WatchSettings(**settings), clock=lambda: self.seconds
        )

    def look(self, after=2.0):
        self.seconds += after
        return list(self.watched.look())

    def names(self):
        value = json.loads((self.out / "batch_summary.json").read_text("utf-8"))
        return [(row["name"], row["status"]) for row in value["images"]]


@pytest.fixture
def watch(folder, pipeline, tmp_path):
    return Watch(folder, pipeline, tmp_path / "out")


def test_the_page_is_there_before_the_first_image(watch):
    assert watch.look() == []
    assert watch.names() == []
    assert "<!DOCTYPE html>" in (watch.out / "index.html").read_text("utf-8")


def test_an_image_is_analysed_at_the_look_after_it_came(watch, folder):
    write_smear_image(folder / "a.png")
    assert watch.look() == []
    assert watch.look() == [f"done    {folder / 'a.png'}: 3 RBC, 1 WBC, 0 Platelet"]
    assert watch.names() == [("a", "ok")]
    assert watch.look() == []


def test_nothing_is_written_where_nothing_has_changed(watch, folder):
    write_smear_image(folder / "a.png")
    watch.look()
    watch.look()
    (watch.out / "index.html").unlink()
    watch.look()
    assert not (watch.out / "index.html").exists()


def test_a_file_that_still_grows_waits(watch, folder, tmp_path):
    whole = write_smear_image(tmp_path / "whole.png").read_bytes()
    for part in (100, 200, 300):
        (folder / "a.png").write_bytes(whole[:part])
        assert watch.look() == []
    (folder / "a.png").write_bytes(whole)
    assert watch.look() == []
    assert watch.look()[0].startswith("done")


def test_a_copy_that_pauses_is_not_reported_as_damaged(watch, folder, tmp_path):
    whole = write_smear_image(tmp_path / "whole.png").read_bytes()
    (folder / "a.png").write_bytes(whole[:200])
    assert [watch.look() for _ in range(5)] == [[]] * 5
    (folder / "a.png").write_bytes(whole)
    watch.look()
    assert watch.look()[0].startswith("done")
    assert watch.names() == [("a", "ok")]


def test_a_bad_image_is_reported_once_and_does_not_stop_the_others(watch, folder, tmp_path):
    whole = write_smear_image(folder / "b.png").read_bytes()
    (folder / "a.png").write_bytes(whole[:200])
    watch.look()
    assert watch.look()[0].startswith(f"done    {folder / 'b.png'}")
    lines = [line for _ in range(20) for line in watch.look(5)]
    assert len(lines) == 1
    assert lines[0].startswith(f"failed  {folder / 'a.png'}: the image is cut off")
    assert watch.names() == [("a", "failed"), ("b", "ok")]


def test_a_bad_image_that_is_replaced_is_analysed(watch, folder):
    (folder / "a.png").write_bytes(b"no image")
    watch.look()
    assert watch.look(60)[0].startswith("failed")
    write_smear_image(folder / "a.png")
    watch.look()
    assert watch.look()[0].startswith("done")
    assert watch.names() == [("a", "ok")]


def test_an_image_that_is_replaced_is_analysed_again(watch, folder):
    write_smear_image(folder / "a.png")
    watch.look()
    watch.look()
    write_smear_image(folder / "a.png", CELLS[1:])
    os.utime(folder / "a.png", ns=(1, 1))
    watch.look()
    assert "0 WBC" in watch.look()[0]


def test_an_image_that_is_deleted_leaves_the_page_and_its_files_stay(watch, folder):
    write_smear_image(folder / "a.png")
    write_smear_image(folder / "b.png")
    watch.look()
    watch.look()
    (folder / "a.png").unlink()
    assert watch.look() == [f"gone    {folder / 'a.png'}"]
    assert watch.names() == [("b", "ok")]
    assert (watch.out / "a_report.json").exists()
    (folder / "b.png").unlink()
    assert watch.look() == [f"gone    {folder / 'b.png'}"]
    assert watch.names() == []


def test_an_image_that_is_renamed_goes_and_comes(watch, folder):
    write_smear_image(folder / "a.png")
    watch.look()
    watch.look()
    (folder / "a.png").rename(folder / "b.png")
    assert watch.look() == [f"gone    {folder / 'a.png'}"]
    assert watch.look()[0].startswith(f"done    {folder / 'b.png'}")
    assert watch.names() == [("b", "ok")]


def test_an_image_that_goes_while_it_waits_is_forgotten(watch, folder):
    write_smear_image(folder / "a.png")
    watch.look()
    (folder / "a.png").unlink()
    watch.look()
    assert watch.look() == []
    assert watch.names() == []


def test_results_are_those_of_analyze(watch, folder, pipeline, tmp_path):
    for number, name in enumerate(("c.png", "a.png", "b.png")):
        write_smear_image(folder / name, CELLS[number:])
        watch.look()
    # Takes the name of results that another image had.
    shutil.copy(folder / "b.png", folder / "a.bmp.png")
    write_smear_image(folder / "a.bmp", CELLS[3:])
    (folder / "notes.txt").write_text("x", "utf-8")
    for _ in range(3):
        watch.look()
    whole = tmp_path / "whole"
    inputs = find_inputs([folder], output_dir=whole)
    write_batch(inputs, list(analyze_inputs(inputs, pipeline, whole)), pipeline, whole)
    files = sorted(path.name for path in whole.iterdir())
    assert files == sorted(path.name for path in watch.out.iterdir())
    for name in files:
        assert (watch.out / name).read_bytes() == (whole / name).read_bytes(), name


def test_after_a_restart_nothing_is_analysed_twice(watch, folder, pipeline, tmp_path):
    write_smear_image(folder / "a.png")
    watch.look()
    watch.look()
    write_smear_image(folder / "b.png")
    asked = pipeline.system.segmentation_model.asked
    again = Watch(folder, pipeline, tmp_path / "out")
    again.look()
    assert [line[:4] for line in again.look()] == ["done", "done"]
    assert pipeline.system.segmentation_model.asked == asked + 1
    assert again.names() == [("a", "ok"), ("b", "ok")]


def test_after_a_restart_the_page_never_shows_less(watch, folder, pipeline, tmp_path):
    write_smear_image(folder / "b.png")
    watch.look()
    watch.look()
    write_smear_image(folder / "a.png")
    again = Watch(folder, pipeline, tmp_path / "out")
    again.look()
    assert list(again.watched.write()) == []
    assert again.names() == [("b", "ok")]
    again.seconds += 2
    lines = again.watched.look()
    assert next(lines) == f"done    {folder / 'b.png'}: 3 RBC, 1 WBC, 0 Platelet"
    assert again.names() == [("b", "ok")]
    list(lines)
    assert again.names() == [("a", "ok"), ("b", "ok")]


def test_images_that_went_before_the_restart_leave_the_page(watch, folder, pipeline, tmp_path):
    write_smear_image(folder / "a.png")
    watch.look()
    watch.look()
    (folder / "a.png").unlink()
    again = Watch(folder, pipeline, tmp_path / "out")
    again.look()
    assert again.names() == []


def test_a_folder_that_is_away_for_a_while_loses_nothing(watch, folder, tmp_path):
    write_smear_image(folder / "a.png")
    watch.look()
    watch.look()
    folder.rename(tmp_path / "away")
    assert watch.look() == [f"waiting {folder}: there is no such folder."]
    assert watch.look() == []
    (tmp_path / "away").rename(folder)
    assert watch.look() == []
    assert watch.names() == [("a", "ok")]


def test_folders_within_are_watched_where_wanted(folder, pipeline, tmp_path):
    watch = Watch(folder, pipeline, tmp_path / "out", recursive=True)
    write_smear_image(folder / "s1" / "a.png")
    watch.look()
    assert watch.look()[0].startswith(f"done    {folder / 's1' / 'a.png'}")
    write_smear_image(folder / "s2" / "a.png")
    watch.look()
    watch.look()
    assert watch.names() == [("s1/a", "ok"), ("s2/a", "ok")]


def test_results_may_lie_in_the_watched_folder(folder, pipeline):
    watch = Watch(folder, pipeline, folder / "results", recursive=True)
    write_smear_image(folder / "a.png")
    for _ in range(4):
        watch.look()
    assert watch.names() == [("a", "ok")]


def test_slides_are_of_the_images_that_are_there(folder, pipeline, tmp_path):
    watch = Watch(folder, pipeline, tmp_path / "out", recursive=True, group_by="folder")
    for name in ("s1", "s2"):
        write_smear_image(folder / name / "a.png")
        watch.look()
        watch.look()
    value = json.loads((tmp_path / "out" / "batch_summary.json").read_text("utf-8"))
    assert [row["slide"] for row in value["images"]] == ["s1", "s2"]


def test_an_image_without_a_slide_fails_alone(folder, pipeline, tmp_path):
    watch = Watch(folder, pipeline, tmp_path / "out", group_by="(S[0-9])_")
    write_smear_image(folder / "S1_a.png")
    write_smear_image(folder / "notes.png")
    lines = [line for _ in range(3) for line in watch.look()]
    assert [line[:4] for line in lines] == ["fail", "done"]
    assert "finds no slide in" in lines[0]
    assert watch.names() == [("S1_a", "ok"), ("notes", "failed")]


def test_a_page_of_more_images_shows_less_of_each(folder, pipeline, tmp_path, monkeypatch):
    limits = watched_folder.page_limits
    few = limits(1).images
    monkeypatch.setattr(watched_folder, "page_limits", lambda count: limits(count * few))
    sizes = []
    make_outcomes = analyze_inputs

    def seeing(inputs, pipeline, output_dir, settings, *, spool):
        sizes.extend((image.name, settings.page_images) for image in inputs.images)
        return make_outcomes(inputs, pipeline, output_dir, settings, spool=spool)

    monkeypatch.setattr(watched_folder, "analyze_inputs", seeing)
    watch = Watch(folder, pipeline, tmp_path / "out")
    write_smear_image(folder / "a.png")
    watch.look()
    watch.look()
    write_smear_image(folder / "b.png")
    watch.look()
    assert watch.look() == [f"done    {folder / 'b.png'}: 3 RBC, 1 WBC, 0 Platelet"]
    assert sizes == [("a", 1), ("a", 2), ("b", 2)]
    assert pipeline.system.segmentation_model.asked == 2


OPEN_FILES = Path("/proc/self/fd")


@pytest.mark.skipif(not OPEN_FILES.is_dir(), reason="this system does not list open files")
def test_looks_leave_no_file_open(watch, folder):
    open_files = []
    for number in range(3):
        write_smear_image(folder / f"{number}.png")
        watch.look()
        watch.look()
        gc.collect()
        open_files.append(len(list(OPEN_FILES.iterdir())))
    assert len(set(open_files)) == 1


def test_a_disk_that_is_full_is_reported_once_and_tried_again(watch, folder, monkeypatch):
    def fail(*arguments):
        raise OutputError("out: the disk is full.")

    write_smear_image(folder / "a.png")
    watch.look()
    with monkeypatch.context() as full:
        full.setattr(watched_folder, "write_batch", fail)
        assert watch.look()[1:] == ["waiting out: the disk is full."]
        assert watch.look() == []
    watch.look()
    assert watch.names() == [("a", "ok")]


def test_the_page_is_written_while_many_images_are_in_work(folder, pipeline, tmp_path):
    for name in "abc":
        write_smear_image(folder / f"{name}.png")
    watch = Watch(folder, pipeline, tmp_path / "out")
    watch.look()
    watch.seconds += 2
    looking = watch.watched.look()
    next(looking)
    next(looking)
    assert watch.names() == [("a", "ok")]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"group_by": "slides.csv"}, "a table names images that are there already"),
        ({"group_by": "("}, "no regular expression"),
        ({"settle_s": -1}, "settle_s is -1"),
        ({"jobs": 0}, "jobs is 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(SettingsError, match=message):
        WatchSettings(**settings)


def test_a_folder_that_is_not_there_is_refused(pipeline, tmp_path):
    with pytest.raises(MissingDataError, match=r"none: there is no such folder\. Expected"):
        WatchedFolder(tmp_path / "none", pipeline, tmp_path / "out")
    (tmp_path / "a.png").touch()
    with pytest.raises(MissingDataError, match="there is no such folder"):
        WatchedFolder(tmp_path / "a.png", pipeline, tmp_path / "out")


def test_results_among_the_images_are_refused(pipeline, folder):
    with pytest.raises(OutputError, match="the folder of the images"):
        list(WatchedFolder(folder, pipeline, folder).look())


def test_a_page_of_another_program_is_kept(pipeline, folder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "index.html").write_text("mine", "utf-8")
    with pytest.raises(OutputError, match="has not written"):
        WatchedFolder(folder, pipeline, tmp_path / "out")


def test_slides_of_a_look_are_those_of_analyze(folder, pipeline, tmp_path):
    watch = Watch(folder, pipeline, tmp_path / "out", group_by="(S[0-9])_")
    write_smear_image(folder / "S1_a.png")
    watch.look()
    watch.look()
    whole = tmp_path / "whole"
    inputs = find_inputs([folder], output_dir=whole)
    slides = group_images(inputs.images, "(S[0-9])_")
    outcomes = list(analyze_inputs(inputs, pipeline, whole, BatchSettings(slides=slides)))
    write_batch(inputs, outcomes, pipeline, whole)
    for name in ("batch_summary.json", "index.html"):
        assert (watch.out / name).read_bytes() == (whole / name).read_bytes()
