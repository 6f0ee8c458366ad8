"""What corrected images teach: a prepared folder for the segmenter, cell folders for classifiers.

Of a field that was reviewed to its end every pixel and every cell is the truth. Of another one only
the cells that a person acted on are; the rest is not scored.
"""

import re
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.annotation.sample import Annotation, Origin
from blood_cell_system.atomic_files import make_folder, write_bytes, write_json
from blood_cell_system.boxes import Box
from blood_cell_system.cells.cut_out import cell_images
from blood_cell_system.cells.unassessed import NONE_OF_THESE
from blood_cell_system.corrections.correction_log import read_corrections, write_corrections
from blood_cell_system.corrections.record import Corrections
from blood_cell_system.corrections.replay import CorrectedCell
from blood_cell_system.datasets.cell_folder import (
    TAXONOMY_JSON,
    CellRecord,
    write_cells_csv,
)
from blood_cell_system.datasets.folder_build import finish_build, start_build
from blood_cell_system.errors import BloodCellError, DatasetError, OutputError
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.imaging.image_folders import refuse_output_within
from blood_cell_system.imaging.mask_encoding import encode_class_mask
from blood_cell_system.model_metadata import ClassifierKind, classifier_kinds
from blood_cell_system.pipeline.cell_crops.writing import png_of, with_splits
from blood_cell_system.pipeline.corrected_results import (
    CorrectedImage,
    corrected_images,
    write_corrected_results,
)
from blood_cell_system.pipeline.results_folder import ResultsFolder
from blood_cell_system.stain.slide_light import fit_slide_light
from blood_cell_system.taxonomy import BUILT_IN, NOT_SCORED, Taxonomy
from blood_cell_system.wording import counted

RESULTS: Final = "results"
PREPARED: Final = "segmentation"
CORRECTIONS: Final = "corrections.json"
"""Copy of what was applied, by which a folder is known as one of this command."""

