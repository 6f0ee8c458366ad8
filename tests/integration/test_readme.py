"""What the README promises in its first two minutes."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT / "src")}
MAIN = "import sys; from blood_cell_system.cli.main import main; sys.exit(main())"


def section(title):
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def run(*words, cwd):
    done = subprocess.run(
        [sys.executable, *words],
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        encoding="utf-8",
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, f"{words}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder in which the commands of the first section ran, with fewer and smaller smears."""
    folder = tmp_path_factory.mktemp("readme")
    lines = "\n".join(blocks(section("A result in two minutes"), "bash")).splitlines()
    commands = [words[1:] for line in lines if (words := shlex.split(line))[0] == "bloodcells"]
    assert [words[0] for words in commands] == ["synthesize", "analyze"]
    for words in commands:
        shorter = ["--count", "2", "--size", "640x480"] if words[0] == "synthesize" else []
        run("-c", MAIN, *words, *shorter, cwd=folder)
    return folder


def test_the_first_commands_give_a_page(desk):
    assert (desk / "results" / "index.html").is_file()


def test_the_first_lines_of_python_run(desk):
    first, *_ = blocks(README, "python")
    assert len([line for line in first.splitlines() if line]) <= 5
    out = run("-c", first, cwd=desk)
    assert "RBC" in out
    assert "Research use only; not a medical device." in out
    assert re.search(r"^cell_id", out, re.M)
