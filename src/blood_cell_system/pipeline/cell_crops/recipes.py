"""The two cell folders that this package's classifiers learn from, out of the collections.

A recipe takes each collection that it finds. It says which labels become which class, and how many
cells are taken from one image so that no slide outvotes the others. ``docs/held_out_blocks.md`` has
the lists of what is held out.
"""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from blood_cell_system.datasets.cell_blocks import split_by_blocks
from blood_cell_system.datasets.cell_fields import FieldReading, joined_by_view
from blood_cell_system.datasets.collections import (
    acrs_apml,
    chula_rbc12,
    chula_wbc,
    cnmc_sbilab,
    jhu_apl_aml,
    nih_malaria,
    raabin_wbc,
    sigtuple_wbc,
    taleqani,
    uganda_sickle,
)
from blood_cell_system.datasets.collections.bccd import read_bccd_cells
from blood_cell_system.datasets.collections.iml_malaria import HEALTHY, STAGES, read_iml_malaria
from blood_cell_system.datasets.collections.pbc import OUTLIER_FOLDER, TYPE_OF_FOLDER, read_pbc
from blood_cell_system.errors import MissingDataError
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

Part = Callable[[Path, int], CropWork]
"""Makes the tasks of one collection from the folder of all, and a seed."""


class _Collection(NamedTuple):
    """Folders that a part of a recipe needs, all of them or any of them."""

    folders: tuple[str, ...]
    part: Part
    needs_all: bool = True

    def is_in(self, data: Path) -> bool:
        found = [(data / folder).is_dir() for folder in self.folders]
        return all(found) if self.needs_all else any(found)


_OUTLIERS: Final[dict[Extra, int]] = {Extra.CLUMP: 1, Extra.DEBRIS: 1, Extra.SLIDE: 1}
"""How many outliers of each kind are cut from an image."""
_HEALTHY_RBC: Final = CropClass("healthy_RBC")
_HEALTHY_WBC: Final = CropClass("healthy_WBC")
_CANCER_WBC: Final = CropClass("cancer_WBC")
_MALARIA_RBC: Final = CropClass("malaria_RBC")

_logger = logging.getLogger(__name__)


def tasks_of_recipe(kind: ClassifierKind, data: Path, *, seed: int = 0) -> CropWork:
    """List what is to be cut for a classifier's training, from the folder of all collections.

    Parameters
    ----------
    data : Path
        Folder with collections under their usual names; those that are not there are left out,
        and a log message names them.
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
    MissingDataError
        There is no collection, or a file of one is missing.
    DatasetError, AnnotationError
        A collection is damaged.
    """
    data = Path(data)
    tasks, failed, dropped = [], [], []
    present = [one for one in _RECIPES[kind] if one.is_in(data)]
    absent = [", ".join(one.folders) for one in _RECIPES[kind] if one not in present]
    if not present:
        raise MissingDataError(
            f"{data}: holds none of the collections of the recipe; expected folders such as "
            f"{', '.join(absent)}. Name the folder above them."
        )
    if absent:
        _logger.warning("%s: not there, and left out: %s", data, "; ".join(absent))
    for one in present:
        own_tasks, own_failed, own_dropped = one.part(data, seed)
        tasks += own_tasks
        failed += own_failed
        dropped += own_dropped
    return tasks, failed, dropped


def _iml_red(data: Path, seed: int) -> CropWork:
    reading = with_splits(joined_by_view(read_iml_malaria(data / "iml_malaria")))
    plan = CutPlan(
        method=CutMethod.BOXES,
        cell_type=RBC,
        classes={HEALTHY: _HEALTHY_RBC} | dict.fromkeys(STAGES, _MALARIA_RBC),
        most_an_image={HEALTHY: 16},
    )
    return _work(_with_some_outliers(_tasks(reading, plan, seed), _RED_OUTLIERS), reading)


def _uganda_red(data: Path, seed: int) -> CropWork:
    uganda = with_splits(joined_by_view(uganda_sickle.read_uganda_sickle(data / "uganda_sickle")))
    tasks = _tasks(
        uganda,
        CutPlan(
            method=CutMethod.BOXES,
            cell_type=RBC,
            classes={uganda_sickle.SICKLE: CropClass("sickle_RBC")},
            window_px=200,
        ),
        seed,
        labels=[uganda_sickle.POSITIVE],
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
        labels=[uganda_sickle.NEGATIVE],
    )
    return _work(_with_some_outliers(tasks, _RED_OUTLIERS), uganda)


def _bccd_red(data: Path, seed: int) -> CropWork:
    bccd = read_bccd_cells(data / "BCCD_Dataset", data / "bccd_trainval_extra")
    plan = CutPlan(
        method=CutMethod.BOXES,
        cell_type=RBC,
        classes={RBC: _HEALTHY_RBC, WBC: OUTLIER, PLATELET: OUTLIER},
        most_an_image={RBC: 6, WBC: 1, PLATELET: 1},
    )
    return _work(_with_some_outliers(_tasks(bccd, plan, seed), _RED_OUTLIERS), bccd)


