"""The package as people install it: built, put elsewhere, run from a third folder."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import blood_cell_system

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
FOR_BUILDING = ("pyproject.toml", "README.md", "LICENSE")


def run(*words, cwd, **environment):
    done = subprocess.run(
        words,
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        encoding="utf-8",
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, f"{words}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build from a copy: an old ``build`` folder would bring back modules that are gone."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(
        ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
    )
    for name in FOR_BUILDING:
        shutil.copy(ROOT / name, source / name)
    run(*PIP, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, source, cwd=folder)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel):
    """A folder with the package alone; its dependencies are those of this Python."""
    folder = wheel.parent / "installed"
    run(*PIP, "install", "--no-deps", "--target", folder, wheel, cwd=wheel.parent)
    return folder


def test_the_wheel_holds_every_file_of_the_package(wheel):
    source = ROOT / "src"
    files = {
        path.relative_to(source).as_posix()
        for path in (source / "blood_cell_system").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    eight_bits = {name for name in files if name.endswith(".int8.onnx")}
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    assert "blood_cell_system/weights/segmentation_model.onnx" in files
    assert files - eight_bits <= packed
    assert eight_bits
    assert not eight_bits & packed, "weights of a wheel stay below 20 MB"
    assert {"inference_pipeline.py", "training_pipeline.py"} <= packed


def test_an_installed_package_analyses_from_any_folder(installed, tmp_path):
    elsewhere = {"cwd": tmp_path, "PYTHONPATH": str(installed)}
    command = (sys.executable, installed / "bin" / "bloodcells")
    version = run(*command, "--version", **elsewhere)
    assert blood_cell_system.__version__ in version
    drawing = ("--count", "1", "--size", "220x160", "--cell-diameter", "32")
    run(*command, "synthesize", "--output", "smears", *drawing, **elsewhere)
    run(*command, "analyze", "smears/images", "--output-dir", "results", **elsewhere)
    assert (tmp_path / "results" / "index.html").is_file()
    code = (
        "import blood_cell_system as bcs;"
        "report = bcs.analyze('smears/images/smear_00000.png');"
        "print(bcs.__file__, sum(report.counts.values()))"
    )
    where, count = run(sys.executable, "-c", code, **elsewhere).split()
    assert Path(where).is_relative_to(installed)
    assert int(count) > 0
