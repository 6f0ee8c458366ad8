"""Steps 5 and 7 of the guide, word for word."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.analysed_images import write_smear_image
from support.drawn_cells import ellipse_box

from blood_cell_system.taxonomy import RBC, WBC

pytest.importorskip("keras", reason="needs the [train] extra")

from support.tiny_models import head_model

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "segmentation_training_guide.md").read_text("utf-8")
STEP_5 = next(
    block
    for block in re.findall(r"^```python\n(.*?)^```", GUIDE, re.M | re.S)
    if "InferencePipeline" in block
)
STEP_7 = re.search(r'^python -c "\n(.*?)^"', GUIDE, re.M | re.S)[1]

# The lines of the guide that this project set out from.
ORIGINAL = """\
from blood_cell_system import BloodCellAnalysisSystem
from inference_pipeline import InferencePipeline
import tensorflow as tf

system = BloodCellAnalysisSystem()
system.segmentation_model = tf.keras.models.load_model(
    'checkpoints/segmentation_model_best.keras'
)
system.load_models('./models')  # Load RBC/WBC classifiers

pipeline = InferencePipeline(system)
report = pipeline.process_image('image.png')
print(report.to_summary_text())
"""


def test_step_7_is_that_of_the_original_guide():
    assert STEP_7 == ORIGINAL


@pytest.mark.slow
@pytest.mark.parametrize("code", [STEP_5, STEP_7], ids=["step 5", "step 7"])
def test_the_step_runs_and_prints_a_report(tmp_path, code):
    (tmp_path / "checkpoints").mkdir()
    head_model().save(tmp_path / "checkpoints" / "segmentation_model_best.keras")
    cells = [ellipse_box(RBC, 80, 80, 90), ellipse_box(WBC, 220, 120, 120)]
    for name in ("image.png", "microscopy_image.png"):
        write_smear_image(tmp_path / name, cells, shape=(256, 320))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        encoding="utf-8",
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Blood smear report: " in done.stdout
    assert "Research use only; not a medical device." in done.stdout
    # Assessed or not, as classifiers come with the package or do not.
    assert "white cells: " in done.stdout
