"""Tasks from a user's images: prepared folders, Pascal VOC, box tables, or images alone."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from blood_cell_system.annotation.formats.voc import read_voc_folder
from blood_cell_system.annotation.sample import Annotation, DroppedCell, FailedImage
from blood_cell_system.annotation.splits import Split
from blood_cell_system.boxes import Box
from blood_cell_system.datasets.cell_blocks import blocks_of_names
from blood_cell_system.datasets.cell_fields import (
    CellField,
    images_in,
    read_json_file,
    readable,
    usable_cells,
)
from blood_cell_system.datasets.cell_folder import NOT_A_CELL
from blood_cell_system.datasets.prepared import PreparedDataset
from blood_cell_system.errors import DatasetError, MissingDataError, SettingsError, UnknownNameError
from blood_cell_system.imaging.image_folders import (
    files_below,
    images_directly_in,
    is_image_name,
    is_left_behind,
)
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

_EXTRAS: Final = {Extra.SLIDE: 1, Extra.DEBRIS: 1, Extra.CLUMP: 1}
"""How many outliers of each kind are cut from an image."""
_LEFT_OUT: Final = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CropOptions:
    """What a user wants from their images.

    Parameters
    ----------
    kind : ClassifierKind
        Which cells.
    method : CutMethod or None
        By boxes where there are any, else by the segmenter, when it is None.
    boxes : Path or None
        JSON table of boxes: ``{"a.png": [{"label": "ring", "box": [10, 12, 60, 64]}]}``.
    class_of_all : str
        Class of all other cells; unlabelled when it is empty.
    class_of_label : mapping of str to str
        Class by label; an empty one leaves cells with that label out.
    source : str
        Name of the laboratory or data set.
    block_pattern, block_size
        As of ``blocks_of_names``.
    most_an_image : int or None
        At most so many cells of a label from one image.
    with_outliers : bool
        Whether slide, debris, clumps and cells of other types are cut as well.
    """

    kind: ClassifierKind
    method: CutMethod | None = None
    boxes: Path | None = None
    class_of_all: str = ""
    class_of_label: Mapping[str, str] = field(default_factory=dict)
    source: str = "own"
    block_pattern: str | None = None
    block_size: int = 10
    most_an_image: int | None = None
    with_outliers: bool = False
    seed: int = 0


def tasks_of_folder(root: Path, options: CropOptions) -> CropWork:
    """List what is to be cut out of a folder of images.

    Parameters
    ----------
    root : Path
        A prepared folder, a Pascal VOC folder, images, or a folder of images for each label.

    Returns
    -------
    tasks : list of CutTask
    failed : list of FailedImage
    dropped : list of DroppedCell
        Boxes that make no sense.

    Raises
    ------
    MissingDataError, DatasetError, AnnotationError
        The folder or the box table is missing or damaged.
    SettingsError
        A class is not known, a label has none, or the method does not fit the folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise MissingDataError(f"{root}: there is no such folder of images. Check the path.")
    failed: list[FailedImage] = []
    dropped: list[DroppedCell] = []
    fields = _fields(root, options, failed, dropped)
    has_boxes = any(item.cells is not None for item in fields)
    method = options.method or (CutMethod.BOXES if has_boxes else CutMethod.SEGMENTER)
    if method is CutMethod.BOXES and not has_boxes:
        raise SettingsError(
            f"{root}: has no boxes to cut by; expected annotations.json, Annotations/ or --boxes "
            "FILE. Choose --method segmenter to have the cells found."
        )
    labels = Counter(
        label
        for item in fields
        for label in (
            [cell.cell_type for cell in item.cells or ()]
            if method is CutMethod.BOXES
            else [item.label]
        )
    )
    classes = {label: _class_of(label, options) for label in labels}
    _check_labels(labels, classes, options)
    known = {label: found for label, found in classes.items() if found is not None}
    most = {} if options.most_an_image is None else dict.fromkeys(known, options.most_an_image)
    plan = CutPlan(
        method=method,
        cell_type=options.kind.cell_type,
        classes=known,
        most_an_image=most,
        extras=_EXTRAS if options.with_outliers and method is not CutMethod.LONE else {},
    )
    names = [item.name for item in fields]
    blocks = blocks_of_names(names, pattern=options.block_pattern, block_size=options.block_size)
    tasks = []
    for item in fields:
        # A split that was given must not be torn by a run of names.
        block = f"{item.split}/{blocks[item.name]}" if item.split else blocks[item.name]
        placed = replace(item, block=block)
        tasks.append(CutTask(field=placed, source=options.source, plan=plan, seed=options.seed))
    return tasks, failed, dropped


