"""Does everything of a release but the upload: docs/releasing.md.

Checks the working tree, the version and the changelog, builds sdist and wheel, checks them with
twine, installs the wheel with its core dependencies alone into a fresh environment for each Python,
analyses a drawn smear there, and writes the licences of the dependencies, an SBOM, a folder of the
models with their card, and the checksums of all files.

    python scripts/release.py --output dist
    python scripts/release.py --rehearse --python python3.12 --python python3.13
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_WEIGHTS_BYTES = 20_000_000
"""Of the weights, packed in the wheel."""

SOURCES = (
    "CHANGELOG.md", "CITATION.cff", "LICENSE", "MANIFEST.in", "README.md", "constraints.txt",
    "pyproject.toml", "src",
)  # fmt: skip
"""What a build reads."""

IMPORTS = """
import sys
import blood_cell_system as bcs
from blood_cell_system import BloodCellAnalysisSystem
from inference_pipeline import InferencePipeline
counts = bcs.analyze("smears/images/smear_00000.png").counts
assert sum(counts.values()) > 0, counts
assert "tensorflow" not in sys.modules
print(dict(counts))
"""


class ReleaseError(Exception):
    """Something that must be put right before a release."""


def run(*words: str | Path, cwd: Path = ROOT) -> str:
    """Run a program; raises ``ReleaseError`` with the end of its output where it fails."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=environment | {"PYTHONIOENCODING": "utf-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        command = " ".join(map(str, words))
        raise ReleaseError(f"{command}: exit code {done.returncode}\n{done.stdout[-3000:]}")
    return done.stdout


def check_tree(root: Path) -> None:
    """Refuse files that are changed or not committed."""
    if changed := run("git", "status", "--porcelain", cwd=root):
        raise ReleaseError(f"{root}: changes that are not committed; commit them first.\n{changed}")


def version_of(root: Path, *, is_rehearsal: bool = False) -> str:
    """Give the version that all files agree on, which the changelog must have as its newest.

    Raises
    ------
    ReleaseError
        Files differ, or the changelog has no such section, or something under Unreleased.
    """
    text = {
        name: (root / name).read_text("utf-8")
        for name in ("pyproject.toml", "CITATION.cff", "recipe/meta.yaml", "CHANGELOG.md")
    }
    version = tomllib.loads(text["pyproject.toml"])["project"]["version"]
    for name in ("CITATION.cff", "recipe/meta.yaml"):
        found = re.search(r"^ *version: *(\S+)$", text[name], re.M)
        if found is None or found[1] != version:
            words = found[1] if found else "none"
            raise ReleaseError(f"{name}: version {words}; expected {version}, as pyproject.toml.")
    if is_rehearsal:
        return version
    sections = re.findall(r"^## \[(.+?)\](.*)\n((?:(?!## ).*\n?)*)", text["CHANGELOG.md"], re.M)
    newest = [(name, rest) for name, rest, _ in sections if name != "Unreleased"][:1]
    if not newest or newest[0][0] != version:
        raise ReleaseError(f"CHANGELOG.md: no section [{version}]; move what is Unreleased there.")
    if not re.fullmatch(r" - \d{4}-\d{2}-\d{2}", newest[0][1]):
        raise ReleaseError(f"CHANGELOG.md: [{version}] has no date; expected - YYYY-MM-DD.")
    if any(name == "Unreleased" and body.strip() for name, _, body in sections):
        raise ReleaseError(f"CHANGELOG.md: lines under Unreleased; move them to [{version}].")
    return version


