"""Folders of drawn single cells, whose truth is known: to try out classifiers."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from blood_cell_system.annotation.splits import Split
from blood_cell_system.atomic_files import make_folder
from blood_cell_system.cells.cut_out import cell_images
from blood_cell_system.datasets.cell_folder import (
    CELLS_CSV,
    NOT_A_CELL,
    CellRecord,
    write_cells_csv,
)
from blood_cell_system.datasets.synthetic import SmearSettings, draw_smear
from blood_cell_system.datasets.synthetic.smear import DrawnSmear
from blood_cell_system.errors import OutOfRangeError, OutputError
from blood_cell_system.folder_lock import LOCK_NAME, locked_folder
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.model_metadata import ClassifierKind
from blood_cell_system.parallel import map_in_processes, with_progress
from blood_cell_system.seeding import generator_for
from blood_cell_system.stain.slide_light import fit_slide_light
from blood_cell_system.taxonomy import BUILT_IN
from blood_cell_system.wording import counted

SOURCE: Final = "synthetic"

_BLAST: Final = "blast"
_WHOLE_SHARE: Final = 0.9
"""Part of a cell's rows and columns that others must leave visible."""
_MANY_WHITE: Final = (0.0,) * 9 + (1.0,)
"""Probabilities of 0 to 9 white cells in a field: always nine, to have many."""
_MAX_FIELDS: Final = 10_000
"""Most fields of one folder, so that names sort by number."""
_SPLITS: Final = tuple(
    Split.TEST if n in (3, 10, 17) else Split.VAL if n in (2, 8, 14) else Split.TRAIN
    for n in range(20)
)
"""Of twenty fields fourteen teach, three choose, three test; of four each does one at least."""


def write_synthetic_cells(
    output: Path,
    *,
    kind: ClassifierKind,
    fields: int,
    settings: SmearSettings | None = None,
    seed: int = 0,
    jobs: int = 1,
) -> tuple[CellRecord, ...]:
    """Draw smears and cut their whole cells out, into a folder that a classifier can learn from.

    Every third red cell holds a parasite, every third is a sickle; white cells are of all types,
    with blasts for leukaemia. Platelets are no cell of either kind. Each field is a slide of its
    own: whole fields go into a split.

    Parameters
    ----------
    output : Path
        New or empty, or written by this function before.
    fields : int
        Smears to draw, 4 to 10,000; of each some 20 red, or 9 white cells are whole.
    settings : SmearSettings, optional
        Their appearance; which cells there are follows from the kind.
    seed : int
        The same seed gives the same files, whatever ``jobs`` is.
    jobs : int
        Number of processes.

    Returns
    -------
    tuple of CellRecord
        As in ``cells.csv``.

    Raises
    ------
    SettingsError
        The number of fields, the seed or the number of jobs makes no sense.
    OutputError
        The place cannot be written to, or holds other files.
    WorkerError
        A process was ended from outside.
    """
    if not 4 <= fields <= _MAX_FIELDS:
        raise OutOfRangeError(f"Count of fields: {fields}; expected 4 to {_MAX_FIELDS:,}.")
    if seed < 0:
        raise OutOfRangeError(f"Seed: {seed}; expected 0 or more.")
    output = Path(output)
    with locked_folder(output, command="synthesize"):
        return _write_cells(output, kind, fields, settings, seed, jobs)


def _write_cells(
    output: Path,
    kind: ClassifierKind,
    fields: int,
    settings: SmearSettings | None,
    seed: int,
    jobs: int,
) -> tuple[CellRecord, ...]:
    _start(output)
    chosen = _with_cells_of(settings or SmearSettings(cell_diameter_px=70), kind)
    write = partial(_write_field, output=output, kind=kind, settings=chosen, seed=seed)
    drawn = map_in_processes(write, range(fields), jobs=jobs)
    records: list[CellRecord] = []
    for found in with_progress(drawn, total=fields, description="Drawing cells"):
        records += found
    records.sort(key=lambda record: record.file)
    kept = {record.file for record in records}
    for path in output.glob("*/*.png"):
        if path.relative_to(output).as_posix() not in kept:
            path.unlink()
    write_cells_csv(output, records)
    return tuple(records)


