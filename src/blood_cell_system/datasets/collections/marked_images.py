"""Collections whose cells are marked, each in files of its own form.

::

    iml_malaria/
    ├── images/PA171690.JPG        1280×960, Giemsa, a scale bar burned in
    └── annotations.json           [{"image_name": "PA171690.JPG", "objects": [
                                       {"type": "ring",
                                        "bbox": {"x": "424", "y": "849", "h": "59", "w": "66"}}]}]
    uganda_sickle/
    ├── positive/2.jpg             about 1000×1000, a phone on an eyepiece: a disc in the dark
    ├── negative/1.jpg             fields of people without the disease
    └── sickle_boxes.json          {"2.jpg": [[x_min, y_min, x_max, y_max], …]}, of positive/
    BCCD_Dataset/                  as ``annotation/formats/voc.py`` reads it
    bccd_trainval_extra/
    ├── complete_boxes.json        {"BloodImage_00094": [{"class": "RBC",
    │                                 "bbox": [x_min, y_min, x_max, y_max]}, …]}, 181 images
    └── wbc_types.json             {"BloodImage_00000": "neutrophil", …}, 280 images

*IML malaria*: thin blood films with a box and a life stage around every whole cell; *Plasmodium
vivax*. Labels: red blood cell, ring, trophozoite, schizont, gametocyte, difficult (not decided).
Cells that the border cuts are not labelled. Files are numbered as they were taken, so that
neighbouring names share a slide: a block is a run of ten numbers. Source: Arshad, Ali, Mehmood et
al., *A dataset and benchmark for malaria life-cycle classification in thin blood smear images*,
Neural Computing and Applications 34 (2022). Licence: none is stated; for research only.

*Uganda sickle cells*: boxes mark *some* sickled cells of a field, never all: what has no box in
``positive/`` may be sickled or not, and healthy cells come from ``negative/`` alone. Many fields
were photographed again, some thirty numbers later: a block is a run of three names, and
``same_views`` joins those that show the same place. Source: Florence Tushabe et al., *Sickle cell
disease dataset* (Teso region, Uganda), Kaggle. Licence: none is stated; for research only.

*BCCD* with what was added to its annotations, for training and validation images only: every cell
boxed, and types of white cells. A type belongs to the only white cell of its image; images with
several are left without. Blood of people about whom nothing is known: their cells are taken as
healthy. Source: https://github.com/Shenggan/BCCD_Dataset. Licence: MIT.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from blood_cell_system.annotation.formats.voc import BCCD_LABELS, read_voc_folder
from blood_cell_system.annotation.sample import Annotation, DroppedCell, FailedImage
from blood_cell_system.boxes import Box
from blood_cell_system.datasets.cell_blocks import blocks_of_names
from blood_cell_system.datasets.cell_fields import (
    CellField,
    FieldReading,
    images_in,
    read_json_file,
    readable,
    usable_cells,
)
from blood_cell_system.errors import AnnotationError
from blood_cell_system.taxonomy import BUILT_IN, WBC

LICENCES: Final = MappingProxyType(
    {
        "bccd": "MIT",
        "iml": "none stated, research only",
        "uganda": "none stated, research only",
    }
)
"""By the name of the source."""

HEALTHY: Final = "red blood cell"
STAGES: Final = ("ring", "trophozoite", "schizont", "gametocyte")
DIFFICULT: Final = "difficult"
_LABELS: Final = (HEALTHY, *STAGES, DIFFICULT)
SICKLE: Final = "sickle"
POSITIVE: Final = "positive"
NEGATIVE: Final = "negative"
# Images in a run of names that is taken for one slide.
_IML_BLOCK: Final = 10
_UGANDA_BLOCK: Final = 3
_BCCD_BLOCK: Final = 10


def read_iml_malaria(root: Path) -> FieldReading:
    """Read an IML malaria folder.

    Raises
    ------
    MissingDataError
        There is no ``annotations.json`` or no ``images/``.
    AnnotationError
        The file is damaged, or a label is not known.
    DatasetError
        There are no images.
    """
    root = Path(root)
    file = root / "annotations.json"
    entries = read_json_file(file, expected=list, what="a list of images with their objects")
    images = images_in(root / "images")
    marks: dict[str, list[Any]] = {}
    for number, entry in enumerate(entries, start=1):
        try:
            name, objects = Path(entry["image_name"]).stem, list(entry["objects"])
        except (KeyError, TypeError) as error:
            raise AnnotationError(
                f"{file}: entry {number} is {str(entry)[:80]!r}; expected image_name and objects."
            ) from error
        marks.setdefault(name, []).extend(objects)
    blocks = blocks_of_names(list(marks), block_size=_IML_BLOCK)
    fields, dropped, failed = _marked_fields(
        marks, images, _iml_cell, blocks=blocks, file=file, folder="images"
    )
    return _reading(root, "iml", fields, dropped, failed)


def read_uganda_sickle(root: Path) -> FieldReading:
    """Read a folder of the Uganda sickle cells.

    Returns
    -------
    FieldReading
        Fields are called ``positive_2``, ``negative_1``; their label is the folder. Those of
        ``negative/`` have no marks: all their red cells are healthy.

    Raises
    ------
    MissingDataError
        There is no ``sickle_boxes.json``, or one of the folders is missing.
    AnnotationError
        The file is damaged.
    DatasetError
        A folder holds no images.
    """
    root = Path(root)
    file = root / "sickle_boxes.json"
    boxes = read_json_file(file, expected=dict, what="boxes by the name of the image")
    positive, negative = images_in(root / POSITIVE), images_in(root / NEGATIVE)
    marks = {Path(name).stem: marked for name, marked in boxes.items()}
    for name, marked in marks.items():
        if not isinstance(marked, list):
            raise AnnotationError(f"{file}: {name} has {marked!r}; expected a list of boxes.")
    blocks = blocks_of_names([*positive, *marks], block_size=_UGANDA_BLOCK)
    fields, dropped, failed = _marked_fields(
        marks, positive, _uganda_cell, blocks=blocks, file=file, folder=POSITIVE, label=POSITIVE
    )
    blocks = blocks_of_names(list(negative), block_size=_UGANDA_BLOCK)
    fields += [
        CellField(
            name=f"{NEGATIVE}_{name}",
            image_path=path,
            label=NEGATIVE,
            block=f"{NEGATIVE}/{blocks[name]}",
        )
        for name, path in negative.items()
        if readable(path, name=f"{NEGATIVE}_{name}", failed=failed, missing="")
    ]
    return _reading(root, "uganda", fields, dropped, failed)


def read_bccd_cells(root: Path, extra: Path) -> FieldReading:
    """Read BCCD with its extras.

    Parameters
    ----------
    root : Path
        The clone of BCCD.
    extra : Path
        ``bccd_trainval_extra``.

    Returns
    -------
    FieldReading
        Images with complete boxes have all cells; the others those that BCCD marks. The label of
        an image is the type of its only white cell, or empty.

    Raises
    ------
    MissingDataError, DatasetError
        As of ``read_voc_folder``, or an extra file is missing.
    AnnotationError
        A label file is damaged, or a type is not known.
    """
    dataset = read_voc_folder(Path(root))
    types = read_json_file(extra / "wbc_types.json", expected=dict, what="types by image")
    complete_file = extra / "complete_boxes.json"
    complete = read_json_file(complete_file, expected=dict, what="boxes by image")
    known = [subtype.name for subtype in BUILT_IN[WBC].subtypes]
    for name, subtype in types.items():
        if subtype not in known:
            raise AnnotationError(
                f"{extra / 'wbc_types.json'}: {name} is {subtype!r}; expected {', '.join(known)}."
            )
    blocks = blocks_of_names([sample.stem for sample in dataset.samples], block_size=_BCCD_BLOCK)
    dropped: list[DroppedCell] = []
    fields = []
    for sample in dataset.samples:
        cells = sample.cells or ()
        if sample.stem in complete:
            cells = usable_cells(
                complete[sample.stem],
                _bccd_cell,
                shape=sample.shape,
                file=complete_file,
                image=sample.stem,
                dropped=dropped,
            )
        white, split = sum(cell.cell_type == WBC for cell in cells), sample.split
        fields.append(
            CellField(
                name=sample.stem,
                image_path=sample.image_path,
                label=types.get(sample.stem, "") if white == 1 else "",
                cells=cells,
                # A block must lie in one split: the official one tears runs of names apart.
                block=f"{split}/{blocks[sample.stem]}" if split else blocks[sample.stem],
                split=split,
            )
        )
    return _reading(Path(root), "bccd", fields, dropped, dataset.failed)


def _reading(
    root: Path,
    source: str,
    fields: Sequence[CellField],
    dropped: Sequence[DroppedCell],
    failed: Sequence[FailedImage],
) -> FieldReading:
    return FieldReading(
        root=root,
        source=source,
        licence=LICENCES[source],
        fields=tuple(sorted(fields, key=lambda field: field.name)),
        dropped=tuple(dropped),
        failed=tuple(failed),
    )


def _marked_fields(
    marks: Mapping[str, list[Any]],
    images: Mapping[str, Path],
    read_mark: Callable[[Any], Annotation],
    *,
    blocks: Mapping[str, str],
    file: Path,
    folder: str,
    label: str = "",
) -> tuple[list[CellField], list[DroppedCell], list[FailedImage]]:
    """Fields of the images that have marks, in order of their names."""
    fields: list[CellField] = []
    dropped: list[DroppedCell] = []
    failed: list[FailedImage] = []
    for image in sorted(marks):
        path, name = images.get(image), f"{label}_{image}" if label else image
        missing = f"{folder}/{image}: there is no such image. Copy the data set again."
        shape = readable(path, name=name, failed=failed, missing=missing)
        if shape is None or path is None:
            continue
        cells = usable_cells(
            marks[image], read_mark, shape=shape, file=file, image=image, dropped=dropped
        )
        block = f"{label}/{blocks[image]}" if label else blocks[image]
        fields.append(CellField(name=name, image_path=path, label=label, cells=cells, block=block))
    return fields, dropped, failed


def _iml_cell(mark: Any) -> Annotation:
    label = mark["type"]
    if label not in _LABELS:
        raise ValueError(f"the label is {label!r}, expected {', '.join(_LABELS)}")
    x, y, width, height = (float(mark["bbox"][side]) for side in ("x", "y", "w", "h"))
    return Annotation(cell_type=label, box=Box(x, y, x + width, y + height))


def _uganda_cell(mark: Any) -> Annotation:
    return Annotation(cell_type=SICKLE, box=Box(*map(float, mark)))


def _bccd_cell(mark: Any) -> Annotation:
    return Annotation(cell_type=BCCD_LABELS[mark["class"]], box=Box(*map(float, mark["bbox"])))
