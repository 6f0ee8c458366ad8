"""The folders that are combined: their pictures, each with the name of its source."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from blood_cell_system.datasets.prepared import PreparedDataset, PreparedImage
from blood_cell_system.errors import DatasetError, SettingsError

UNKNOWN_LICENCE: Final = "not stated"
_UNNAMED: Final = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePicture:
    """One picture to take over.

    Parameters
    ----------
    image : PreparedImage
        As in its folder, but for its source and, where nobody chose one, its split.
    folder_index : int
        Which of the folders it is in.
    new_stem : str
        Its name in the combined folder.
    """

    image: PreparedImage
    folder_index: int
    new_stem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedSources:
    """Prepared folders, opened, with nothing ambiguous left.

    Parameters
    ----------
    datasets : tuple of PreparedDataset
    pictures : tuple of SourcePicture
        Ordered by folder, then by name.
    """

    datasets: tuple[PreparedDataset, ...]
    pictures: tuple[SourcePicture, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the sources, in the order of their first pictures."""
        return tuple(dict.fromkeys(picture.image.source for picture in self.pictures))

    def licence_of(self, name: str) -> str:
        """Licence of a source, as its folder's manifest has it."""
        index = next(p.folder_index for p in self.pictures if p.image.source == name)
        details = self.datasets[index].details
        # Of a folder that was combined itself, each of its sources has its own.
        known = details.get("sources", {}).get(name, {}).get("licence")
        return str(known or details.get("licence") or UNKNOWN_LICENCE)


def open_sources(folders: Sequence[Path], *, seed: int) -> OpenedSources:
    """Open prepared folders and give every picture a source, a split and a name of its own.

    A source that has no name is called like its folder. Two folders that say the same name are two
    sources, told apart by their folders' names. Pictures of one name in several folders get their
    source's name in front; all others keep theirs.

    Parameters
    ----------
    folders : sequence of Path
    seed : int
        Deals out splits where a folder has none.

    Raises
    ------
    SettingsError
        There are no folders, or one is named twice.
    MissingDataError, DatasetError
        A folder is not a prepared one.
    """
    if not folders:
        raise SettingsError("--input: no folder was named; expected one or more prepared folders.")
    twice = [path for path, count in Counter(p.resolve() for p in folders).items() if count > 1]
    if twice:
        raise SettingsError(
            f"--input: {twice[0]} is named twice; expected different folders. Name it once."
        )
    datasets = tuple(PreparedDataset.open(folder).with_splits(seed) for folder in folders)
    labelled = [
        (index, replace(image, source=name))
        for index, names in enumerate(_source_names(datasets))
        for image in datasets[index].images
        for name in (names[image.source],)
    ]
    stems = _new_stems([image for _, image in labelled])
    return OpenedSources(
        datasets=datasets,
        pictures=tuple(
            SourcePicture(image=image, folder_index=index, new_stem=stem)
            for (index, image), stem in zip(labelled, stems, strict=True)
        ),
    )


def _source_names(datasets: Sequence[PreparedDataset]) -> list[dict[str, str]]:
    """Of each folder, what each of its sources is called in the combination."""
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


def check_output(output: Path, folders: Sequence[Path]) -> None:
    """Refuse to write into a folder that is read, or into the folder around one.

    Raises
    ------
    DatasetError
        The output is one of the folders, lies in one, or holds one.
    """
    place = output.resolve()
    for folder in folders:
        read = folder.resolve()
        if place.is_relative_to(read) or read.is_relative_to(place):
            raise DatasetError(
                f"{output}: the output is, or lies in, or holds the input folder {folder}; "
                "expected another place. Choose another --output."
            )
