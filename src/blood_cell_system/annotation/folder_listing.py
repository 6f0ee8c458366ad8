"""What lies in a folder, and which image a label file means."""

import itertools
import logging
import re
import unicodedata
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final, Self

from blood_cell_system.annotation.text_files import decode_label_text, shortened
from blood_cell_system.errors import AnnotationError, MissingDataError, system_words
from blood_cell_system.imaging.image_folders import (
    SUMMARY_NAME,
    files_below,
    is_image_name,
)

_logger = logging.getLogger(__name__)

_HEAD_BYTES: Final = 65_536  # Bytes read to recognise a file: enough for the keys of every format.
_SEPARATORS: Final = re.compile(r"[\\/]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderListing:
    """Files of a folder and all folders below it, also linked ones.

    Hidden files, what systems leave behind, and results of an analysis are passed over.

    Parameters
    ----------
    files : tuple of Path
        Below ``root``, in the order of their names.
    """

    root: Path
    files: tuple[Path, ...]
    _by_name: dict[str, list[Path]] = field(init=False, repr=False, compare=False)
    _by_stem: dict[str, list[Path]] = field(init=False, repr=False, compare=False)
    _stems: dict[Path, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_name: dict[str, list[Path]] = defaultdict(list)
        by_stem: dict[str, list[Path]] = defaultdict(list)
        for path in self.images():
            by_name[_key(path.name)].append(path)
            by_stem[_key(path.stem)].append(path)
        object.__setattr__(self, "_by_name", dict(by_name))
        object.__setattr__(self, "_by_stem", dict(by_stem))
        object.__setattr__(self, "_stems", _unique_stems(self.root, by_stem))

    @classmethod
    def of(cls, root: Path) -> Self:
        """List a folder.

        Raises
        ------
        MissingDataError
            There is no such folder.
        DatasetError
            It cannot be read.
        """
        root = Path(root)
        if not root.is_dir():
            raise MissingDataError(f"{root}: there is no such folder. Check the path.")
        files = (path for path in files_below(root) if path.name != SUMMARY_NAME)
        return cls(root=root, files=tuple(sorted(files)))

    def with_suffix(self, *suffixes: str) -> tuple[Path, ...]:
        """Files with one of these endings, such as ``.json``; capitals do not count."""
        return tuple(path for path in self.files if path.suffix.lower() in suffixes)

    def images(self) -> tuple[Path, ...]:
        """Files that are images by their names."""
        return tuple(path for path in self.files if is_image_name(path))

    def head(self, path: Path) -> str:
        """Beginning of a text file, as far as it can be read; for a look at what it is."""
        try:
            with path.open("rb") as stream:
                data = stream.read(_HEAD_BYTES)
        except OSError as error:
            _warn_unreadable(path, system_words(error))
            return ""
        # The end may lie within a character, of four bytes at most.
        for left_out in range(4 if len(data) == _HEAD_BYTES else 1):
            try:
                return decode_label_text(path, data[: len(data) - left_out])
            except AnnotationError:
                continue
        # Enough to recognise what it is; its reader names the encoding.
        return data.decode("latin-1")

    def image_named(self, reference: str, *, beside: Path, where: str) -> Path:
        r"""Image that a label file means.

        Label files hold paths of the machine that they were made on, such as
        ``C:\\smears\\a.png``. Only the end of such a path can be believed: of the images of the
        same name the one is taken that most of the path fits, and of those the one that is nearest
        to the label file. Nothing outside of the folder is ever looked at.

        Parameters
        ----------
        reference : str
            Path or name, of any system, with or without its ending.
        beside : Path
            Folder of the label file: the first that is looked at.
        where : str
            Label file, for messages.

        Raises
        ------
        MissingDataError
            There is no such image.
        AnnotationError
            Several fit equally well.
        """
        parts = [_key(part) for part in _SEPARATORS.split(reference.strip()) if part]
        name = parts[-1] if parts else ""
        found = self._by_name.get(name) or self._by_stem.get(name) or []
        if not found and "." in name:
            # The image was saved in another format after it was labelled.
            found = self._by_stem.get(name.rpartition(".")[0], [])
        if not found:
            raise MissingDataError(
                f"{where}: names the image {shortened(reference)}, which is not in {self.root}. "
                "Copy it again from its source, or remove its labels."
            )
        fitting = {path: _common_end(path, parts[:-1]) for path in found}
        best = [path for path in found if fitting[path] == max(fitting.values())]
        # Two exports in one folder: the images of each lie with its labels.
        common = {path: _common_beginning(path.parent, beside) for path in best}
        near = [path for path in best if path.parent == beside] or [
            path for path in best if common[path] == max(common.values())
        ]
        if len(near) > 1:
            raise AnnotationError(
                f"{where}: names the image {shortened(reference)}, which {near[0]} and {near[1]} "
                "both fit. Give images different names, or name the folder as well."
            )
        return near[0]

    def is_named_as_image(self, path: Path) -> bool:
        """Whether an image of the folder has a file's name, but for its ending."""
        return _key(path.stem) in self._by_stem

    def stem_of(self, image: Path) -> str:
        """Name of an image without its ending, unlike that of all others in the folder.

        Two ``a.png`` in the folders ``x`` and ``y`` become ``x_a`` and ``y_a``.
        """
        return self._stems[image]


@cache
def _warn_unreadable(path: Path, words: str) -> None:
    """Name a file once, however many formats look at it."""
    _logger.warning("%s: cannot be read: %s", path, words)


def _key(name: str) -> str:
    """Take away what file systems differ in: capitals, and the form of letters with marks."""
    return unicodedata.normalize("NFC", name).casefold()


def _common_end(path: Path, folders: list[str]) -> int:
    """Count the folders above an image that a reference names as well."""
    count = 0
    for own, named in zip(reversed(path.parent.parts), reversed(folders), strict=False):
        if _key(own) != named:
            break
        count += 1
    return count


def _common_beginning(first: Path, second: Path) -> int:
    """Count the folders that lie around both."""
    pairs = zip(first.parts, second.parts, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _unique_stems(root: Path, by_stem: dict[str, list[Path]]) -> dict[Path, str]:
    stems: dict[Path, str] = {}
    for paths in by_stem.values():
        for path in paths:
            # File systems differ in whether A and a are one name.
            stem = path.stem if len(paths) == 1 else _long_stem(root, path, paths)
            stems[path] = unicodedata.normalize("NFC", stem)
    taken: dict[str, int] = defaultdict(int)
    for path in sorted(stems):
        stem = stems[path]
        taken[stem.casefold()] += 1
        if taken[stem.casefold()] > 1:
            stems[path] = f"{stem}_{taken[stem.casefold()]}"
    return stems


def _long_stem(root: Path, path: Path, paths: list[Path]) -> str:
    folders = path.relative_to(root).parent.parts
    others = [other.relative_to(root).parent.parts for other in paths]
    while folders and all(parts[:1] == folders[:1] for parts in others):
        # What all have in common does not distinguish them.
        folders, others = folders[1:], [parts[1:] for parts in others]
    stem = "_".join((*folders, path.stem))
    is_alone = sum(other.parent == path.parent for other in paths) == 1
    return stem if is_alone else f"{stem}_{path.suffix[1:].lower()}"
