"""What was found in analysed images, as samples: a start for people who correct it."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from scipy import ndimage

from blood_cell_system.annotation.outline import PixelOutline
from blood_cell_system.annotation.sample import Annotation, Origin, Sample
from blood_cell_system.boxes import Box
from blood_cell_system.errors import DatasetError, MissingDataError, value_words
from blood_cell_system.imaging.image_file import IMAGE_SUFFIXES
from blood_cell_system.imaging.image_folders import SUMMARY_NAME, files_below
from blood_cell_system.input_files import read_json
from blood_cell_system.pipeline.model_slots import sha256_of
from blood_cell_system.reports.image_files import read_labels
from blood_cell_system.reports.report import DiagnosticReport
from blood_cell_system.taxonomy import BUILT_IN, Taxonomy

_REPORT_ENDING: Final = "_report.json"


def is_results_folder(folder: Path) -> bool:
    """Whether a folder is one that ``analyze`` writes."""
    return any(folder.glob(f"*{_REPORT_ENDING}")) or (folder / SUMMARY_NAME).is_file()


def analysed_samples(results: Path, *, images: Sequence[Path] = ()) -> Iterator[Sample]:
    """Give analysed images one at a time, with the cells that were found.

    Reports do not hold the images. They are searched where they were when they were analysed,
    and in folders that are named; only a file with the very same bytes is taken.

    Parameters
    ----------
    results : Path
        Folder that ``analyze`` has written.
    images : sequence of Path
        Folders with the images, also within folders within them.

    Yields
    ------
    Sample

    Raises
    ------
    MissingDataError
        There are no reports, or an image is not found.
    DatasetError
        A report cannot be read, or does not fit its label image.
    ImageReadError
        A label image is damaged.
    """
    reports = sorted(results.rglob(f"*{_REPORT_ENDING}"))
    if not reports:
        raise MissingDataError(
            f"{results}: no *{_REPORT_ENDING} in this folder; expected the folder that "
            "bloodcells analyze has written. Check the path."
        )
    finder = _ImageFinder(_paths_in_summary(results / SUMMARY_NAME), images)
    for path in reports:
        yield _sample(path, results, finder)


def taxonomy_of_results(results: Path) -> Taxonomy:
    """Cell types of a folder of results; those of its first report, as one model gave all."""
    for path in sorted(results.rglob(f"*{_REPORT_ENDING}"))[:1]:
        with suppress(ValueError, KeyError, TypeError):
            return Taxonomy.from_dict(read_json(path)["taxonomy"])
    return BUILT_IN


def _sample(path: Path, results: Path, finder: "_ImageFinder") -> Sample:
    name = path.relative_to(results).as_posix().removesuffix(_REPORT_ENDING)
    try:
        report = DiagnosticReport.from_json(read_json(path, remedy="Analyse the image again."))
    except DatasetError:
        raise
    except ValueError as error:
        raise DatasetError(
            f"{path}: not a report that this version reads ({value_words(error)}). "
            "Analyse the image again."
        ) from error
    shape = report.image.height_px, report.image.width_px
    labels = read_labels(results, name)
    if labels.shape != shape:
        raise DatasetError(
            f"{path}: the image has (height, width) {shape}, its label image has {labels.shape}; "
            "expected the same. Analyse the image again."
        )
    if labels.max(initial=0) != len(report.cells):
        raise DatasetError(
            f"{path}: holds {len(report.cells)} cells, its label image {labels.max(initial=0)}; "
            "expected the same. Analyse the image again."
        )
    annotations = []
    places = ndimage.find_objects(labels, max_label=len(report.cells))
    found = zip(report.cells["cell_type"], report.cells["whole_box"].tolist(), places, strict=True)
    for label, (cell_type, box, place) in enumerate(found, start=1):
        outline = None
        if place is not None:
            offset = (place[1].start, place[0].start)
            outline = PixelOutline.from_pixels(labels[place] == label, offset=offset)
        annotations.append(
            Annotation(cell_type=cell_type, box=Box(*box), outline=outline, origin=Origin.PREDICTED)
        )
    digest = report.provenance.data_sha256 or ""
    return Sample(
        stem=name.replace("/", "_"),
        image_path=finder.find(report.image.file_name, digest, where=path),
        shape=shape,
        cells=tuple(annotations),
    )


def _paths_in_summary(summary: Path) -> list[Path]:
    """Paths of the images as they were named when they were analysed."""
    if not summary.is_file():
        return []
    try:
        rows: list[dict[str, Any]] = read_json(summary)["images"]
        return [Path(row["path"]) for row in rows]
    except (KeyError, TypeError) as error:
        raise DatasetError(
            f"{summary}: cannot be read ({value_words(error)}). Analyse the images again."
        ) from error


class _ImageFinder:
    """Finds images by name and content."""

    def __init__(self, paths: Sequence[Path], folders: Sequence[Path]) -> None:
        self._folders = folders
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        for path in paths:
            self._by_name[path.name].append(path)
        for folder in folders:
            for path in sorted(files_below(folder)):
                if path.suffix.lower() in IMAGE_SUFFIXES:
                    self._by_name[path.name].append(path)

    def find(self, name: str, digest: str, *, where: Path) -> Path:
        """Image of a name whose bytes have a SHA-256."""
        candidates = [path for path in self._by_name.get(name, ()) if path.is_file()]
        for path in candidates:
            if sha256_of(path) == digest:
                return path
        found = f"{candidates[0]} is another image" if candidates else "it is not there"
        raise MissingDataError(
            f"{where}: is the report of {name}, but {found}; expected the very file that was "
            "analysed. Name its folder with --images."
        )
