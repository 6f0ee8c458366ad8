"""Uganda sickle cells: fields with boxes around some sickled cells, and fields without any.

::

    uganda_sickle/
    ├── positive/2.jpg             about 1000×1000, a phone on an eyepiece: a disc in the dark
    ├── negative/1.jpg             fields of people without the disease
    └── sickle_boxes.json          {"2.jpg": [[x_min, y_min, x_max, y_max], …]}, of positive/

Boxes mark *some* sickled cells of a field, never all: what has no box in ``positive/`` may be
sickled or not, and healthy cells come from ``negative/`` alone. Many fields were photographed
again, some thirty numbers later: a block is a run of three names, and ``same_views`` joins those
that show the same place.

Source: Florence Tushabe et al., *Sickle cell disease dataset* (Teso region, Uganda), Kaggle.
Licence: none is stated; for research only.
"""

from pathlib import Path
from typing import Any, Final

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

SICKLE: Final = "sickle"
POSITIVE: Final = "positive"
NEGATIVE: Final = "negative"
BLOCK_SIZE: Final = 3  # Images in a run of names that is taken for one slide.


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
    dropped: list[DroppedCell] = []
    failed: list[FailedImage] = []
    fields = []
    positive = images_in(root / POSITIVE)
    marks = {Path(name).stem: marked for name, marked in boxes.items()}
    for name, marked in marks.items():
        if not isinstance(marked, list):
            raise AnnotationError(f"{file}: {name} has {marked!r}; expected a list of boxes.")
    negative = images_in(root / NEGATIVE)
    block_of = {
        POSITIVE: blocks_of_names([*positive, *marks], block_size=BLOCK_SIZE),
        NEGATIVE: blocks_of_names(list(negative), block_size=BLOCK_SIZE),
    }
    for name in sorted(marks):
        path = positive.get(name)
        reason = f"{POSITIVE}/{name}: there is no such image. Copy the data set again."
        shape = readable(path, name=f"{POSITIVE}_{name}", failed=failed, missing=reason)
        if shape is None or path is None:
            continue
        cells = usable_cells(
            marks[name], _cell, shape=shape, file=file, image=name, dropped=dropped
        )
        fields.append(_field(POSITIVE, name, path, block_of, cells))
    for name, path in negative.items():
        if readable(path, name=f"{NEGATIVE}_{name}", failed=failed, missing="") is not None:
            fields.append(_field(NEGATIVE, name, path, block_of, None))
    return FieldReading(
        root=root,
        source="uganda",
        licence="none stated, research only",
        fields=tuple(sorted(fields, key=lambda field: field.name)),
        dropped=tuple(dropped),
        failed=tuple(failed),
    )


def _field(
    label: str,
    name: str,
    path: Path,
    block_of: dict[str, dict[str, str]],
    cells: tuple[Annotation, ...] | None,
) -> CellField:
    return CellField(
        name=f"{label}_{name}",
        image_path=path,
        label=label,
        cells=cells,
        block=f"{label}/{block_of[label][name]}",
    )


def _cell(mark: Any) -> Annotation:
    x_min, y_min, x_max, y_max = (float(side) for side in mark)
    return Annotation(cell_type=SICKLE, box=Box(x_min, y_min, x_max, y_max))
