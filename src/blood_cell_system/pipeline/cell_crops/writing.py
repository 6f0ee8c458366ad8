"""Writing a cell folder: image after image, resumable, whole or marked as unfinished.

While the folder is in the making it holds ``.cutting/``: the settings, and for every image that
is done a file that says which cells came from it. Running the same command again continues. At the
end ``cells.csv`` and the sheets are written, and ``.cutting/`` goes.
"""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.annotation.sample import FailedImage
from blood_cell_system.atomic_files import make_folder, write_bytes, write_json
from blood_cell_system.datasets.cell_blocks import split_by_blocks
from blood_cell_system.datasets.cell_folder import (
    SHEETS,
    TAXONOMY_JSON,
    UNFINISHED,
    CellRecord,
    write_cells_csv,
)
from blood_cell_system.errors import BloodCellError, DatasetError, OutputError
from blood_cell_system.folder_lock import LOCK_NAME, locked_folder, remove_partial_files
from blood_cell_system.imaging.contact_sheet import Tile, contact_sheet
from blood_cell_system.imaging.image_file import read_rgba, write_image
from blood_cell_system.model_metadata import ClassifierKind, on_white
from blood_cell_system.parallel import map_with_progress
from blood_cell_system.pipeline.cell_crops.cutting import cut_image
from blood_cell_system.pipeline.cell_crops.plan import CutTask
from blood_cell_system.seeding import generator_for
from blood_cell_system.taxonomy import BUILT_IN
from blood_cell_system.wording import counted

