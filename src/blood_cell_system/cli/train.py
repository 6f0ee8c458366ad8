"""``bloodcells train`` and ``train_segmentation.py train``."""

import argparse
from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from blood_cell_system.cli.quiet_import import import_tensorflow
from blood_cell_system.errors import ResumeError, SettingsError

DEFAULT_PRESET = "balanced"

# Options that may differ from those of the run that is continued.
CHANGEABLE = frozenset({"epochs", "patience"})

Settings = TypeVar("Settings")


def add_shared_arguments(parser: argparse.ArgumentParser, *, sources: str, score: str) -> None:
    """Declare the options that every training has.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    sources : str
        Where the names of the laboratories are, for the help.
    score : str
        What the best model is chosen by, for the help.
    """
    parser.add_argument(
        "--preset", help=f"fast, balanced, accurate or research (default: {DEFAULT_PRESET})"
    )
    parser.add_argument("--epochs", type=int, help="default: the preset's")
    parser.add_argument(
        "--resume-from",
        type=Path,
        metavar="FILE",
        help="continue the training that wrote this model",
    )
    parser.add_argument("--log-dir", type=Path, default=Path("./logs"), metavar="DIR")
    parser.add_argument(
        "--domain-adaptation",
        action="store_true",
        dest="has_domain_adaptation",
        default=None,
        help=f"unlearn what tells laboratories apart: {sources}, or groups of stain",
    )
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--weight-decay", type=float)
    parser.add_argument(
        "--patience", type=int, help=f"epochs without a better {score}; 0: never stop"
    )
    parser.add_argument("--seed", type=int, help="default: 0")
    parser.add_argument(
        "--deterministic", action="store_true", help="the same weights to the last bit; slower"
    )


def with_asked(
    base: Settings,
    asked: Mapping[str, Any],
    *,
    resume_from: Path | None,
    changeable: Collection[str] = CHANGEABLE,
) -> Settings:
    """Change settings as asked, if that is possible.

    Parameters
    ----------
    base : dataclass
        Of the preset, or of the run that is continued.
    asked : mapping of str
        Values by the names of the settings.
    resume_from : Path or None
        What the user named as the run to continue.
    changeable : collection of str
        Settings that a continued run may change.

    Raises
    ------
    ResumeError
        A continued run is asked to be another one.
    """
    if resume_from is not None:
        for name in sorted(asked.keys() - set(changeable)):
            was = getattr(base, name)
            if asked[name] != was:
                raise ResumeError(
                    f"--resume-from {resume_from}: that training has {name} = {was}, asked "
                    f"for is {asked[name]}; only {' and '.join(sorted(changeable))} may change. "
                    "Leave the option out, or start a new training without --resume-from."
                )
    return replace(base, **asked)  # type: ignore[type-var]


def asked_for(options: object, settings: Any) -> dict[str, Any]:
    """Give the options that the user has set, as far as they are settings."""
    return {
        name: getattr(options, name)
        for name in asdict(settings)
        if getattr(options, name, None) is not None
    }


