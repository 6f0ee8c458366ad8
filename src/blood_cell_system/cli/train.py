"""``bloodcells train``, ``train_segmentation.py train`` and ``bloodcells train-classifier``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar

import typer

from blood_cell_system.cli.options import (
    DEFAULT_PRESET,
    KIND_HELP,
    SEGMENTATION_DIR,
    BlockPattern,
    CellDir,
    Classes,
    Epochs,
    LearningRate,
    Preset,
    SegmentationDir,
    architecture_option,
    argument,
    named_options,
    option,
    refuse_among_images,
)
from blood_cell_system.errors import ResumeError, SettingsError
from blood_cell_system.quiet_import import import_tensorflow
from blood_cell_system.taxonomy import Taxonomy
from blood_cell_system.wording import counted

if TYPE_CHECKING:
    from blood_cell_system.model_metadata import ClassifierKind
    from blood_cell_system.training.fine_tuning import StartingPoint
    from blood_cell_system.training.presets import ClassifierSettings, SegmentationSettings
    from blood_cell_system.training.state import TrainingState

# Options that may differ from those of the run that is continued.
CHANGEABLE: Final = frozenset({"epochs", "patience"})

_OF_FINE_TUNING: Final = frozenset(
    {"ctx", "name", "data_dir", "classes", "init_from", "output_dir", "log_dir", "block_pattern"}
    | {"seed", "quiet", "verbose"}
)
"""Options of a classifier's training that fine-tuning has as well."""

Settings = TypeVar("Settings")


def number_or(*words: str) -> Callable[[str], int | str]:
    """Make what reads a number, or one of some words."""

    def read(value: str) -> int | str:
        try:
            return value if value in words else int(value)
        except ValueError:
            known = " or ".join(map(repr, words))
            raise typer.BadParameter(f"expected a number or {known}, received {value!r}") from None

    return read


ResumeFrom = Annotated[
    Path | None, option("--resume-from FILE", "Continue the training that wrote this model.")
]
LogDir = Annotated[Path, option("--log-dir DIR", "Logs for TensorBoard.")]
DomainAdaptation = Annotated[
    bool | None,
    option(
        "--domain-adaptation",
        "Unlearn what distinguishes laboratories: the sources of the folder, or groups of stain.",
    ),
]
WeightDecay = Annotated[float | None, option("--weight-decay X")]
Patience = Annotated[
    int | None, option("--patience N", "Epochs without a better validation score; 0: never stop.")
]
Seed = Annotated[int | None, option("--seed N", default="0")]
Deterministic = Annotated[
    bool, option("--deterministic", "The same weights to the last bit; slower.")
]
TrainingPrecision = Annotated[
    Literal["f32", "bf16", "f16"] | None,
    option(
        "--precision",
        "In what the network that learns is computed; the model that is saved is float32.",
        default="f32",
    ),
]
Devices = Annotated[
    str,
    option(
        "--devices auto|cpu|N",
        "GPUs that share the batches; auto: all, or the processor where there is none.",
        parser=number_or("auto", "cpu"),
    ),
]
Width = Annotated[int | None, option("--d-reduced N", "Width of the Reynolds bottleneck; 0: none.")]


