"""Try every command on damaged files and odd options, and list what it did wrong.

    python scripts/fuzz_commands.py --count 500 --seed 0

Each case takes a fresh copy of small drawn data, damages some of it, and runs one command in a
forked process. Wrong is: a traceback; an exit code that no command has; no end within the time
limit; a message of Python instead of words; no message at all with a failure; exit code 0 without
naming a file that cannot be read; a file that was written in part. The same seed gives the same
cases. Needs Linux.
"""

import argparse
import contextlib
import csv
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

NOBODY: Final = 65534
PYTHON_WORDS: Final = re.compile(
    r"Traceback \(most|a fault of this program|\[Errno -?\d+\]|\bNoneType\b|has no attribute"
    r"|list index out|not subscriptable|not iterable|invalid literal for|could not convert string"
    r"|must be str, not|unhashable|unexpected keyword|positional argument|site-packages|<class '"
    r"|\b(?:Key|Type|Index|Attribute|Value|Overflow|Recursion|UnicodeDecode|Assertion)Error\b"
    r"|Exception ignored|pydantic\.dev|core dumped|OpenCV\(|cv2\.error"
)
ODD_VALUES: Final = (
    "", "nan", "inf", "-inf", "-1", "0", "0.0", "1e9", "-1e308", "9" * 30, "x", "None",
    "../..", "/", "/dev/null", "/nonexistent/x", "a\x1b[31mb", "é", "-", "--", "x" * 5000, "\udcff",
    "a=b", "=", "[", "(", "*", "(?P<slide>", "1,2", "a b", "true", "{}", "\n",
)  # fmt: skip
ODD_JSON: Final = (
    None, True, [], {}, "", "x", -1, 0, 1.5, 1e308, float("nan"), float("inf"), 10**400, [[]],
    {"a": 1}, [None], ["x", 1], "é\x1b[2J", [1e9] * 4, "9" * 5000,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Case:
    """A command, and the files it reads."""

    words: tuple[str, ...]
    reads: tuple[str, ...] = ()
    """Patterns of files that the command cannot do without noticing."""
    damages: tuple[str, ...] = ()
    """Patterns of files that may be damaged; ``reads`` as well."""
    is_heavy: bool = False
    """Whether it imports TensorFlow."""
    options: tuple[str, ...] = ()
    """Options whose value may be replaced by an odd one."""


def _cases() -> tuple[Case, ...]:
    jobs = ("--jobs", "1")
    readable = ("labelme", "geojson", "cvat", "yolo", "coco")
    cases = [
        Case(
            words=("analyze", "images", "-o", "out", "--no-classify", *jobs),
            reads=("images/*.png",),
            options=("--cell-diameter", "--pixel-size-um", "--jobs", "--model", "--models",
                     "--confidence-threshold", "--border-rule", "-o", "--views"),
        ),
        Case(
            words=("analyze", "images", "-o", "results", "--resume", "--no-classify", *jobs),
            damages=("results/*", "images/*.png"),
        ),
        Case(
            words=("analyze", "images/smear_00000.png", "-o", "out", "--model",
                   "models/segmentation_model.onnx", "--no-classify", *jobs),
            damages=("models/segmentation_model.onnx",),
        ),
        Case(
            words=("analyze", "images/smear_00000.png", "-o", "out", "--models", "models", *jobs),
            damages=("models/*.onnx",),
        ),
        Case(
            words=("classify", "cells", "--kind", "rbc", "-o", "cells.csv"),
            reads=("cells/*/*.png",),
            options=("--kind", "--model", "--views", "-o"),
        ),
        Case(
            words=("classify", "cells", "--kind", "rbc", "-o", "cells.csv", "--model",
                   "models/rbc_classifier.onnx"),
            damages=("models/rbc_classifier.onnx",),
        ),
        Case(words=("models", "--models", "models"), damages=("models/*",), options=("--models",)),
        Case(words=("models", "--models", "models", "--json"), damages=("models/*",)),
        Case(words=("models", "--models", "models", "--details"), damages=("models/*",)),
        Case(
            words=("convert", "results", "--to", "coco", "-o", "out"),
            damages=("results/*.json", "results/*.png", "images/*.png"),
            options=("--to", "--images", "--outlines", "--simplify", "-o"),
        ),
        Case(
            words=("convert", "prepared", "--to", "yolo", "-o", "out"),
            reads=("prepared/images/*.png", "prepared/*.json"),
            damages=("prepared/masks/*.png",),
            options=("--simplify", "--outlines"),
        ),
        Case(
            words=("augment", "prepared", "-o", "out", "--aug-factor", "1", *jobs),
            reads=("prepared/images/*.png", "prepared/masks/*.png", "prepared/*.json"),
            options=("--aug-factor", "--seed", "--jobs", "-o"),
        ),
        Case(
            words=("verify", "prepared"),
            reads=("prepared/images/*.png", "prepared/masks/*.png", "prepared/*.json"),
            damages=("prepared/instances/*.png",),
            options=("--json", "--contact-sheet", "--fix"),
        ),
        Case(
            words=("verify", "prepared", "--fix", "fixed", "--json", "f.json"),
            reads=("prepared/images/*.png", "prepared/masks/*.png", "prepared/*.json"),
            damages=("prepared/instances/*.png",),
        ),
        Case(
            words=("combine", "prepared", "prepared2", "-o", "out", "--keep-scale", *jobs),
            reads=("prepared/images/*.png", "prepared/masks/*.png", "prepared/*.json"),
            damages=("prepared2/*.json", "prepared2/instances/*.png"),
            options=("--cell-diameter", "--source-diameter", "--seed"),
        ),
        Case(
            words=("split", "--data-dir", "prepared", "--by", "slide", "--table", "slides.csv",
                   *jobs),
            damages=("slides.csv", "prepared/*.json", "prepared/images/*.png"),
            options=("--by", "--val", "--test", "--seed", "--table"),
        ),
        Case(
            words=("split", "--data-dir", "prepared", "--check", *jobs),
            damages=("prepared/*.json", "prepared/images/*.png"),
            options=("--pattern", "--val"),
        ),
        Case(
            words=("crops", "prepared", "--kind", "rbc", "--class", "healthy_RBC", "-o", "out",
                   *jobs),
            reads=("prepared/images/*.png",),
            damages=("prepared/*.json",),
            options=("--kind", "--class", "--map", "--block-pattern", "--block-size", "--most",
                     "--seed", "--method", "--classes", "--source"),
        ),
        Case(
            words=("crops", "images", "--kind", "rbc", "--class", "healthy_RBC", "--boxes",
                   "boxes.json", "--map", "RBC=healthy_RBC", "-o", "out", *jobs),
            reads=("boxes.json",),
            damages=("images/*.png",),
            options=("--boxes",),
        ),
        Case(
            words=("evaluate", "--model", "models/segmentation_model.onnx", "--data-dir",
                   "prepared", "--json", "e.json"),
            damages=("prepared/images/*.png", "prepared/masks/*.png", "prepared/*.json",
                     "models/segmentation_model.onnx", "prepared/instances/*.png"),
            options=("--split", "--cell-diameter", "--seed", "--json", "--contact-sheet"),
        ),
        Case(
            words=("evaluate-classifier", "--kind", "rbc", "--model", "models/rbc_classifier.onnx",
                   "--data-dir", "cells", "-o", "out"),
            damages=("cells/cells.csv", "cells/*/*.png", "models/rbc_classifier.onnx"),
            options=("--kind", "--split", "--block-pattern", "--views", "--classes"),
        ),
        Case(
            words=("test", "--model", "models/segmentation_model.onnx", "--image",
                   "images/smear_00000.png", "-o", "out"),
            reads=("images/smear_00000.png",),
            damages=("models/segmentation_model.onnx",),
            options=("--cell-diameter", "--image", "--model", "-o"),
        ),
        Case(
            words=("synthesize", "-o", "out", "--count", "1", "--size", "96x64", "--cell-diameter",
                   "24", *jobs),
            options=("--count", "--size", "--stain", "--cell-diameter", "--layout", "--seed",
                     "--malaria-share", "--sickle-share", "-o", "--jobs"),
        ),
        Case(
            words=("train", "--resume-from", "run/segmentation_model_best.keras"),
            damages=("run/*",),
            options=("--resume-from", "--epochs"),
        ),
        Case(
            words=("train", "--data-dir", "prepared", "--checkpoint-dir", "out"),
            damages=("prepared/*.json",),
            is_heavy=True,
            options=("--preset", "--epochs", "--batch-size", "--crop-size", "--learning-rate",
                     "--max-images", "--d-reduced", "--dropout", "--seed", "--architecture"),
        ),
        Case(
            words=("train-classifier", "rbc", "--data-dir", "cells", "--output-dir", "out"),
            damages=("cells/cells.csv",),
            is_heavy=True,
            options=("--preset", "--epochs", "--batch-size", "--dropout", "--classes",
                     "--block-pattern", "--cells-per-epoch", "--label-smoothing"),
        ),
        Case(
            words=("export", "--model", "models/rbc_classifier.keras", "-o", "out/x.onnx"),
            damages=("models/rbc_classifier.keras",),
            is_heavy=True,
        ),
        Case(words=("download", "bccd"), options=("-o", "--accept-licence")),
        Case(words=("help", "analyze")),
    ]  # fmt: skip
    for name in readable:
        prepare = ("prepare", name, "-o", "out", *jobs)
        labels = (f"{name}/**/*",)
        cases.append(
            Case(words=prepare, damages=labels, options=("--format", "--label-map", "--unlabelled"))
        )
        cases.append(Case(words=(*prepare, "--format", name), damages=labels))
    for name in ("voc", "masks"):
        cases += [
            Case(
                words=("prepare", name, "-o", "out", *jobs, "--format", name),
                damages=(f"{name}/**/*",),
                options=("--first-pixel", "--mask-values", "--classes", "--mask-method", "-o"),
            )
        ]
    cases.append(Case(words=("prepare", "coco.zip", "-o", "out", *jobs), damages=("coco.zip",)))
    return tuple(cases)


def make_data(root: Path) -> None:
    """Draw the data that all cases begin with, with this package's own commands."""

    def run(*words: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "blood_cell_system", *words],
            cwd=root, capture_output=True, encoding="utf-8", check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{words}: exit code {done.returncode}: {done.stderr or done.stdout}")

    small = (
        "--size",
        "160x120",
        "--cell-diameter",
        "40",
        "--stain",
        "wright-giemsa",
        "--jobs",
        "1",
    )
    run("synthesize", "-o", "prepared", "--count", "4", "--seed", "1", *small)
    run("synthesize", "-o", "prepared2", "--count", "2", "--seed", "2", *small)
    run("synthesize", "-o", "voc", "--count", "4", "--layout", "bccd", *small)
    run("synthesize", "-o", "cells", "--count", "4", "--layout", "cells-rbc", "--jobs", "1")
    for folder in (path for path in (root / "cells").iterdir() if path.is_dir()):
        for path in sorted(folder.iterdir())[6:]:
            path.unlink()
    rows = (root / "cells" / "cells.csv").read_text("utf-8").splitlines()
    kept = [row for row in rows if (root / "cells" / row.split(",")[0]).is_file()]
    (root / "cells" / "cells.csv").write_text("\n".join([rows[0], *kept]) + "\n", "utf-8")
    (root / "images").mkdir()
    for path in sorted((root / "prepared" / "images").iterdir())[:2]:
        shutil.copy(path, root / "images")
    (root / "masks").mkdir()
    for name in ("images", "masks"):
        shutil.copytree(root / "prepared" / name, root / "masks" / name)
    for name in ("coco", "labelme", "geojson", "cvat", "yolo"):
        run("convert", "prepared", "--to", name, "-o", name)
    with zipfile.ZipFile(root / "coco.zip", "w") as archive:
        for path in sorted((root / "coco").rglob("*")):
            archive.write(path, path.relative_to(root))
    run("analyze", "images", "-o", "results", "--no-classify", "--jobs", "1")
    import blood_cell_system

    weights = Path(blood_cell_system.__file__).parent / "weights"
    (root / "models").mkdir()
    for name in ("segmentation_model.onnx", "rbc_classifier.onnx", "rbc_classifier.keras",
                 "rbc_classifier.json"):  # fmt: skip
        shutil.copy(weights / name, root / "models")
    (root / "run").mkdir()
    shutil.copy(weights / "segmentation_model.keras", root / "run/segmentation_model_best.keras")
    (root / "run" / "training_state.json").write_text('{"format_version": 1, "epoch": 1}', "utf-8")
    stems = sorted(path.stem for path in (root / "prepared" / "images").iterdir())
    slides = "".join(f"{stem}.png,s{n}\n" for n, stem in enumerate(stems))
    (root / "slides.csv").write_text(f"image,slide\n{slides}", "utf-8")
    cells = json.loads((root / "prepared" / "annotations.json").read_text("utf-8"))["images"]
    boxes = {
        path.name: [{"label": "RBC", "box": cell["bbox"]} for cell in cells[path.stem]]
        for path in (root / "images").iterdir()
    }
    (root / "boxes.json").write_text(json.dumps(boxes), "utf-8")


# Damage. Each takes a file and changes it in place.


def _bytes(change: Callable[[bytearray, random.Random], None]) -> Callable[..., None]:
    def damage(path: Path, rng: random.Random) -> None:
        data = bytearray(path.read_bytes())
        change(data, rng)
        path.write_bytes(data)

    return damage


def _flip(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 4, 64))):
        if data:
            data[rng.randrange(len(data))] = rng.randrange(256)


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data) + 1) :]


