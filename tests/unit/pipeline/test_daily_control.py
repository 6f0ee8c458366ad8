"""The control slide: drifts of stain and focus of drawn smears, and its file."""

import cv2
import numpy as np
import pytest

from blood_cell_system.datasets.synthetic import SmearSettings, draw_smear
from blood_cell_system.errors import DatasetError, SettingsError
from blood_cell_system.pipeline.daily_control import (
    CONTROL_NAME,
    CONTROL_PAGE,
    add_run,
    check_run,
    measure_run,
    read_control,
)
from blood_cell_system.pipeline.image import InferencePipeline
from blood_cell_system.pipeline.system import BloodCellAnalysisSystem
from blood_cell_system.reports.control_chart import ControlFile, charts_of, verdict_of
from blood_cell_system.seeding import generator_for

BASELINE = 5
MODELS = {"m.onnx": "cd" * 32}


@pytest.fixture(scope="module")
def slide():
    """One control slide of some 50 red cells."""
    settings = SmearSettings(shape=(240, 320), cell_diameter_px=36, stain="wright-giemsa")
    return draw_smear(settings, generator_for(3, "control slide")).image


@pytest.fixture(scope="module")
def measured(slide):
    """Measure the slide on a day, as its camera shows it."""
    pipeline = InferencePipeline(BloodCellAnalysisSystem(), is_classifying=False)

    def measure(day, change=lambda image: image):
        noise = np.random.default_rng(day).normal(0, 2, slide.shape)
        image = np.clip(change(slide) + noise, 0, 255).astype(np.uint8)
        result = pipeline.analyze_array(image, name=f"day {day}")
        return measure_run([("field", result)], date=f"2026-11-{day:02d}")

    return measure


@pytest.fixture(scope="module")
def baseline(measured):
    runs = tuple(measured(day) for day in range(1, BASELINE + 1))
    return ControlFile(models=MODELS, baseline_runs=BASELINE, runs=runs)


def broken(baseline, *runs):
    control = baseline.model_copy(update={"runs": (*baseline.runs, *runs)})
    return set(verdict_of(control, charts_of(control)).broken)


def stained(factor):
    """The slide with so much of its stain."""

    def change(image):
        light = np.percentile(image.reshape(-1, 3), 95, axis=0)
        return np.clip(light * (np.maximum(image, 1) / light) ** factor, 0, 255)

    return change


def blurred(sigma_px):
    return lambda image: cv2.GaussianBlur(image, (0, 0), sigma_px)


def bluer(image):
    """The slide with more of the stain's red and less of its blue absorption."""
    light = np.percentile(image.reshape(-1, 3), 95, axis=0)
    return np.clip(light * (np.maximum(image, 1) / light) ** (1.3, 1.0, 0.7), 0, 255)


DENSITY = "density of the stain in red cells, green light"
FOCUS = "width of a cell's edge, part of its diameter"


def test_the_same_slide_on_another_day_is_in_control(baseline, measured):
    assert broken(baseline, measured(11)) == set()


@pytest.mark.parametrize("factor", [0.85, 1.15])
def test_a_drift_of_the_stain_is_out_of_control(baseline, measured, factor):
    assert DENSITY in broken(baseline, measured(12, stained(factor)))


def test_another_hue_of_the_stain_is_out_of_control(baseline, measured):
    assert "hue of the stain in red cells" in broken(baseline, measured(13, bluer))


def test_a_drift_of_the_focus_is_out_of_control(baseline, measured):
    assert FOCUS in broken(baseline, measured(14, blurred(1.5)))


def test_a_dimmer_lamp_is_not_taken_for_another_stain(baseline, measured):
    found = broken(baseline, measured(15, lambda image: image * 0.9))
    assert "brightness of the empty slide, of 255" in found
    assert DENSITY not in found


def test_a_smear_without_cells_is_out_of_control(baseline, measured):
    empty = measured(16, lambda image: np.full(image.shape, 220.0))
    assert empty.figures["red_cell_diameter"].value is None
    assert DENSITY in broken(baseline, empty)


# The file


def with_images(run, digest, date=None):
    return run.model_copy(update={"data_sha256": (digest * 32,), "date": date or run.date})


def test_a_run_is_added_to_the_file_and_the_page(baseline, tmp_path):
    runs = [with_images(run, f"{n:02x}") for n, run in enumerate(baseline.runs)]
    control = check_run(None, folder=tmp_path, date="2026-11-01", models=MODELS, baseline_runs=5)
    verdict, _ = add_run(control, runs[0], tmp_path)
    assert verdict.lacking == 4
    read = read_control(tmp_path)
    assert read.runs == (runs[0],)
    again = check_run(read, folder=tmp_path, date="2026-11-02", models=MODELS, baseline_runs=None)
    add_run(again, runs[1], tmp_path)
    assert len(read_control(tmp_path).runs) == 2
    assert "Levey-Jennings" in (tmp_path / CONTROL_PAGE).read_text("utf-8")


def test_a_folder_without_runs_begins_with_20(tmp_path):
    assert read_control(tmp_path) is None
    control = check_run(None, folder=tmp_path, date="2026-01-01", models=MODELS, baseline_runs=None)
    assert control.baseline_runs == 20


def test_the_same_images_twice_are_refused(baseline, tmp_path):
    with pytest.raises(SettingsError, match="the run of 2026-11-01 has the same images"):
        add_run(baseline, baseline.runs[0], tmp_path)
    assert not (tmp_path / CONTROL_NAME).exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"models": {"m.onnx": "ef" * 32}}, "Figures of two models are not comparable"),
        ({"baseline_runs": 9}, "its baseline has 5 runs; received --baseline-runs 9"),
        ({"date": "2026-11-04"}, "its last run is of 2026-11-05; received --date 2026-11-04"),
    ],
)
def test_a_run_that_does_not_belong_to_the_file_is_refused(baseline, tmp_path, change, words):
    asked = {"date": "2026-11-06", "models": MODELS, "baseline_runs": None} | change
    with pytest.raises(SettingsError, match=words):
        check_run(baseline, folder=tmp_path, **asked)


@pytest.mark.parametrize("text", ["{}", '{"format_version": 9}', "[]", "{"])
def test_a_damaged_file_is_refused(tmp_path, text):
    (tmp_path / CONTROL_NAME).write_text(text, "utf-8")
    with pytest.raises(DatasetError, match=CONTROL_NAME):
        read_control(tmp_path)
