"""``bloodcells models``: which trained models there are, and what they are worth."""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blood_cell_system.pipeline.installed_models import InstalledModel


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command."""
    parser.add_argument(
        "--models", type=Path, metavar="DIR", help="folder of models (default: the built-in ones)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def run(options: argparse.Namespace) -> int:
    """List the models; 1 where one of them cannot be used."""
    import json

    from blood_cell_system.pipeline.installed_models import installed_models
    from blood_cell_system.pipeline.model_slots import weights_folder

    models = installed_models(options.models or weights_folder())
    if options.json:
        print(json.dumps([model.to_json() for model in models], indent=1))
    else:
        print("\n\n".join(in_words(model) for model in models))
    return 1 if any(model.problem for model in models) else 0


def in_words(model: "InstalledModel") -> str:
    """Tell of a model in some lines."""
    from blood_cell_system.reports.report import shown_name

    lines = [f"{model.name}: {model.what}"]
    told = {
        "file": f"{shown_name(model.file)}, {model.size_bytes / 1e6:.1f} MB",
        "sha-256": model.sha256,
        "version": model.version,
        "preset": model.preset,
        "data": model.data,
        "licence": model.licence,
        "measured": "\n            ".join(_figures(model.measured)),
        "use": model.use,
        "PROBLEM": model.problem,
    }
    lines += [f"  {name:<9} {value}" for name, value in told.items() if value]
    return "\n".join(lines)


def _figures(measured: Mapping[str, Any]) -> Iterator[str]:
    """Give the figures of the test cells, or all where there are none of them, one at a time.

    What training and validation came to is left to ``--json``.
    """
    for name, value in measured.get("test", measured).items():
        if isinstance(value, Mapping) and "value" in value:
            low, high = value["interval"]
            yield f"{name} {value['value']:.3f} ({low:.3f} to {high:.3f})"
        elif not isinstance(value, Mapping):
            yield f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