def _blank(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data) + 1)
    data[start : start + 200] = bytes(len(data[start : start + 200]))


def _insert(data: bytearray, rng: random.Random) -> None:
    words = (
        b"\x00",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\r",
        b"<![CDATA[",
        b"\x1b[2J",
        b",,,,",
        b"NaN",
    )
    place = rng.randrange(len(data) + 1)
    data[place:place] = rng.choice(words) * rng.choice((1, 3))


def _replace_by(data: bytes) -> Callable[..., None]:
    return lambda path, rng: path.write_bytes(data) and None


def _json_node(path: Path, rng: random.Random) -> None:
    """Replace, remove or repeat something within JSON."""
    try:
        value = json.loads(path.read_bytes())
    except ValueError:
        return _bytes(_flip)(path, rng)
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], dict | list):
                walk(node[key])

    if isinstance(value, dict | list):
        walk(value)
    # Of a file with many rows the first levels matter as much as the rows.
    few = [place for place in places if isinstance(place[0], dict)][:12]
    for _ in range(rng.choice((1, 1, 3))):
        if places:
            node, key = rng.choice(few if few and rng.random() < 0.4 else places)
            how = rng.randrange(4)
            if how == 0 and isinstance(node, dict):
                node.pop(key, None)
            elif how == 1 and isinstance(node, list):
                node.append(node[min(key, len(node) - 1)] if node else None)
            elif isinstance(node, dict) or key < len(node):
                node[key] = rng.choice(ODD_JSON)
    path.write_text(json.dumps(value), "utf-8")
    return None


