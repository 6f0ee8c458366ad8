"""Split images into train, val and test; what belongs together stays together."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.annotation.splits import Split
from blood_cell_system.datasets.duplicates.groups import (
    FieldPrint,
    field_print,
    groups_of_same,
    linked_groups,
)
from blood_cell_system.datasets.prepared import (
    PreparedDataset,
    PreparedImage,
    read_versioned_json,
    write_manifest,
)
from blood_cell_system.errors import DatasetError, OutOfRangeError, SettingsError
from blood_cell_system.folder_lock import locked_folder
from blood_cell_system.imaging.image_file import read_image
from blood_cell_system.input_files import read_table
from blood_cell_system.parallel import map_with_progress
from blood_cell_system.seeding import generator_for
from blood_cell_system.wording import counted

_IMAGE_COLUMNS = ("image", "file", "picture", "stem", "name")


class GroupBy(StrEnum):
    """What stays together."""

    IMAGE = "image"
    SLIDE = "slide"
    PATIENT = "patient"
    SOURCE = "source"


def groups_by(
    images: Sequence[PreparedImage],
    by: GroupBy,
    *,
    pattern: str | None = None,
    table: Path | None = None,
) -> list[str]:
    """Name of each image's group.

    Parameters
    ----------
    by : GroupBy
        For slides and patients, names come from the pattern or the table, else from what the
        manifest says.
    pattern : str, optional
        Regular expression that finds the group in an image's name: its first group in
        parentheses, or all that it matches.
    table : Path, optional
        CSV with a column of images' names and one called ``slide``, ``patient`` or ``group``.

    Raises
    ------
    SettingsError
        The pattern is none, both pattern and table are given, or neither where one is needed.
    DatasetError
        The group of some images is not known.
    MissingDataError
        There is no such table.
    """
    if pattern is not None and table is not None:
        raise SettingsError("--pattern and --table: expected one of them. Leave one out.")
    if by is GroupBy.IMAGE:
        return [image.original for image in images]
    if by is GroupBy.SOURCE:
        return [image.source for image in images]
    if pattern is not None:
        names = _by_pattern(images, pattern)
    elif table is not None:
        names = _by_table(images, table, by)
    else:
        names = [image.group for image in images]
    unknown = [image.stem for image, name in zip(images, names, strict=True) if not name]
    if unknown:
        raise DatasetError(
            f"the {by} of {len(unknown)} of {counted(len(images), 'image')} is not known, for "
            "instance of "
            f"{', '.join(unknown[:3])}; expected one for each. Say --pattern with a regular "
            f"expression that finds it in the names, or --table with a CSV file of image,{by}."
        )
    return [str(name) for name in names]


def _by_pattern(images: Sequence[PreparedImage], pattern: str) -> list[str | None]:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise SettingsError(
            f"--pattern {pattern!r}: not a regular expression ({error}). For names such as "
            "slide07_field3 write --pattern 'slide(\\d+)'."
        ) from error
    found = [expression.search(image.original) for image in images]
    return [None if hit is None else (hit[1] if hit.re.groups else hit[0]) for hit in found]


def _by_table(images: Sequence[PreparedImage], table: Path, by: GroupBy) -> list[str | None]:
    columns = {"image": _IMAGE_COLUMNS, "group": (str(by), "group")}
    # Names with or without their ending, and with or without folders.
    by_stem = {}
    for line, row in read_table(table, columns, remedy=f"Add a first line such as image,{by}."):
        if not columns.keys() <= row.keys():
            raise DatasetError(
                f"{table}: line {line} has fewer columns than the first line; expected an image "
                f"and its {by}. Complete the line, or remove it."
            )
        by_stem[Path(row["image"].replace("\\", "/")).stem] = row["group"]
    return [by_stem.get(image.original) or by_stem.get(image.stem) for image in images]


_SHOWN = 10  # Groups that a message lists.


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """What belongs together and lies in several splits.

    Parameters
    ----------
    what : str
        Name of the group, or ``same field``.
    """

    what: str
    stems: tuple[str, ...]
    splits: tuple[Split, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSummary:
    """What ``split_folder`` did or found.

    Parameters
    ----------
    counts : mapping of str to tuple of int
        Images and groups by split.
    same_field_count : int
        Fields that are there more than once, and were kept together.
    leaks_before : tuple of Leak
        In the splits as they were.
    """

    root: Path
    by: GroupBy
    counts: Mapping[str, tuple[int, int]]
    same_field_count: int
    leaks_before: tuple[Leak, ...]
    is_written: bool

    def to_text(self) -> str:
        """Say it in a few lines."""
        counts = ", ".join(
            f"{name} {counted(images, 'image')} of {counted(groups, 'group')}"
            for name, (images, groups) in self.counts.items()
        )
        lines = [f"{self.root}: split by {self.by}: {counts}"]
        if self.same_field_count:
            lines.append(
                f"{counted(self.same_field_count, 'field is', 'fields are')} there more than once"
            )
        where = "before" if self.is_written else "now"
        lines.append(f"leaks {where}: {len(self.leaks_before) or 'none'}")
        for leak in self.leaks_before[:_SHOWN]:
            splits = ", ".join(leak.splits)
            lines.append(f"  {leak.what}: in {splits}, for instance {', '.join(leak.stems[:3])}")
        if len(self.leaks_before) > _SHOWN:
            lines.append("  ...")
        return "\n".join(lines)


def split_folder(
    root: Path,
    *,
    by: GroupBy = GroupBy.IMAGE,
    pattern: str | None = None,
    table: Path | None = None,
    val_share: float = 0.15,
    test_share: float = 0.15,
    seed: int = 0,
    jobs: int | None = None,
    is_check: bool = False,
) -> SplitSummary:
    """Split the images of a prepared folder anew, and write that into its manifest.

    Groups stay whole. Images that show the same field, and augmented copies, stay
    together as well, whatever their groups are.

    Parameters
    ----------
    pattern : str, optional
        See ``groups_by``.
    table : Path, optional
        See ``groups_by``.
    val_share, test_share : float
        Of the originals; large groups make it more or less.
    jobs : int, optional
        Processes; all cores by default.
    is_check : bool
        Whether to look for leaks only and write nothing.

    Raises
    ------
    SettingsError
        Shares or pattern make no sense, or there are fewer groups than splits.
    MissingDataError, DatasetError, ImageReadError
        The folder is no prepared one, or the group of an image is not known.
    OutputError
        The manifest cannot be written.
    """
    if not (0 <= val_share < 1 and 0 <= test_share < 1 and val_share + test_share < 1):
        raise OutOfRangeError(
            f"Shares: val {val_share}, test {test_share}; expected shares of 0 or more that leave "
            "something to learn from, for instance 0.15 and 0.15."
        )
    dataset = PreparedDataset.open(Path(root))
    names = groups_by(dataset.images, by, pattern=pattern, table=table)
    same = _same_fields(dataset.images, jobs)
    images = dataset.images
    if not is_check:
        joined = _joined(names, same)
        is_named = by in (GroupBy.SLIDE, GroupBy.PATIENT)
        splits = _chosen(images, joined, {Split.VAL: val_share, Split.TEST: test_share}, seed)
        images = tuple(
            replace(image, split=splits[group], group=name if is_named else image.group)
            for image, group, name in zip(images, joined, names, strict=True)
        )
        with locked_folder(dataset.root, command="split"):
            _write(dataset, images, {"by": str(by), "pattern": pattern, "seed": seed})
    originals = Counter(
        int(field) for image, field in zip(images, same, strict=True) if not image.is_augmented
    )
    return SplitSummary(
        root=dataset.root,
        by=by,
        counts=_counts(images, names),
        same_field_count=sum(count > 1 for count in originals.values()),
        leaks_before=_leaks(dataset.images, names, same),
        is_written=not is_check,
    )


def _leaks(
    images: Sequence[PreparedImage], names: Sequence[str], same: NDArray[np.intp]
) -> tuple[Leak, ...]:
    """Find groups, and fields of equal numbers, that lie in several splits."""
    members: defaultdict[tuple[str, str], list[PreparedImage]] = defaultdict(list)
    for image, name, field in zip(images, names, same, strict=True):
        members["", name].append(image)
        members["field", str(field)].append(image)
    leaks = []
    for (kind, name), group in members.items():
        present = {image.split for image in group}
        splits = tuple(split for split in Split if split in present)
        if len(splits) > 1:
            stems = tuple(image.stem for image in group)
            leaks.append(Leak(what="same field" if kind else name, stems=stems, splits=splits))
    return tuple(leaks)


def _print_of(image: PreparedImage) -> FieldPrint:
    return field_print(read_image(image.image_path))


def _same_fields(images: Sequence[PreparedImage], jobs: int | None) -> NDArray[np.intp]:
    prints = list(map_with_progress(_print_of, images, jobs=jobs, description="comparing"))
    index_of = {image.stem: index for index, image in enumerate(images)}
    belongs_with = [index_of.get(image.original, index) for index, image in enumerate(images)]
    return groups_of_same(prints, belongs_with)


def _joined(names: Sequence[str], same: NDArray[np.intp]) -> list[int]:
    """Numbers of the groups when those that share a field are one."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names), start=len(names))}
    # Images, then the names of their groups, then their fields.
    nodes = len(names) + len(numbers)
    links = [(index, numbers[name]) for index, name in enumerate(names)]
    links += [(index, nodes + int(field)) for index, field in enumerate(same)]
    count = nodes + int(same.max(initial=-1)) + 1
    joined = linked_groups(np.array(links, dtype=np.intp).reshape(-1, 2), count)
    return [int(group) for group in joined[: len(names)]]