def train(
    *,
    ctx: typer.Context,
    data_dir: SegmentationDir = SEGMENTATION_DIR,
    preset: Preset = None,
    epochs: Epochs = None,
    batch_size: Annotated[
        str | None,
        option("--batch-size N|auto", "auto: the largest that fits.", parser=number_or("auto")),
    ] = None,
    resume_from: ResumeFrom = None,
    init_from: Annotated[
        str | None,
        option(
            "--init-from bundled|FILE",
            "Fine-tune: begin with a trained model, the one that comes with the "
            "program or a .keras file; for 5 to 50 images of your own.",
        ),
    ] = None,
    kept_share: Annotated[
        float | None,
        option(
            "--kept-share SHARE",
            "With --init-from: how much of that model stays; 0 forgets what the new"
            " images do not show.",
            default="0.7",
        ),
    ] = None,
    checkpoint_dir: Annotated[
        Path, option("-o --output-dir --checkpoint-dir DIR", "Where the model goes.")
    ] = Path("./checkpoints"),
    log_dir: LogDir = Path("./logs"),
    crops_per_epoch: Annotated[int | None, option("--crops-per-epoch N")] = None,
    crop_size_px: Annotated[
        int | None, option("--crop-size PX", "Side of a training crop.")
    ] = None,
    architecture: Annotated[str | None, architecture_option("reynolds_unet")] = None,
    d_reduced: Width = None,
    learning_rate: LearningRate = None,
    weight_decay: WeightDecay = None,
    dropout: Annotated[
        float | None, option("--dropout SHARE", "Share of the bottleneck's channels.")
    ] = None,
    patience: Patience = None,
    has_instance_head: Annotated[
        bool | None,
        option("/--no-instance-head", "Learn the classes of pixels alone, no centres of cells."),
    ] = None,
    has_domain_adaptation: DomainAdaptation = None,
    source_evenness: Annotated[
        float | None,
        option(
            "--source-evenness SHARE",
            "With several sources: 0 shows every image as often, 1 every source, "
            "0.5 is in proportion to the square root of a source's number of "
            "images.",
            default="0",
        ),
    ] = None,
    max_images: Annotated[
        int | None, option("--max-images N", "Learn from N images only, drawn by seed.")
    ] = None,
    seed: Seed = None,
    deterministic: Deterministic = False,
    precision: TrainingPrecision = None,
    devices: Devices = "auto",
) -> int:
    """Train the segmenter, or fine-tune one.

    What is not given is the preset's. Ctrl-C saves; --resume-from goes on.

    Examples
    --------
    bloodcells train --data-dir data/segmentation --preset fast
    bloodcells train --data-dir data/mine --init-from bundled --checkpoint-dir runs/mine
    bloodcells train --resume-from checkpoints/segmentation_model_best.keras --epochs 100
    """
    from blood_cell_system.datasets.prepared import PreparedDataset
    from blood_cell_system.training.state import state_beside

    resume = state_beside(resume_from) if resume_from else None
    found = _devices(devices)
    start = _starting_point(init_from, resume_from)
    settings = resolve_settings(ctx.params, resume, start)
    refuse_among_images(data_dir, checkpoint_dir=checkpoint_dir, log_dir=log_dir)
    dataset = PreparedDataset.open(data_dir)
    if max_images is not None:
        dataset = dataset.with_splits(settings.seed).limited(max_images, seed=settings.seed)
    if resume is not None and resume.epoch >= settings.epochs:
        print(
            f"This training is complete: {resume.epoch} of {settings.epochs} epochs. "
            "Ask for more with --epochs."
        )
        return 0
    import_tensorflow()
    from blood_cell_system.cli.training_progress import TrainingProgress
    from blood_cell_system.training.segmenter_training import train_segmenter

    with TrainingProgress(settings) as progress:
        result = train_segmenter(
            dataset,
            settings,
            checkpoint_dir=checkpoint_dir,
            log_dir=log_dir,
            resume=resume,
            listener=progress,
            is_deterministic=deterministic,
            start=start,
            devices=found,
        )
    progress.report_result(result, checkpoint_dir, log_dir)
    return 0 if result.is_complete else 130


