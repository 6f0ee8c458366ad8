"""The two cell folders that this package's classifiers were trained on, from the collections.

Which labels become which class, and how many cells are taken from one image so that no slide
outvotes the others. ``docs/held_out_blocks.md`` has the lists of what is held out.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from blood_cell_system.datasets.cell_blocks import split_by_blocks
from blood_cell_system.datasets.cell_fields import FieldReading, joined_by_view
from blood_cell_system.datasets.collections import taleqani, uganda_sickle
from blood_cell_system.datasets.collections.bccd import read_bccd_cells
from blood_cell_system.datasets.collections.iml_malaria import HEALTHY, STAGES, read_iml_malaria
from blood_cell_system.datasets.collections.pbc import OUTLIER_FOLDER, TYPE_OF_FOLDER, read_pbc
from blood_cell_system.model_metadata import ClassifierKind
from blood_cell_system.pipeline.cell_crops.plan import (
    OUTLIER,
    CropClass,
    CropWork,
    CutMethod,
    CutPlan,
    CutTask,
    Extra,
)
from blood_cell_system.taxonomy import PLATELET, RBC, WBC

Recipe = Callable[[Path, int], CropWork]

_OUTLIERS: Final[dict[Extra, int]] = {Extra.CLUMP: 1, Extra.DEBRIS: 1, Extra.SLIDE: 1}
"""How many outliers of each kind are cut from an image."""
_HEALTHY_RBC: Final = CropClass("healthy_RBC")
_HEALTHY_WBC: Final = CropClass("healthy_WBC")


def tasks_of_recipe(kind: ClassifierKind, data: Path, *, seed: int = 0) -> CropWork:
    """List what is to be cut for a classifier's training, from the folder of all collections.

    Parameters
    ----------
    data : Path
        Folder with ``iml_malaria``, ``uganda_sickle``, ``BCCD_Dataset``, ``bccd_trainval_extra``,
        ``pbc_wbc_types`` and ``taleqani_all``.
    seed : int
        Decides which cells are taken.

    Returns
    -------
    tasks : list of CutTask
    failed : list of FailedImage
        Images that cannot be read.
    dropped : list of DroppedCell
        Boxes that make no sense.

    Raises
    ------
    MissingDataError, DatasetError, AnnotationError
        A collection is missing or damaged.
    """
    return _RECIPES[kind](Path(data), seed)


def _rbc(data: Path, seed: int) -> CropWork:
    iml = with_splits(joined_by_view(read_iml_malaria(data / "iml_malaria")))
    uganda = with_splits(joined_by_view(uganda_sickle.read_uganda_sickle(data / "uganda_sickle")))
    bccd = read_bccd_cells(data / "BCCD_Dataset", data / "bccd_trainval_extra")
    pbc = with_splits(read_pbc(data / "pbc_wbc_types"))
    leukaemia = with_splits(joined_by_view(taleqani.read_taleqani(data / "taleqani_all")))
    tasks = _tasks(
        iml,
        CutPlan(
            method=CutMethod.BOXES,
            cell_type=RBC,
            classes={HEALTHY: _HEALTHY_RBC}
            | {stage: CropClass("malaria_RBC", stage) for stage in STAGES},
            most_an_image={HEALTHY: 16},
        ),
        seed,
    )
    tasks += _tasks(
        uganda,
        CutPlan(
            method=CutMethod.BOXES,
            cell_type=RBC,
            classes={uganda_sickle.SICKLE: CropClass("sickle_RBC")},
            window_px=200,
        ),
        seed,
        label=uganda_sickle.POSITIVE,
    )
    tasks += _tasks(
        uganda,
        CutPlan(
            method=CutMethod.SEGMENTER,
            cell_type=RBC,
            classes={uganda_sickle.NEGATIVE: _HEALTHY_RBC},
            most_an_image={uganda_sickle.NEGATIVE: 25},
            window_px=520,
        ),
        seed,
        label=uganda_sickle.NEGATIVE,
    )
    tasks += _tasks(
        bccd,
        CutPlan(
            method=CutMethod.BOXES,
            cell_type=RBC,
            classes={
                RBC: _HEALTHY_RBC,
                WBC: OUTLIER,
                PLATELET: OUTLIER,
            },
            most_an_image={RBC: 6, WBC: 1, PLATELET: 1},
        ),
        seed,
    )
    tasks = _with_some_outliers(tasks, _OUTLIERS | {Extra.DEBRIS: 2})
    tasks += _red_cells_of(pbc, TYPE_OF_FOLDER, most=3, seed=seed)
    tasks += _red_cells_of(leukaemia, (taleqani.BENIGN, *taleqani.MALIGNANT), most=6, seed=seed)
    # White cells and platelets of another laboratory; a fifth of its images is enough.
    white = CutPlan(
        method=CutMethod.LONE,
        cell_type=WBC,
        classes=dict.fromkeys(TYPE_OF_FOLDER, OUTLIER),
    )
    tasks += [task for task in _tasks(pbc, white, seed)[::5] if task.field.label != OUTLIER_FOLDER]
    return _with_faults(tasks + _platelets(pbc, seed), iml, uganda, bccd, pbc, leukaemia)


def _red_cells_of(
    reading: FieldReading, labels: Collection[str], *, most: int, seed: int
) -> list[CutTask]:
    """Red cells of half of the images of people who have neither malaria nor sickle cells.

    A disease that one laboratory alone has is easily confused with that laboratory's stain; healthy
    cells of many laboratories teach the difference.
    """
    plan = CutPlan(
        method=CutMethod.SEGMENTER,
        cell_type=RBC,
        classes=dict.fromkeys(labels, _HEALTHY_RBC),
        most_an_image=dict.fromkeys(labels, most),
    )
    return [task for task in _tasks(reading, plan, seed)[::2] if task.field.label in labels]


def _wbc(data: Path, seed: int) -> CropWork:
    pbc = with_splits(read_pbc(data / "pbc_wbc_types"))
    bccd = read_bccd_cells(data / "BCCD_Dataset", data / "bccd_trainval_extra")
    fields = with_splits(joined_by_view(taleqani.read_taleqani(data / "taleqani_all")))
    typed = {folder: CropClass("healthy_WBC", name) for folder, name in TYPE_OF_FOLDER.items()}
    lone = CutPlan(method=CutMethod.LONE, cell_type=WBC, classes=typed)
    tasks = [task for task in _tasks(pbc, lone, seed) if task.field.label != OUTLIER_FOLDER]
    tasks += _platelets(pbc, seed)
    neighbours = CutPlan(
        method=CutMethod.NUCLEI,
        cell_type=WBC,
        classes={},
        extras={Extra.RED_CELL: 1, Extra.SLIDE: 1},
    )
    tasks += _tasks(pbc, neighbours, seed)[::10]
    tasks += _tasks(
        _with_types(bccd),
        CutPlan(
            method=CutMethod.BOXES,
            cell_type=WBC,
            classes={name: CropClass("healthy_WBC", name) for name in ClassifierKind(WBC).types}
            | {WBC: _HEALTHY_WBC, RBC: OUTLIER, PLATELET: OUTLIER},
            most_an_image={RBC: 1, PLATELET: 1},
            extras={Extra.CLUMP: 1},
        ),
        seed,
    )
    blasts = CutPlan(
        method=CutMethod.NUCLEI,
        cell_type=WBC,
        classes={taleqani.BENIGN: _HEALTHY_WBC}
        | dict.fromkeys(taleqani.MALIGNANT, CropClass("cancer_WBC")),
        most_an_image=dict.fromkeys((taleqani.BENIGN, *taleqani.MALIGNANT), 6),
    )
    outliers = _OUTLIERS | {Extra.RED_CELL: 1}
    tasks += _with_some_outliers(_tasks(fields, blasts, seed), outliers)
    return _with_faults(tasks, pbc, bccd, fields)


def _with_some_outliers(tasks: list[CutTask], extras: Mapping[Extra, int]) -> list[CutTask]:
    """Let every third image give outliers as well: enough, in a third of the time."""
    return [
        replace(task, plan=replace(task.plan, extras=extras)) if number % 3 == 0 else task
        for number, task in enumerate(tasks)
    ]


def _platelets(reading: FieldReading, seed: int) -> list[CutTask]:
    plan = CutPlan(method=CutMethod.LONE, cell_type=PLATELET, classes={OUTLIER_FOLDER: OUTLIER})
    return _tasks(reading, plan, seed, label=OUTLIER_FOLDER)


def _with_types(reading: FieldReading) -> FieldReading:
    """Give white cells the type that their image's label says, where it says one."""
    fields = [
        replace(
            field,
            cells=tuple(
                replace(cell, cell_type=field.label)
                if cell.cell_type == WBC and field.label
                else cell
                for cell in field.cells or ()
            ),
        )
        for field in reading.fields
    ]
    return replace(reading, fields=tuple(fields))