def _pbc_red(data: Path, seed: int) -> CropWork:
    pbc = with_splits(read_pbc(data / "pbc_wbc_types"))
    tasks = _red_cells_of(pbc, TYPE_OF_FOLDER, most=3, seed=seed)
    # White cells and platelets of another laboratory; a fifth of its images is enough.
    white = CutPlan(
        method=CutMethod.LONE,
        cell_type=WBC,
        classes=dict.fromkeys(TYPE_OF_FOLDER, OUTLIER),
    )
    tasks += [task for task in _tasks(pbc, white, seed)[::5] if task.field.label != OUTLIER_FOLDER]
    return _work(tasks + _platelets(pbc, seed), pbc)


def _taleqani_red(data: Path, seed: int) -> CropWork:
    reading = with_splits(joined_by_view(taleqani.read_taleqani(data / "taleqani_all")))
    labels = (taleqani.BENIGN, *taleqani.MALIGNANT)
    return _work(_red_cells_of(reading, labels, most=6, seed=seed), reading)


def _nih_red(data: Path, seed: int) -> CropWork:
    """Cells on black and in their surround; patients are in both."""
    readings = [
        collection.read(data / collection.folder)
        for collection in (nih_malaria.NIH_CELLS, nih_malaria.NIH_IN_FIELD)
        if (data / collection.folder).is_dir()
    ]
    joined = replace(readings[0], fields=tuple(f for one in readings for f in one.fields))
    tasks = []
    for task in _tasks(
        with_splits(joined),
        CutPlan(
            method=CutMethod.LONE,
            cell_type=RBC,
            classes={nih_malaria.MALARIA: _MALARIA_RBC, nih_malaria.HEALTHY: _HEALTHY_RBC},
        ),
        seed,
    ):
        is_boxed = task.field.cells is not None
        plan = replace(task.plan, method=CutMethod.BOXES) if is_boxed else task.plan
        tasks.append(replace(task, plan=plan))
    return _work(tasks, *readings)


def _chula_red(data: Path, seed: int) -> CropWork:
    collection = chula_rbc12.CHULA_RBC12
    reading = with_splits(joined_by_view(collection.read(data / collection.folder)))
    shapes = {label: CropClass("healthy_RBC", shape) for label, shape in chula_rbc12.SHAPES.items()}
    points = CutPlan(
        method=CutMethod.POINTS,
        cell_type=RBC,
        classes=shapes | {chula_rbc12.UNCATEGORISED: _HEALTHY_RBC},
        most_an_image=dict.fromkeys(shapes, 24),
    )
    tasks = _tasks(reading, points, seed, labels=[chula_rbc12.FIELD])
    tasks = _with_some_outliers(tasks, _RED_OUTLIERS)
    tasks += _red_cells_of(reading, chula_rbc12.ANAEMIAS, most=12, seed=seed, every=1)
    return _work(tasks, reading)


def _red_of_raabin(data: Path, seed: int) -> CropWork:
    collection = raabin_wbc.RAABIN_WBC
    reading = with_splits(collection.read(data / collection.folder))
    return _work(_red_cells_of(reading, collection.labels, most=4, seed=seed, every=4), reading)


def _red_of_chula_wbc(data: Path, seed: int) -> CropWork:
    collection = chula_wbc.CHULA_WBC
    reading = with_splits(collection.read(data / collection.folder))
    return _work(_red_cells_of(reading, collection.labels, most=3, seed=seed, every=4), reading)


def _red_of_sigtuple(data: Path, seed: int) -> CropWork:
    collection = sigtuple_wbc.SIGTUPLE_WBC
    reading = with_splits(collection.read(data / collection.folder))
    fields = _red_cells_of(reading, [sigtuple_wbc.FIELD], most=10, seed=seed, every=1)
    return _work(fields, reading)


def _red_of_jhu(data: Path, seed: int) -> CropWork:
    collection = jhu_apl_aml.JHU_APL_AML
    reading = with_splits(collection.read(data / collection.folder))
    return _work(_red_cells_of(reading, collection.labels, most=6, seed=seed, every=1), reading)


def _red_of_acrs(data: Path, seed: int) -> CropWork:
    collection = acrs_apml.ACRS_APML
    reading = with_splits(collection.read(data / collection.folder))
    return _work(_red_cells_of(reading, collection.labels, most=8, seed=seed, every=4), reading)


_RED_OUTLIERS: Final = _OUTLIERS | {Extra.DEBRIS: 2}


