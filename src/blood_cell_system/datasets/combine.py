"""Several prepared folders as one: one size of cells, one split for one field.

1. Every image is read once: what its field is known by, diameters of its red cells.
2. The median diameter of a source's red cells says by how much its images are resampled.
3. Images that show the same field, in whatever source, form a group; a group has one split, the
   strictest of its images'.
4. Images and labels are written, resampled or byte for byte.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.annotation.splits import Split
from blood_cell_system.datasets.cell_diameter import MIN_RED_CELLS, red_cell_diameters
from blood_cell_system.datasets.duplicates.groups import FieldPrint, field_print, groups_of_same
from blood_cell_system.datasets.folder_build import finish_build, start_build
from blood_cell_system.datasets.prepared import PreparedDataset, PreparedImage
from blood_cell_system.errors import DatasetError, OutOfRangeError, SettingsError
from blood_cell_system.folder_lock import locked_folder
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.imaging.image_folders import refuse_output_around
from blood_cell_system.imaging.mask_encoding import encode_class_mask
from blood_cell_system.model_metadata import TRAINING_DIAMETER_PX
from blood_cell_system.parallel import map_with_progress
from blood_cell_system.taxonomy import Taxonomy
from blood_cell_system.wording import counted

_UNKNOWN_LICENCE: Final = "not stated"
_UNNAMED: Final = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class _SourceImage:
    """An image to take over: with a source and a split, and under the name that it gets."""

    image: PreparedImage
    folder_index: int
    new_stem: str


def _opened(folders: Sequence[Path], *, seed: int) -> tuple[PreparedDataset, ...]:
    if not folders:
        raise SettingsError("no folder was named; expected one or more prepared folders.")
    twice = [path for path, count in Counter(p.resolve() for p in folders).items() if count > 1]
    if twice:
        raise SettingsError(f"{twice[0]}: named twice; expected different folders. Name it once.")
    return tuple(PreparedDataset.open(folder).with_splits(seed) for folder in folders)


def _source_images(datasets: Sequence[PreparedDataset]) -> list[_SourceImage]:
    """Give every image a source and a name of its own, ordered by folder, then by name."""
    labelled = [
        (index, replace(image, source=names[image.source]))
        for index, names in enumerate(_source_names(datasets))
        for image in datasets[index].images
    ]
    stems = _new_stems([image for _, image in labelled])
    return [
        _SourceImage(image=image, folder_index=index, new_stem=stem)
        for (index, image), stem in zip(labelled, stems, strict=True)
    ]


def _source_names(datasets: Sequence[PreparedDataset]) -> list[dict[str, str]]:
    """Of each folder, what each of its sources is called in the combination.

    A source without a name is called like its folder. Two folders that say the same name are two
    sources, with their folders' names added.
    """
    wanted = [
        {
            source: source if source != _UNNAMED else dataset.root.resolve().name
            for source in sorted({image.source for image in dataset.images})
        }
        for dataset in datasets
    ]
    uses = Counter(name for names in wanted for name in set(names.values()))
    taken: set[str] = set()
    for dataset, names in zip(datasets, wanted, strict=True):
        for source, name in names.items():
            if uses[name] > 1:
                name = f"{name}-{dataset.root.resolve().name}"
            names[source] = _free(name, taken)
            taken.add(names[source])
    return wanted


def _new_stems(images: Sequence[PreparedImage]) -> list[str]:
    """Put the source in front of names that several folders have; all others stay."""
    # Names that differ in upper and lower case only are one file on some systems.
    uses = Counter(image.stem.casefold() for image in images)
    taken = {stem for stem, count in uses.items() if count == 1}
    stems = []
    for image in images:
        stem = image.stem
        if uses[stem.casefold()] > 1:
            plain = "".join(c if c.isalnum() or c in "-_." else "_" for c in image.source)
            stem = _free(f"{plain}_{stem}", taken)
            taken.add(stem.casefold())
        stems.append(stem)
    return stems


def _free(name: str, taken: set[str]) -> str:
    number, free = 2, name
    while free in taken or free.casefold() in taken:
        free, number = f"{name}-{number}", number + 1
    return free


@dataclass(frozen=True, slots=True, kw_only=True)
class _ImageTask:
    """An image to write, before and in the combination; at 1 it is copied byte for byte."""

    image: PreparedImage
    combined: PreparedImage
    magnification: float


def _write_image(
    task: _ImageTask, *, output: Path
) -> tuple[tuple[str, ...], tuple[Annotation, ...] | None]:
    """Write an image and its labels; give the files' names and the cells' boxes."""
    image, stem = task.image, task.combined.stem
    if task.magnification == 1:
        return image.copy_files(output, stem=stem), image.cells
    decoded = image.decoded(magnification=task.magnification)
    arrays = {
        "images": decoded.pixels,
        "masks": encode_class_mask(decoded.class_mask),
        "instances": decoded.label_image,
    }
    files = {f"{kind}/{stem}.png": pixels for kind, pixels in arrays.items() if pixels is not None}
    for name, pixels in files.items():
        write_image(output / name, pixels)
    return tuple(files), decoded.cells


_SHOWN = 10  # Groups and moves that the summary lists.


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinedSource:
    """One source of a combined folder.

    Parameters
    ----------
    red_cell_diameter_px : float or None
        Median before resampling, by the labels or as given; None where unknown.
    measured_cells : int
        Whole red cells that the labels show.
    magnification : float
        By how much its images were resampled; 1 leaves them byte for byte.
    unmarked_types : tuple of str
        Types that nobody marked in this source, though they may be there.
    """

    name: str
    licence: str
    image_count: int
    red_cell_diameter_px: float | None
    measured_cells: int
    magnification: float
    unmarked_types: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitMove:
    """An image that changed its split, because another one shows the same field."""

    stem: str
    from_split: Split | None
    to_split: Split | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CombineSummary:
    """What ``combine_folders`` did.

    Parameters
    ----------
    split_counts : mapping of str to int
    renamed_count : int
        Images that got their source's name in front.
    same_fields : tuple of tuple of str
        Groups of originals that show the same field.
    cell_diameter_px : float or None
        Asked for; None where sizes were left.
    """

    output: Path
    sources: tuple[CombinedSource, ...]
    split_counts: Mapping[str, int]
    renamed_count: int
    same_fields: tuple[tuple[str, ...], ...]
    moves: tuple[SplitMove, ...]
    cell_diameter_px: float | None

    def to_text(self) -> str:
        """Say it in a few lines."""
        splits = ", ".join(f"{name} {count}" for name, count in self.split_counts.items())
        total = sum(source.image_count for source in self.sources)
        lines = [
            f"{self.output}: {counted(total, 'image')} of "
            f"{counted(len(self.sources), 'source')} ({splits})"
        ]
        lines += [f"  {self._line(source)}" for source in self.sources]
        if self.renamed_count:
            lines.append(
                f"{counted(self.renamed_count, 'image')} with the name of another got the source's "
                "name in front"
            )
        if self.same_fields:
            lines.append(
                f"{counted(len(self.same_fields), 'field is', 'fields are')} there more than once:"
            )
            lines += [f"  {', '.join(group)}" for group in self.same_fields[:_SHOWN]]
            lines += ["  ..."] * (len(self.same_fields) > _SHOWN)
            lines.append(
                f"  each kept in one split, test before val before train: "
                f"{counted(len(self.moves), 'image')} changed theirs"
            )
        return "\n".join(lines)

    def _line(self, source: CombinedSource) -> str:
        words = f"{source.name}: {counted(source.image_count, 'image')}, licence {source.licence}"
        if source.red_cell_diameter_px is None:
            hint = "" if self.cell_diameter_px is None else f": --source-diameter {source.name}=PX"
            return f"{words}, size of red cells unknown, left as they are{hint}"
        change = (
            "left as they are"
            if source.magnification == 1
            else f"resampled by {source.magnification:.2f}"
        )
        return f"{words}, red cells {source.red_cell_diameter_px:.0f} px, {change}"


COMMAND: Final = "prepare --mode combine"

_STRICTEST_FIRST = (Split.TEST, Split.VAL, Split.TRAIN)

# Resampling blurs; so little a difference in size is within that of two persons' cells.
_CLOSE_ENOUGH = 0.03
_MAX_MAGNIFICATION = 8.0  # Either way; beyond, the diameter must be wrong.


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Look:
    """What is kept of an image after the first reading; a few kilobytes, however large it is."""

    field_print: FieldPrint
    diameters: NDArray[np.float32]
    types: frozenset[str]


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
    cell_diameter_px : float, optional
        Median diameter of the red cells of each source afterwards; None leaves all sizes.
    source_diameters : mapping of str to float, optional
        Diameters of red cells by source, for sources whose labels do not show them.
    seed : int
        Chooses splits where a folder has none.
    jobs : int, optional
        Processes; all cores by default.

    Raises
    ------
    SettingsError
        A diameter makes no sense, a source is named that is not there, or no folder is named.
    MissingDataError, DatasetError, ImageReadError, MaskFormatError
        A folder is no prepared one, or an image or mask is damaged.
    OutputError
        The output holds something else, or cannot be written to.
    """
    folders, output = [Path(folder) for folder in folders], Path(output)
    _check_diameters(cell_diameter_px, source_diameters or {})
    refuse_output_around(output, *folders)
    datasets = _opened(folders, seed=seed)
    images = _source_images(datasets)
    _check_names(source_diameters or {}, images)
    taxonomy = _joined_taxonomy(datasets)
    former = [image.image for image in images]
    looks = list(map_with_progress(_look_at, former, jobs=jobs, description="measuring"))
    described = _describe(
        datasets, images, looks, cell_diameter_px, source_diameters or {}, taxonomy
    )
    groups = _groups(images, looks)
    tasks = _tasks(images, described, groups)
    with locked_folder(output, command=COMMAND):
        start_build(output, command=COMMAND, stems=[task.combined.stem for task in tasks])
        write = partial(_write_image, output=output)
        written = list(map_with_progress(write, tasks, jobs=jobs, description="combining"))
        same = _same_fields(images, groups)
        moves = _moves(tasks)
        finish_build(
            output,
            command=COMMAND,
            taxonomy=taxonomy,
            files={file for files, _ in written for file in files},
            images=[task.combined.manifest_row() for task in tasks],
            cells={
                task.combined.stem: cells
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
                "source_hash": [dataset.content_hash() for dataset in datasets],
                "same_fields": same,
                "moved": [asdict(move) for move in moves],
            },
        )
    splits = [task.combined.split for task in tasks]
    return CombineSummary(
        output=output,
        sources=tuple(described.values()),
        split_counts={s: splits.count(s) for s in Split if splits.count(s)},
        renamed_count=sum(task.combined.stem != task.image.stem for task in tasks),
        same_fields=tuple(tuple(group) for group in same),
        moves=moves,
        cell_diameter_px=cell_diameter_px,
    )


