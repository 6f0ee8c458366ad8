"""A folder that ``analyze`` has written, read image by image."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

import blood_cell_system
from blood_cell_system.cells.table import Cells
from blood_cell_system.corrections.record import Header, digest_of_rows
from blood_cell_system.errors import BloodCellError, DatasetError, MissingDataError, value_words
from blood_cell_system.imaging.image_file import IMAGE_SUFFIXES, read_image
from blood_cell_system.imaging.image_folders import SUMMARY_NAME, files_below
from blood_cell_system.input_files import read_json
from blood_cell_system.pipeline.model_slots import sha256_of
from blood_cell_system.reports.batch_summary import ImageOutcome, Slide
from blood_cell_system.reports.image_files import file_of, read_labels
from blood_cell_system.reports.report import DiagnosticReport, Provenance, Status
from blood_cell_system.taxonomy import BUILT_IN, Taxonomy
from blood_cell_system.wording import counted

_REPORT_ENDING: Final = "_report.json"
_REMEDY: Final = "Analyse the image again."


def is_results_folder(folder: Path) -> bool:
    """Whether a folder is one that ``analyze`` writes."""
    return any(folder.glob(f"*{_REPORT_ENDING}")) or (folder / SUMMARY_NAME).is_file()


class ResultsFolder:
    """Results of an analysis; the folder may have been moved.

    Reports do not hold the images. They are searched where they were when they were analysed,
    and in folders that are named; only a file with the very same bytes is taken.

    Parameters
    ----------
    path : Path
    images : sequence of Path
        Folders with the images, also within folders within them.

    Raises
    ------
    MissingDataError
        There are no reports.
    """

    def __init__(self, path: Path, images: Sequence[Path] = ()) -> None:
        self.path = path
        self.image_folders = images
        reports = sorted(path.rglob(f"*{_REPORT_ENDING}"))
        if not reports:
            raise MissingDataError(
                f"{path}: no *{_REPORT_ENDING} in this folder; expected the folder that "
                "bloodcells analyze has written, with report among --write. Check the path."
            )
        self.names: tuple[str, ...] = tuple(
            one.relative_to(path).as_posix().removesuffix(_REPORT_ENDING) for one in reports
        )

    def report_path(self, name: str) -> Path:
        """File of the report of an image."""
        return file_of(self.path, name, "report.json")

    def report(self, name: str) -> DiagnosticReport:
        """Read the report of an image; its cells have no pixels.

        Raises
        ------
        DatasetError
            It cannot be read.
        """
        path = self.report_path(name)
        try:
            return DiagnosticReport.from_json(read_json(path, remedy=_REMEDY))
        except BloodCellError:
            raise
        except ValueError as error:
            raise DatasetError(
                f"{path}: not a report that this version reads ({value_words(error)}). {_REMEDY}"
            ) from error

    def with_pixels(self, name: str, report: DiagnosticReport) -> Cells:
        """Give the cells of a report with their label image.

        Raises
        ------
        MissingDataError
            There is no label image.
        ImageReadError
            It is damaged.
        DatasetError
            It does not fit the report.
        """
        path = self.report_path(name)
        shape = report.image.height_px, report.image.width_px
        labels = read_labels(self.path, name)
        if labels.shape != shape:
            raise DatasetError(
                f"{path}: the image has (height, width) {shape}, its label image has "
                f"{labels.shape}; expected the same. {_REMEDY}"
            )
        if labels.max(initial=0) != len(report.cells):
            raise DatasetError(
                f"{path}: holds {counted(len(report.cells), 'cell')}, its label image "
                f"{labels.max(initial=0)}; expected the same. {_REMEDY}"
            )
        return replace(report.cells, label_image=labels.astype(np.int32))

    def image_path(self, name: str, report: DiagnosticReport) -> Path:
        """Find the file that was analysed.

        Raises
        ------
        MissingDataError
            It is not there, or is another image.
        """
        digest = report.provenance.data_sha256 or ""
        return self._finder.find(report.image.file_name, digest, where=self.report_path(name))

    def image(self, name: str, report: DiagnosticReport) -> NDArray[np.uint8]:
        """Read the image that was analysed; RGB, shape (height, width, 3).

        Raises
        ------
        MissingDataError
            It is not there, or is another image.
        ImageReadError
            It cannot be read.
        """
        return read_image(self.image_path(name, report))

    @cached_property
    def taxonomy(self) -> Taxonomy:
        """Cell types; those of the first report, as one model gave all."""
        with suppress(BloodCellError, ValueError, KeyError, TypeError):
            return Taxonomy.from_dict(read_json(self.report_path(self.names[0]))["taxonomy"])
        return BUILT_IN

    @property
    def slides(self) -> dict[str, Slide]:
        """Slide of each image whose slide was named."""
        return {
            row["name"]: Slide(name=row["slide"], patient=row.get("patient"))
            for row in self._summary_rows
            if row.get("slide")
        }

    @property
    def failed(self) -> tuple[ImageOutcome, ...]:
        """Inputs that could not be analysed, as the summary has them."""
        return tuple(
            ImageOutcome(name=row["name"], path=row["path"], reason=row["reason"])
            for row in self._summary_rows
            if row.get("status") == Status.FAILED
        )

    @property
    def header(self) -> Header:
        """Header of corrections of these results.

        Raises
        ------
        DatasetError
            A report cannot be read.
        """
        digests: dict[str, str] = {}
        models: dict[str, str] = {}
        for name in self.names:
            path = self.report_path(name)
            value = read_json(path, remedy=_REMEDY)
            try:
                cells = value["cells"]
                digests[name] = digest_of_rows(
                    (cell["cell_type"], cell["bbox"], cell["area_px"]) for cell in cells
                )
                models |= dict(Provenance.model_validate(value["provenance"]).models)
            except (KeyError, TypeError, ValueError) as error:
                raise DatasetError(
                    f"{path}: not a report that this version reads ({value_words(error)}). "
                    f"{_REMEDY}"
                ) from error
        return Header(
            software_version=blood_cell_system.__version__,
            images=digests,
            models=models,
            taxonomy=None if self.taxonomy == BUILT_IN else self.taxonomy.to_dict(),
        )

    @cached_property
    def _summary_rows(self) -> list[dict[str, Any]]:
        summary = self.path / SUMMARY_NAME
        if not summary.is_file():
            return []
        try:
            rows: list[dict[str, Any]] = read_json(summary)["images"]
            # Of what is no row the error comes here, where it can be said.
            return [row for row in rows if row["path"] is not None]
        except (KeyError, TypeError) as error:
            raise DatasetError(
                f"{summary}: cannot be read ({value_words(error)}). Analyse the images again."
            ) from error

    @cached_property
    def _finder(self) -> "_ImageFinder":
        paths = [Path(row["path"]) for row in self._summary_rows]
        return _ImageFinder(paths, self.image_folders)


class _ImageFinder:
    """Finds images by name and content."""

    def __init__(self, paths: Sequence[Path], folders: Sequence[Path]) -> None:
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
