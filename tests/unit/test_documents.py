"""The documents say what the program does: links, commands, names and tables."""

import ast
import importlib
import importlib.util
import json
import re
import runpy
import shlex
import sys
import textwrap
from pathlib import Path

import pytest
from support.smears import small_bccd_clone

from blood_cell_system.augmentation.augmented_folder import (
    FOLDER_AUGMENTATION,
    write_augmented_folder,
)
from blood_cell_system.cli import main as command_line
from blood_cell_system.masks.prepare_folder import prepare_voc
from blood_cell_system.training.presets import PRESETS, preset_named

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
GUIDE = ROOT / "docs" / "segmentation_training_guide.md"
MANUALS = [
    (ROOT / "docs" / name).read_text("utf-8")
    for name in (
        GUIDE.name,
        "README_SYSTEM.md",
        "QUICK_REFERENCE.md",
        "bring_your_own_images.md",
        "correcting_predictions.md",
        "watched_folder.md",
        "scans.md",
        "cluster.md",
        "commercial_use.md",
        "review.md",
        "what_to_review.md",
        "agreement.md",
        "speed.md",
    )
]
PROGRAMS = ("bloodcells", "prepare_segmentation_data.py", "train_segmentation.py")

# The guide that this project set out from promises these, word for word.
ORIGINAL_COMMANDS = (
    "python prepare_segmentation_data.py --mode bccd --input ./BCCD_Dataset"
    " --output ./data/segmentation",
    "python prepare_segmentation_data.py --mode verify --input ./data/segmentation",
    "python prepare_segmentation_data.py --mode augment --input ./data/segmentation"
    " --output ./data/segmentation_augmented --aug-factor 3",
    "python train_segmentation.py train --data-dir ./data/segmentation --preset fast"
    " --epochs 10 --batch-size 8",
    "python train_segmentation.py train --data-dir ./data/segmentation_augmented"
    " --preset balanced --epochs 50 --batch-size 8",
    "python train_segmentation.py train --data-dir ./data/segmentation_augmented"
    " --preset accurate --epochs 100 --batch-size 4",
    "python train_segmentation.py test --model checkpoints/segmentation_model_best.keras"
    " --image test_images/sample.png --output-dir ./test_results",
    "python train_segmentation.py train --data-dir ./data/segmentation --preset balanced"
    " --epochs 50 --batch-size 8",
    "python train_segmentation.py train --data-dir ./data/segmentation --preset balanced"
    " --epochs 100 --resume-from checkpoints/segmentation_model_best.keras",
    "python prepare_segmentation_data.py --mode augment --aug-factor 5",
    "python train_segmentation.py train --epochs 100",
    "python train_segmentation.py train --batch-size 4",
    "python train_segmentation.py train --preset fast",
    "python prepare_segmentation_data.py --mode verify --input ./data/segmentation_augmented",
)
ORIGINAL_OTHER_COMMANDS = (
    "git clone https://github.com/Shenggan/BCCD_Dataset.git",
    "pip install kaggle",
    "kaggle datasets download -d draaslan/blood-cell-detection-dataset",
    "unzip blood-cell-detection-dataset.zip",
    "tensorboard --logdir logs/",
)


def blocks_of(document: Path, language: str) -> list[str]:
    # Blocks within lists are indented.
    blocks = re.findall(
        rf"^( *)```{language}\n(.*?)^\1```", document.read_text("utf-8"), re.M | re.S
    )
    return [textwrap.dedent(text) for _, text in blocks]


def shell_commands(document: Path) -> list[str]:
    """Commands of shell blocks, one a string: continued lines joined, comments taken away."""
    lines = "\n".join(blocks_of(document, "bash")).replace("\\\n", " ").splitlines()
    commands, begun = [], ""
    for line in lines:
        begun += line
        try:
            words = shlex.split(begun, comments=True)
        except ValueError:
            # A quotation that goes on in the next line.
            begun += "\n"
            continue
        begun = ""
        if words:
            commands.append(shlex.join(words))
    assert not begun, f"{document}: {begun}"
    return commands


def inline_commands(document: Path) -> list[str]:
    text = re.sub(r"^```.*?^```", "", document.read_text("utf-8"), flags=re.M | re.S)
    quoted = re.findall(r"`((?:bloodcells|python \w+\.py) [^`]*)`", text)
    return [command for command in quoted if " --" in command and "--help" not in command]


def is_ours(command: str) -> bool:
    words = [word for word in shlex.split(command) if word != "python"]
    return words[0] in PROGRAMS


OUR_COMMANDS = [
    (document.name, command)
    for document in DOCUMENTS
    for command in (*shell_commands(document), *inline_commands(document))
    if is_ours(command)
]


