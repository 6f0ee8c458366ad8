"""``bloodcells convert``: labels in the format of another tool, to be corrected there."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from blood_cell_system.annotation.format_registry import format_names
from blood_cell_system.cli.options import LabelMap, argument, option

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blood_cell_system.annotation.sample import Sample
    from blood_cell_system.taxonomy import Taxonomy

if TYPE_CHECKING:
    Format = str
else:
    Format = Literal[(*format_names()[1], "qupath")]
# As in annotation/writer.py, which imports OpenCV; a test compares them.
Outlines = Literal["polygons", "masks", "boxes"]


def convert(
    *,
    source: Annotated[
        Path,
        argument(
            "SOURCE",
            "What analyze has written, a prepared folder, or a data set of any known format.",
        ),
    ],
    to: Annotated[Format, option("--to", "Format to write; qupath is geojson.")],
    output: Annotated[Path, option("-o --output DIR", "New folder to write.")],
    images: Annotated[
        list[Path] | None,
        option(
            "--images DIR...",
            "For results: folders with the images, where they have been moved since.",
        ),
    ] = None,
    outlines: Annotated[
        Outlines,
        option("--outlines", "Polygons with exactly the same pixels, masks, or boxes alone."),
    ] = "polygons",
    simplify: Annotated[
        float,
        option(
            "--simplify PX",
            "Polygons with fewer corners, which may be this far off.",
            default="exact",
        ),
    ] = 0.0,
    with_not_scored: Annotated[
        bool,
        option(
            "--with-not-scored",
            "For a prepared folder: also regions that are not scored, labelled ignore.",
        ),
    ] = False,
    input_format: Annotated[
        str,
        option(
            "--format NAME",
            "Format to read; auto recognises all that there are.",
        ),
    ] = "auto",
    label_map: LabelMap = None,
) -> int:
    """Write labels or results for LabelMe, CVAT, QuPath, Label Studio, COCO or YOLO.

    Examples
    --------
    bloodcells convert results/ --to cvat -o to_correct
    bloodcells convert data/segmentation --to qupath -o for_qupath
    """
    from blood_cell_system.annotation.archives import opened_folder
    from blood_cell_system.annotation.format_registry import writer_named
    from blood_cell_system.annotation.writer import OutlineForm, WriteStyle, write_labels
    from blood_cell_system.imaging.image_folders import refuse_output_within

    format_name = "geojson" if to == "qupath" else to
    refuse_output_within(output, source)
    with opened_folder(source) as folder:
        samples, is_whole, taxonomy = _samples(
            folder,
            images=images or [],
            with_not_scored=with_not_scored,
            input_format=input_format,
            label_map=label_map,
        )
        style = WriteStyle(outlines=OutlineForm(outlines), tolerance_px=simplify, taxonomy=taxonomy)
        summary = write_labels(samples, output, format_name=format_name, style=style)
    print(summary.to_text())
    next_step = writer_named(format_name).next_step
    print(f"To correct it, {next_step.format(output=output)}.")
    print(
        f"Corrected, it is read by: bloodcells prepare --format {format_name} --input {output} "
        "--unlabelled background --output data/corrected"
    )
    return 0 if is_whole else 1


def _samples(
    folder: Path,
    *,
    images: list[Path],
    with_not_scored: bool,
    input_format: str,
    label_map: str | None,
) -> "tuple[Iterable[Sample], bool, Taxonomy]":
    """Images of whatever the folder is, whether none of them is left out, and their cell types."""
    from blood_cell_system.datasets.prepared import is_prepared_folder
    from blood_cell_system.pipeline.analysed_samples import analysed_samples
    from blood_cell_system.pipeline.results_folder import ResultsFolder, is_results_folder

    is_own = input_format == "auto"
    is_results = is_own and is_results_folder(folder)
    is_prepared = is_own and not is_results and is_prepared_folder(folder)
    for name, is_unused, use in (
        ("--images", images and not is_results, "results of an analysis"),
        ("--with-not-scored", with_not_scored and not is_prepared, "a prepared folder"),
        ("--label-map", label_map and (is_results or is_prepared), "labels that are not ours"),
    ):
        if is_unused:
            raise typer.BadParameter(f"{name}: is for {use}, which SOURCE is not. Leave it out.")
    if is_results:
        results = ResultsFolder(folder, images)
        return analysed_samples(results), True, results.taxonomy
    if is_prepared:
        from blood_cell_system.datasets.prepared import PreparedDataset, prepared_samples

        dataset = PreparedDataset.open(folder)
        samples = prepared_samples(dataset, with_unscored=with_not_scored)
        return samples, True, dataset.taxonomy
    from blood_cell_system.annotation.format_registry import read_folder
    from blood_cell_system.annotation.label_map import read_label_map
    from blood_cell_system.annotation.reader import ReadOptions

    options = ReadOptions(label_map=read_label_map(label_map) if label_map else {})
    reading = read_folder(folder, format_name=input_format, options=options)
    for note in reading.notes:
        print(note)
    for cell in reading.dropped:
        print(f"dropped: {cell.file}: object {cell.object_index}: {cell.reason}")
    for failed in reading.failed:
        print(f"left out: {failed.reason}")
    return reading.samples, not reading.failed, reading.taxonomy
