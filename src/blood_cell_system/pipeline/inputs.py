"""Which pictures there are to analyse, and what their results are called."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blood_cell_system.errors import OutputError
from blood_cell_system.image_io import IMAGE_SUFFIXES
from blood_cell_system.pipeline.files import SUMMARY_NAME

# Names of files have at most 255 bytes, and "_annotated.png" and a temporary name must fit.
_MAX_NAME_BYTES: Final = 180

_PREPARED: Final = frozenset({"images", "masks"})
_LABELS: Final = frozenset({"masks", "instances"})


@dataclass(frozen=True, slots=True, kw_only=True)
class InputPicture:
    """A picture to analyse.

    Parameters
    ----------
    path : Path
    name : str
        What the names of its results begin with; unique, also where capitals do not count.
    """

    path: Path
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedInput:
    """Something that was named but holds no picture, and why."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Everything that was named.

    Parameters
    ----------
    pictures : tuple of InputPicture
    failed : tuple of FailedInput
    passed_over : tuple of Path
        Files in folders that have not the ending of a picture, folders of masks, and the summaries
        of folders that hold the results of another analysis.
    """

    pictures: tuple[InputPicture, ...]
    failed: tuple[FailedInput, ...]
    passed_over: tuple[Path, ...]


def find_inputs(paths: Iterable[Path], *, output_dir: Path, recursive: bool = False) -> Inputs:
    """Find the pictures that paths name, each once, in a fixed order.

    Results of a picture from a folder are named after its place in it (``slide1/field``), those of
    one that was named itself after its stem. A name that is taken gets a number.

    Parameters
    ----------
    paths : iterable of Path
        Pictures, and folders of pictures.
    output_dir : Path
        Not searched: it holds pictures of former results.
    recursive : bool
        Whether folders within folders are searched.

    Raises
    ------
    OutputError
        Results would come to lie among the pictures of a folder that is named.
    """
    found: list[tuple[Path, str]] = []
    failed: list[FailedInput] = []
    passed_over: list[Path] = []
    results = Path(os.path.realpath(output_dir))
    for path in paths:
        if not path.is_dir():
            # A file that is not there fails when it is read, like every other that cannot be.
            found.append((path, path.stem))
            continue
        if Path(os.path.realpath(path)) == results:
            raise OutputError(
                f"{output_dir}: this is the folder of the pictures; their results would be taken "
                "for pictures the next time. Choose another --output-dir."
            )
        before, others = len(found), len(passed_over)
        try:
            for file in _files_of(path, results, recursive=recursive):
                if file.suffix.lower() in IMAGE_SUFFIXES:
                    found.append((file, str(file.relative_to(path).with_suffix(""))))
                else:
                    passed_over.append(file)
        except OSError as error:
            reason = f"{error.filename}: cannot be listed ({error.strerror})."
            failed.append(FailedInput(path=path, reason=f"{reason} Check its permissions."))
            continue
        if len(found) == before:
            reason = _why_nothing(path, passed_over[others:], recursive=recursive)
            failed.append(FailedInput(path=path, reason=reason))
    return Inputs(pictures=_named(found), failed=tuple(failed), passed_over=tuple(passed_over))


def _why_nothing(folder: Path, others: list[Path], *, recursive: bool) -> str:
    if folder / SUMMARY_NAME in others:
        return f"{folder}: it holds the results of an analysis. Name the folder of the pictures."
    found = f" Found: {len(others)} other files." if others else ""
    expected = ", ".join(sorted(IMAGE_SUFFIXES))
    deeper = "" if recursive else " Add --recursive to search the folders in it."
    return f"{folder}: there is no picture in it, by its name. Expected: {expected}.{found}{deeper}"


def _files_of(folder: Path, results: Path, *, recursive: bool) -> Iterator[Path]:
    """Go through a folder by name; hidden files, results and links to folders are left out.

    Of the results of another analysis only the summary is given. Of a prepared folder, which has
    ``images`` and ``masks``, ``images`` is searched, and the others are given as they are.
    """

    def stop(error: OSError) -> None:
        raise error

    for root, folders, files in os.walk(folder, onerror=stop):
        wanted = folders if recursive else []
        if SUMMARY_NAME in files:
            files, wanted = [SUMMARY_NAME], []
        elif set(folders) >= _PREPARED:
            files = [*files, *_LABELS.intersection(folders)]
            wanted = [name for name in wanted or _PREPARED if name not in _LABELS]
        folders[:] = sorted(
            name
            for name in wanted
            if not name.startswith(".") and Path(os.path.realpath(Path(root) / name)) != results
        )
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(root) / name


def _named(found: Iterable[tuple[Path, str]]) -> tuple[InputPicture, ...]:
    taken: set[str] = set()
    seen: set[str] = set()
    pictures: list[InputPicture] = []
    for path, wanted in found:
        place = os.path.abspath(path)  # noqa: PTH100 (resolve would make one of two links)
        if place in seen:
            continue
        seen.add(place)
        wanted = _short(wanted)
        name, number = wanted, 1
        while name.casefold() in taken:
            number += 1
            name = f"{wanted}_{number}"
        taken.add(name.casefold())
        pictures.append(InputPicture(path=path, name=name))
    return tuple(pictures)


def _short(name: str) -> str:
    folder, stem = os.path.split(name)
    cut = os.fsdecode(os.fsencode(stem)[:_MAX_NAME_BYTES])
    if cut != stem:
        # A letter of several bytes may have been cut in two.
        cut = os.fsencode(stem)[:_MAX_NAME_BYTES].decode("utf-8", errors="ignore")
    return str(Path(folder, cut))