@pytest.fixture
def parsed(monkeypatch):
    """Give the options that a command would run with; the real launchers and parsers read it."""

    def parse(command: str) -> dict:
        seen: list[dict] = []
        monkeypatch.setattr(
            command_line.Command, "invoke", lambda _, context: seen.append(context.params)
        )
        words = [word for word in shlex.split(command) if word != "python"]
        monkeypatch.setattr(sys, "argv", words)
        if words[0] == "bloodcells":
            assert command_line.main() == 0, command
        else:
            with pytest.raises(SystemExit) as ended:
                runpy.run_path(str(ROOT / words[0]), run_name="__main__")
            assert ended.value.code == 0, command
        return seen[0]

    return parse


@pytest.mark.parametrize("command", ORIGINAL_COMMANDS)
def test_a_command_of_the_original_guide_is_understood(command, parsed):
    options = parsed(command)
    if options.get("preset") is not None:
        preset_named(options["preset"])


@pytest.mark.parametrize(("document", "command"), OUR_COMMANDS)
def test_a_quoted_command_is_understood(document, command, parsed):
    options = parsed(command)
    if options.get("preset") is not None:
        preset_named(options["preset"])


def test_commands_that_are_not_understood_are_noticed(parsed):
    with pytest.raises(AssertionError):
        parsed("python prepare_segmentation_data.py --mode unheard-of")