def train_classifier(
    *,
    ctx: typer.Context,
    name: Annotated[str, argument("KIND", KIND_HELP)],
    data_dir: CellDir = None,
    sources: Annotated[
        str | None,
        option(
            "--sources NAMES",
            "Learn from these data sets of the folder only, with commas between; permissive: those "
            "whose licence allows commercial use.",
            default="all",
        ),
    ] = None,
    classes: Classes = None,
    preset: Preset = None,
    epochs: Epochs = None,
    batch_size: Annotated[int | None, option("--batch-size N")] = None,
    resume_from: ResumeFrom = None,
    init_from: Annotated[
        str | None,
        option(
            "--init-from FILE",
            "Fine-tune this .keras classifier, or the built-in one (bundled), on 20 cells or more: "
            "it keeps what it knows, and classes are added. Takes a minute; only --seed and "
            "--block-pattern apply.",
        ),
    ] = None,
    output_dir: Annotated[Path, option("-o --output-dir DIR", "Where the model goes.")] = Path(
        "./models"
    ),
    log_dir: LogDir = Path("./logs"),
    architecture: Annotated[str | None, architecture_option("cell_resnet")] = None,
    cells_per_epoch: Annotated[int | None, option("--cells-per-epoch N")] = None,
    d_reduced: Width = None,
    learning_rate: LearningRate = None,
    weight_decay: WeightDecay = None,
    dropout: Annotated[float | None, option("--dropout SHARE")] = None,
    label_smoothing: Annotated[float | None, option("--label-smoothing SHARE")] = None,
    patience: Patience = None,
    has_stain_augmentation: Annotated[
        bool | None, option("/--no-stain-augmentation", "Keep the colours as they are.")
    ] = None,
    has_domain_adaptation: DomainAdaptation = None,
    block_pattern: BlockPattern = None,
    seed: Seed = None,
    deterministic: Deterministic = False,
    precision: TrainingPrecision = None,
    devices: Devices = "auto",
) -> int:
    """Train a classifier of red or white cells, or of a type of your own.

    What is not given is the preset's. Ctrl-C saves; --resume-from goes on.

    Examples
    --------
    bloodcells train-classifier rbc --data-dir data/cells_rbc --preset balanced
    bloodcells train-classifier wbc --init-from bundled --data-dir my_cells
    """
    from blood_cell_system.datasets.cell_folder import CellFolder, kind_of_folder
    from blood_cell_system.imaging.image_folders import refuse_output_within
    from blood_cell_system.training.state import classifier_files, state_beside

    data_dir = data_dir or Path(f"./data/cells_{name.lower()}")
    refuse_output_within(output_dir, data_dir, option="--output-dir")
    refuse_output_within(log_dir, data_dir, option="--log-dir")
    kind = kind_of_folder(data_dir, name, Taxonomy.read(classes) if classes else None)

    if init_from is not None:
        if named := named_options(ctx, *sorted(ctx.params.keys() - _OF_FINE_TUNING)):
            raise SettingsError(
                f"--init-from: only the heads of the classifier are fitted; expected no "
                f"{', '.join(named)}. Leave it out, or train anew without --init-from."
            )
        fine_tune_classifier_of(
            name,
            data_dir,
            kind=kind,
            init_from=init_from,
            block_pattern=block_pattern,
            target=output_dir,
            seed=seed or 0,
        )
        return 0
    resume = state_beside(resume_from, classifier_files(kind)) if resume_from else None
    settings = resolve_classifier_settings(ctx.params, resume)
    found = _devices(devices)
    folder = CellFolder.open(
        data_dir,
        kind=kind,
        block_pattern=block_pattern,
        seed=settings.seed,
    )
    if sources is not None:
        folder = folder.of_sources(_sources_named(sources, folder.sources))
    print(folder.to_text())
    import_tensorflow()
    from blood_cell_system.cli.training_progress import ClassifierProgress
    from blood_cell_system.pipeline.classifier_training import train_classifier_files

    with ClassifierProgress(settings) as progress:
        trained = train_classifier_files(
            folder,
            settings,
            output_dir=output_dir,
            log_dir=log_dir,
            resume=resume,
            listener=progress,
            is_deterministic=deterministic,
            devices=found,
            report=progress.say,
        )
    progress.report_result(trained, output_dir, log_dir, kind=kind)
    return 0 if trained.is_complete else 130


def _devices(wanted: int | str) -> Sequence[str] | None:
    """Give the devices that the user asks for, and hide the others before anything runs there."""
    if wanted == "auto":
        return None
    import_tensorflow()
    from blood_cell_system.training.devices import find_devices

    return find_devices(wanted)


def _sources_named(words: str, present: Sequence[str]) -> set[str]:
    """Read ``--sources``: names, or the word for all of a folder that allow commercial use."""
    from blood_cell_system.datasets.source_licences import PERMISSIVE, permissive_sources

    if words != PERMISSIVE:
        return {name.strip() for name in words.split(",")}
    if not (names := {*permissive_sources()} & {*present}):
        raise SettingsError(
            f"--sources {PERMISSIVE}: the folder has cells of {', '.join(present)}; expected "
            f"one of {', '.join(permissive_sources())}. Name sources of your own that you may use."
        )
    return names


def fine_tune_classifier_of(
    name: str,
    data_dir: Path,
    *,
    target: Path,
    seed: int,
    kind: "ClassifierKind | None" = None,
    init_from: str = "bundled",
    block_pattern: str | None = None,
) -> None:
    """Fine-tune a classifier on a cell folder, and print its figures before and after."""
    from blood_cell_system.datasets.cell_folder import CellFolder, kind_of_folder
    from blood_cell_system.pipeline.model_slots import bundled_trainable

    kind = kind or kind_of_folder(data_dir, name)
    folder = CellFolder.open(data_dir, kind=kind, block_pattern=block_pattern, seed=seed)
    print(folder.to_text())
    path = bundled_trainable(kind) if init_from == "bundled" else Path(init_from)
    import_tensorflow()
    from blood_cell_system.pipeline.classifier_training import (
        ClassifierFiles,
        fine_tune_classifier_files,
    )
    from blood_cell_system.training.classifier_fine_tuning import load_classifier_start

    start = load_classifier_start(path, kind)
    tuned = fine_tune_classifier_files(start, folder, output_dir=target, seed=seed)
    for one in tuned.figures:
        print(
            f"{one.output} of {counted(one.cells, 'cell')} on "
            f"{counted(one.slides, 'held-out slide')}: macro F1 "
            f"{one.before} before, {one.after} after; gain {one.gain}"
        )
    for note in tuned.notes:
        print(note)
    files = ClassifierFiles.within(target, kind)
    print(f"Model:  {files.onnx} and {files.keras} with {files.metadata.name}")


