"""``bloodcells models`` and ``quantize``: what installed models are worth, and one of 8 bits."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from blood_cell_system.annotation.splits import Split
from blood_cell_system.cli.options import CommercialOnly, SplitName, option, seed_in_range, within

if TYPE_CHECKING:
    from blood_cell_system.pipeline.installed_models import InstalledModel


def models(
    *,
    models: Annotated[
        Path | None, option("--models DIR", "Folder of models.", default="the built-in ones")
    ] = None,
    details: Annotated[
        bool, option("--details", "Also the checksum, the data and every measured figure.")
    ] = False,
    commercial_only: CommercialOnly = False,
    json: Annotated[bool, option("--json", "Print JSON, for programs.")] = False,
) -> int:
    """List the installed models; exit code 1 where one of them cannot be used.

    Examples
    --------
    bloodcells models
    bloodcells models --details --models models/
    bloodcells models --commercial-only --models models/
    """
    from json import dumps

    from blood_cell_system.pipeline.installed_models import NO_COMMERCIAL, installed_models
    from blood_cell_system.pipeline.model_slots import weights_folder

    folder = models or weights_folder()
    found = installed_models(folder)
    if commercial_only:
        found = tuple(model for model in found if model.is_commercial)
        if not found:
            from blood_cell_system.errors import MissingDataError

            raise MissingDataError(f"{folder}: {NO_COMMERCIAL}")
    if json:
        print(dumps([model.to_json() for model in found], indent=1))
    elif details:
        print("\n\n".join(in_words(model) for model in found))
    else:
        print(_short_list(folder, found))
    return 1 if any(model.problem for model in found) else 0


def _short_list(folder: Path, models: Sequence["InstalledModel"]) -> str:
    """List the models of a folder on one screen."""
    from blood_cell_system.reports.report import DISCLAIMER, shown_name

    lines = [f"{shown_name(str(folder))}:"]
    for name, group in groupby(models, key=lambda model: model.name):
        files = list(group)
        lines.append(f"{name}: {files[0].what}")
        for model in files:
            facts = [
                f"{model.size_bytes / 1e6:.1f} MB",
                f"version {model.version}" if model.version else "",
                f"preset {model.preset}" if model.preset else "",
                "commercial use" if model.is_commercial else "",
                f"PROBLEM: {model.problem}" if model.problem else "",
            ]
            file = shown_name(Path(model.file).name)
            lines.append(f"  {file}  {', '.join(fact for fact in facts if fact)}")
    lines.append(f"Licences, data and measured figures: bloodcells models --details. {DISCLAIMER}")
    return "\n".join(lines)


def in_words(model: "InstalledModel") -> str:
    """Describe a model in full."""
    from blood_cell_system.reports.report import shown_name

    lines = [f"{model.name}: {model.what}"]
    facts = {
        "file": f"{shown_name(str(model.file))}, {model.size_bytes / 1e6:.1f} MB",
        "sha-256": model.sha256,
        "version": model.version,
        "preset": model.preset,
        "data": model.data,
        "licence": model.licence,
        "research": "only, because of " + "; ".join(model.sources_against)
        if model.sources_against
        else "",
        "measured": "\n            ".join(_figures(model.measured)),
        "elsewhere": "\n            ".join(_elsewhere(model)),
        "use": model.use,
        "PROBLEM": model.problem,
    }
    lines += [f"  {name:<9} {value}" for name, value in facts.items() if value]
    return "\n".join(lines)


def _elsewhere(model: "InstalledModel") -> Iterator[str]:
    """Say of each class how well it is told in laboratories never seen."""
    for name, known in model.validation.items():
        aurocs = ", ".join(f"{value:.2f}" for value in known.aurocs)
        yield f"{name}: {known.standing}" + (f", AUROC {aurocs}" if aurocs else "")


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


def quantize(
    *,
    model: Annotated[Path, option("--model FILE", "Segmenter or classifier, .onnx.")],
    data_dir: Annotated[
        Path,
        option("--data-dir DIR", "Prepared folder for a segmenter, cells for a classifier."),
    ],
    split: SplitName = Split.TEST,
    calibration: Annotated[
        int,
        option(
            "--calibration N",
            "Training images, or cells, that ranges are taken from.",
            parser=within(int, 1, 100_000),
        ),
    ] = 24,
    measured: Annotated[
        int,
        option(
            "--measured N",
            "Images, or cells, that figures are measured on, at most.",
            parser=within(int, 1, 1_000_000),
        ),
    ] = 2000,
    seed: Annotated[
        int, option("--seed N", "Decides which ones are taken.", parser=seed_in_range)
    ] = 0,
) -> int:
    """Write a model of 8 bits beside a model, which analyze --precision int8 runs.

    The figures of both are compared on a split. Where one falls by more than its bound, more
    layers stay in float32; where that does not help, nothing is written, and the exit code is 1.

    Examples
    --------
    bloodcells quantize --model models/segmentation_model.onnx --data-dir data/segmentation
    bloodcells quantize --model models/rbc_classifier.onnx --data-dir data/cells_rbc
    """
    from blood_cell_system.analysis.opened_networks import int8_file
    from blood_cell_system.atomic_files import write_bytes
    from blood_cell_system.errors import SettingsError
    from blood_cell_system.pipeline.precision_gate import GateSettings, quantise

    if model.suffix.lower() != ".onnx":
        raise SettingsError(
            f"{model}: expected an .onnx file. Write one first: bloodcells export --model {model}"
        )
    settings = GateSettings(calibration=calibration, measured=measured, split=split, seed=seed)
    made = quantise(model, data_dir, settings=settings)
    output = int8_file(model)
    write_bytes(output, made.data)
    print(f"Measured on {made.record.measured_on}:")
    for name, fall in made.record.falls.items():
        print(f"  {name:32s} worse by {fall:+.4f}, at most {made.record.bounds[name]}")
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB, in float32 {made.record.kept}")
    return 0
