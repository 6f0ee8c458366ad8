"""Folders of drawn smears: prepared ones, and ones that look like a clone of BCCD."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from blood_cell_system.annotation.formats.voc import BCCD_LABELS
from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.annotation.splits import Split
from blood_cell_system.atomic_files import write_text
from blood_cell_system.datasets.folder_build import IMAGE_FOLDERS, finish_build, start_build
from blood_cell_system.datasets.prepared import ManifestRow, PreparedDataset, PreparedImage
from blood_cell_system.datasets.synthetic.smear import DrawnSmear, draw_smear
from blood_cell_system.datasets.synthetic.smear_settings import SmearSettings
from blood_cell_system.errors import OutOfRangeError, OutputError
from blood_cell_system.folder_lock import locked_folder
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.imaging.mask_encoding import encode_class_mask
from blood_cell_system.parallel import map_with_progress
from blood_cell_system.seeding import generator_for
from blood_cell_system.wording import counted

_LABELS: Final = {cell_type: label for label, cell_type in BCCD_LABELS.items() if cell_type}

# BCCD's own files have "Unknown" here: by this mark we never write over real images.
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


def _start_clone(root: Path, stems: Sequence[str]) -> list[Path]:
    """Refuse a folder with files that were not drawn; gives those of a former run alone."""
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
            f"{root}: holds {counted(len(others), 'file')} that this command has not written, "
            "for instance "
            f"{others[0].relative_to(root)}; expected an empty or new folder, or one of a former "
            "run. Choose another --output."
        )
    return [path for path in files if path.stem not in set(stems)]


def _write_into_clone(root: Path, stem: str, smear: DrawnSmear) -> None:
    height, width = smear.class_mask.shape
    xml = to_voc_xml(f"{stem}.jpg", (height, width), smear.cells)
    # The annotation first: an image without one would not be known as drawn.
    write_text(root / "BCCD" / "Annotations" / f"{stem}.xml", xml)
    write_image(root / "BCCD" / "JPEGImages" / f"{stem}.jpg", smear.image)


def _finish_clone(root: Path, *, splits: Mapping[str, Split], stale: Sequence[Path]) -> None:
    """Write the lists of splits, and remove what is left of a former run."""
    for path in stale:
        path.unlink()
    members = {str(split): {split} for split in Split} | {"trainval": {Split.TRAIN, Split.VAL}}
    for name, parts in members.items():
        lines = [f"{stem}\n" for stem, split in sorted(splits.items()) if split in parts]
        write_text(root / "BCCD" / "ImageSets" / "Main" / f"{name}.txt", "".join(lines))


def to_voc_xml(filename: str, shape: tuple[int, int], cells: Sequence[Annotation]) -> str:
    """Write boxes as the text of a Pascal VOC file.

    Parameters
    ----------
    filename : str
        Of the image.
    shape : tuple of int
        ``(height, width)`` of the image in pixels.
    cells : sequence of Annotation
        Whole pixels; 0-based and half-open here, 1-based and inclusive in the file.
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


SOURCE: Final = "synthetic"
MAX_COUNT: Final = 100_000
"""File names have five digits."""

_COMMAND: Final = "synthesize"


class FolderLayout(StrEnum):
    """What the folder is to look like."""

    PREPARED = "prepared"
    BCCD = "bccd"


def write_synthetic_folder(
    output: Path,
    *,
    count: int,
    settings: SmearSettings | None = None,
    seed: int = 0,
    layout: FolderLayout = FolderLayout.PREPARED,
    jobs: int = 1,
) -> tuple[str, ...]:
    """Draw smears into a folder.

    Every smear has its own random numbers: the same seed gives the same files, whatever ``jobs``
    is, and a larger count begins with the same smears.

    Parameters
    ----------
    output : Path
        New or empty, or written by this function before.
    count : int
        Number of smears, 1 to 100,000.
    layout : FolderLayout
        ``prepared``: images, class masks, label images, boxes and splits, ready to train on.
        ``bccd``: images, Pascal VOC files and lists of splits, as a clone of BCCD has them.
    jobs : int
        Number of processes. With several, a script needs the usual guard
        ``if __name__ == "__main__"``.

    Returns
    -------
    tuple of str
        Stems of the images, in order.

    Raises
    ------
    SettingsError
        The count, the seed or the number of jobs makes no sense.
    OutputError
        The place cannot be written to, or holds images that were not drawn.
    WorkerError
        A process was ended from outside.
    """
    settings = settings or SmearSettings()
    if not 1 <= count <= MAX_COUNT:
        raise OutOfRangeError(f"Count of smears: {count}; expected 1 to {MAX_COUNT:,}.")
    if seed < 0:
        raise OutOfRangeError(f"Seed: {seed}; expected 0 or more.")
    output = Path(output)
    is_clone = FolderLayout(layout) is FolderLayout.BCCD
    prefix = "BloodImage" if is_clone else "smear"
    stems = tuple(f"{prefix}_{number:05d}" for number in range(count))
    write = partial(_write_smear, output=output, settings=settings, seed=seed, is_clone=is_clone)
    # Nothing is drawn before the first is needed, but a bad number of jobs is refused at once.
    progress = map_with_progress(write, stems, jobs=jobs, description="Drawing smears")
    splits = _draw_splits(stems, seed)
    with locked_folder(output, command=_COMMAND):
        if is_clone:
            stale = _start_clone(output, stems)
            for _ in progress:
                pass
            _finish_clone(output, splits=splits, stale=stale)
            return stems
        start_build(output, command=_COMMAND, stems=stems)
        cells = dict(zip(stems, progress, strict=True))
        finish_build(
            output,
            command=_COMMAND,
            files={f"{folder}/{stem}.png" for folder in IMAGE_FOLDERS for stem in stems},
            images=[
                ManifestRow(stem=stem, source=SOURCE, split=splits[stem]).to_json()
                for stem in stems
            ],
            cells=cells,
            details={"settings": json.loads(json.dumps(asdict(settings))), "seed": seed},
        )
    return stems


def _write_smear(
    stem: str, *, output: Path, settings: SmearSettings, seed: int, is_clone: bool
) -> tuple[Annotation, ...]:
    number = int(stem.rsplit("_", 1)[1])
    smear = draw_smear(settings, generator_for(seed, "smear", number))
    if is_clone:
        _write_into_clone(output, stem, smear)
    else:
        write_image(output / "images" / f"{stem}.png", smear.image)
        write_image(output / "masks" / f"{stem}.png", encode_class_mask(smear.class_mask))
        write_image(output / "instances" / f"{stem}.png", smear.label_image)
    return smear.cells


def _draw_splits(stems: tuple[str, ...], seed: int) -> Mapping[str, Split]:
    nowhere = Path()
    images = tuple(
        PreparedImage(stem=stem, image_path=nowhere, mask_path=nowhere, original=stem)
        for stem in stems
    )
    dataset = PreparedDataset(root=nowhere, images=images).with_splits(seed)
    return {image.stem: image.split for image in dataset.images if image.split is not None}