def _csv_cell(path: Path, rng: random.Random) -> None:
    rows = list(csv.reader(io.StringIO(path.read_text("utf-8", "replace"))))
    for _ in range(rng.choice((1, 3))):
        row = rng.choice(rows) if rows else []
        if row:
            how = rng.randrange(3)
            if how == 0:
                row.pop(rng.randrange(len(row)))
            elif how == 1:
                row[rng.randrange(len(row))] = rng.choice(ODD_VALUES).replace("\udcff", "")
            else:
                row.append("x" * rng.choice((1, 200_000)))
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    path.write_text(out.getvalue(), "utf-8")


def _words(path: Path, rng: random.Random) -> None:
    """Replace a word or a number of a text."""
    text = path.read_text("utf-8", "replace")
    found = list(re.finditer(r"[\w.-]+", text))
    if found:
        word = rng.choice(found)
        odd = rng.choice(ODD_VALUES).replace("\udcff", "")
        path.write_text(text[: word.start()] + odd + text[word.end() :], "utf-8")


def _special(make: Callable[[Path], None]) -> Callable[..., None]:
    def damage(path: Path, rng: random.Random) -> None:
        path.unlink()
        make(path)

    return damage


def _bomb(path: Path, rng: random.Random) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(rng.choice(("config.json", "../out.txt", "a/b.json")), bytes(20_000_000))


