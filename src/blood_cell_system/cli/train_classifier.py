"""``bloodcells train-classifier``: a classifier from a folder of cells."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from blood_cell_system.cli.quiet_import import import_tensorflow
from blood_cell_system.cli.train import (
    DEFAULT_PRESET,
    add_shared_arguments,
    asked_for,
    with_asked,
    with_tuples,
)
from blood_cell_system.model_metadata import ClassifierKind

if TYPE_CHECKING:
    from blood_cell_system.training.presets import ClassifierSettings
    from blood_cell_system.training.state import TrainingState


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command."""
    parser.add_argument(
        "kind", choices=[str(kind) for kind in ClassifierKind], help="red or white cells"
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="folder of cells, as bloodcells crops writes it (default: ./data/cells_KIND)",
    )
    add_shared_arguments(parser, sources="the sources of cells.csv", score="score")
    parser.add_argument("--output-dir", type=Path, default=Path("./models"), metavar="DIR")
    parser.add_argument("--batch-size", type=int, help="default: the preset's")
    parser.add_argument("--cells-per-epoch", type=int, help="default: the preset's")
    parser.add_argument("--d-reduced", type=int, help="width of the Reynolds operator; 0: none")
    parser.add_argument(
        "--no-stain-augmentation",
        action="store_false",
        dest="has_stain_augmentation",
        default=None,
    )
    parser.add_argument("--dropout", type=float)
    parser.add_argument("--label-smoothing", type=float)
    parser.add_argument(
        "--block-pattern",
        metavar="REGEX",
        help="finds the slide in a file name, where no cells.csv says it",
    )


def run(options: argparse.Namespace) -> int:
    """Train, and tell how it goes."""
    from blood_cell_system.datasets.cell_folder import CellFolder

    kind = ClassifierKind(options.kind)
    resume = _state_of(options.resume_from, kind) if options.resume_from else None
    settings = resolve_settings(options, resume)
    folder = CellFolder.open(
        options.data_dir or Path(f"./data/cells_{kind}"),
        kind=kind,
        block_pattern=options.block_pattern,
        seed=settings.seed,
    )
    print(folder.to_text())
    import_tensorflow()
    from blood_cell_system.cli.training_progress import ClassifierProgress
    from blood_cell_system.pipeline.classifier_training import train_classifier_files

    with ClassifierProgress(settings) as progress:
        trained = train_classifier_files(
            folder,
            settings,
            output_dir=options.output_dir,
            log_dir=options.log_dir,
            resume=resume,
            listener=progress,
            is_deterministic=options.deterministic,
            tell=progress.console.print,
        )
    progress.tell_result(trained, options.output_dir, options.log_dir, kind=kind)
    return 0 if trained.is_complete else 130


def resolve_settings(
    options: argparse.Namespace, resume: "TrainingState | None"
) -> "ClassifierSettings":
    """Take the preset's settings, or the continued run's, changed by what was asked for.

    Raises
    ------
    SettingsError
        A value makes no sense.
    ResumeError
        A continued run is asked to be another one.
    """
    from blood_cell_system.training.presets import (
        ClassifierSettings,
        classifier_preset_named,
    )

    base = classifier_preset_named(options.preset or DEFAULT_PRESET)
    if resume is not None:
        base = ClassifierSettings(**with_tuples(resume.settings))
    settings = with_asked(
        base,
        asked_for(options, base),
        resume_from=options.resume_from if resume else None,
    )
    settings.check()
    return settings


def _state_of(model_path: Path, kind: ClassifierKind) -> "TrainingState":
    from blood_cell_system.training.state import classifier_files, state_beside

    return state_beside(model_path, classifier_files(kind))
