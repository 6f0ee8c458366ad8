"""``bloodcells crops``: single cells out of smears, into a folder that classifiers learn from."""

from pathlib import Path
from typing import Annotated, Literal

from blood_cell_system.cli.options import (
    ALL_CORES,
    KIND_HELP,
    Classes,
    Jobs,
    Seed,
    argument,
    option,
)
from blood_cell_system.errors import SettingsError


def crops(
    *,
    source: Annotated[
        Path, argument("INPUT", "Folder of images, prepared folder or Pascal VOC folder.")
    ],
    output: Annotated[Path, option("-o --output DIR", "Cell folder, new or unfinished.")],
    kind: Annotated[str | None, option("--kind TYPE", KIND_HELP)] = None,
    classes: Classes = None,
    recipe: Annotated[
        Literal["rbc", "wbc"] | None,
        option(
            "--recipe",
            "The cell folder of this package's own classifier, from the folder of all collections.",
        ),
    ] = None,
    boxes: Annotated[
        Path | None,
        option(
            "--boxes FILE",
            'JSON table of labelled boxes, {"a.png": [{"label": "ring", "box": '
            "[x_min, y_min, x_max, y_max]}]}, in pixels from 0.",
        ),
    ] = None,
    method: Annotated[
        Literal["boxes", "segmenter", "nuclei", "lone"] | None,
        option(
            "--method",
            "How cells are found: by boxes, by the segmenter, white cells by their "
            "nuclei, or one cell an image.",
            default="boxes where there are any, else the segmenter",
        ),
    ] = None,
    class_of_all: Annotated[
        str,
        option(
            "--class CLASS",
            "Class of cells about which nothing else is known.",
            default="unlabelled",
        ),
    ] = "",
    label_classes: Annotated[
        list[str] | None,
        option(
            "--map LABEL=CLASS",
            "Class of a label; LABEL= leaves its cells out; may be repeated. A "
            "folder of images for each label (fields/Benign, fields/ALL) labels all"
            " cells of its images.",
        ),
    ] = None,
    source_name: Annotated[str, option("--source", "Name of the laboratory or data set.")] = "own",
    block_pattern: Annotated[
        str | None,
        option(
            "--block-pattern REGEX",
            "Finds the slide or patient in an image's name: its cells go into one split.",
        ),
    ] = None,
    block_size: Annotated[
        int, option("--block-size N", "Without a pattern, so many neighbouring names make a block.")
    ] = 10,
    most: Annotated[
        int | None, option("--most N", "At most so many cells of a label an image.")
    ] = None,
    with_outliers: Annotated[
        bool,
        option(
            "--with-outliers",
            "Also cut slide, debris, clumps and cells of other types, as not_a_cell/.",
        ),
    ] = False,
    seed: Seed = 0,
    jobs: Jobs = ALL_CORES,
) -> int:
    """Cut single cells out of smears, for training a classifier.

    An interrupted run goes on where it was when the same command is given again.

    Examples
    --------
    bloodcells crops smears/ --kind rbc --class healthy_RBC --output cells/
    bloodcells crops smears/ --kind rbc --boxes boxes.json --map ring=malaria_RBC --output cells/
    bloodcells crops fields/ --kind wbc --map Benign=healthy_WBC --map ALL=cancer_WBC -o cells/
    bloodcells crops DATA --recipe rbc --output cells_rbc/
    """
    from blood_cell_system.datasets.prepared import taxonomy_of_folder
    from blood_cell_system.imaging.image_folders import refuse_output_within
    from blood_cell_system.model_metadata import ClassifierKind
    from blood_cell_system.pipeline.cell_crops.plan import CutMethod
    from blood_cell_system.pipeline.cell_crops.recipes import tasks_of_recipe
    from blood_cell_system.pipeline.cell_crops.user_input import CropOptions, tasks_of_folder
    from blood_cell_system.pipeline.cell_crops.writing import write_cell_folder
    from blood_cell_system.taxonomy import taxonomy_of_option

    refuse_output_within(output, source)
    # A prepared folder knows the types that its labels name.
    types = taxonomy_of_option(classes) if classes else taxonomy_of_folder(source)
    if recipe is not None and kind is None:
        tasks, failed, dropped = tasks_of_recipe(cells := ClassifierKind(recipe), source, seed=seed)
    elif kind is not None and recipe is None:
        options = CropOptions(
            kind=(cells := ClassifierKind(kind, types)),
            method=CutMethod(method) if method else None,
            boxes=boxes,
            class_of_all=class_of_all,
            class_of_label=dict(_label_and_class(text) for text in label_classes or ()),
            source=source_name,
            block_pattern=block_pattern,
            block_size=block_size,
            most_an_image=most,
            with_outliers=with_outliers,
            seed=seed,
        )
        tasks, failed, dropped = tasks_of_folder(source, options)
    else:
        raise SettingsError("expected either --kind rbc or wbc for your own images, or --recipe.")
    summary = write_cell_folder(output, tasks, kind=cells, failed=failed, seed=seed, jobs=jobs)
    print(summary.to_text())
    for annotation in dropped:
        print(
            f"  left out: {annotation.file}, object {annotation.object_index}: {annotation.reason}"
        )
    return 1 if summary.failed else 0


def _label_and_class(text: str) -> tuple[str, str]:
    label, sign, name = text.rpartition("=")
    if not sign or not label:
        raise SettingsError(f"--map {text}: expected LABEL=CLASS, such as ring=malaria_RBC.")
    return label, name