def with_tuples(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Turn lists into tuples: JSON knows no tuples."""
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()
    }


if TYPE_CHECKING:
    from blood_cell_system.training.fine_tuning import StartingPoint
    from blood_cell_system.training.presets import SegmentationSettings
    from blood_cell_system.training.state import TrainingState


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command."""
    parser.add_argument("--data-dir", type=Path, default=Path("./data/segmentation"))
    add_shared_arguments(parser, sources="sources of the manifest", score="IoU")
    parser.add_argument(
        "--batch-size", type=_batch_size, metavar="N|auto", help="default: the preset's"
    )
    parser.add_argument(
        "--init-from",
        metavar="bundled|FILE",
        help="fine-tune: begin with a trained model, the one that comes with the program or a "
        ".keras file; for 5 to 50 images of your own",
    )
    parser.add_argument(
        "--kept-share",
        type=float,
        metavar="SHARE",
        help="of --init-from: how much of that model stays (default: 0.7); 0 forgets what the new "
        "images do not show",
    )
    parser.add_argument("--checkpoint-dir", type=Path, default=Path("./checkpoints"))
    parser.add_argument("--dropout", type=float, help="share of the bottleneck's channels")
    parser.add_argument("--crops-per-epoch", type=int)
    parser.add_argument("--crop-size", type=int, dest="crop_size_px", metavar="PX")
    parser.add_argument("--d-reduced", type=int, help="width of the Reynolds bottleneck; 0: none")
    parser.add_argument(
        "--source-evenness",
        type=float,
        metavar="SHARE",
        help="of several sources: 0 shows every image as often, 1 every source, 0.5 is in "
        "proportion to the square root of a source's number of images (default: 0)",
    )
    parser.add_argument(
        "--no-instance-head", action="store_false", dest="has_instance_head", default=None
    )
    parser.add_argument(
        "--max-images", type=int, metavar="N", help="learn from N images only, drawn by seed"
    )


def run(options: argparse.Namespace) -> int:
    """Train, and tell how it goes."""
    from blood_cell_system.datasets.prepared import PreparedDataset
    from blood_cell_system.training.state import state_beside

    resume = state_beside(options.resume_from) if options.resume_from else None
    start = _starting_point(options)
    settings = resolve_settings(options, resume, start)
    dataset = PreparedDataset.open(options.data_dir)
    if options.max_images is not None:
        dataset = dataset.with_splits(settings.seed).limited(options.max_images, seed=settings.seed)
    if resume is not None and resume.epoch >= settings.epochs:
        print(
            f"This training is complete: {resume.epoch} of {settings.epochs} epochs. "
            "Ask for more with --epochs."
        )
        return 0
    import_tensorflow()
    from blood_cell_system.cli.training_progress import TrainingProgress
    from blood_cell_system.training.segmenter import train_segmenter

    with TrainingProgress(settings) as progress:
        result = train_segmenter(
            dataset,
            settings,
            checkpoint_dir=options.checkpoint_dir,
            log_dir=options.log_dir,
            resume=resume,
            listener=progress,
            is_deterministic=options.deterministic,
            start=start,
        )
    progress.tell_result(result, options.checkpoint_dir, options.log_dir)
    return 0 if result.is_complete else 130


def _starting_point(options: argparse.Namespace) -> "StartingPoint | None":
    if options.init_from is None:
        return None
    if options.resume_from is not None:
        raise SettingsError(
            "--init-from and --resume-from: expected one of them. A training that was begun with "
            "--init-from goes on with --resume-from alone."
        )
    if options.init_from == "bundled":
        from blood_cell_system.pipeline.model_slots import bundled_trainable_segmenter

        path = bundled_trainable_segmenter()
    else:
        path = Path(options.init_from)
    import_tensorflow()
    from blood_cell_system.training.fine_tuning import load_starting_point

    return load_starting_point(path)


def resolve_settings(
    options: argparse.Namespace,
    resume: "TrainingState | None",
    start: "StartingPoint | None" = None,
) -> "SegmentationSettings":
    """Take the preset's settings, or the continued run's, changed by what was asked for.

    What goes on from a trained model has the architecture of that model, whatever the preset.

    Raises
    ------
    SettingsError
        A value makes no sense.
    ResumeError
        A continued run is asked to be another one.
    """
    from blood_cell_system.training.presets import SegmentationSettings, preset_named

    if resume is None:
        base = preset_named(options.preset or DEFAULT_PRESET)
    else:
        base = SegmentationSettings(**with_tuples(resume.settings))
        if options.preset is not None:
            preset_named(options.preset)
    if start is not None:
        from blood_cell_system.training.fine_tuning import fine_tuning_settings

        base = fine_tuning_settings(start, base if options.preset else None)
    asked = asked_for(options, base)
    if start is not None:
        _check_architecture(asked, base, start)
    elif resume is None and asked.get("kept_share"):
        raise SettingsError(
            f"--kept-share {asked['kept_share']}: there is nothing to keep; expected it together "
            "with --init-from. Leave it out."
        )
    if asked.get("batch_size") == "auto":
        del asked["batch_size"]
        if resume is None:
            import_tensorflow()
            from blood_cell_system.training.segmenter import largest_batch_that_fits

            asked["batch_size"] = largest_batch_that_fits(replace(base, **asked))
    settings = with_asked(base, asked, resume_from=options.resume_from if resume else None)
    settings.check()
    return settings


def _check_architecture(
    asked: Mapping[str, Any], base: "SegmentationSettings", start: "StartingPoint"
) -> None:
    for name in ("d_reduced", "has_instance_head"):
        if name in asked and asked[name] != getattr(base, name):
            raise SettingsError(
                f"--init-from {start.path}: that model has {name} = {getattr(base, name)}, asked "
                f"for is {asked[name]}; its architecture cannot change. Leave the option out, or "
                "train anew without --init-from."
            )


def _batch_size(word: str) -> int | str:
    if word == "auto":
        return word
    try:
        return int(word)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected a number or 'auto', received {word!r}"
        ) from None


__all__ = ["add_arguments", "resolve_settings", "run"]