def _red_cells_of(
    reading: FieldReading, labels: Collection[str], *, most: int, seed: int, every: int = 2
) -> list[CutTask]:
    """Red cells of some of the images of people who have neither malaria nor sickle cells.

    A disease that one laboratory alone has is easily confused with that laboratory's stain; healthy
    cells of many laboratories teach the difference.
    """
    plan = CutPlan(
        method=CutMethod.SEGMENTER,
        cell_type=RBC,
        classes=dict.fromkeys(labels, _HEALTHY_RBC),
        most_an_image=dict.fromkeys(labels, most),
    )
    return [task for task in _tasks(reading, plan, seed)[::every] if task.field.label in labels]


def _pbc_white(data: Path, seed: int) -> CropWork:
    pbc = with_splits(read_pbc(data / "pbc_wbc_types"))
    typed = {folder: CropClass("healthy_WBC", name) for folder, name in TYPE_OF_FOLDER.items()}
    lone = CutPlan(method=CutMethod.LONE, cell_type=WBC, classes=typed)
    tasks = [task for task in _tasks(pbc, lone, seed) if task.field.label != OUTLIER_FOLDER]
    tasks += _platelets(pbc, seed)
    return _work(tasks + _neighbours_of(pbc, seed), pbc)


def _bccd_white(data: Path, seed: int) -> CropWork:
    bccd = read_bccd_cells(data / "BCCD_Dataset", data / "bccd_trainval_extra")
    plan = CutPlan(
        method=CutMethod.BOXES,
        cell_type=WBC,
        classes={name: CropClass("healthy_WBC", name) for name in ClassifierKind(WBC).types}
        | {WBC: _HEALTHY_WBC, RBC: OUTLIER, PLATELET: OUTLIER},
        most_an_image={RBC: 1, PLATELET: 1},
        extras={Extra.CLUMP: 1},
    )
    return _work(_tasks(_with_types(bccd), plan, seed), bccd)


def _taleqani_white(data: Path, seed: int) -> CropWork:
    fields = with_splits(joined_by_view(taleqani.read_taleqani(data / "taleqani_all")))
    blasts = CutPlan(
        method=CutMethod.NUCLEI,
        cell_type=WBC,
        classes={taleqani.BENIGN: _HEALTHY_WBC} | dict.fromkeys(taleqani.MALIGNANT, _CANCER_WBC),
        most_an_image=dict.fromkeys((taleqani.BENIGN, *taleqani.MALIGNANT), 6),
    )
    return _work(_with_some_outliers(_tasks(fields, blasts, seed), _WHITE_OUTLIERS), fields)


def _raabin_white(data: Path, seed: int) -> CropWork:
    collection = raabin_wbc.RAABIN_WBC
    reading = with_splits(collection.read(data / collection.folder))
    typed = {name: CropClass("healthy_WBC", name) for name in raabin_wbc.TYPES}
    # All basophils are of one patient, who may have leukaemia.
    typed[raabin_wbc.BASOPHIL] = CropClass(None, raabin_wbc.BASOPHIL)
    lone = CutPlan(method=CutMethod.LONE, cell_type=WBC, classes=typed)
    return _work(_tasks(reading, lone, seed) + _neighbours_of(reading, seed), reading)


def _chula_white(data: Path, seed: int) -> CropWork:
    collection = chula_wbc.CHULA_WBC
    reading = with_splits(collection.read(data / collection.folder))
    plan = CutPlan(
        method=CutMethod.BOXES,
        cell_type=WBC,
        classes={name: CropClass("healthy_WBC", name) for name in chula_wbc.TYPES},
    )
    return _work(_tasks(reading, plan, seed) + _neighbours_of(reading, seed), reading)


def _sigtuple_white(data: Path, seed: int) -> CropWork:
    collection = sigtuple_wbc.SIGTUPLE_WBC
    reading = with_splits(collection.read(data / collection.folder))
    lone = CutPlan(
        method=CutMethod.LONE,
        cell_type=WBC,
        classes={sigtuple_wbc.WBC_IMAGE: _HEALTHY_WBC},
    )
    fields = CutPlan(
        method=CutMethod.SEGMENTER,
        cell_type=WBC,
        classes={sigtuple_wbc.FIELD: _HEALTHY_WBC},
        extras=_WHITE_OUTLIERS,
    )
    tasks = _tasks(reading, lone, seed, labels=[sigtuple_wbc.WBC_IMAGE])
    return _work(tasks + _tasks(reading, fields, seed, labels=[sigtuple_wbc.FIELD]), reading)


def _cnmc_white(data: Path, seed: int) -> CropWork:
    collection = cnmc_sbilab.CNMC_SBILAB
    reading = with_splits(collection.read(data / collection.folder))
    lone = CutPlan(
        method=CutMethod.LONE,
        cell_type=WBC,
        classes={cnmc_sbilab.BLAST: _CANCER_WBC, cnmc_sbilab.NORMAL: _HEALTHY_WBC},
    )
    return _work(_tasks(reading, lone, seed), reading)