DAMAGES: Final[dict[str, Callable[..., None]]] = {
    "flip": _bytes(_flip),
    "cut": _bytes(_cut),
    "blank": _bytes(_blank),
    "insert": _bytes(_insert),
    "empty": _replace_by(b""),
    "text": _replace_by(b"This is no such file.\n"),
    "deep": _replace_by(b"[" * 100_000),
    "long number": _replace_by(b'{"images": ' + b"9" * 6000 + b"}"),
    "list": _replace_by(b"[]"),
    "object": _replace_by(b"{}"),
    "latin-1": _replace_by('{"é": "ü"}'.encode("latin-1")),
    "pipe": _special(os.mkfifo),
    "loop": _special(lambda path: path.symlink_to(path.name)),
    "folder": _special(Path.mkdir),
    "null": _special(lambda path: path.symlink_to("/dev/null")),
    "zero": _special(lambda path: path.symlink_to("/dev/zero")),
    "gone": Path.unlink,
    "forbidden": lambda path, rng: path.chmod(0),
    "bomb": _bomb,
}
DAMAGES["gone"] = _special(lambda path: None)
BY_SUFFIX: Final = {
    ".json": _json_node, ".geojson": _json_node, ".csv": _csv_cell, ".xml": _words,
    ".txt": _words, ".yaml": _words, ".html": _words,
}  # fmt: skip


