"""``bloodcells evaluate`` and ``evaluate-classifier``: how good a model is on a split."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from blood_cell_system.annotation.splits import Split
from blood_cell_system.cli.options import (
    DEFAULT_PRESET,
    SEGMENTATION_DIR,
    SEGMENTER_FILE,
    BlockPattern,
    CellDiameter,
    CellDir,
    Classes,
    Epochs,
    Kind,
    LearningRate,
    Preset,
    SegmentationDir,
    Segmenter,
    SplitName,
    Views,
    architecture_option,
    given,
    option,
    refuse_among_images,
    seed_in_range,
)

if TYPE_CHECKING:
    from blood_cell_system.datasets.cell_folder import CellFolder
    from blood_cell_system.training.presets import ClassifierSettings

_Seed = Annotated[
    int,
    option(
        "--seed N",
        "For the split of a folder that has none (the training's seed), and the intervals.",
        parser=seed_in_range,
    ),
]


def evaluate(
    *,
    model: Segmenter = SEGMENTER_FILE,
    data_dir: SegmentationDir = SEGMENTATION_DIR,
    split: SplitName = Split.TEST,
    json: Annotated[Path | None, option("--json FILE", "Write every number there.")] = None,
    contact_sheet: Annotated[
        Path | None, option("--contact-sheet FILE", "Draw the ten worst images there.")
    ] = None,
    cell_diameter: CellDiameter = None,
    seed: _Seed = 0,
) -> int:
    """Measure a segmenter on a split: pixels, cells, counts.

    Without --cell-diameter, the labels say how wide red cells are.

    Examples
    --------
    bloodcells evaluate --model models/segmentation_model.onnx --data-dir data/segmentation
    bloodcells evaluate --split val --json val.json --contact-sheet worst.png
    """
    from blood_cell_system.analysis.segmenter_evaluation import EvaluationSettings
    from blood_cell_system.analysis.segmenter_evaluation import evaluate as evaluate_segmenter
    from blood_cell_system.analysis.trained_models import load_runtime
    from blood_cell_system.atomic_files import write_json
    from blood_cell_system.datasets.cell_diameter import typical_diameters
    from blood_cell_system.datasets.prepared import PreparedDataset
    from blood_cell_system.errors import DatasetError
    from blood_cell_system.imaging.image_file import write_image
    from blood_cell_system.parallel import with_progress
    from blood_cell_system.reports.segmenter_sheets import (
        evaluation_tables,
        evaluation_to_json,
        worst_images_sheet,
    )
    from blood_cell_system.terminal import safe_console

    refuse_among_images(data_dir, json=json, contact_sheet=contact_sheet)
    dataset = PreparedDataset.open(data_dir).with_splits(seed)
    images = dataset.of_split(split)
    if not images:
        raise DatasetError(
            f"{data_dir}: the split {str(split)!r} has no images; expected one at least. Choose "
            f"another --split of {', '.join(Split)}, or a folder with more images."
        )
    runtime = load_runtime(model)
    settings = EvaluationSettings(
        cell_diameters=typical_diameters(images)
        if cell_diameter is None
        else dict.fromkeys((image.source for image in images), cell_diameter)
    )
    evaluation = evaluate_segmenter(
        runtime,
        with_progress(images, total=len(images), description="Evaluating"),
        training_images=dataset.of_split(Split.TRAIN),
        settings=settings,
        seed=seed,
    )
    console = safe_console(highlight=False)
    console.print(evaluation_tables(evaluation, title=f"{model} on {data_dir}, split {split}"))
    if json is not None:
        subject = {"model": str(model), "data_dir": str(data_dir), "split": str(split)}
        write_json(json, evaluation_to_json(evaluation, subject=subject))
        console.print(f"Numbers: {json}", markup=False, soft_wrap=True)
    if contact_sheet is not None:
        by_stem = {image.stem: image for image in images}
        sheet = worst_images_sheet(evaluation, by_stem, runtime, settings=settings)
        write_image(contact_sheet, sheet)
        console.print(f"Worst images: {contact_sheet}", markup=False, soft_wrap=True)
    return 1 if evaluation.failures else 0


def evaluate_classifier(
    *,
    kind: Kind,
    model: Annotated[
        Path | None,
        option(
            "--model FILE", "Classifier, .keras or .onnx.", default="./models/KIND_classifier.onnx"
        ),
    ] = None,
    data_dir: CellDir = None,
    classes: Classes = None,
    split: SplitName = Split.TEST,
    output_dir: Annotated[
        Path | None,
        option(
            "-o --output-dir DIR",
            "Write evaluation.json, evaluation.txt, confusion matrix, reliability "
            "diagram and a sheet of right and wrong answers there.",
        ),
    ] = None,
    views: Views = None,
    block_pattern: BlockPattern = None,
    leave_one_source_out: Annotated[
        bool,
        option(
            "--leave-one-source-out",
            "Train a classifier for each source (laboratory) on all others, and measure it there; "
            "needs -o. The same command goes on with a run that was stopped.",
        ),
    ] = False,
    left_out: Annotated[
        list[str] | None,
        option("--left-out SOURCE", "Leave out this source alone; may be repeated."),
    ] = None,
    preset: Preset = None,
    epochs: Epochs = None,
    architecture: Annotated[str | None, architecture_option("cell_resnet")] = None,
    cells_per_epoch: Annotated[int | None, option("--cells-per-epoch N")] = None,
    learning_rate: LearningRate = None,
    seed: _Seed = 0,
) -> int:
    """Measure a classifier on the cells of a split, or its kind on sources that it has not seen.

    Examples
    --------
    bloodcells evaluate-classifier --kind rbc -o evaluation
    bloodcells evaluate-classifier --kind wbc --leave-one-source-out --preset fast -o left_out
    """
    from dataclasses import replace

    from blood_cell_system.analysis import classifier_evaluation
    from blood_cell_system.analysis.classification import ClassificationSettings
    from blood_cell_system.analysis.trained_models import load_classifier
    from blood_cell_system.datasets.cell_folder import CellFolder, kind_of_folder
    from blood_cell_system.errors import SettingsError
    from blood_cell_system.folder_lock import locked_folder
    from blood_cell_system.imaging.image_folders import refuse_output_within
    from blood_cell_system.reports.classifier_sheets import (
        classifier_evaluation_tables,
        write_evaluation_files,
    )
    from blood_cell_system.taxonomy import Taxonomy
    from blood_cell_system.terminal import safe_console
    from blood_cell_system.training.classifier_data import CellClasses, read_cells
    from blood_cell_system.training.presets import classifier_preset_named

    data_dir = data_dir or Path(f"./data/cells_{kind.lower()}")
    if output_dir is not None:
        refuse_output_within(output_dir, data_dir, option="--output-dir")
    elif leave_one_source_out:
        raise SettingsError(
            "--leave-one-source-out: trainings and figures need a folder; expected -o DIR."
        )
    cells_of = kind_of_folder(data_dir, kind, Taxonomy.read(classes) if classes else None)
    folder = CellFolder.open(data_dir, kind=cells_of, block_pattern=block_pattern, seed=seed)
    if output_dir is not None and leave_one_source_out:
        changes = given(
            epochs=epochs,
            architecture=architecture,
            cells_per_epoch=cells_per_epoch,
            learning_rate=learning_rate,
        )
        settings = replace(classifier_preset_named(preset or DEFAULT_PRESET), seed=seed, **changes)
        return _leave_one_source_out(folder, settings, output_dir, sources=left_out or ())
    model = model or Path(f"./models/{cells_of.file_stem}.onnx")
    classifier = load_classifier(model, cells_of)
    metadata = classifier.metadata
    distinguished = CellClasses(conditions=metadata.conditions, types=metadata.subtypes)
    cells = read_cells(folder, split, distinguished)
    evaluation = classifier_evaluation.evaluate_classifier(
        classifier, cells, settings=ClassificationSettings(views=views), seed=seed
    )
    console = safe_console(highlight=False)
    title = f"{model} on {data_dir}, split {split}"
    console.print(classifier_evaluation_tables(evaluation, title=title))
    if output_dir is not None:
        subject = {"model": str(model), "data_dir": str(data_dir), "split": str(split)}
        with locked_folder(output_dir, command="evaluate-classifier"):
            written = write_evaluation_files(
                evaluation, cells, classifier, output_dir, subject=subject
            )
        for path in written:
            console.print(f"Written: {path}", markup=False, soft_wrap=True)
    return 0


def _leave_one_source_out(
    folder: "CellFolder",
    settings: "ClassifierSettings",
    output_dir: Path,
    *,
    sources: Sequence[str],
) -> int:
    from blood_cell_system.analysis.left_out_scores import score_left_out
    from blood_cell_system.reports.left_out_sheets import left_out_markdown, write_left_out_files

    settings.check()
    print(folder.to_text())
    from blood_cell_system.cli.training_progress import ClassifierProgress
    from blood_cell_system.pipeline.leave_one_out import left_out_sources

    found = left_out_sources(
        folder,
        settings,
        output_dir=output_dir,
        sources=sources,
        listener=lambda: ClassifierProgress(settings),
        report=print,
    )
    if found is None:
        print(f"Stopped. The same command goes on: -o {output_dir}")
        return 130
    scores = score_left_out(found, seed=settings.seed)
    subject = {
        "data_dir": str(folder.root),
        "preset": settings.preset,
        "architecture": settings.architecture,
        "epochs": settings.epochs,
    }
    paths = write_left_out_files(scores, output_dir, kind=str(folder.kind), subject=subject)
    print(left_out_markdown(scores, title=f"{folder.root}, each source left out"))
    for path in paths:
        print(f"Written: {path}")
    return 0