_COMMAND: Final = "apply-corrections"
_SOURCE: Final = "corrected"
_UNSAFE: Final = re.compile(r"[^\w.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedCorrections:
    """What was written.

    Parameters
    ----------
    complete : int
        Fields that were reviewed to their end.
    cells : mapping of str to Counter
        Cells of each cell folder by class; a folder without cells is not written.
    """

    root: Path
    people: tuple[str, ...]
    fields: int
    complete: int
    moot: int
    cells: dict[str, Counter[str]]

    @property
    def cell_folders(self) -> dict[str, Path]:
        """Cell folder of each kind that has cells."""
        return {kind: self.root / _cell_folder(kind) for kind in self.cells}

    def to_text(self) -> str:
        """Say it in a few lines."""
        lines = [
            f"{self.root / RESULTS}: reviewed by {', '.join(self.people)}",
            f"{self.root / PREPARED}: {counted(self.fields, 'field')}, {self.complete} of them "
            "reviewed to "
            "their end; of the others only what a person acted on is scored",
        ]
        if self.moot:
            lines.append(f"{self.moot} corrections changed nothing: their cells were gone by then")
        for kind, counts in self.cells.items():
            named = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
            lines.append(
                f"{self.root / _cell_folder(kind)}: {counted(counts.total(), 'cell')} ({named})"
            )
        return "\n".join(lines)


def _cell_folder(kind: str) -> str:
    return f"cells_{kind}"


def apply_corrections(
    results: ResultsFolder, corrections: Corrections, output: Path, *, where: str, seed: int = 0
) -> AppliedCorrections:
    """Write corrected results and the folders that models learn from, all or nothing.

    Parameters
    ----------
    output : Path
        New, empty, or one that this function wrote: that is replaced.
    where : str
        File of the corrections, for messages.
    seed : int
        Of the splits.

    Raises
    ------
    CorrectionsError
        The corrections are of other results, or name what never was.
    DatasetError
        There is no correction.
    OutputError
        The folder is somebody else's, or cannot be written to.
    BloodCellError
        Results, or an image, cannot be read.
    """
    refuse_output_within(output, results.path, option="--output-dir")
    if not corrections.events:
        raise DatasetError(
            f"{where}: there is no correction in it; expected one or more. Review the results "
            "first, with review.html or bloodcells review."
        )
    corrections.header.check_is_of(results.header, corrections.images, where=where)
    _check_is_ours(output)
    part = output.with_name(f".{output.name[:80]}.partial")
    with suppress(FileNotFoundError):
        shutil.rmtree(part)
    make_folder(part)
    try:
        applied = _write(results, corrections, part, seed)
        write_corrections(part / CORRECTIONS, corrections)
        _replace(part, output)
    except OSError as error:
        if isinstance(error, BloodCellError):
            raise
        raise OutputError(
            f"{output}: cannot be written ({error.strerror or error}). Make room on the disk, or "
            "choose another --output-dir."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return AppliedCorrections(root=output, **applied)


def _check_is_ours(output: Path) -> None:
    if not output.exists():
        return
    with suppress(BloodCellError):
        read_corrections(output / CORRECTIONS)
        return
    if not output.is_dir() or any(output.iterdir()):
        raise OutputError(
            f"{output}: holds something else; expected a new folder, or one that this command has "
            "written. Choose another --output-dir."
        )


def _replace(part: Path, output: Path) -> None:
    former = output.with_name(f".{output.name[:80]}.former")
    shutil.rmtree(former, ignore_errors=True)
    if output.exists():
        output.rename(former)
    part.rename(output)
    shutil.rmtree(former, ignore_errors=True)


def _write(
    results: ResultsFolder, corrections: Corrections, root: Path, seed: int
) -> dict[str, Any]:
    taxonomy = results.taxonomy
    stems = _stems(corrections.images)
    prepared = _PreparedWriter(root=root / PREPARED, taxonomy=taxonomy)
    folders = [_CellWriter(root=root, kind=kind) for kind in classifier_kinds(taxonomy)]
    slides = {name: slide.name for name, slide in results.slides.items()}
    start_build(prepared.root, command=_COMMAND, stems=stems.values())
    complete = moot = 0
    images = corrected_images(results, corrections)
    for one in write_corrected_results(results, corrections, root / RESULTS, images):
        complete += one.field.is_reviewed
        moot += len(one.field.moot)
        stem = stems[one.name]
        prepared.add(one, stem)
        for folder in folders:
            folder.add(one, stem, block=slides.get(one.name, stem))
    prepared.finish()
    return {
        "people": tuple(dict.fromkeys(event.by for event in corrections.events)),
        "fields": len(stems),
        "complete": complete,
        "moot": moot,
        "cells": {str(one.kind): counts for one in folders if (counts := one.finish(seed)).total()},
    }


def _stems(names: tuple[str, ...]) -> dict[str, str]:
    """Name files after images, whatever letters these have, each unlike all others."""
    stems: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        wanted = _UNSAFE.sub("_", name).strip("._") or "image"
        stem, number = wanted, 1
        while stem.casefold() in taken:
            number += 1
            stem = f"{wanted}_{number}"
        taken.add(stem.casefold())
        stems[name] = stem
    return stems


def _is_true(cell: CorrectedCell, one: CorrectedImage) -> bool:
    """Whether a person vouches for a cell: acted on it, or reviewed its whole field."""
    return cell.by is not None or one.field.is_reviewed


@dataclass(kw_only=True)
class _PreparedWriter:
    root: Path
    taxonomy: Taxonomy
    files: set[str] = field(default_factory=set)
    rows: list[dict[str, Any]] = field(default_factory=list)
    boxes: dict[str, list[Annotation]] = field(default_factory=dict)

    def add(self, one: CorrectedImage, stem: str) -> None:
        """Write an image, its class mask and its label image."""
        class_mask, labels, cells = _truth(one)
        for folder, pixels in (
            ("images", one.image),
            ("masks", encode_class_mask(class_mask)),
            ("instances", labels),
        ):
            path = self.root / folder / f"{stem}.png"
            make_folder(path.parent)
            write_image(path, pixels)
            self.files.add(f"{folder}/{stem}.png")
        self.rows.append({"stem": stem, "split": None, "source": _SOURCE, "original": stem})
        self.boxes[stem] = cells

    def finish(self) -> None:
        finish_build(
            self.root,
            command=_COMMAND,
            files=self.files,
            images=self.rows,
            cells=self.boxes,
            details={},
            taxonomy=self.taxonomy,
        )


def _truth(
    one: CorrectedImage,
) -> tuple[NDArray[np.uint8], NDArray[np.uint16], list[Annotation]]:
    """Class mask, label image and boxes of what people vouch for."""
    is_true = np.array([_is_true(cell, one) for cell in one.field.cells], dtype=np.bool_)
    labels = one.cells.select(is_true).label_image
    class_mask = one.class_mask
    if not one.field.is_reviewed:
        removed = np.isin(one.former.label_image, np.array(one.field.removed) + 1)
        is_scored = (labels > 0) | (removed & (one.field.label_image == 0))
        class_mask = np.where(is_scored, class_mask, np.uint8(NOT_SCORED))
    boxes = one.cells["whole_box"][is_true].tolist()
    types = one.cells["cell_type"][is_true].tolist()
    cells = [
        Annotation(cell_type=cell_type, box=Box(*box), origin=Origin.ANNOTATED)
        for cell_type, box in zip(types, boxes, strict=True)
    ]
    return class_mask, labels.astype(np.uint16), cells


@dataclass(kw_only=True)
class _CellWriter:
    root: Path
    kind: ClassifierKind
    records: list[CellRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder = self.root / _cell_folder(str(self.kind))

    def add(self, one: CorrectedImage, stem: str, *, block: str) -> None:
        """Cut the cells of an image that people have named, and those that they deleted."""
        light = fit_slide_light(one.image, field=one.class_mask != NOT_SCORED)
        named = list(self._named(one))
        images = cell_images(
            one.image,
            one.field.label_image,
            [(row + 1, one.cells["box"][row].tolist()) for row, _ in named],
            light=light,
        )
        found = [
            (f"{row + 1}", record, image)
            for (row, record), image in zip(named, images, strict=True)
        ]
        gone = [
            row
            for row in one.field.removed
            if one.former["cell_type"][row] == self.kind.cell_type
            and not one.former["touches_border"][row]
        ]
        false = cell_images(
            one.image,
            one.former.label_image,
            [(row + 1, one.former["whole_box"][row].tolist()) for row in gone],
            light=light,
        )
        found += [
            (f"{row + 1}_deleted", CellRecord(file="", is_outlier=True), image)
            for row, image in zip(gone, false, strict=True)
        ]
        for number, record, image in found:
            if image is None:
                continue
            file = f"{record.label.replace(' ', '_')}/{stem}_{number}.png"
            make_folder((self.folder / file).parent)
            write_bytes(self.folder / file, png_of(image))
            self.records.append(
                CellRecord(
                    file=file,
                    condition=record.condition,
                    cell_type=record.cell_type,
                    is_outlier=record.is_outlier,
                    source=_SOURCE,
                    field=stem,
                    block=block,
                    origin=str(Origin.ANNOTATED),
                    red_cell_diameter_px=one.report.scale.red_cell_diameter_px,
                    image_width_px=float(one.image.shape[1]),
                    image_height_px=float(one.image.shape[0]),
                )
            )

    def _named(self, one: CorrectedImage) -> Iterator[tuple[int, CellRecord]]:
        for row, cell in enumerate(one.field.cells):
            is_ours = cell.cell_type == self.kind.cell_type and not one.cells["touches_border"][row]
            if not (is_ours and (cell.is_stated or one.field.is_reviewed)):
                continue
            condition = cell.condition if cell.condition in self.kind.conditions else None
            subtype = cell.subtype if cell.subtype in self.kind.types else None
            is_none = cell.condition == NONE_OF_THESE
            if condition or subtype or is_none:
                yield (
                    row,
                    CellRecord(file="", condition=condition, cell_type=subtype, is_outlier=is_none),
                )

    def finish(self, seed: int) -> Counter[str]:
        """Write the table; gives the cells by class."""
        counts = Counter(record.label for record in self.records)
        if counts:
            write_cells_csv(self.folder, with_splits(self.records, seed))
            if self.kind.taxonomy != BUILT_IN:
                write_json(self.folder / TAXONOMY_JSON, self.kind.taxonomy.to_dict())
        return counts
