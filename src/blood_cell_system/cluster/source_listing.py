"""Which images a run is of: folders, patterns and manifests, listed one after the other.

Nothing holds the list: a driver's memory does not grow with it. What is wrong with an entry is in
the entry, so that the others are analysed.
"""

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.cluster.storage import Storage, is_address
from blood_cell_system.errors import MissingDataError, SettingsError
from blood_cell_system.imaging.image_folders import SUMMARY_NAME, is_image_name
from blood_cell_system.imaging.scan import SCAN_SUFFIXES, ZARR_SUFFIXES
from blood_cell_system.pipeline.slide_groups import BY_FOLDER

_MANIFESTS: Final = (".csv", ".tsv", ".parquet")
_WILD: Final = re.compile(r"[*?\[]")
_COLUMNS: Final = ("image", "slide", "patient")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceImage:
    """An image to analyse.

    Parameters
    ----------
    place : str
        Path or address of its file.
    name : str
        Its name in the dataset: its place below the folder that was named, or its manifest's entry.
    slide, patient : str or None
    fault : str
        Why it cannot be analysed, where the list shows that; empty otherwise.
    """

    place: str
    name: str
    slide: str | None = None
    patient: str | None = None
    fault: str = ""


_RECENT: Final = 100_000
"""Names that are kept unsorted at first, at some 90 bytes each."""