def _jhu_white(data: Path, seed: int) -> CropWork:
    collection = jhu_apl_aml.JHU_APL_AML
    reading = with_splits(collection.read(data / collection.folder))
    lone = CutPlan(
        method=CutMethod.LONE,
        cell_type=WBC,
        classes=dict.fromkeys(jhu_apl_aml.LEUKAEMIC, _CANCER_WBC)
        | dict.fromkeys(jhu_apl_aml.SMUDGES, OUTLIER)
        | {label: CropClass("healthy_WBC", name) for label, name in jhu_apl_aml.NORMAL.items()},
    )
    return _work(_tasks(reading, lone, seed) + _neighbours_of(reading, seed, every=2), reading)


def _acrs_white(data: Path, seed: int) -> CropWork:
    collection = acrs_apml.ACRS_APML
    reading = with_splits(collection.read(data / collection.folder))
    plan = CutPlan(
        method=CutMethod.SEGMENTER,
        cell_type=WBC,
        classes={acrs_apml.FIELD: _CANCER_WBC},
        most_an_image={acrs_apml.FIELD: 4},
    )
    return _work(_with_some_outliers(_tasks(reading, plan, seed), _WHITE_OUTLIERS), reading)


_WHITE_OUTLIERS: Final = _OUTLIERS | {Extra.RED_CELL: 1}


def _neighbours_of(reading: FieldReading, seed: int, *, every: int = 10) -> list[CutTask]:
    """Cut a red cell and some empty slide from some of the images of single white cells."""
    plan = CutPlan(
        method=CutMethod.NUCLEI,
        cell_type=WBC,
        classes={},
        extras={Extra.RED_CELL: 1, Extra.SLIDE: 1},
    )
    return _tasks(reading, plan, seed)[::every]


def _with_some_outliers(tasks: list[CutTask], extras: Mapping[Extra, int]) -> list[CutTask]:
    """Let every third image give outliers as well: enough, in a third of the time."""
    return [
        replace(task, plan=replace(task.plan, extras=extras)) if number % 3 == 0 else task
        for number, task in enumerate(tasks)
    ]


def _platelets(reading: FieldReading, seed: int) -> list[CutTask]:
    plan = CutPlan(method=CutMethod.LONE, cell_type=PLATELET, classes={OUTLIER_FOLDER: OUTLIER})
    return _tasks(reading, plan, seed, labels=[OUTLIER_FOLDER])


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
    reading: FieldReading, plan: CutPlan, seed: int, *, labels: Collection[str] | None = None
) -> list[CutTask]:
    return [
        CutTask(field=field, source=reading.source, plan=plan, seed=seed)
        for field in reading.fields
        if labels is None or field.label in labels
    ]


def _work(tasks: list[CutTask], *readings: FieldReading) -> CropWork:
    failed = [failure for reading in readings for failure in reading.failed]
    return tasks, failed, [dropped for reading in readings for dropped in reading.dropped]


_BCCD: Final = ("BCCD_Dataset", "bccd_trainval_extra")
_RECIPES: Final[Mapping[ClassifierKind, tuple[_Collection, ...]]] = MappingProxyType(
    {
        ClassifierKind("RBC"): (
            _Collection(("iml_malaria",), _iml_red),
            _Collection(("uganda_sickle",), _uganda_red),
            _Collection(_BCCD, _bccd_red),
            _Collection(("pbc_wbc_types",), _pbc_red),
            _Collection(("taleqani_all",), _taleqani_red),
            _Collection(("nih_cells", "nih_in_field"), _nih_red, needs_all=False),
            _Collection(("chula_rbc12",), _chula_red),
            _Collection(("raabin_wbc",), _red_of_raabin),
            _Collection(("chula_wbc",), _red_of_chula_wbc),
            _Collection(("sigtuple_wbc",), _red_of_sigtuple),
            _Collection(("jhu_apl_aml",), _red_of_jhu),
            _Collection(("acrs_apml",), _red_of_acrs),
        ),
        ClassifierKind("WBC"): (
            _Collection(("pbc_wbc_types",), _pbc_white),
            _Collection(_BCCD, _bccd_white),
            _Collection(("taleqani_all",), _taleqani_white),
            _Collection(("raabin_wbc",), _raabin_white),
            _Collection(("chula_wbc",), _chula_white),
            _Collection(("sigtuple_wbc",), _sigtuple_white),
            _Collection(("cnmc_sbilab",), _cnmc_white),
            _Collection(("jhu_apl_aml",), _jhu_white),
            _Collection(("acrs_apml",), _acrs_white),
        ),
    }
)