def _chosen(
    images: Sequence[PreparedImage],
    groups: Sequence[int],
    shares: Mapping[Split, float],
    seed: int,
) -> dict[int, Split]:
    """Split of every group: the largest first, each to the split that lacks the most."""
    sizes = Counter(g for image, g in zip(images, groups, strict=True) if not image.is_augmented)
    sizes.update(dict.fromkeys(set(groups) - sizes.keys(), 0))
    wanted = [split for split, share in shares.items() if share > 0]
    if len(sizes) < 1 + len(wanted):
        raise SettingsError(
            f"{counted(len(sizes), 'group')} cannot be split into {1 + len(wanted)} splits "
            "without dividing "
            "one. Group by something smaller (--by image), or say --val 0 or --test 0."
        )
    total = sum(sizes.values())
    lacks = {split: share * total for split, share in shares.items() if share > 0}
    lacks[Split.TRAIN] = total - sum(lacks.values())
    names = sorted(sizes)
    order = generator_for(seed, "split").permutation(len(names))
    queue = sorted((names[i] for i in order), key=lambda group: -sizes[group])
    chosen: dict[int, Split] = {}
    for left, group in zip(range(len(queue), 0, -1), queue, strict=True):
        empty = [split for split in lacks if split not in chosen.values()]
        choice = empty if len(empty) == left else list(lacks)
        chosen[group] = max(choice, key=lambda split: lacks[split])
        lacks[chosen[group]] -= sizes[group]
    return chosen


def _write(
    dataset: PreparedDataset, images: Sequence[PreparedImage], settings: Mapping[str, object]
) -> None:
    manifest = read_versioned_json(dataset.root / "manifest.json")
    kept = {k: value for k, value in manifest.items() if k not in ("images", "format_version")}
    rows = [image.manifest_row() for image in images]
    write_manifest(dataset.root, rows, {**kept, "split": dict(settings)})


def _counts(images: Sequence[PreparedImage], names: Sequence[str]) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for split in (*Split, None):
        inside = [name for image, name in zip(images, names, strict=True) if image.split == split]
        if inside:
            found[str(split or "no split")] = len(inside), len(set(inside))
    return found