@pytest.mark.parametrize("command", [*ORIGINAL_COMMANDS, *ORIGINAL_OTHER_COMMANDS])
def test_the_guide_has_every_command_of_the_original(command):
    assert shlex.join(shlex.split(command)) in shell_commands(GUIDE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    text = document.read_text("utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("https://", "http://")):
            continue
        name, _, anchor = target.partition("#")
        path = (document.parent / name).resolve() if name else document
        assert path.is_relative_to(ROOT), target
        assert path.is_file(), target
        if anchor:
            assert anchor in anchors_of(path), target


def anchors_of(document: Path) -> set[str]:
    """Anchors that GitHub gives to headings."""
    without_code = re.sub(r"^```.*?^```", "", document.read_text("utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.+)$", without_code, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_of_the_project_that_are_named_are_there(document):
    text = document.read_text("utf-8")
    named = re.findall(r"\b((?:tests|scripts|benchmarks|src)/[\w/.]+\.(?:py|sh))\b", text)
    assert [name for name in named if "NAME" not in name and not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_modules_that_are_named_are_there(document):
    package = ROOT / "src" / "blood_cell_system"
    rooms = "|".join(path.parent.name for path in package.glob("*/__init__.py"))
    named = re.findall(rf"(?<![\w/])(?:{rooms})/[\w/]+\.py", document.read_text("utf-8"))
    assert [name for name in named if "NAME" not in name and not (package / name).is_file()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_python_blocks_import_what_exists(document):
    for block in blocks_of(document, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("blood_cell_system"):
                # Read, not imported: that would take the seconds that TensorFlow needs.
                source = Path(importlib.util.find_spec(node.module).origin).read_text("utf-8")
                parts = ast.parse(source).body
                defined = {getattr(part, "name", None) for part in parts}
                defined |= {
                    target.id
                    for part in parts
                    if isinstance(part, ast.Assign | ast.AnnAssign)
                    for target in (part.targets if isinstance(part, ast.Assign) else [part.target])
                    if isinstance(target, ast.Name)
                }
                # The package itself gives its names when they are asked for.
                defined |= set(getattr(sys.modules.get(node.module), "__all__", ()))
                missing = {alias.name for alias in node.names} - defined
                assert not missing, f"{node.module}: {missing}"


def test_the_table_of_presets_is_that_of_the_program():
    rows = {row["Preset"].strip("*"): row for row in table_with("Crops an epoch")}
    assert list(rows) == list(PRESETS)
    for name, preset in PRESETS.items():
        assert {
            "d_reduced": preset.d_reduced,
            "Epochs": preset.epochs,
            "Batch size": preset.batch_size,
            "Crops an epoch": preset.crops_per_epoch,
            "Crop size": preset.crop_size_px,
            "Patience": preset.patience,
        } == {
            column: int(rows[name][column])
            for column in (
                "d_reduced",
                "Epochs",
                "Batch size",
                "Crops an epoch",
                "Crop size",
                "Patience",
            )
        }


def test_every_check_of_verify_is_explained():
    text = (ROOT / "docs" / "data_formats.md").read_text("utf-8")
    room = ROOT / "src" / "blood_cell_system" / "datasets" / "verify"
    modules = room.glob("*.py")
    # Names of checks are the only words with hyphens that stand alone in quotes there.
    checks = {
        name
        for module in modules
        for name in re.findall(r'"([a-z]+(?:-[a-z]+)+)"', module.read_text("utf-8"))
    }
    assert {"leak-copy", "missing-mask", "index-mask"} <= checks
    assert [name for name in sorted(checks) if f"`{name}`" not in text] == []


def test_rows_of_the_benchmark_that_are_named_are_there():
    benchmark = (ROOT / "benchmarks" / "segmentation.py").read_text("utf-8")
    known = set(re.findall(r'Row\(name="([^"]+)"', benchmark))
    for command in shell_commands(GUIDE):
        if "benchmarks/segmentation.py" in command:
            words = shlex.split(command)
            named = words[words.index("--only") + 1 :]
            assert named
            assert set(named) <= known


@pytest.mark.parametrize("name", [entry.name for entry in command_line.COMMANDS])
def test_every_option_is_in_a_manual(name):
    named = {word for text in MANUALS for word in re.findall(r"--[a-z][a-z0-9-]+", text)}
    options = {
        option
        for parameter in command_line.command_named(name).params
        for option in (*parameter.opts, *parameter.secondary_opts)
        if option.startswith("--")
    }
    assert options
    assert options - {"--quiet", "--verbose"} <= named


@pytest.mark.parametrize("name", [entry.name for entry in command_line.COMMANDS])
def test_the_examples_in_the_help_are_understood(name, parsed):
    examples = command_line.command_named(name).help.partition("\nExamples\n--------\n")[2]
    lines = examples.split("\n")
    assert lines[0].strip()
    for line in filter(str.strip, lines):
        assert line.strip().startswith(f"bloodcells {name}")
        parsed(line.strip())


def test_the_magnification_of_crops_is_that_of_the_program():
    (low, high), *others = {preset.scale_range for preset in PRESETS.values()}
    assert not others
    scale = next(row for row in table_with("In every training crop") if row["Change"] == "scale")
    assert scale["In every training crop"] == f"{low}–{high}"
    assert f"varies it by {low} to {high}" in (ROOT / "README.md").read_text("utf-8")
    low, high = FOLDER_AUGMENTATION.scale_range
    assert scale["In an augmented folder"] == f"{low}–{high}"


def fields_of(schema):
    """Every name of a property in a schema, and every word that a value may be."""
    found = set(schema.get("properties", {})) | {
        "null" if word is None else str(word) for word in schema.get("enum", ())
    }
    for part in (*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()):
        found |= fields_of(part)
    return found | fields_of(schema["items"]) if "items" in schema else found


def test_every_field_of_a_report_is_explained():
    schema = json.loads((ROOT / "docs" / "report_schema.json").read_text("utf-8"))
    text = (ROOT / "docs" / "data_formats.md").read_text("utf-8")
    fields = fields_of(schema) - {"two-sides", "warning"}
    assert {"cell_id", "interval_95", "not_counted", "magnification_applied"} <= fields
    assert [field for field in sorted(fields) if f"`{field}`" not in text] == []


def table_with(column: str) -> list[dict[str, str]]:
    """Rows of the guide's first table that has a column."""
    lines = GUIDE.read_text("utf-8").splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("|") and column in line)
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    names, _, *values = rows
    return [dict(zip(names, row, strict=True)) for row in values]


@pytest.fixture(scope="module")
def written_json(tmp_path_factory):
    """What preparing and augmenting write."""
    root = tmp_path_factory.mktemp("documents")
    small_bccd_clone(root / "clone", count=4)
    prepare_voc(root / "clone", root / "prepared", jobs=1)
    write_augmented_folder(root / "prepared", root / "augmented", copies=1)
    return [
        json.loads((root / folder / name).read_text("utf-8"))
        for folder in ("prepared", "augmented")
        for name in ("manifest.json", "annotations.json")
    ]


def test_every_field_of_a_prepared_folder_is_explained(written_json):
    text = (ROOT / "docs" / "data_formats.md").read_text("utf-8")
    fields = {key for value in written_json for key in value}
    for value in written_json:
        rows = value["images"] if isinstance(value["images"], list) else []
        cells = [] if rows else [cell for cells in value["images"].values() for cell in cells]
        fields |= {key for row in (*rows, *cells) for key in row}
    assert {"stem", "bbox", "source_hash", "source_details"} <= fields
    assert [field for field in sorted(fields) if f"`{field}`" not in text] == []


def test_extras_are_installed_in_one_way():
    files = [*(ROOT / "src").rglob("*.py"), ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    files += (ROOT / "docs").rglob("*.ipynb")
    hints = [
        (file.name, hint)
        for file in files
        for hint in re.findall(r"pip install [^`\n]*?\[[^`\n]*", file.read_text("utf-8"))
        if "--constraint" not in hint and ".whl" not in hint
    ]
    wrong = [one for one in hints if not one[1].startswith("pip install 'blood-cell-system[")]
    assert hints
    assert not wrong