def weights_bytes(wheel: Path) -> int:
    """Size of the weights as packed in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return sum(e.compress_size for e in archive.infolist() if "/weights/" in e.filename)


def check_weights(wheel: Path) -> int:
    """Refuse a wheel whose weights are too large; gives their size."""
    size = weights_bytes(wheel)
    if size > MAX_WEIGHTS_BYTES:
        raise ReleaseError(
            f"{wheel.name}: weights of {size:,} bytes; at most {MAX_WEIGHTS_BYTES:,} are allowed."
        )
    return size


def environment_at(folder: Path, python: str | None = None) -> Path:
    """Make a fresh virtual environment; gives its Python."""
    if python is None:
        venv.create(folder, with_pip=True)
    else:
        run(python, "-m", "venv", folder)
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def build(work: Path, output: Path) -> tuple[Path, Path]:
    """Build sdist and wheel from a copy, where no former build lies, and check their metadata."""
    source = work / "source"
    source.mkdir()
    for name in SOURCES:
        path = ROOT / name
        if path.is_dir():
            left_out = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(path, source / name, ignore=left_out)
        else:
            shutil.copy(path, source / name)
    python = environment_at(work / "tools")
    run(python, "-m", "pip", "install", "--quiet", "build", "twine")
    run(python, "-m", "build", "--outdir", output, source, cwd=work)
    files = sorted(output.glob("*.tar.gz")) + sorted(output.glob("*.whl"))
    run(python, "-m", "twine", "check", "--strict", *files, cwd=work)
    sdist, wheel = files
    return sdist, wheel


def try_out(wheel: Path, folder: Path, python: str | None) -> Path:
    """Install a wheel into a fresh environment and analyse a drawn smear; gives its Python."""
    fresh = environment_at(folder / "env", python)
    constraints = ROOT / "constraints.txt"
    run(fresh, "-m", "pip", "install", "--quiet", "--constraint", constraints, wheel, cwd=folder)
    command = (fresh, "-m", "blood_cell_system")
    run(fresh.with_name("bloodcells"), "--help", cwd=folder)
    print("  " + run(*command, "--version", cwd=folder).strip())
    run(*command, "synthesize", "--output", "smears", "--count", "1", cwd=folder)
    run(*command, "analyze", "smears/images", "--output-dir", "results", cwd=folder)
    if not (folder / "results" / "index.html").is_file():
        raise ReleaseError(f"{wheel.name}: analysed, but wrote no index.html.")
    print("  counted " + run(fresh, "-c", IMPORTS, cwd=folder).strip())
    return fresh


def write_checksums(output: Path) -> None:
    """Write SHA256SUMS over all files of a folder."""
    paths = sorted(path for path in output.rglob("*") if path.is_file())
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(output).as_posix()}"
        for path in paths
        if path.name != "SHA256SUMS"
    ]
    (output / "SHA256SUMS").write_text("\n".join([*lines, ""]), encoding="utf-8")


def release(output: Path, *, pythons: Sequence[str], is_rehearsal: bool) -> None:
    """Do it all; raises ``ReleaseError`` at the first thing that is not right."""
    if output.exists() and any(output.iterdir()):
        raise ReleaseError(f"{output}: is not empty; expected a new folder. Remove it first.")
    output.mkdir(parents=True, exist_ok=True)
    if not is_rehearsal:
        check_tree(ROOT)
    version = version_of(ROOT, is_rehearsal=is_rehearsal)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        sdist, wheel = build(work, output)
        print(f"{sdist.name}, {wheel.name}: twine finds no fault")
        print(f"weights: {check_weights(wheel) / 1e6:.1f} MB in the wheel")
        for number, python in enumerate(pythons or [None]):
            print(f"{python or sys.executable}:")
            (folder := work / f"try_{number}").mkdir()
            fresh = try_out(wheel, folder, python)
        print(run(fresh, ROOT / "scripts" / "dependency_licences.py", "--output", output).strip())
        models = output / f"blood-cell-system-models-{version}"
        print(run(fresh, ROOT / "scripts" / "model_folder.py", "--output", models).strip())
    write_checksums(output)
    print(f"{output}: ready. What is left is in docs/releasing.md: tag, upload, announce.")


def main() -> int:
    """Release, or rehearse it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("dist"), metavar="DIR")
    parser.add_argument(
        "--python", action="append", default=[], metavar="PYTHON", help="To try it with; repeated."
    )
    parser.add_argument(
        "--rehearse", action="store_true", help="With changes at hand and an open changelog."
    )
    options = parser.parse_args()
    try:
        release(options.output.resolve(), pythons=options.python, is_rehearsal=options.rehearse)
    except ReleaseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