def _check_diameters(target: float | None, given: Mapping[str, float]) -> None:
    named = {"--cell-diameter": target} | {f"--source-diameter {k}": v for k, v in given.items()}
    for name, value in named.items():
        if value is not None and not 4 <= value <= 2000:
            raise OutOfRangeError(f"{name}: received {value}; expected 4 to 2000 pixels.")


def _joined_taxonomy(datasets: Sequence[PreparedDataset]) -> Taxonomy:
    try:
        return Taxonomy.joined(dataset.taxonomy for dataset in datasets)
    except ValueError as error:
        folders = ", ".join(str(dataset.root) for dataset in datasets)
        raise DatasetError(
            f"{folders}: cannot be combined: {error}. Prepare the folders with one --classes file."
        ) from error


def _check_names(given: Mapping[str, float], images: Sequence[_SourceImage]) -> None:
    names = dict.fromkeys(image.image.source for image in images)
    foreign = sorted(given.keys() - names.keys())
    if foreign:
        raise SettingsError(
            f"--source-diameter {foreign[0]}: there is no such source; expected one of "
            f"{', '.join(names)}."
        )


def _look_at(image: PreparedImage) -> _Look:
    decoded = image.decoded()
    return _Look(
        field_print=field_print(decoded.pixels),
        diameters=red_cell_diameters(decoded.cells, decoded.class_mask, decoded.label_image),
        types=frozenset(cell.cell_type for cell in decoded.cells or ()),
    )