def _start(output: Path) -> None:
    """Check that this folder may be written to."""
    make_folder(output)
    others = [
        path
        for path in sorted(output.rglob("*"))
        if path.is_file()
        and path.name not in (CELLS_CSV, LOCK_NAME)
        and not path.name.startswith(f"{SOURCE}_")
    ]
    if others:
        raise OutputError(
            f"{output}: holds {counted(len(others), 'file')} that this command has not written, "
            "for instance "
            f"{others[0].relative_to(output)}; expected an empty or new folder, or one of a former "
            "run. Choose another --output."
        )
    # Its table comes last: without one the folder is not mistaken for a finished one.
    (output / CELLS_CSV).unlink(missing_ok=True)


def _with_cells_of(settings: SmearSettings, kind: ClassifierKind) -> SmearSettings:
    if kind == ClassifierKind("RBC"):
        return replace(
            settings,
            malaria_share=1 / 3,
            sickle_share=1 / 3,
            clumping=(0.0, 0.15),
            coverage=(0.35, 0.5),
            white_cell_counts=(1.0,),
        )
    return replace(
        settings,
        white_kinds=(*kind.types, _BLAST, _BLAST),
        clumping=(0.0, 0.3),
        coverage=(0.1, 0.2),
        white_cell_counts=_MANY_WHITE,
    )


def _write_field(
    number: int, *, output: Path, kind: ClassifierKind, settings: SmearSettings, seed: int
) -> list[CellRecord]:
    field = f"{SOURCE}_{number:05d}"
    smear = draw_smear(settings, generator_for(seed, f"{kind}-cells", number))
    chosen = list(_whole_cells(smear, kind))
    places = [
        (index + 1, (cell.x_min, cell.y_min, cell.x_max, cell.y_max))
        for index, cell in enumerate(smear.cells)
        if index in chosen
    ]
    light = fit_slide_light(smear.image)
    records = []
    images = cell_images(smear.image, smear.label_image, places, light=light)
    for index, image in zip(chosen, images, strict=True):
        if image is None:
            continue
        folder, condition, cell_type = _label(smear.kinds[index], kind)
        record = CellRecord(
            file=f"{folder}/{field}_{index:03d}.png",
            condition=condition,
            cell_type=cell_type,
            is_outlier=folder == NOT_A_CELL,
            source=SOURCE,
            field=field,
            block=field,
            split=_SPLITS[number % len(_SPLITS)],
            origin="drawn",
        )
        write_image(output / record.file, image)
        records.append(record)
    return records


def _whole_cells(smear: DrawnSmear, kind: ClassifierKind) -> Iterator[int]:
    """Cells that neither the border nor another cell hides, and the platelets."""
    height, width = smear.label_image.shape
    areas = np.bincount(smear.label_image.ravel(), minlength=len(smear.cells) + 1)[1:]
    for index, cell in enumerate(smear.cells):
        is_inside = min(cell.x_min, cell.y_min) > 0 and cell.x_max < width and cell.y_max < height
        window = smear.label_image[
            int(cell.y_min) : int(cell.y_max), int(cell.x_min) : int(cell.x_max)
        ]
        rows = (window == index + 1).any(axis=1).mean()
        columns = (window == index + 1).any(axis=0).mean()
        is_whole = min(rows, columns) >= _WHOLE_SHARE and areas[index] > 0
        is_outlier = not BUILT_IN[cell.cell_type].has_channel
        is_wanted = is_outlier or cell.cell_type == kind.cell_type
        if is_wanted and is_inside and is_whole:
            yield index


def _label(name: str, kind: ClassifierKind) -> tuple[str, str | None, str | None]:
    """Folder, condition and type of a drawn cell."""
    if name == "platelet":
        return NOT_A_CELL, None, None
    if kind == ClassifierKind("RBC"):
        return name, name, None
    healthy, cancer = kind.conditions
    return (cancer, cancer, None) if name == _BLAST else (name, healthy, name)
