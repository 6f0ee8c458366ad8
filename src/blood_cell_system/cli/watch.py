"""``bloodcells watch``: images of a folder are analysed as they come."""

from pathlib import Path
from typing import Annotated

from blood_cell_system.cli.analyze import system_of
from blood_cell_system.cli.options import (
    ALL_CORES,
    CellDiameter,
    Jobs,
    NoClassify,
    NoReviewPage,
    OutputDir,
    OwnModels,
    OwnSegmenter,
    PixelSize,
    Views,
    argument,
    option,
    within,
)


def watch(
    *,
    folder: Annotated[Path, argument("DIR", "Folder that images are copied into.")],
    output_dir: OutputDir,
    model: OwnSegmenter = None,
    models: OwnModels = None,
    no_classify: NoClassify = False,
    no_review_page: NoReviewPage = False,
    views: Views = None,
    recursive: Annotated[bool, option("-r --recursive", "Watch folders within it as well.")] = (
        False
    ),
    jobs: Jobs = ALL_CORES,
    group_by: Annotated[
        str | None,
        option("--group-by folder|REGEX", "What the slide of an image is, as for analyze."),
    ] = None,
    cell_diameter: CellDiameter = None,
    pixel_size_um: PixelSize = None,
    every: Annotated[
        float,
        option(
            "--every SECONDS",
            "How often it looks; a file that has not changed since the last look is whole.",
            parser=within(float, 0.1, 3600),
        ),
    ] = 2.0,
) -> int:
    """Analyse the images of a folder as they come, until Ctrl-C.

    After a restart the same command goes on; the results are those of bloodcells analyze.

    Examples
    --------
    bloodcells watch from_microscope/ -o results
    bloodcells watch slides/ --recursive --group-by folder -o results
    """
    import sys
    import time

    from blood_cell_system.analysis.classification import ClassificationSettings
    from blood_cell_system.analysis.image_analysis import AnalysisSettings
    from blood_cell_system.folder_lock import locked_folder
    from blood_cell_system.pipeline.batch import PAGE_NAME, find_inputs
    from blood_cell_system.pipeline.image import InferencePipeline
    from blood_cell_system.pipeline.watched_folder import WatchedFolder, WatchSettings
    from blood_cell_system.reports.report import DISCLAIMER, shown_name

    settings = WatchSettings(
        recursive=recursive,
        jobs=jobs,
        is_reviewable=not no_review_page,
        group_by=group_by,
        settle_s=every,
    )
    # The quick check comes first: loading a network may take seconds.
    find_inputs([folder], output_dir=output_dir)
    with locked_folder(output_dir, command="watch"):
        pipeline = InferencePipeline(
            system_of(model, models),
            settings=AnalysisSettings(cell_diameter_px=cell_diameter, pixel_size_um=pixel_size_um),
            classification=ClassificationSettings(views=views),
            is_classifying=not no_classify,
        )
        watched = WatchedFolder(folder, pipeline, output_dir, settings)
        print(f"Watching {shown_name(str(folder))}; Ctrl-C ends it")
        print(f"All of it: {shown_name(str(output_dir / PAGE_NAME))}")
        print(DISCLAIMER, flush=True)
        try:
            while True:
                for line in watched.look():
                    print(shown_name(line), flush=True)
                time.sleep(every)
        except KeyboardInterrupt:
            for line in watched.write():
                print(shown_name(line), flush=True)
            print("the same command goes on from here", file=sys.stderr)
            raise