@dataclass(kw_only=True)
class Trial:
    """A case as it was tried."""

    words: list[str]
    damaged: list[tuple[str, str]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """Files that nothing can read any more, and that the command must read."""
    code: int | None = None
    said: str = ""
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)

    def to_text(self) -> str:
        """Describe it in a few lines."""
        damages = ", ".join(f"{how} {path}" for path, how in self.damaged) or "nothing damaged"
        words = " ".join(word if len(word) < 60 else word[:60] + "…" for word in self.words)
        last = "\n      ".join(self.said.strip().splitlines()[-6:])[-1500:]
        return (
            f"{', '.join(self.faults)}\n    bloodcells {words!r}\n    {damages}; exit code "
            f"{self.code}, {self.seconds:.1f} s\n      {last}"
        )


def arrange(case: Case, root: Path, rng: random.Random) -> Trial:
    """Damage files in ``root``, or replace an option's value."""
    trial = Trial(words=list(case.words))
    files = {
        pattern: sorted(path for path in root.glob(pattern) if path.is_file())
        for pattern in (*case.reads, *case.damages)
    }
    patterns = [pattern for pattern, found in files.items() if found]
    if case.options and (not patterns or rng.random() < 0.35):
        name = rng.choice(case.options)
        value = rng.choice(ODD_VALUES)
        if name in trial.words:
            trial.words[trial.words.index(name) + 1] = value
        else:
            trial.words += [name, value]
        return trial
    for _ in range(rng.choice((1, 1, 1, 2))) if patterns else ():
        pattern = rng.choice(patterns)
        path = rng.choice(files[pattern])
        if not path.is_file():
            continue
        how = rng.choice(list(DAMAGES))
        by_suffix = BY_SUFFIX.get(path.suffix)
        if by_suffix and rng.random() < 0.6:
            how = "content"
            by_suffix(path, rng)
        else:
            DAMAGES[how](path, rng)
        trial.damaged.append((str(path.relative_to(root)), how))
        if pattern in case.reads and is_unreadable(path, how):
            trial.broken.append(path.stem)
    return trial


def is_unreadable(path: Path, how: str) -> bool:
    """Whether nothing can be read from a damaged file, by means other than this package's."""
    if how in ("pipe", "folder", "null", "zero", "gone"):
        # What is no file is passed over, and labels without an image are as good as none.
        return False
    if how in ("loop", "forbidden"):
        return True
    if path.suffix == ".json":
        try:
            json.loads(path.read_bytes())
        except (ValueError, RecursionError):
            return True
        return False
    if path.suffix == ".xml":
        try:
            ET.fromstring(path.read_bytes())
        except (ET.ParseError, ValueError):
            return True
        return False
    if path.suffix == ".png":
        from PIL import Image

        try:
            with Image.open(path) as image:
                image.load()
        except Exception:
            return True
    return False


def run_case(trial: Trial, root: Path, *, limit: float) -> None:
    """Run the command in a forked process, and judge what it did."""
    before = {path for path in root.rglob("*") if not path.is_symlink()}
    is_forbidden = any(how == "forbidden" for _, how in trial.damaged) and os.geteuid() == 0
    if is_forbidden:
        for path in (root, *root.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    log = root.parent / f"{root.name}.log"
    start = time.monotonic()
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (int(limit), int(limit)))
        _be_command(trial.words, root, log, is_forbidden=is_forbidden)
    while True:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            trial.code = os.waitstatus_to_exitcode(status)
            break
        # Beside other work everything takes longer; what waits for ever uses no time of the cores.
        if time.monotonic() - start > limit * (1 + os.getloadavg()[0] / (os.cpu_count() or 1)):
            os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
            trial.code = -signal.SIGKILL
            break
        time.sleep(0.01)
    trial.seconds = time.monotonic() - start
    trial.said = log.read_text("utf-8", "replace")
    log.unlink()
    trial.faults += judged(trial, root, before)