def _describe(
    datasets: Sequence[PreparedDataset],
    images: Sequence[_SourceImage],
    looks: Sequence[_Look],
    target: float | None,
    given: Mapping[str, float],
    taxonomy: Taxonomy,
) -> dict[str, CombinedSource]:
    """Describe each source, and decide by how much its images are resampled."""
    positions: defaultdict[str, list[int]] = defaultdict(list)
    for position, image in enumerate(images):
        positions[image.image.source].append(position)
    described = {}
    for name, indices in positions.items():
        found = np.concatenate([looks[i].diameters for i in indices])
        measured = float(np.median(found)) if len(found) >= MIN_RED_CELLS else None
        diameter = given.get(name, measured)
        seen = frozenset[str]().union(*(looks[i].types for i in indices))
        own = datasets[images[indices[0]].folder_index]
        # Of a folder that was combined itself, each of its sources has its own.
        known = own.details.get("sources", {}).get(name, {}).get("licence")
        described[name] = CombinedSource(
            name=name,
            licence=str(known or own.details.get("licence") or _UNKNOWN_LICENCE),
            image_count=len(indices),
            red_cell_diameter_px=None if diameter is None else round(diameter, 2),
            measured_cells=len(found),
            magnification=_magnification(name, diameter, target),
            unmarked_types=tuple(
                cell_type.name
                for cell_type in taxonomy
                if cell_type.name not in seen
                and (not cell_type.has_channel or cell_type.name not in own.taxonomy)
            ),
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


def _groups(images: Sequence[_SourceImage], looks: Sequence[_Look]) -> NDArray[np.intp]:
    index_of = {(p.folder_index, p.image.stem): i for i, p in enumerate(images)}
    return groups_of_same(
        [look.field_print for look in looks],
        [
            index_of.get((image.folder_index, image.image.original), index)
            for index, image in enumerate(images)
        ],
    )


def _tasks(
    images: Sequence[_SourceImage],
    described: Mapping[str, CombinedSource],
    groups: NDArray[np.intp],
) -> list[_ImageTask]:
    splits: defaultdict[int, set[Split | None]] = defaultdict(set)
    for image, group in zip(images, groups, strict=True):
        splits[int(group)].add(image.image.split)
    new_stems = {(p.folder_index, p.image.stem): p.new_stem for p in images}
    tasks = []
    for image, group in zip(images, groups, strict=True):
        former, source = image.image, described[image.image.source]
        # An original that was left behind keeps its old name: it is not in the folder.
        original = new_stems.get((image.folder_index, former.original), former.original)
        combined = replace(
            former,
            stem=image.new_stem,
            original=original,
            split=next((s for s in _STRICTEST_FIRST if s in splits[int(group)]), None),
            unmarked_types=source.unmarked_types,
        )
        tasks.append(
            _ImageTask(image=former, combined=combined, magnification=source.magnification)
        )
    return tasks


def _same_fields(images: Sequence[_SourceImage], groups: NDArray[np.intp]) -> list[list[str]]:
    """Names of originals that show the same field, where there are two or more."""
    members: defaultdict[int, list[str]] = defaultdict(list)
    for image, group in zip(images, groups, strict=True):
        if not image.image.is_augmented:
            members[int(group)].append(image.new_stem)
    return sorted(sorted(stems) for stems in members.values() if len(stems) > 1)


def _moves(tasks: Sequence[_ImageTask]) -> tuple[SplitMove, ...]:
    return tuple(
        SplitMove(
            stem=task.combined.stem, from_split=task.image.split, to_split=task.combined.split
        )
        for task in tasks
        if task.combined.split != task.image.split and not task.image.is_augmented
    )
