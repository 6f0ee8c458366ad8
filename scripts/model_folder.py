"""Writes the bundled models as a folder that a hub of models takes, with a card.

``README.md`` begins with the card's YAML; ``config.json`` has the metadata and the SHA-256 of each
model. ``bloodcells analyze --models DIR`` uses the folder as it is:

    python scripts/model_folder.py --output dist/models
"""

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import yaml

import blood_cell_system
from blood_cell_system.analysis.opened_networks import read_metadata
from blood_cell_system.pipeline.installed_models import InstalledModel, installed_models
from blood_cell_system.pipeline.model_slots import weights_folder
from blood_cell_system.reports.report import DISCLAIMER

FACTS = {
    "library_name": "onnx",
    "pipeline_tag": "image-segmentation",
    "tags": [
        "blood smear",
        "cell segmentation",
        "cell classification",
        "haematology",
        "microscopy",
    ],
}
USE = """## Use

```bash
pip install blood-cell-system
bloodcells analyze images --output-dir results --models FOLDER
```

FOLDER is this folder."""


def front_matter(models: list[InstalledModel]) -> dict[str, Any]:
    """Facts of the card for programs; commercial use only where all models allow it."""
    use = "commercial-use-naming-sources"
    if not all(model.is_commercial for model in models):
        use = "research-use"
    licence = {"license": "other", "license_name": use}
    return {**FACTS, **licence, "version": blood_cell_system.__version__}


def card_of(models: list[InstalledModel], cards: list[str]) -> str:
    """Lay the card out: facts, models with their licences, how to use them, and their own cards."""
    rows = [
        f"| `{Path(model.file).name}` | {model.what} | {model.licence or 'not stated'} |"
        for model in models
    ]
    table = "\n".join(["| File | What it does | Licence |", "|---|---|---|", *rows])
    title = f"# blood-cell-system {blood_cell_system.__version__}: models\n\n{DISCLAIMER}"
    facts = yaml.safe_dump(front_matter(models), sort_keys=False, allow_unicode=True)
    return "\n\n".join([f"---\n{facts}---", title, table, USE, *cards]) + "\n"


def write_model_folder(source: Path, target: Path) -> list[InstalledModel]:
    """Copy the ONNX models of a folder with their cards into a new one.

    Raises
    ------
    SystemExit
        A model cannot be used, or the new folder is not empty.
    BloodCellError
        There are no models.
    """
    models = [model for model in installed_models(source) if model.file.endswith(".onnx")]
    if damaged := [f"{model.file}: {model.problem}" for model in models if model.problem]:
        sys.exit("\n".join(damaged))
    if target.exists() and any(target.iterdir()):
        sys.exit(f"{target}: is not empty; expected a new folder. Choose another.")
    target.mkdir(parents=True, exist_ok=True)
    config = {}
    for model in models:
        path = Path(model.file)
        shutil.copy(path, target / path.name)
        metadata = read_metadata(path)
        config[path.name] = {
            "sha256": model.sha256,
            "metadata": metadata.to_json() if metadata else None,
        }
    text = json.dumps({"models": config}, indent=1, sort_keys=True, ensure_ascii=False)
    (target / "config.json").write_text(text + "\n", encoding="utf-8")
    cards = [path.read_text("utf-8").strip() for path in sorted(source.glob("*CARD*.md"))]
    (target / "README.md").write_text(card_of(models, cards), encoding="utf-8")
    return models


def main() -> int:
    """Write the folder that the options name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--models", type=Path, metavar="DIR", help="In place of the bundled ones.")
    options = parser.parse_args()
    models = write_model_folder(options.models or weights_folder(), options.output)
    print(f"{options.output}: {len(models)} models, config.json and README.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
