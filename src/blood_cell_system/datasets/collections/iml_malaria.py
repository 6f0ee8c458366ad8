"""IML malaria: fields of thin blood films with a box and a life stage around every whole cell.

::

    iml_malaria/
    ├── images/PA171690.JPG        1280×960, Giemsa, a scale bar burned in
    └── annotations.json           [{"image_name": "PA171690.JPG", "objects": [
                                       {"type": "ring",
                                        "bbox": {"x": "424", "y": "849", "h": "59", "w": "66"}}]}]

Labels: red blood cell, ring, trophozoite, schizont, gametocyte, difficult (not decided).
*Plasmodium vivax*; cells that the border cuts are not labelled. Files are numbered as they were
taken, so that neighbouring names share a slide: a block is a run of ten numbers.

Source: Arshad, Ali, Mehmood et al., *A dataset and benchmark for malaria life-cycle classification
in thin blood smear images*, Neural Computing and Applications 34 (2022). Licence: none is stated;
for research only.
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

HEALTHY: Final = "red blood cell"
STAGES: Final = ("ring", "trophozoite", "schizont", "gametocyte")
DIFFICULT: Final = "difficult"
LABELS: Final = (HEALTHY, *STAGES, DIFFICULT)
BLOCK_SIZE: Final = 10  # Images in a run of names that is taken for one slide.


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
    dropped: list[DroppedCell] = []
    failed: list[FailedImage] = []
    marks: dict[str, list[Any]] = {}
    for number, entry in enumerate(entries, start=1):
        try:
            name, objects = Path(entry["image_name"]).stem, list(entry["objects"])
        except (KeyError, TypeError) as error:
            raise AnnotationError(
                f"{file}: entry {number} is {str(entry)[:80]!r}; expected image_name and objects."
            ) from error
        marks.setdefault(name, []).extend(objects)
    blocks = blocks_of_names(list(marks), block_size=BLOCK_SIZE)
    fields = []
    for name in sorted(marks):
        path = images.get(name)
        reason = f"images/{name}: there is no such image. Copy the data set again."
        shape = readable(path, name=name, failed=failed, missing=reason)
        if shape is None or path is None:
            continue
        cells = usable_cells(
            marks[name], _cell, shape=shape, file=file, image=name, dropped=dropped
        )
        fields.append(CellField(name=name, image_path=path, cells=cells, block=blocks[name]))
    return FieldReading(
        root=root,
        source="iml",
        licence="none stated, research only",
        fields=tuple(fields),
        dropped=tuple(dropped),
        failed=tuple(failed),
    )


def _cell(mark: Any) -> Annotation:
    label = mark["type"]
    if label not in LABELS:
        raise ValueError(f"the label is {label!r}, expected {', '.join(LABELS)}")
    x, y, width, height = (float(mark["bbox"][side]) for side in ("x", "y", "w", "h"))
    return Annotation(cell_type=label, box=Box(x, y, x + width, y + height))
