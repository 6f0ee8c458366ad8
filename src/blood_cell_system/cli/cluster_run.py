"""``bloodcells analyze --scheduler``: any number of images on a Dask cluster, one dataset out."""

import json
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from blood_cell_system.errors import SettingsError

if TYPE_CHECKING:
    from blood_cell_system.pipeline.image import InferencePipeline, PipelineRecipe
    from blood_cell_system.pipeline.scan_plan import ScanSettings
    from blood_cell_system.reports.image_files import Part

_SHOWN_FAILED: Final = 20
"""Images that failed which are listed before "and N more"."""


def analyze_on_cluster(
    places: Sequence[str],
    output: str,
    pipeline: "InferencePipeline",
    *,
    scheduler: str,
    jobs: int,
    group_by: str | None,
    recursive: bool,
    parts: "frozenset[Part]",
    has_label_zarr: bool,
    scans: "ScanSettings",
    scan_options: Mapping[str, str | int],
    json_lines: bool,
) -> int:
    """Analyse images on a cluster, and print what came of it; gives the exit code.

    Raises
    ------
    MissingDataError
        Dask or pyarrow is not installed, or a source cannot be listed.
    SettingsError
        A page to review is among the parts, or a cell type of the scans' goal is none.
    BloodCellError
        As :class:`~blood_cell_system.cluster.scheduling.ClusterRun` raises it.
    """
    from blood_cell_system.analysis.trained_models import taxonomy_of
    from blood_cell_system.cluster.dataset_lock import locked_dataset
    from blood_cell_system.cluster.field_batches import FieldBatch
    from blood_cell_system.cluster.results_dataset import DatasetRecord, ResultsDataset
    from blood_cell_system.cluster.scheduling import ClusterRun, connected
    from blood_cell_system.cluster.source_listing import Sources
    from blood_cell_system.cluster.storage import Storage
    from blood_cell_system.errors import MissingDataError
    from blood_cell_system.reports.cell_table import has_parquet
    from blood_cell_system.reports.image_files import Part
    from blood_cell_system.reports.report import DISCLAIMER, Status, shown_name

    if not has_parquet():
        raise MissingDataError(
            "--scheduler: pyarrow is not installed. Add it with pip install "
            "'blood-cell-system[cluster]', or leave the option out."
        )
    if Part.REVIEW in parts:
        raise SettingsError(
            "--write: review received with --scheduler; the page to review is of a folder of "
            "results. Leave it out, or analyse the images in question without --scheduler."
        )
    if scans.goal is not None:
        scans.goal.check(taxonomy_of(pipeline.system.segmentation_runtime()))
    storage = Storage(output)
    sources = Sources(places, group_by=group_by, recursive=recursive, output=storage)
    recipe = _recipe(pipeline, scheduler=scheduler, jobs=jobs)
    states: Counter[str] = Counter()
    with locked_dataset(storage) as lock:
        record = DatasetRecord.of(
            pipeline, has_slides=sources.has_slides, scan_options=scan_options
        )
        task = FieldBatch(
            recipe=recipe,
            record=ResultsDataset.started(storage, record).record,
            storage=storage,
            parts=parts,
            has_label_zarr=has_label_zarr,
            scans=scans,
        )
        with connected(scheduler, jobs=jobs) as client:
            run = ClusterRun(client, task, lock=lock, sources=places)
            try:
                for row in run.results(sources):
                    states[row["status"]] += 1
                    if json_lines:
                        print(json.dumps(row, sort_keys=True), flush=True)
                    elif row["status"] == Status.FAILED and states[Status.FAILED] <= _SHOWN_FAILED:
                        print(f"failed  {shown_name(row['reason'])}", flush=True)
            except KeyboardInterrupt:
                print(f"{states.total()} done; the same command goes on", file=sys.stderr)
                raise
    if not json_lines:
        if (more := states[Status.FAILED] - _SHOWN_FAILED) > 0:
            print(f"failed  and {more} more: images/failed-*.parquet lists them")
        kept = f" ({run.kept} kept from before)" if run.kept else ""
        words = ", ".join(f"{states[status]} {status}" for status in Status)
        print(f"Images: {words}{kept}\nDataset: {shown_name(storage.shown)}\n{DISCLAIMER}")
    return 1 if states[Status.FAILED] else 0


def _recipe(pipeline: "InferencePipeline", *, scheduler: str, jobs: int) -> "PipelineRecipe":
    """Say how workers make the pipeline; the models of this package are those of their own."""
    from dataclasses import replace

    from blood_cell_system.pipeline.model_slots import bundled_segmenter

    threads = max(1, (os.cpu_count() or 1) // jobs) if scheduler == "local" else 1
    recipe: Any = pipeline.recipe(threads=threads)
    if recipe is None:
        raise SettingsError(
            "--scheduler: workers run no .keras files, and a model is one. Write it as .onnx with "
            "bloodcells export."
        )
    bundled = bundled_segmenter().parent
    own = tuple(
        (kind, None if path is None or path.parent == bundled else path)
        for kind, path in recipe.models
    )
    found: PipelineRecipe = replace(recipe, models=own)
    return found
