"""The notebooks of the documents run from top to bottom, and say what they say they do."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
WORDS = {
    "analyse": "smear_00000: 32 cells drawn",
    "cohort": "larger by 1.",
    "retrain": "val_mean_iou",
}
"""What each prints among other things."""


def code_of(notebook):
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def run(notebook, folder):
    """Run the code of a notebook as a program of its own; gives what it printed."""
    if "read_parquet" in notebook.read_text("utf-8"):
        pytest.importorskip("pyarrow", reason="of the extra [parquet]")
    program = folder / "notebook.py"
    program.write_text("\n".join(code_of(notebook)), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, program.name],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(notebook, tmp_path):
    assert WORDS[notebook.stem] in run(notebook, tmp_path)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(notebook):
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


def test_a_notebook_that_fails_is_found(tmp_path):
    failing = tmp_path / "failing.ipynb"
    cells = [{"cell_type": "code", "source": ["assert 1 == 2"]}]
    failing.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    with pytest.raises(AssertionError, match="assert 1 == 2"):
        run(failing, tmp_path)
