"""Several prepared folders as one: one size of cells, one split for one field.

1. Every picture is read once: what its field is known by, diameters of its red cells.
2. The median diameter of a source's red cells says by how much its pictures are resampled.
3. Pictures that show the same field, in whatever source, form a group; a group has one split, the
   strictest of its pictures'.
4. Pictures and labels are written, resampled or byte for byte.
"""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.classes import CellType
from blood_cell_system.curation.cell_scale import MIN_RED_CELLS, red_cell_diameters
from blood_cell_system.curation.combine_picture import PictureTask, manifest_row, write_picture
from blood_cell_system.curation.combine_summary import CombinedSource, CombineSummary, SplitMove
from blood_cell_system.curation.sources import (
    OpenedSources,
    check_output,
    open_sources,
)
from blood_cell_system.datasets.folder_build import finish_build, start_build
from blood_cell_system.datasets.prepared import PreparedImage, Split
from blood_cell_system.errors import DatasetError, SettingsError
from blood_cell_system.image_io import read_label_image
from blood_cell_system.parallel import map_in_processes
from blood_cell_system.progress import with_progress
from blood_cell_system.same_fields.field_print import FieldPrint, field_print
from blood_cell_system.same_fields.groups import groups_of_same
from blood_cell_system.segmenter_contract import TRAINING_DIAMETER_PX

COMMAND: Final = "prepare --mode combine"

_STRICTEST_FIRST = (Split.TEST, Split.VAL, Split.TRAIN)

# Resampling blurs; so little a difference in size is within that of two persons' cells.
_CLOSE_ENOUGH = 0.03
_MAX_MAGNIFICATION = 8.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Look:
    """What is kept of a picture after the first reading; a few kilobytes, however large it is."""

    field_print: FieldPrint
    diameters: NDArray[np.float32]
    has_platelets: bool


def combine_folders(
    folders: Sequence[Path],
    output: Path,
    *,
    cell_diameter_px: float | None = TRAINING_DIAMETER_PX,
    source_diameters: Mapping[str, float] | None = None,
    seed: int = 0,
    jobs: int | None = None,
) -> CombineSummary:
    """Write one prepared folder from several.

    Running it again gives the same bytes.

    Parameters
    ----------
    folders : sequence of Path
        Prepared folders; also such as were combined before.
    output : Path
    cell_diameter_px : float, optional
        Median diameter of the red cells of each source afterwards; None leaves all sizes.
    source_diameters : mapping of str to float, optional
        Diameters of red cells by source, for sources whose labels do not tell.
    seed : int
        Deals out splits where a folder has none.
    jobs : int, optional
        Processes; all cores by default.

    Returns
    -------
    CombineSummary

    Raises
    ------
    SettingsError
        A diameter makes no sense, a source is named that is not there, or no folder is named.
    MissingDataError, DatasetError, ImageReadError, MaskFormatError
        A folder is no prepared one, or a picture or mask is damaged.
    OutputError
        The output holds something else, or cannot be written to.
    """
    folders, output = [Path(folder) for folder in folders], Path(output)
    _check_diameters(cell_diameter_px, source_diameters or {})
    check_output(output, folders)
    sources = open_sources(folders, seed=seed)
    _check_names(source_diameters or {}, sources)
    job_count = (os.cpu_count() or 1) if jobs is None else jobs
    images = [picture.image for picture in sources.pictures]
    looks = list(
        with_progress(
            map_in_processes(_look_at, images, jobs=job_count),
            total=len(images),
            description="measuring",
        )
    )
    described = _describe(sources, looks, cell_diameter_px, source_diameters or {})
    groups = _groups(sources, looks)
    tasks = _tasks(sources, described, groups)
    start_build(output, command=COMMAND, stems=[task.picture.new_stem for task in tasks])
    written = list(
        with_progress(
            map_in_processes(partial(write_picture, output=output), tasks, jobs=job_count),
            total=len(tasks),
            description="combining",
        )
    )
    same = _same_fields(sources, groups)
    moves = _moves(tasks)
    finish_build(
        output,
        command=COMMAND,
        files={file for files, _ in written for file in files},
        images=[manifest_row(task) for task in tasks],
        cells={
            task.picture.new_stem: cells
            for task, (_, cells) in zip(tasks, written, strict=True)
            if cells is not None
        },
        details={
            "settings": {
                "cell_diameter_px": cell_diameter_px,
                "source_diameters": dict(source_diameters or {}),
            },
            "seed": seed,
            "sources": {
                source.name: {k: v for k, v in asdict(source).items() if k != "name"}
                for source in described.values()
            },
            "source_hash": [dataset.content_hash() for dataset in sources.datasets],
            "same_fields": same,
            "moved": [asdict(move) for move in moves],
        },
    )
    splits = [task.split for task in tasks]
    return CombineSummary(
        output=output,
        sources=tuple(described.values()),
        split_counts={s: splits.count(s) for s in Split if splits.count(s)},
        renamed_count=sum(task.picture.new_stem != task.picture.image.stem for task in tasks),
        same_fields=tuple(tuple(group) for group in same),
        moves=moves,
        cell_diameter_px=cell_diameter_px,
    )


