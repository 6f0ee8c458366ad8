"""What ``import blood_cell_system`` gives."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.colour_runtime import ColourRuntime

import blood_cell_system as bcs
from blood_cell_system.datasets.synthetic import SmearSettings, draw_smear
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.pipeline import image as one_image
from blood_cell_system.seeding import generator_for

HEAVY = {"numpy", "cv2", "pandas", "skimage", "scipy", "onnxruntime", "keras", "pydantic", "typer"}
SECONDS = 0.3


@pytest.fixture(scope="module")
def smear():
    settings = SmearSettings(shape=(160, 220), cell_diameter_px=40)
    return draw_smear(settings, generator_for(0, "top level")).image


def test_the_import_takes_no_heavy_package_and_no_time():
    code = (
        "import sys, time; begun = time.process_time(); import blood_cell_system as bcs;"
        "print(time.process_time() - begun, *sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, *modules = done.stdout.split()
    assert float(seconds) <= SECONDS
    assert HEAVY & set(modules) == set()


@pytest.mark.parametrize("name", bcs.__all__)
def test_every_name_is_there(name):
    assert getattr(bcs, name) is not None


def test_type_checkers_see_the_names_that_the_import_gives():
    tree = ast.parse(Path(bcs.__file__).read_text("utf-8"))
    imports = next(part for part in tree.body if isinstance(part, ast.If)).body
    seen = {alias.name: node.module for node in imports for alias in node.names}
    given = {name: f"blood_cell_system.{module}" for name, module in bcs._MODULES.items()}
    assert seen == given
    assert {*given, "__version__"} == set(bcs.__all__)
    assert dir(bcs) == sorted(bcs.__all__)


def test_an_unknown_name_is_an_error():
    with pytest.raises(AttributeError, match="no attribute 'analyse'"):
        _ = bcs.analyse


def test_a_file_and_its_pixels_give_the_same_cells(smear, tmp_path):
    write_image(tmp_path / "smear.png", smear)
    of_file = bcs.analyze(str(tmp_path / "smear.png"))
    of_pixels = bcs.analyze(smear)
    assert sum(of_file.counts.values()) > 0
    assert of_pixels.counts == of_file.counts
    assert (of_file.image.file_name, of_pixels.image.file_name) == ("smear.png", "array")


def test_settings_reach_the_report(smear):
    report = bcs.analyze(smear, pixel_size_um=0.1, cell_diameter_px=40.0, is_classifying=False)
    assert report.scale.pixel_size_um == 0.1
    assert report.scale.red_cell_diameter_px == 40.0
    assert report.provenance.rbc_classifier is None


def test_models_are_loaded_once(smear, monkeypatch):
    bcs.analyze(smear)
    monkeypatch.setattr("blood_cell_system.pipeline.model_slots.load_runtime", None)
    monkeypatch.setattr("blood_cell_system.pipeline.model_slots.load_classifier", None)
    assert bcs.analyze(smear, pixel_size_um=0.1).counts
    assert one_image._bundled_system() is one_image._bundled_system()


def test_models_of_ones_own_are_used(smear):
    system = bcs.BloodCellAnalysisSystem()
    system.segmentation_model = ColourRuntime()
    report = bcs.analyze(smear, system=system, is_classifying=False)
    assert report.provenance.model == "ColourRuntime"


def test_the_cells_are_a_table(smear):
    report = bcs.analyze(smear)
    table = report.cells.to_dataframe()
    assert len(table) == len(report.cells) > 0
    assert {"cell_type", "area", "confidence"} <= set(table.columns)


@pytest.mark.parametrize(
    ("image", "error"),
    [("missing.png", FileNotFoundError), (np.zeros((4, 4), np.uint8), bcs.BloodCellError)],
)
def test_what_is_no_image_is_refused(image, error):
    with pytest.raises(error):
        bcs.analyze(image)


def test_a_size_that_is_not_positive_is_refused(smear):
    with pytest.raises(bcs.BloodCellError, match="pixel_size_um is 0; expected more than 0"):
        bcs.analyze(smear, pixel_size_um=0)