def resolve_settings(
    options: Mapping[str, Any],
    resume: "TrainingState | None" = None,
    start: "StartingPoint | None" = None,
) -> "SegmentationSettings":
    """Take the preset's settings, or the continued run's, changed by the options.

    A training that begins with a trained model has the architecture of that model, whatever the
    preset.

    Raises
    ------
    SettingsError
        A value makes no sense.
    ResumeError
        The options make a continued run another one.
    """
    from blood_cell_system.training.presets import preset_named

    base = _base(preset_named, options, resume)
    if start is not None:
        from blood_cell_system.training.fine_tuning import fine_tuning_settings

        base = fine_tuning_settings(start, base if options["preset"] else None)
    changes = _changes(options, base)
    if start is not None:
        _check_architecture(changes, base, start)
    elif resume is None and changes.get("kept_share"):
        raise SettingsError(
            f"--kept-share {changes['kept_share']}: there is nothing to keep; expected it together "
            "with --init-from. Leave it out."
        )
    if changes.get("batch_size") == "auto":
        del changes["batch_size"]
        if resume is None:
            import_tensorflow()
            from blood_cell_system.training.segmenter_training import largest_batch_that_fits

            changes["batch_size"] = largest_batch_that_fits(replace(base, **changes))
    settings = _changed(base, changes, resume_from=options["resume_from"] if resume else None)
    settings.check()
    return settings


def resolve_classifier_settings(
    options: Mapping[str, Any], resume: "TrainingState | None" = None
) -> "ClassifierSettings":
    """Take the preset's settings, or the continued run's, changed by the options.

    Raises
    ------
    SettingsError
        A value makes no sense.
    ResumeError
        The options make a continued run another one.
    """
    from blood_cell_system.training.presets import classifier_preset_named

    base = _base(classifier_preset_named, options, resume)
    settings = _changed(
        base, _changes(options, base), resume_from=options["resume_from"] if resume else None
    )
    settings.check()
    return settings


def _base(
    preset: Callable[[str], Settings], options: Mapping[str, Any], resume: "TrainingState | None"
) -> Settings:
    """Give the settings of the preset, or of the run that is continued."""
    base = preset(options["preset"] or DEFAULT_PRESET)
    if resume is None:
        return base
    # JSON knows no tuples.
    values = {n: tuple(v) if isinstance(v, list) else v for n, v in resume.settings.items()}
    try:
        return type(base)(**values)
    except (TypeError, ValueError) as error:
        raise ResumeError(
            f"--resume-from {options['resume_from']}: the settings in its state are not those of "
            f"such a training, or damaged ({error}). Start anew."
        ) from error


def _changes(options: Mapping[str, Any], settings: Any) -> dict[str, Any]:
    """Give the options that the user has set, as far as they are settings."""
    return {name: options[name] for name in asdict(settings) if options.get(name) is not None}


def _changed(base: Settings, changes: Mapping[str, Any], *, resume_from: Path | None) -> Settings:
    if resume_from is not None:
        for name in sorted(changes.keys() - CHANGEABLE):
            was = getattr(base, name)
            if changes[name] != was:
                raise ResumeError(
                    f"--resume-from {resume_from}: that training has {name} = {was}, not "
                    f"{changes[name]}; only {' and '.join(sorted(CHANGEABLE))} may change. "
                    "Leave the option out, or start a new training without --resume-from."
                )
    return replace(base, **changes)  # type: ignore[type-var]


def _starting_point(init_from: str | None, resume_from: Path | None) -> "StartingPoint | None":
    if init_from is None:
        return None
    if resume_from is not None:
        raise SettingsError(
            "--init-from and --resume-from: expected one of them. A training that was begun with "
            "--init-from goes on with --resume-from alone."
        )
    from blood_cell_system.pipeline.model_slots import bundled_trainable

    path = bundled_trainable() if init_from == "bundled" else Path(init_from)
    import_tensorflow()
    from blood_cell_system.training.fine_tuning import load_starting_point

    return load_starting_point(path)


def _check_architecture(
    changes: Mapping[str, Any], base: "SegmentationSettings", start: "StartingPoint"
) -> None:
    for name in ("architecture", "d_reduced", "has_instance_head"):
        if name in changes and changes[name] != getattr(base, name):
            raise SettingsError(
                f"--init-from {start.path}: that model has {name} = {getattr(base, name)}, not "
                f"{changes[name]}; its architecture cannot change. Leave the option out, or "
                "train anew without --init-from."
            )
