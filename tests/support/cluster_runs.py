"""Runs on a cluster with a small network that tells cells by colour."""

import json

import pandas as pd
from support.analysed_images import write_smear_image
from support.tiny_onnx import colour_model

from blood_cell_system.analysis.image_analysis import AnalysisSettings
from blood_cell_system.cluster.field_batches import FieldBatch
from blood_cell_system.cluster.results_dataset import DatasetRecord, ResultsDataset
from blood_cell_system.cluster.source_listing import Sources
from blood_cell_system.cluster.storage import Storage
from blood_cell_system.pipeline.image import InferencePipeline
from blood_cell_system.pipeline.system import BloodCellAnalysisSystem


def colour_pipeline(folder):
    """A pipeline of a model file in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "segmentation_model.onnx"
    path.write_bytes(colour_model())
    system = BloodCellAnalysisSystem()
    system.load_segmenter(path)
    settings = AnalysisSettings(cell_diameter_px=60)
    return InferencePipeline(system, settings=settings, is_classifying=False)


def smear_folder(folder, *, slides=2, images=2, broken=()):
    """Folders of slides with images; those that are named are no images."""
    for slide in range(slides):
        for image in range(images):
            write_smear_image(folder / f"s{slide}" / f"{image}.png")
    for name in broken:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"no image")
    return folder


def sources_of(*places, group_by="folder", output="elsewhere"):
    """Images of places, with their slides."""
    return Sources(
        [str(place) for place in places],
        group_by=group_by,
        recursive=True,
        output=Storage(str(output)),
    )


def started(place, pipeline, *, has_slides=True):
    """A dataset for a pipeline."""
    record = DatasetRecord.of(pipeline, has_slides=has_slides)
    return ResultsDataset.started(Storage(str(place)), record)


def task_of(place, pipeline):
    """What the batches of a run into a dataset have in common."""
    dataset = started(place, pipeline)
    recipe = pipeline.recipe(threads=1)
    return FieldBatch(recipe=recipe, record=dataset.record, storage=dataset.storage)


def rows_of(folder, table="cells"):
    """All rows of a table of a dataset, in a fixed order, as text."""
    if not list((folder / table).rglob("*.parquet")):
        return []
    frame = pd.read_parquet(folder / table)
    if "slide" in frame:
        frame = frame.astype({"slide": "str"})
    frame = frame[sorted(frame)]
    if "warnings" in frame:
        frame["warnings"] = [list(one) for one in frame["warnings"]]
    rows = json.loads(frame.to_json(orient="records"))
    return sorted(json.dumps(row, sort_keys=True) for row in rows)
