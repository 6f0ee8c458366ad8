"""Splits that lists of images and the paths of a data.yaml give, whatever the labels' format.

Lists are text files such as ``train.txt`` of Darknet or Pascal VOC's ``ImageSets/Main``, an image a
line. Ultralytics names folders or lists below ``train``, ``val`` and ``test`` of its ``data.yaml``.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any, Final

from blood_cell_system.annotation.folder_listing import FolderListing
from blood_cell_system.annotation.splits import Split, split_of_folders, split_of_words
from blood_cell_system.annotation.text_files import read_label_text
from blood_cell_system.errors import AnnotationError, BloodCellError, DatasetError
from blood_cell_system.imaging.image_file import IMAGE_SUFFIXES

# Pascal VOC's lists of one class have a second column: whether the image has it.
_SECOND_COLUMN: Final = re.compile(r"\s+-?[01]$")
_SEPARATORS: Final = re.compile(r"[\\/]+")
_SPLIT_KEY: Final = re.compile(r"^(?:train|val|valid|validation|test)\s*:", re.MULTILINE)


def listed_splits(
    listing: FolderListing,
) -> tuple[dict[Path, Split], tuple[Path, ...], tuple[str, ...]]:
    """Read all lists of a folder.

    Returns
    -------
    splits : dict of Path to Split
        By image.
    files : tuple of Path
        That were read.
    notes : tuple of str
        Lists of which a part names no image.

    Raises
    ------
    DatasetError
        An image is in two splits.
    """
    splits: dict[Path, tuple[Split, Path]] = {}
    files: list[Path] = []
    notes: list[str] = []
    folders: list[tuple[tuple[str, ...], Split, Path]] = []
    lists = {
        path: split
        for path in listing.with_suffix(".txt")
        if (split := split_of_words(path.stem)) and not listing.is_named_as_image(path)
    }
    for path in listing.with_suffix(".yaml", ".yml"):
        named: list[tuple[tuple[str, ...], Split, Path]] = []
        for value, split in _yaml_paths(listing, path):
            parts = tuple(
                part.casefold() for part in _SEPARATORS.split(value) if part not in ("", ".", "..")
            )
            text_file = _list_named(listing, parts)
            if text_file is not None:
                lists[text_file] = split
            else:
                named.append((parts, split, path))
        if len({parts for parts, _, _ in named}) > 1:
            # One folder for all splits says nothing about them.
            folders += named
    for path, split in sorted(lists.items()):
        images, missed = _images_of(path, listing)
        if not images and not missed:
            continue
        files.append(path)
        if missed:
            notes.append(
                f"{path}: {missed} lines name no image of the folder, or several; the split "
                f"{split} of these is not known."
            )
        for image in images:
            other, source = splits.setdefault(image, (split, path))
            if other != split:
                raise DatasetError(
                    f"{path}: {image.stem} is in {source.name} as well; expected every image in "
                    "one split only. Remove it from one of the two lists."
                )
    by_folder = _by_folder(listing, folders)
    files += sorted({path for _, _, path in folders} if by_folder else ())
    return (
        by_folder | {image: split for image, (split, _) in splits.items()},
        tuple(files),
        tuple(notes),
    )


def _images_of(path: Path, listing: FolderListing) -> tuple[list[Path], int]:
    """Images that a list names, and the number of lines that name none; nothing for other files.

    Of a list in which no line names an image of the folder all lines are missed.
    """
    try:
        lines = [line.strip() for line in read_label_text(path).splitlines() if line.strip()]
    except BloodCellError:
        return [], 0
    images: list[Path] = []
    missed = 0
    for line in lines:
        image = _named(line, path, listing)
        if image is None:
            missed += 1
            if missed > len(images) and missed == 3:
                # Not a list of images at all, or of others.
                return [], len(lines) if _are_image_names(lines) else 0
        else:
            images.append(image)
    return images, missed if images or _are_image_names(lines) else 0


def _are_image_names(lines: list[str]) -> bool:
    return all(PurePath(line).suffix.lower() in IMAGE_SUFFIXES for line in lines)


def _named(line: str, path: Path, listing: FolderListing) -> Path | None:
    for reference in dict.fromkeys((line, _SECOND_COLUMN.sub("", line))):
        with suppress(BloodCellError):
            return listing.image_named(reference, beside=path.parent, where=str(path))
    return None


def _yaml_paths(listing: FolderListing, path: Path) -> Iterator[tuple[str, Split]]:
    if not _SPLIT_KEY.search(listing.head(path)):
        return
    import yaml

    try:
        content: Any = yaml.safe_load(read_label_text(path))
    except (AnnotationError, yaml.YAMLError, RecursionError, ValueError):
        # The reader of the names says what is wrong with it.
        return
    if not isinstance(content, dict):
        return
    for key, value in content.items():
        split = split_of_words(str(key))
        if split is None:
            continue
        for place in value if isinstance(value, list) else [value]:
            if isinstance(place, str) and place.strip():
                yield place.strip(), split


def _list_named(listing: FolderListing, parts: tuple[str, ...]) -> Path | None:
    if not parts or not parts[-1].endswith(".txt"):
        return None
    for path in listing.with_suffix(".txt"):
        own = tuple(part.casefold() for part in path.parts)
        if own[-len(parts) :] == parts:
            return path
    return None


def _fitting_length(own: tuple[str, ...], parts: tuple[str, ...]) -> int:
    """How many parts of a named folder an image's folders have; 0 where they do not fit.

    The whole name may stand anywhere; of a name that begins above the data set, or on another
    machine, the end must begin where the image's folders do.
    """
    for start in range(len(own)):
        end = start + len(parts)
        if own[start:end] == parts:
            return 0 if split_of_folders(PurePath(*own[end:], "image")) else len(parts)
    lengths = range(len(parts) - 1, 0, -1)
    return next((length for length in lengths if own[:length] == parts[-length:]), 0)


def _by_folder(
    listing: FolderListing, folders: list[tuple[tuple[str, ...], Split, Path]]
) -> dict[Path, Split]:
    """Find the splits of images by the folders of a data.yaml; the longest name that fits counts.

    A folder train, val or test within the folder that is named says it more exactly.
    """
    found: dict[Path, Split] = {}
    for image in listing.images():
        own = tuple(part.casefold() for part in image.relative_to(listing.root).parent.parts)
        fitting: dict[int, set[Split]] = {}
        for parts, split, _ in folders:
            known = _fitting_length(own, parts)
            if known:
                fitting.setdefault(known, set()).add(split)
        if fitting and len(fitting[max(fitting)]) == 1:
            found[image] = next(iter(fitting[max(fitting)]))
    return found
