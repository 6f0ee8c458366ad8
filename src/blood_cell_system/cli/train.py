"""``bloodcells train`` and ``train_segmentation.py train``."""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blood_cell_system.cli.quiet_import import import_tensorflow
from blood_cell_system.cli.training_options import (
    DEFAULT_PRESET,
    add_shared_arguments,
    asked_for,
    with_asked,
    with_tuples,
)
from blood_cell_system.errors import SettingsError

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
        ".keras file; for 5 to 50 pictures of your own",
    )
    parser.add_argument(
        "--kept-share",
        type=float,
        metavar="SHARE",
        help="of --init-from: how much of that model stays (default: 0.7); 0 forgets what the new "
        "pictures do not show",
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
        help="of several sources: 0 shows every picture as often, 1 every source, 0.5 is in "
        "proportion to the square root of a source's number of pictures (default: 0)",
    )
    parser.add_argument(
        "--no-instance-head", action="store_false", dest="has_instance_head", default=None
    )
    parser.add_argument(
        "--max-pictures", type=int, metavar="N", help="learn from N pictures only, drawn by seed"
    )


def run(options: argparse.Namespace) -> int:
    """Train, and tell how it goes."""
    from blood_cell_system.datasets.prepared import PreparedDataset
    from blood_cell_system.training.state import state_beside

    resume = state_beside(options.resume_from) if options.resume_from else None
    start = _starting_point(options)
    settings = resolve_settings(options, resume, start)
    dataset = PreparedDataset.open(options.data_dir)
    if options.max_pictures is not None:
        dataset = dataset.with_splits(settings.seed).limited(
            options.max_pictures, seed=settings.seed
        )
    if resume is not None and resume.epoch >= settings.epochs:
        print(
            f"This training is complete: {resume.epoch} of {settings.epochs} epochs. "
            "Ask for more with --epochs."
        )
        return 0
    import_tensorflow()
    from blood_cell_system.cli.training_progress import TrainingProgress
    from blood_cell_system.training.segmentation import train_segmenter

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
        from blood_cell_system.pipeline.weights import bundled_trainable_segmenter

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
            from blood_cell_system.training.memory import largest_batch_that_fits

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