def _check_diameters(target: float | None, given: Mapping[str, float]) -> None:
    named = {"--cell-diameter": target} | {f"--source-diameter {k}": v for k, v in given.items()}
    for name, value in named.items():
        if value is not None and not 4 <= value <= 2000:
            raise SettingsError(f"{name}: received {value}; expected 4 to 2000 pixels.")


def _check_names(given: Mapping[str, float], sources: OpenedSources) -> None:
    foreign = sorted(given.keys() - set(sources.names))
    if foreign:
        raise SettingsError(
            f"--source-diameter {foreign[0]}: there is no such source; expected one of "
            f"{', '.join(sources.names)}."
        )


def _look_at(image: PreparedImage) -> _Look:
    pixels, class_mask = image.read()
    path = image.instance_path
    labels = None if path is None else read_label_image(path)
    return _Look(
        field_print=field_print(pixels),
        diameters=red_cell_diameters(image.cells, class_mask, labels),
        has_platelets=any(c.cell_type == CellType.PLATELET for c in image.cells or ()),
    )


def _describe(
    sources: OpenedSources,
    looks: Sequence[_Look],
    target: float | None,
    given: Mapping[str, float],
) -> dict[str, CombinedSource]:
    """Describe each source, and decide by how much its pictures are resampled."""
    positions: defaultdict[str, list[int]] = defaultdict(list)
    for position, picture in enumerate(sources.pictures):
        positions[picture.image.source].append(position)
    described = {}
    for name, indices in positions.items():
        found = np.concatenate([looks[i].diameters for i in indices])
        measured = float(np.median(found)) if len(found) >= MIN_RED_CELLS else None
        diameter = given.get(name, measured)
        has_platelets = any(looks[i].has_platelets for i in indices)
        described[name] = CombinedSource(
            name=name,
            licence=sources.licence_of(name),
            picture_count=len(indices),
            red_cell_diameter_px=None if diameter is None else round(diameter, 2),
            measured_cells=len(found),
            magnification=_magnification(name, diameter, target),
            unmarked_types=() if has_platelets else (CellType.PLATELET,),
        )
    return described


def _magnification(name: str, diameter: float | None, target: float | None) -> float:
    if diameter is None or target is None:
        return 1.0
    magnification = target / diameter
    if not 1 / _MAX_MAGNIFICATION <= magnification <= _MAX_MAGNIFICATION:
        raise DatasetError(
            f"{name}: red cells are {diameter:.0f} px wide by their labels, {target:.0f} px are "
            f"asked for; expected at most {_MAX_MAGNIFICATION:.0f} times more or less. Say "
            f"--source-diameter {name}=PX if that is wrong, or leave sizes with --keep-scale."
        )
    return 1.0 if abs(magnification - 1) <= _CLOSE_ENOUGH else round(magnification, 4)


def _groups(sources: OpenedSources, looks: Sequence[_Look]) -> NDArray[np.intp]:
    index_of = {(p.folder_index, p.image.stem): i for i, p in enumerate(sources.pictures)}
    return groups_of_same(
        [look.field_print for look in looks],
        [
            index_of.get((picture.folder_index, picture.image.original), index)
            for index, picture in enumerate(sources.pictures)
        ],
    )


def _tasks(
    sources: OpenedSources, described: Mapping[str, CombinedSource], groups: NDArray[np.intp]
) -> list[PictureTask]:
    splits: defaultdict[int, set[Split | None]] = defaultdict(set)
    for picture, group in zip(sources.pictures, groups, strict=True):
        splits[int(group)].add(picture.image.split)
    new_stems = {(p.folder_index, p.image.stem): p.new_stem for p in sources.pictures}
    return [
        PictureTask(
            picture=picture,
            split=next((s for s in _STRICTEST_FIRST if s in splits[int(group)]), None),
            # An original that was left behind keeps its old name: it is not in the folder.
            original=new_stems.get(
                (picture.folder_index, picture.image.original), picture.image.original
            ),
            magnification=described[picture.image.source].magnification,
            unmarked_types=described[picture.image.source].unmarked_types,
        )
        for picture, group in zip(sources.pictures, groups, strict=True)
    ]


def _same_fields(sources: OpenedSources, groups: NDArray[np.intp]) -> list[list[str]]:
    """Names of originals that show the same field, where there are two or more."""
    members: defaultdict[int, list[str]] = defaultdict(list)
    for picture, group in zip(sources.pictures, groups, strict=True):
        if not picture.image.is_augmented:
            members[int(group)].append(picture.new_stem)
    return sorted(sorted(stems) for stems in members.values() if len(stems) > 1)


def _moves(tasks: Sequence[PictureTask]) -> tuple[SplitMove, ...]:
    return tuple(
        SplitMove(
            stem=task.picture.new_stem, from_split=task.picture.image.split, to_split=task.split
        )
        for task in tasks
        if task.split != task.picture.image.split and not task.picture.image.is_augmented
    )
