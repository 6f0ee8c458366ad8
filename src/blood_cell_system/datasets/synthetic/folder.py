"""Folders of drawn smears: prepared ones, and ones that look like a clone of BCCD."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final

from blood_cell_system.atomic_files import make_folder
from blood_cell_system.boxes import LabelledBox
from blood_cell_system.datasets.folder_build import PICTURE_FOLDERS, finish_build, start_build
from blood_cell_system.datasets.prepared import PreparedDataset, PreparedImage, Split
from blood_cell_system.datasets.synthetic.bccd_clone import (
    finish_clone,
    start_clone,
    write_smear_into_clone,
)
from blood_cell_system.datasets.synthetic.settings import SmearSettings
from blood_cell_system.datasets.synthetic.smear import DrawnSmear, draw_smear
from blood_cell_system.errors import SettingsError
from blood_cell_system.image_io import write_image
from blood_cell_system.mask_encoding import encode_class_mask
from blood_cell_system.parallel import map_in_processes
from blood_cell_system.progress import with_progress
from blood_cell_system.seeding import generator_for

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
    settings : SmearSettings, optional
    seed : int
    layout : FolderLayout
        ``prepared``: pictures, class masks, label pictures, boxes and splits, ready to train on.
        ``bccd``: pictures, Pascal VOC files and lists of splits, as a clone of BCCD has them.
    jobs : int
        Number of processes. With several, a script needs the usual guard
        ``if __name__ == "__main__"``.

    Returns
    -------
    tuple of str
        Stems of the pictures, in order.

    Raises
    ------
    SettingsError
        The count, the seed or the number of jobs makes no sense.
    OutputError
        The place cannot be written to, or holds pictures that were not drawn.
    WorkerError
        A process was ended from outside.
    """
    settings = settings or SmearSettings()
    if not 1 <= count <= MAX_COUNT:
        raise SettingsError(f"Count of smears: {count}; expected 1 to {MAX_COUNT:,}.")
    if seed < 0:
        raise SettingsError(f"Seed: {seed}; expected 0 or more.")
    output = Path(output)
    is_clone = FolderLayout(layout) is FolderLayout.BCCD
    prefix = "BloodImage" if is_clone else "smear"
    stems = tuple(f"{prefix}_{number:05d}" for number in range(count))
    write = partial(_write_smear, output=output, settings=settings, seed=seed, is_clone=is_clone)
    # Nothing is drawn before the first is asked for, but a bad number of jobs is told at once.
    drawn = map_in_processes(write, stems, jobs=jobs)
    progress = with_progress(drawn, total=count, description="Drawing smears")
    make_folder(output)
    splits = _draw_splits(stems, seed)
    if is_clone:
        stale = start_clone(output, stems)
        for _ in progress:
            pass
        finish_clone(output, splits=splits, stale=stale)
        return stems
    start_build(output, command=_COMMAND, stems=stems)
    cells = dict(zip(stems, progress, strict=True))
    finish_build(
        output,
        command=_COMMAND,
        files={f"{folder}/{stem}.png" for folder in PICTURE_FOLDERS for stem in stems},
        images=[
            {"stem": stem, "split": splits[stem], "source": SOURCE, "original": stem}
            for stem in stems
        ],
        cells=cells,
        details={"settings": json.loads(json.dumps(asdict(settings))), "seed": seed},
    )
    return stems


def _write_smear(
    stem: str, *, output: Path, settings: SmearSettings, seed: int, is_clone: bool
) -> tuple[LabelledBox, ...]:
    number = int(stem.rsplit("_", 1)[1])
    smear = draw_smear(settings, generator_for(seed, "smear", number))
    if is_clone:
        write_smear_into_clone(output, stem, smear)
    else:
        _write_prepared(output, stem, smear)
    return smear.cells


def _write_prepared(root: Path, stem: str, smear: DrawnSmear) -> None:
    write_image(root / "images" / f"{stem}.png", smear.image)
    write_image(root / "masks" / f"{stem}.png", encode_class_mask(smear.class_mask))
    write_image(root / "instances" / f"{stem}.png", smear.label_image)


def _draw_splits(stems: tuple[str, ...], seed: int) -> Mapping[str, Split]:
    nowhere = Path()
    images = tuple(
        PreparedImage(stem=stem, image_path=nowhere, mask_path=nowhere, original=stem)
        for stem in stems
    )
    dataset = PreparedDataset(root=nowhere, images=images).with_splits(seed)
    return {image.stem: image.split for image in dataset.images if image.split is not None}
