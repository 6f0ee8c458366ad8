"""The cell folders that this package's classifiers learn from, out of the collections.

A recipe takes each collection that it finds. ``recipes.yaml`` says which labels become which class,
and how many cells are taken from one image so that no slide outvotes the others.
``docs/held_out_blocks.md`` has the lists of what is held out.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Final

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter

from blood_cell_system.annotation.sample import DroppedCell, FailedImage
from blood_cell_system.datasets.cell_blocks import split_by_blocks
from blood_cell_system.datasets.cell_fields import FieldReading, joined_by_view
from blood_cell_system.datasets.collections.labelled_images import collection
from blood_cell_system.datasets.collections.marked_images import (
    read_bccd_cells,
    read_iml_malaria,
    read_uganda_sickle,
)
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
from blood_cell_system.taxonomy import RBC, WBC

_OUTLIERS: Final[dict[Extra, int]] = {Extra.CLUMP: 1, Extra.DEBRIS: 1, Extra.SLIDE: 1}
_SOME_OUTLIERS: Final[Mapping[str, Mapping[Extra, int]]] = MappingProxyType(
    {RBC: _OUTLIERS | {Extra.DEBRIS: 2}, WBC: _OUTLIERS | {Extra.RED_CELL: 1}}
)
"""How many outliers of each kind are cut from an image, by the kind of the classifier."""
_OUTLIER_STEP: Final = 3
"""Every third image gives outliers as well: enough, in a third of the time."""

_logger = logging.getLogger(__name__)


class Cut(BaseModel):
    """What is cut from the images of one collection; further fields are those of ``CutPlan``.

    Parameters
    ----------
    cell_type : str or None
        None for that of the classifier.
    classes : dict
        Labels by condition, as a list or with their subtypes; ``unknown`` and ``not_a_cell`` stand
        for no condition, and for what is none of the classes.
    images : tuple of str or None
        Labels of the images that are cut; by default those with a class, where the method goes by
        the image's label.
    most_an_image : int or dict of str to int
        Of every label, or by label.
    every : int
        Only each so many-th image of the collection.
    has_some_outliers : bool
        Whether every third image gives outliers as well.
    is_by_boxes_where_known : bool
        Whether images with boxes are cut by these.
    is_typed_by_image : bool
        Whether the image's label is the type of its white cells.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: CutMethod
    cell_type: str | None = None
    classes: dict[str, tuple[str, ...] | dict[str, str]] = {}
    images: tuple[str, ...] | None = None
    most_an_image: int | dict[str, int] = {}
    extras: dict[Extra, int] = {}
    window_px: int | None = None
    every: int = 1
    has_some_outliers: bool = False
    is_by_boxes_where_known: bool = False
    is_typed_by_image: bool = False

    def plan(self, cell_type: str) -> CutPlan:
        """Say what is cut from each image, for a classifier of that type."""
        classes: dict[str, CropClass] = {}
        for condition, labels in self.classes.items():
            subtypes = labels if isinstance(labels, dict) else dict.fromkeys(labels, "")
            for label, subtype in subtypes.items():
                known = None if condition == "unknown" else condition
                is_outlier = condition == "not_a_cell"
                classes[label] = OUTLIER if is_outlier else CropClass(known, subtype or None)
        most = self.most_an_image
        return CutPlan(
            method=self.method,
            cell_type=self.cell_type or cell_type,
            classes=classes,
            most_an_image=dict.fromkeys(classes, most) if isinstance(most, int) else most,
            extras=self.extras,
            window_px=self.window_px,
        )

    def tasks(self, reading: FieldReading, cell_type: str, *, seed: int) -> list[CutTask]:
        """List what is cut from a collection."""
        plan = self.plan(cell_type)
        images = self.images
        if images is None and self.method not in (CutMethod.BOXES, CutMethod.POINTS):
            images = tuple(plan.classes)
        if self.is_typed_by_image:
            reading = _with_types(reading)
        return [
            CutTask(field=field, source=reading.source, plan=plan, seed=seed)
            for field in reading.fields[:: self.every]
            if not images or field.label in images
        ]


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
    table = Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")
    recipes = TypeAdapter(dict[str, dict[str, tuple[Cut, ...]]]).validate_python(
        yaml.safe_load(table)
    )
    recipe = recipes[kind.cell_type]
    folders = {name: _FOLDERS.get(name, (name,)) for name in recipe}
    present = []
    for name in recipe:
        found = [(data / folder).is_dir() for folder in folders[name]]
        if any(found) if name == "nih" else all(found):
            present.append(name)
    absent = [", ".join(folders[name]) for name in recipe if name not in present]
    if not present:
        raise MissingDataError(
            f"{data}: holds none of the collections of the recipe; expected folders such as "
            f"{', '.join(absent)}. Name the folder above them."
        )
    if absent:
        _logger.warning("%s: not there, and left out: %s", data, "; ".join(absent))
    tasks: list[CutTask] = []
    failed: list[FailedImage] = []
    dropped: list[DroppedCell] = []
    for name in present:
        reading = with_splits(_read(name, [data / folder for folder in folders[name]]))
        failed += reading.failed
        dropped += reading.dropped
        number = count()
        for cut in recipe[name]:
            for task in cut.tasks(reading, kind.cell_type, seed=seed):
                plan = task.plan
                if cut.has_some_outliers and next(number) % _OUTLIER_STEP == 0:
                    plan = replace(plan, extras=_SOME_OUTLIERS[kind.cell_type])
                if cut.is_by_boxes_where_known and task.field.cells is not None:
                    plan = replace(plan, method=CutMethod.BOXES)
                tasks.append(replace(task, plan=plan))
    return tasks, failed, dropped


_FOLDERS: Final = {
    "bccd": ("BCCD_Dataset", "bccd_trainval_extra"),
    "nih": ("nih_cells", "nih_in_field"),
}
"""Of collections whose folder does not have their name; of the NIH's, one is enough."""
_READERS: Final = {"iml_malaria": read_iml_malaria, "uganda_sickle": read_uganda_sickle}
_REPEATED: Final = ("iml_malaria", "uganda_sickle", "taleqani_all", "chula_rbc12")
"""Collections in which a place of a slide is seen several times."""


def _read(name: str, folders: Sequence[Path]) -> FieldReading:
    """Read a collection; images of one place, and patients of both folders, share a block."""
    if name == "bccd":
        return read_bccd_cells(*folders)
    readings = [
        (_READERS.get(folder.name) or collection(folder.name).read)(folder)
        for folder in folders
        if folder.is_dir()
    ]
    reading = replace(
        readings[0],
        fields=tuple(field for one in readings for field in one.fields),
        failed=tuple(failure for one in readings for failure in one.failed),
        dropped=tuple(cell for one in readings for cell in one.dropped),
    )
    return joined_by_view(reading) if name in _REPEATED else reading


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