def _fields(
    root: Path,
    options: CropOptions,
    failed: list[FailedImage],
    dropped: list[DroppedCell],
) -> list[CellField]:
    if options.boxes is not None:
        return _fields_of_table(root, options.boxes, failed, dropped)
    if (root / "masks").is_dir() and (root / "images").is_dir():
        return [
            _field(image.stem, image.image_path, image.cells, image.split)
            for image in PreparedDataset.open(root).images
            if not image.is_augmented
        ]
    if (root / "Annotations").is_dir() or (root / "BCCD" / "Annotations").is_dir():
        dataset = read_voc_folder(root)
        failed += dataset.failed
        return [
            _field(sample.stem, sample.image_path, sample.cells, sample.split)
            for sample in dataset.samples
        ]
    return _fields_of_images(root, failed)


def _field(
    name: str, path: Path, cells: Sequence[Annotation] | None, split: Split | None
) -> CellField:
    annotations = None
    if cells is not None:
        annotations = tuple(Annotation(cell_type=cell.cell_type, box=cell.bounds) for cell in cells)
    return CellField(name=name, image_path=path, cells=annotations, block="", split=split)


def _fields_of_images(root: Path, failed: list[FailedImage]) -> list[CellField]:
    folders = (path for path in root.iterdir() if path.is_dir() and not is_left_behind(path.name))
    labelled = [
        (folder.name, folder)
        for folder in sorted(folders)
        if any(is_image_name(path) for path in files_below(folder))
    ]
    if not labelled or images_directly_in(root):
        labelled.append(("", root))
    fields = []
    for label, folder in labelled:
        for name, path in images_in(folder).items():
            full_name = f"{label}_{name}" if label else name
            if readable(path, name=full_name, failed=failed, missing="") is not None:
                fields.append(CellField(name=full_name, image_path=path, label=label, block=""))
    if not fields:
        raise DatasetError(f"{root}: none of the images can be read: {failed[0].reason}")
    return fields


def _fields_of_table(
    root: Path, file: Path, failed: list[FailedImage], dropped: list[DroppedCell]
) -> list[CellField]:
    table = read_json_file(file, expected=dict, what="boxes by the name of the image")
    images = images_in(root / "images" if (root / "images").is_dir() else root)
    fields = []
    for image, rows in sorted(table.items()):
        name = Path(image).stem
        path = images.get(name)
        reason = f"{root / image}: there is no such image, but {file.name} has boxes of it."
        shape = readable(path, name=name, failed=failed, missing=reason)
        if shape is None or path is None:
            continue
        cells = usable_cells(
            rows, _annotation, shape=shape, file=file, image=image, dropped=dropped
        )
        fields.append(CellField(name=name, image_path=path, cells=cells, block=""))
    if not fields:
        raise DatasetError(
            f"{file}: has no boxes of an image that is in {root}; expected names such as "
            f"{next(iter(images.values())).name}."
        )
    return fields


def _annotation(row: Any) -> Annotation:
    return Annotation(cell_type=str(row["label"]), box=Box(*map(float, row["box"])))


def _class_of(label: str, options: CropOptions) -> CropClass | None:
    """Class of a label; None where it is left out or not known."""
    named = options.class_of_label.get(label)
    if named is not None:
        return None if named == _LEFT_OUT else _class_named(named, options.kind)
    if label in (*options.kind.conditions, *options.kind.types, NOT_A_CELL):
        return _class_named(label, options.kind)
    if label in options.kind.taxonomy and label != options.kind.cell_type:
        return OUTLIER if options.with_outliers else None
    if label in ("", options.kind.cell_type):
        name = options.class_of_all
        return _class_named(name, options.kind) if name else CropClass()
    return None


def _class_named(name: str, kind: ClassifierKind) -> CropClass:
    if name == NOT_A_CELL:
        return OUTLIER
    if name in kind.conditions:
        return CropClass(name)
    if name in kind.types:
        return CropClass(kind.condition_of(name), name)
    known = (*kind.conditions, *kind.types, NOT_A_CELL)
    raise UnknownNameError.of("class", name, known)


def _check_labels(
    labels: Mapping[str, int], classes: Mapping[str, CropClass | None], options: CropOptions
) -> None:
    """Refuse labels without a class: their cells would silently be missing."""
    unknown = sorted(
        label
        for label in labels
        if classes[label] is None
        and label not in options.class_of_label
        and label not in options.kind.taxonomy
    )
    if unknown:
        counted = ", ".join(f"{label!r} ({labels[label]})" for label in unknown)
        raise SettingsError(
            f"labels without a class: {counted}. Say which class each has, for instance --map "
            f"{unknown[0]}={options.kind.conditions[0]}, or --map {unknown[0]}= to leave its cells "
            "out."
        )
    if labels and all(found is None for found in classes.values()):
        raise SettingsError("all labels are left out: there is nothing to cut. Check --map.")
