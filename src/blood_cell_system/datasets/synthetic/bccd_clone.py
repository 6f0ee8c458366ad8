"""A folder of drawn smears with the files that a clone of BCCD has."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from blood_cell_system.atomic_files import write_text
from blood_cell_system.boxes import LabelledBox
from blood_cell_system.datasets.prepared import Split
from blood_cell_system.datasets.synthetic.smear import DrawnSmear
from blood_cell_system.datasets.voc import BCCD_LABELS
from blood_cell_system.errors import OutputError
from blood_cell_system.image_io import write_image

_LABELS: Final = {cell_type: label for label, cell_type in BCCD_LABELS.items() if cell_type}

# BCCD's own files have "Unknown" here: by this mark we never write over real pictures.
_MARK: Final = "<database>Drawn by bloodcells synthesize</database>"

_OBJECT: Final = """\
\t<object>
\t\t<name>{name}</name>
\t\t<pose>Unspecified</pose>
\t\t<truncated>{truncated}</truncated>
\t\t<difficult>0</difficult>
\t\t<bndbox>
\t\t\t<xmin>{x_min}</xmin>
\t\t\t<ymin>{y_min}</ymin>
\t\t\t<xmax>{x_max}</xmax>
\t\t\t<ymax>{y_max}</ymax>
\t\t</bndbox>
\t</object>
"""

_FILE: Final = """\
<annotation>
\t<folder>JPEGImages</folder>
\t<filename>{filename}</filename>
\t<path>JPEGImages/{filename}</path>
\t<source>
\t\t{mark}
\t</source>
\t<size>
\t\t<width>{width}</width>
\t\t<height>{height}</height>
\t\t<depth>3</depth>
\t</size>
\t<segmented>0</segmented>
{objects}</annotation>
"""


def start_clone(root: Path, stems: Sequence[str]) -> list[Path]:
    """See whether a clone may be written here.

    Parameters
    ----------
    root : Path
        Folder that is to hold ``BCCD/``.
    stems : sequence of str
        Pictures that are to be written.

    Returns
    -------
    list of Path
        Files of a former run that are not among the new ones, to be removed at the end.

    Raises
    ------
    OutputError
        There are pictures or annotations that were not drawn.
    """
    folder = root / "BCCD"
    files = [
        path
        for name in ("Annotations", "JPEGImages")
        for path in sorted((folder / name).glob("*"))
        if not path.name.startswith(".")
    ]
    is_drawn = {path.stem: _MARK in path.read_text("utf-8", "replace") for path in files
                if path.suffix == ".xml"}  # fmt: skip
    others = [path for path in files if not is_drawn.get(path.stem)]
    if others:
        raise OutputError(
            f"{root}: holds {len(others)} files that this command has not written, for instance "
            f"{others[0].relative_to(root)}; expected an empty or new folder, or one of a former "
            "run. Choose another --output."
        )
    return [path for path in files if path.stem not in set(stems)]


def write_smear_into_clone(root: Path, stem: str, smear: DrawnSmear) -> None:
    """Write a smear's annotation and picture."""
    height, width = smear.class_mask.shape
    xml = to_voc_xml(f"{stem}.jpg", (height, width), smear.cells)
    # The annotation first: a picture without one would not be known as drawn.
    write_text(root / "BCCD" / "Annotations" / f"{stem}.xml", xml)
    write_image(root / "BCCD" / "JPEGImages" / f"{stem}.jpg", smear.image)


def finish_clone(root: Path, *, splits: Mapping[str, Split], stale: Sequence[Path]) -> None:
    """Write the lists of splits, and remove what is left of a former run."""
    for path in stale:
        path.unlink()
    members = {str(split): {split} for split in Split} | {"trainval": {Split.TRAIN, Split.VAL}}
    for name, parts in members.items():
        lines = [f"{stem}\n" for stem, split in sorted(splits.items()) if split in parts]
        write_text(root / "BCCD" / "ImageSets" / "Main" / f"{name}.txt", "".join(lines))


def to_voc_xml(filename: str, shape: tuple[int, int], cells: Sequence[LabelledBox]) -> str:
    """Write boxes as the text of a Pascal VOC file.

    Parameters
    ----------
    filename : str
        Of the picture.
    shape : tuple of int
        ``(height, width)`` of the picture in pixels.
    cells : sequence of LabelledBox
        Whole pixels; 0-based and half-open here, 1-based and inclusive in the file.

    Returns
    -------
    str
    """
    height, width = shape
    objects = [
        _OBJECT.format(
            name=_LABELS[cell.cell_type],
            truncated=int(
                cell.x_min <= 0 or cell.y_min <= 0 or cell.x_max >= width or cell.y_max >= height
            ),
            x_min=round(cell.x_min) + 1,
            y_min=round(cell.y_min) + 1,
            x_max=round(cell.x_max),
            y_max=round(cell.y_max),
        )
        for cell in cells
    ]
    return _FILE.format(
        filename=escape(filename),
        mark=_MARK,
        width=width,
        height=height,
        objects="".join(objects),
    )
