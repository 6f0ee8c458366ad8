"""BCCD's cells, with what was added to its annotations: every cell boxed, and types of white cells.

::

    BCCD_Dataset/                      as ``annotation/formats/voc.py`` reads it
    bccd_trainval_extra/
    ├── complete_boxes.json            {"BloodImage_00094": [{"class": "RBC",
    │                                     "bbox": [x_min, y_min, x_max, y_max]}, …]}, 181 images
    └── wbc_types.json                 {"BloodImage_00000": "neutrophil", …}, 280 images

The extras are for training and validation images only. A type belongs to the only white cell of
its image; images with several are left without. Blood of people about whom nothing is known:
their cells are taken as healthy.

Source: https://github.com/Shenggan/BCCD_Dataset. Licence: MIT.
"""

from pathlib import Path
from typing import Any, Final

from blood_cell_system.annotation.formats.voc import BCCD_LABELS, read_voc_folder
from blood_cell_system.annotation.sample import Annotation, DroppedCell
from blood_cell_system.boxes import Box
from blood_cell_system.datasets.cell_blocks import blocks_of_names
from blood_cell_system.datasets.cell_fields import (
    CellField,
    FieldReading,
    read_json_file,
    usable_cells,
)
from blood_cell_system.errors import AnnotationError
from blood_cell_system.taxonomy import BUILT_IN, WBC

BLOCK_SIZE: Final = 10  # Images in a run of names that is taken for one slide.


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
        Images with complete boxes have all cells; the others those that BCCD marks. Labels of
        cells are those of ``str``; the label of an image is the type of its only white cell,
        or empty.

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
    blocks = blocks_of_names([sample.stem for sample in dataset.samples], block_size=BLOCK_SIZE)
    dropped: list[DroppedCell] = []
    fields = []
    for sample in dataset.samples:
        if sample.stem in complete:
            cells = usable_cells(
                complete[sample.stem],
                _cell,
                shape=sample.shape,
                file=complete_file,
                image=sample.stem,
                dropped=dropped,
            )
        else:
            cells = sample.cells or ()
        white = sum(cell.cell_type == WBC for cell in cells)
        split = sample.split
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
    return FieldReading(
        root=Path(root),
        source="bccd",
        licence="MIT",
        fields=tuple(fields),
        dropped=tuple(dropped),
        failed=dataset.failed,
    )


def _cell(mark: Any) -> Annotation:
    x_min, y_min, x_max, y_max = (float(side) for side in mark["bbox"])
    return Annotation(cell_type=BCCD_LABELS[mark["class"]], box=Box(x_min, y_min, x_max, y_max))