class KeySet:
    """Names that were seen, in 8 bytes each: of 10⁷ two are alike with a probability of 10⁻⁵."""

    def __init__(self) -> None:
        self._sorted: NDArray[np.uint64] = np.zeros(0, dtype=np.uint64)
        self._recent: set[int] = set()

    def __len__(self) -> int:
        return len(self._sorted) + len(self._recent)

    def __contains__(self, name: str) -> bool:
        key = _key(name)
        place = int(np.searchsorted(self._sorted, np.uint64(key)))
        is_sorted = place < len(self._sorted) and int(self._sorted[place]) == key
        return is_sorted or key in self._recent

    def add(self, name: str) -> bool:
        """Add a name; gives whether it is new."""
        if name in self:
            return False
        self._recent.add(_key(name))
        if len(self._recent) > max(_RECENT, len(self._sorted) // 8):
            recent = np.fromiter(self._recent, dtype=np.uint64)
            self._sorted = np.sort(np.concatenate([self._sorted, recent]))
            self._recent = set()
        return True


def _key(name: str) -> int:
    digest = hashlib.blake2b(name.encode("utf-8", errors="surrogateescape"), digest_size=8)
    return int.from_bytes(digest.digest(), "big")


class Sources:
    """Everything that was named on the command line.

    Parameters
    ----------
    places : sequence of str
        Images, folders, patterns such as ``slides/*/field_*.png``, and manifests, each a path or
        an address. ``*`` and ``?`` stand for no slash, ``**/`` for any number of folders. A
        manifest is a ``.csv``, ``.tsv`` or ``.parquet`` file with the column ``image`` and, if
        known, ``slide`` and ``patient``; what is relative is so to its folder.
    group_by : str or None
        ``folder`` or a regular expression, as ``--group-by`` has it.
    recursive : bool
        Whether folders within folders are searched.
    output : Storage
        Not searched.

    Raises
    ------
    MissingDataError
        A manifest cannot be read.
    SettingsError
        A manifest has no column ``image``, or slides are named in two ways.
    """

    def __init__(
        self,
        places: Sequence[str],
        *,
        group_by: str | None = None,
        recursive: bool = False,
        output: Storage,
    ) -> None:
        self._places, self._recursive, self._output = places, recursive, output
        manifests = [place for place in places if _is_manifest(place)]
        with_slides = [place for place in manifests if "slide" in _columns_of(place)]
        if group_by is not None and manifests:
            raise SettingsError(
                f"--group-by {group_by}: received beside {manifests[0]}; a manifest names slides "
                "in a column of its own. Leave one of them out."
            )
        if group_by is not None and Path(group_by).suffix.lower() in _MANIFESTS:
            raise SettingsError(
                f"--group-by {group_by}: a table of slides is a manifest here. Name it in the "
                "place of the images, with their paths in its column image."
            )
        self.has_slides = group_by is not None or bool(with_slides)
        self._group = _grouping(group_by)

    def __iter__(self) -> Iterator[SourceImage]:
        """Go through the images, each once."""
        names, patients = KeySet(), dict[str, str | None]()
        for image in self._listed():
            if not image.fault and self.has_slides and image.slide is None:
                fault = "has no slide; expected its name. Add it, or leave the image out."
                image = replace(image, fault=f"{image.name}: {fault}")
            if not image.fault and image.slide is not None:
                known = patients.setdefault(image.slide, image.patient)
                if known != image.patient:
                    image = replace(
                        image,
                        fault=f"{image.name}: slide {image.slide!r} is of two patients: {known} "
                        f"and {image.patient}; expected one. Correct the patient.",
                    )
            if not names.add(image.name):
                fault = "named before, and analysed once. Remove the entry."
                image = replace(image, fault=f"{image.name}: {fault}")
            yield image

    def _listed(self) -> Iterator[SourceImage]:
        for place in self._places:
            if _is_manifest(place):
                yield from _of_manifest(place)
                continue
            path, *options = place.split("?", 1) if is_address(place) else [place]
            wild = _WILD.search(path)
            if wild is None and _is_image(path):
                name = PurePosixPath(Path(path).as_posix()).name
                yield self._group(SourceImage(place=_absolute(place), name=name), name)
                continue
            # A pattern's folder is what stands before the first part with a wildcard.
            folder = path if wild is None else path[: wild.start()].rpartition("/")[0] or "."
            pattern = None if wild is None else _expression(path[len(folder) :].lstrip("/"))
            yield from self._of_folder("?".join([folder, *options]), pattern)

    def _of_folder(self, folder: str, pattern: re.Pattern[str] | None) -> Iterator[SourceImage]:
        storage = Storage(folder)
        prefix = ""
        if len(self._places) > 1:
            prefix = f"{PurePosixPath(storage.shown).name}/"
        found = False
        is_deep = self._recursive or pattern is not None
        for name in storage.files(
            is_deep=is_deep, without=self._output.root, like_files=ZARR_SUFFIXES
        ):
            is_wanted = pattern.fullmatch(name) if pattern else not name.endswith(SUMMARY_NAME)
            if is_wanted and _is_image(name):
                found = True
                image = SourceImage(place=storage.place_of(name), name=prefix + name)
                yield self._group(image, f"{PurePosixPath(storage.shown).name}/{name}")
        if not found:
            deeper = "" if is_deep else " Add --recursive to search the folders in it."
            fault = f"{storage.shown}: there is no image in it, by its name.{deeper}"
            yield SourceImage(place=storage.shown, name=f"{prefix}*", fault=fault)


def _is_image(name: str) -> bool:
    """Whether a file is an image or a scan by its name."""
    return is_image_name(Path(name)) or is_scan_name(name)


def is_scan_name(name: str) -> bool:
    """Whether a file is of a slide scanner by its name.

    Examples
    --------
    >>> is_scan_name("slides/1.svs"), is_scan_name("field.tif")
    (True, False)
    """
    return PurePosixPath(name.partition("?")[0]).suffix.lower() in SCAN_SUFFIXES


def _absolute(place: str) -> str:
    return place if is_address(place) else str(Path(place).absolute())


def _is_manifest(place: str) -> bool:
    return PurePosixPath(place.partition("?")[0]).suffix.lower() in _MANIFESTS


def _expression(pattern: str) -> re.Pattern[str]:
    """Turn a pattern into a regular expression.

    Examples
    --------
    >>> bool(_expression("*/a?.png").fullmatch("s1/a2.png"))
    True
    >>> bool(_expression("*.png").fullmatch("s1/a.png"))
    False
    >>> bool(_expression("**/*.png").fullmatch("a.png"))
    True
    """
    parts = re.findall(r"\*\*/?|\*|\?|\[[^\]]+\]|.", pattern, re.DOTALL)
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    words = [
        part if part[0] == "[" and part[1:] else known.get(part, re.escape(part)) for part in parts
    ]
    return re.compile("".join(words), re.DOTALL)


def _grouping(group_by: str | None) -> Any:
    """Make what gives an image its slide, by its place below the folder that was named."""
    if group_by is None:
        return lambda image, _: image
    if group_by == BY_FOLDER:
        return _by_folder
    try:
        expression = re.compile(group_by)
    except re.error as error:
        raise SettingsError(
            f"--group-by {group_by}: no regular expression ({error}). Expected folder, or an "
            "expression such as '(?P<patient>P[0-9]+)_(?P<slide>S[0-9]+)'."
        ) from error
    if not expression.groups:
        raise SettingsError(
            f"--group-by {group_by}: it has no group, so that it does not say what the slide is. "
            "Put what names the slide into parentheses, for instance '(S[0-9]+)_'."
        )
    key = "slide" if "slide" in expression.groupindex else 1

    def by_expression(image: SourceImage, place: str) -> SourceImage:
        found = expression.search(place)
        if found is None or not found[key]:
            fault = f"{image.name}: --group-by {group_by} finds no slide in it."
            return replace(image, fault=f"{fault} Change the expression.")
        patient = found["patient"] if "patient" in expression.groupindex else None
        return replace(image, slide=found[key], patient=patient or None)

    return by_expression


def _by_folder(image: SourceImage, place: str) -> SourceImage:
    named, *folders = PurePosixPath(place).parent.parts
    return replace(image, slide="/".join(folders) or named, patient="/".join(folders[:-1]) or None)


# Manifests


def _columns_of(place: str) -> list[str]:
    """Columns of a manifest."""
    for row in _rows_of(place):
        return list(row)
    return []


def _of_manifest(place: str) -> Iterator[SourceImage]:
    folder = place.replace("\\", "/").rpartition("/")[0] if is_address(place) else ""
    base = folder or str(Path(place).absolute().parent)
    for number, row in enumerate(_rows_of(place), start=1):
        values = {name: str(row.get(name) or "").strip() or None for name in _COLUMNS}
        image = values["image"]
        if image is None:
            fault = f"{place}: entry {number} names no image. Remove it, or add the path."
            yield SourceImage(place=place, name=f"entry {number}", fault=fault)
            continue
        is_whole = is_address(image) or Path(image).is_absolute()
        yield SourceImage(
            place=image if is_whole else f"{base}/{image}",
            name=image,
            slide=values["slide"],
            patient=values["patient"],
        )


def _rows_of(place: str) -> Iterator[Mapping[str, Any]]:
    """Go through the rows of a manifest.

    Raises
    ------
    MissingDataError
        It cannot be read.
    SettingsError
        It has no column ``image``.
    """
    folder, _, name = _absolute(place).replace("\\", "/").rpartition("/")
    storage = Storage(folder or "/")
    try:
        if name.lower().endswith(".parquet"):
            yield from _rows_of_parquet(storage, name, place)
        else:
            with storage.opened(name) as stream:
                yield from _rows_of_text(io.TextIOWrapper(stream, "utf-8-sig"), place)
    except (SettingsError, MissingDataError):
        raise
    except Exception as error:  # Damaged files lead pyarrow to errors of almost any kind.
        words = " ".join(str(error).split())
        raise SettingsError(
            f"{place}: cannot be read as a manifest ({words}). Save it again as CSV in UTF-8, or "
            "as Parquet."
        ) from error


def _rows_of_parquet(storage: Storage, name: str, place: str) -> Iterator[Mapping[str, Any]]:
    from pyarrow import parquet

    with storage.opened(name, is_random=True) as source, parquet.ParquetFile(source) as file:
        columns = [one for one in file.schema_arrow.names if one in _COLUMNS]
        _check_columns(file.schema_arrow.names, place)
        for batch in file.iter_batches(batch_size=10_000, columns=columns):
            yield from batch.to_pylist()


def _rows_of_text(lines: Iterable[str], place: str) -> Iterator[Mapping[str, Any]]:
    lines = iter(lines)
    head = next(lines, "")
    # Spreadsheets of half of Europe separate by semicolons.
    delimiter = max("\t;,", key=head.count)
    names = [one.strip().lower() for one in next(csv.reader([head], delimiter=delimiter), [])]
    _check_columns(names, place)
    reader = csv.DictReader(lines, names, delimiter=delimiter, skipinitialspace=True)
    for row in reader:
        yield {name: value for name, value in row.items() if name in _COLUMNS}


def _check_columns(names: Iterable[str], place: str) -> None:
    if "image" not in names:
        raise SettingsError(
            f"{place}: has no column image; found {', '.join(names) or 'none'}. Expected the "
            "columns image and, if known, slide and patient."
        )