_SETTINGS: Final = "settings.json"
_TILES_A_SHEET: Final = 96
"""Cells on a contact sheet, shared out among the sources."""
_SHEET_COLUMNS: Final = 12
"""Columns of a contact sheet, so that it fits on a screen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CropSummary:
    """What was cut.

    Parameters
    ----------
    failed : tuple of FailedImage
        Images from which nothing could be cut.
    """

    root: Path
    records: tuple[CellRecord, ...]
    failed: tuple[FailedImage, ...]
    notes: tuple[str, ...] = ()

    def to_text(self) -> str:
        """Count cells by class and source, and list what failed."""
        counts = Counter((record.label, record.source) for record in self.records)
        lines = [f"{self.root}: {counted(len(self.records), 'cell')}"]
        for (label, source), count in sorted(counts.items()):
            lines.append(f"  {count:6} {label} of {source}")
        lines += [f"  failed: {failure.name}: {failure.reason}" for failure in self.failed[:20]]
        if len(self.failed) > 20:
            lines.append(f"  … and {len(self.failed) - 20} more that failed")
        return "\n".join([*lines, *self.notes])


def write_cell_folder(
    root: Path,
    tasks: Sequence[CutTask],
    *,
    kind: ClassifierKind,
    failed: Sequence[FailedImage] = (),
    seed: int = 0,
    jobs: int = 1,
) -> CropSummary:
    """Cut the cells of images into a cell folder.

    Parameters
    ----------
    root : Path
        New, empty, or one that the same command began to write.
    tasks : sequence of CutTask
        Cells of an image keep the split of its field; where no field has one, whole blocks are
        split.
    failed : sequence of FailedImage
        Images that could not be read, to be listed with those that fail here.
    seed : int
        Of the split.
    jobs : int
        Processes.

    Raises
    ------
    OutputError
        The folder holds something else, or cannot be written to.
    DatasetError
        There is nothing to cut, or no cell was found.
    """
    if not tasks:
        raise DatasetError(f"{root}: no images to cut cells from. Check the input folder.")
    with locked_folder(root, command="crops"):
        _begin(root, _settings_of(tasks, kind))
        open_tasks = [task for task in tasks if _done(root, task) is None]
        # In mixed order, so that the time left is estimated from images of all kinds.
        order = generator_for(seed, "order").permutation(len(open_tasks)).tolist()
        open_tasks = [open_tasks[index] for index in order]
        cut = partial(_cut_and_write, root=root, subtypes=kind.types)
        for _ in map_with_progress(cut, open_tasks, jobs=jobs, description="Cutting cells"):
            pass
        return _finish(root, tasks, kind=kind, failed=failed, seed=seed)


def _settings_of(tasks: Sequence[CutTask], kind: ClassifierKind) -> dict[str, Any]:
    """Identify what decides about the cells: another plan must not continue this one."""
    digest = hashlib.sha256()
    for task in tasks:
        digest.update(repr((task.name, task.seed, task.plan, task.field.cells)).encode())
    if kind.taxonomy != BUILT_IN:
        digest.update(json.dumps(kind.taxonomy.to_dict()).encode())
    return {"kind": str(kind), "images": len(tasks), "plan_sha256": digest.hexdigest()}


def _begin(root: Path, settings: dict[str, Any]) -> None:
    """Mark the folder as unfinished, or go on with one that is."""
    folder = root / UNFINISHED
    marked = folder / _SETTINGS
    if marked.is_file():
        try:
            former = json.loads(marked.read_bytes())
        except (ValueError, RecursionError) as error:
            raise OutputError(
                f"{marked}: damaged, so that the unfinished run that wrote it cannot go on; "
                "expected JSON. Choose another --output, or delete this one."
            ) from error
        if former != settings:
            raise OutputError(
                f"{root}: holds an unfinished run of another command or of other images; "
                "expected the same, or a new folder. Choose another --output, or delete this one."
            )
        remove_partial_files(path for path in root.iterdir() if path.is_dir())
        return
    if any(path.name != LOCK_NAME for path in root.iterdir()):
        raise OutputError(
            f"{root}: is not empty; expected a new folder, or one that this command began to "
            "write. Choose another --output, or delete it."
        )
    make_folder(folder)
    write_json(marked, settings)


def _done(root: Path, task: CutTask) -> tuple[list[CellRecord], str] | None:
    """Cells of an image that is done, or why it has none; None where it is to be cut (again)."""
    try:
        result = json.loads((root / UNFINISHED / f"{task.name}.json").read_bytes())
        # The field's split counts, also for cells that a former run has cut.
        records = [CellRecord(**{**row, "split": task.field.split}) for row in result["cells"]]
        reason = str(result["failed"])
        is_whole = all((root / record.file).is_file() for record in records)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return (records, reason) if is_whole else None


def _cut_and_write(task: CutTask, *, root: Path, subtypes: tuple[str, ...]) -> None:
    """Cut an image, and write its cells; its own record is the last file."""
    try:
        cells = cut_image(task, subtypes=subtypes)
        reason = ""
    except BloodCellError as error:
        cells, reason = [], str(error)
    rows = []
    for record, image in cells:
        write_bytes(root / record.file, png_of(image))
        rows.append(asdict(record))
    write_json(root / UNFINISHED / f"{task.name}.json", {"cells": rows, "failed": reason})


def png_of(image: NDArray[np.uint8]) -> bytes:
    """Encode the image of a cell."""
    bgra = cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA)
    _, data = cv2.imencode(".png", bgra, [cv2.IMWRITE_PNG_COMPRESSION, 4])
    return data.tobytes()


def _finish(
    root: Path,
    tasks: Sequence[CutTask],
    *,
    kind: ClassifierKind,
    failed: Sequence[FailedImage],
    seed: int,
) -> CropSummary:
    records: list[CellRecord] = []
    failures = list(failed)
    for task in tasks:
        done = _done(root, task)
        if done is None:
            raise OutputError(
                f"{root}: cells of {task.field.name} were removed while the folder was being "
                "written. Run the same command again."
            )
        cells, reason = done
        records += cells
        if reason:
            failures.append(FailedImage(name=task.field.name, reason=reason))
    if not records:
        example = f" For instance {failures[0].name}: {failures[0].reason}" if failures else ""
        raise DatasetError(
            f"{root}: no cells were found in {counted(len(tasks), 'image')}; expected stained "
            "smears with "
            f"cells that the border does not cut.{example}"
        )
    records = with_splits(records, seed)
    if kind.taxonomy != BUILT_IN:
        write_json(root / TAXONOMY_JSON, kind.taxonomy.to_dict())
    write_cells_csv(root, records)
    for label, image in _sheets(root, records):
        write_image(root / SHEETS / f"{label}.png", image)
    with suppress(OSError):
        shutil.rmtree(root / UNFINISHED)
    return CropSummary(root=root, records=tuple(records), failed=tuple(failures))


def with_splits(records: Sequence[CellRecord], seed: int) -> list[CellRecord]:
    """Split what has no split, by whole blocks, source by source."""
    free = [record for record in records if record.split is None]
    chosen = split_by_blocks(
        [record.block for record in free],
        [f"{record.source} {record.label}" for record in free],
        seed=seed,
    )
    return [
        record if record.split is not None else replace(record, split=chosen[record.block])
        for record in records
    ]


def _sheets(root: Path, records: Sequence[CellRecord]) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Draw a contact sheet for each class, with cells of all its sources."""
    by_class: dict[str, dict[str, list[CellRecord]]] = {}
    for record in records:
        by_class.setdefault(record.label, {}).setdefault(record.source, []).append(record)
    for label, sources in sorted(by_class.items()):
        share = max(1, _TILES_A_SHEET // len(sources))
        tiles = []
        for source, members in sorted(sources.items()):
            step = max(1, len(members) // share)
            for record in members[::step][:share]:
                image = on_white(read_rgba(root / record.file))
                tiles.append(Tile(image=image, caption=source))
        count = sum(map(len, sources.values()))
        title = f"{label}: {counted(count, 'cell')} of {', '.join(sorted(sources))}"
        yield (
            label.replace(" ", "_"),
            contact_sheet(tiles, columns=_SHEET_COLUMNS, tile_width=130, title=title),
        )