def with_splits(reading: FieldReading, *, seed: int = 0) -> FieldReading:
    """Split a collection by whole blocks, where it has no official split.

    The split depends on labels, names and images, and not on which cells are found: it is the
    same whatever segmenter cuts them.
    """
    if any(field.split is not None for field in reading.fields):
        return reading
    blocks, classes = [], []
    for field in reading.fields:
        labels = [cell.cell_type for cell in field.cells or ()] or [field.label]
        blocks += [field.block] * len(labels)
        classes += labels
    chosen = split_by_blocks(blocks, classes, seed=seed)
    fields = tuple(replace(field, split=chosen[field.block]) for field in reading.fields)
    return replace(reading, fields=fields)


def _tasks(
    reading: FieldReading, plan: CutPlan, seed: int, *, label: str | None = None
) -> list[CutTask]:
    return [
        CutTask(field=field, source=reading.source, plan=plan, seed=seed)
        for field in reading.fields
        if label is None or field.label == label
    ]


def _with_faults(tasks: list[CutTask], *readings: FieldReading) -> CropWork:
    failed = [failure for reading in readings for failure in reading.failed]
    return tasks, failed, [dropped for reading in readings for dropped in reading.dropped]


_RECIPES: Final[Mapping[ClassifierKind, Recipe]] = MappingProxyType(
    {ClassifierKind("RBC"): _rbc, ClassifierKind("WBC"): _wbc}
)
