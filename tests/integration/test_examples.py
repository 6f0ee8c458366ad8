"""The examples, and every command and every line of Python of the quick reference, run for real."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from blood_cell_system.cli.main import main
from blood_cell_system.datasets.synthetic import SmearSettings, draw_smear
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.seeding import generator_for

pytest.importorskip("keras", reason="needs the [train] extra")

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = os.environ | {
    "PYTHONPATH": str(ROOT / "src"),
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
}

# What makes each command short enough for a test; the last of two options counts.
SHORTER = {
    "synthesize": ["--size", "220x160", "--cell-diameter", "32", "--jobs", "1"],
    "train-classifier": ["--epochs", "1", "--cells-per-epoch", "16", "--batch-size", "8"],
}


def run(words, cwd):
    done = subprocess.run(
        words,
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        encoding="utf-8",
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, f"{words}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, 7))
def test_an_example_runs_by_itself(number, tmp_path_factory):
    # One folder for all: examples 4 to 6 use what 2 and 3 have trained.
    folder = tmp_path_factory.getbasetemp() / "examples"
    folder.mkdir(exist_ok=True)
    out = run([sys.executable, ROOT / "example_usage.py", "--quick", "--only", str(number)], folder)
    assert out.strip().startswith(f"Example {number}: ")
    expected = {
        1: "rbc_classifier.keras",
        2: "rbc_classifier.keras distinguishes: healthy_RBC, malaria_RBC, sickle_RBC",
        3: "mean IoU",
        4: "Research use only; not a medical device.",
        5: "index.html",
        6: "cells to review",
    }
    assert expected[number] in out


def test_an_example_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(AssertionError, match="invalid choice"):
        run([sys.executable, ROOT / "example_usage.py", "--only", "7"], tmp_path)


def commands_of(document):
    text = (ROOT / "docs" / document).read_text("utf-8")
    blocks = "\n".join(re.findall(r"^```bash\n(.*?)^```", text, re.M | re.S))
    lines = blocks.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with what the documents take for granted: smears, labels, cells, a classifier."""
    root = tmp_path_factory.mktemp("desk")
    settings = SmearSettings(shape=(160, 220), cell_diameter_px=34, malaria_share=0.2)
    for number, name in enumerate(
        ("smears/a", "smears/b", "data/smears/a", "data/healthy_smears/a")
    ):
        smear = draw_smear(settings, generator_for(0, "desk", number))
        write_image(root / f"{name}.png", smear.image)
    shutil.copy(root / "smears" / "a.png", root / "image.png")
    for layout, name, seed in (("bccd", "labelled", "1"), ("prepared", "data/bccd", "2")):
        words = ["synthesize", "--layout", layout, "--seed", seed, "--count", "6", "--output"]
        assert main([*words, str(root / name), *SHORTER["synthesize"]]) == 0
    words = ["synthesize", "--layout", "cells-rbc", "--count", "6", "--output"]
    assert main([*words, str(root / "cells_rbc"), *SHORTER["synthesize"]]) == 0
    train = ["train-classifier", "rbc", "--data-dir", str(root / "cells_rbc"), "--preset", "fast"]
    folders = ["--output-dir", str(root / "models"), "--log-dir", str(root / "logs")]
    assert main([*train, *folders, *SHORTER["train-classifier"]]) == 0
    return root


def run_command(words, desk, *, counted):
    """Run a command of a document, made short."""
    if words[0] == "python":
        run([sys.executable, ROOT / words[1], *words[2:], "--quick"], desk)
        return
    assert words[0] == "bloodcells"
    more = SHORTER.get(words[1], [])
    if words[1] == "synthesize":
        more = [*more, "--count", str(counted)]
    assert main([*words[1:], *more]) == 0, words


def in_words(words):
    return " ".join(words)


@pytest.fixture(scope="module")
def empty_desk(tmp_path_factory):
    """A newcomer's folder, in which there is nothing."""
    return tmp_path_factory.mktemp("empty_desk")


# In the order of the document: later commands use what earlier ones have written.
@pytest.mark.slow
@pytest.mark.parametrize("words", commands_of("QUICK_REFERENCE.md"), ids=in_words)
def test_a_command_of_the_quick_reference_runs_in_an_empty_folder(words, empty_desk, monkeypatch):
    monkeypatch.chdir(empty_desk)
    run_command(words, empty_desk, counted=6)


@pytest.mark.slow
@pytest.mark.parametrize("words", commands_of("README_SYSTEM.md"), ids=in_words)
def test_a_command_of_the_system_s_readme_runs(words, desk, monkeypatch):
    monkeypatch.chdir(desk)
    # Of white cells it takes some more fields until all splits have all they need.
    run_command(words, desk, counted=16)


def test_the_documents_have_commands():
    assert len(commands_of("QUICK_REFERENCE.md")) >= 12
    assert len(commands_of("README_SYSTEM.md")) >= 10


@pytest.mark.slow
def test_the_python_of_the_quick_reference_runs(empty_desk):
    text = (ROOT / "docs" / "QUICK_REFERENCE.md").read_text("utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    out = run([sys.executable, "-c", code], empty_desk)
    assert "malaria_RBC" in out


@pytest.mark.slow
def test_the_python_of_the_system_s_readme_runs(desk):
    text = (ROOT / "docs" / "README_SYSTEM.md").read_text("utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    short = 'preset="fast", epochs=1, batch_size=8, samples_per_epoch=16, '
    code = code.replace('preset="fast", ', short)
    assert short in code
    (desk / "data").mkdir(exist_ok=True)
    if not (desk / "data" / "cells_rbc").exists():
        shutil.copytree(desk / "cells_rbc", desk / "data" / "cells_rbc")
    assert "Blood smear report: image.png" in run([sys.executable, "-c", code], desk)