def _be_command(words: Sequence[str], root: Path, log: Path, *, is_forbidden: bool) -> None:
    code = 70
    try:
        os.setsid()
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        for number, target in ((0, null), (1, out), (2, out)):
            os.dup2(target, number)
        os.chdir(root)
        if is_forbidden:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        from blood_cell_system.cli.main import main

        code = main(list(words))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def judged(trial: Trial, root: Path, before: set[Path]) -> Iterator[str]:
    """Say what a command did wrong."""
    if trial.code in (-signal.SIGKILL, -signal.SIGXCPU):
        # A training that has begun may take its time.
        if "Ctrl-C saves" not in trial.said and " cells in " not in trial.said:
            yield "no end"
        return
    if trial.code not in (0, 1, 2, 130):
        yield f"exit code {trial.code}"
    if found := PYTHON_WORDS.search(trial.said):
        yield f"words of Python ({found[0]})"
    if trial.code and not trial.said.strip():
        yield "fails without a word"
    if "\x1b[2J" in trial.said or "\x1b[31m" in trial.said:
        yield "control characters reach the terminal"
    if trial.code == 0 and not all(stem in trial.said for stem in trial.broken):
        yield f"silent about {', '.join(trial.broken)}"
    for path in sorted(root.rglob("*")):
        if path in before or not path.is_file() or path.is_symlink():
            continue
        if ".partial" in path.name:
            yield f"left {path.relative_to(root)}"
        elif path.suffix == ".json":
            try:
                json.loads(path.read_bytes())
            except (ValueError, RecursionError):
                yield f"half-written {path.relative_to(root)}"
        elif path.suffix == ".png" and is_unreadable(path, "") and not _is_copy(path, before):
            yield f"half-written {path.relative_to(root)}"


def _is_copy(path: Path, files: set[Path]) -> bool:
    """Whether a file is a whole copy of a damaged one."""
    data = path.read_bytes()
    same_name = (file for file in files if file.name == path.name and file.is_file())
    return any(file.read_bytes() == data for file in same_name)


def fuzz(*, count: int, seed: int, limit: float = 30.0, only: str = "") -> list[Trial]:
    """Try so many cases, and return those that went wrong.

    Parameters
    ----------
    limit : float
        Seconds that a command may take.
    only : str
        The one command to try; all where it is empty.
    """
    _import_what_commands_need()
    cases = [case for case in _cases() if only in ("", case.words[0])]
    wrong = []
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "data"
        data.mkdir()
        make_data(data)
        for number in range(count):
            rng = random.Random(f"{seed} {number}")
            # Every command as often; those that import TensorFlow seldom, as each takes seconds.
            case = cases[number % len(cases)]
            if case.is_heavy and rng.random() < 0.7:
                case = rng.choice(cases)
            root = Path(scratch) / f"case_{number}"
            shutil.copytree(data, root, symlinks=True)
            trial = arrange(case, root, rng)
            run_case(trial, root, limit=limit)
            if trial.faults:
                wrong.append(trial)
                print(f"{number}: {trial.to_text()}", flush=True)
            _remove(root)
    return wrong


def _remove(root: Path) -> None:
    for path in root.rglob("*"):
        if not path.is_symlink() and path.is_dir():
            path.chmod(0o700)
    shutil.rmtree(root)


def _import_what_commands_need() -> None:
    """Import once what most commands need; nothing that starts threads, which a fork would lose."""
    import importlib.readers
    import pkgutil
    from encodings import idna, latin_1, utf_8_sig, utf_16  # noqa: F401

    import cv2
    import onnxruntime  # noqa: F401
    import pandas  # noqa: F401
    import rich.console
    import rich.progress
    import rich.table  # noqa: F401

    import blood_cell_system

    prefix = f"{blood_cell_system.__name__}."
    for module in pkgutil.walk_packages(blood_cell_system.__path__, prefix):
        if not module.name.startswith((f"{prefix}networks", f"{prefix}training")):
            with contextlib.suppress(ModuleNotFoundError):
                importlib.import_module(module.name)
    cv2.setNumThreads(0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=30.0, help="seconds a command may take")
    parser.add_argument("--only", default="", help="one command")
    options = parser.parse_args()
    found = fuzz(count=options.count, seed=options.seed, limit=options.limit, only=options.only)
    print(f"{len(found)} of {options.count} wrong")
    sys.exit(bool(found))
