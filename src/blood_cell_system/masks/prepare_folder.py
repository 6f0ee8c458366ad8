"""From a data set, whatever its format, to a prepared folder."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from blood_cell_system.annotation.clean import DUPLICATE_IOU, TINY_SIDE_PX
from blood_cell_system.annotation.formats.voc import read_voc_folder
from blood_cell_system.annotation.sample import (
    Annotation,
    DroppedCell,
    FailedImage,
    Origin,
    Reading,
    Sample,
)
from blood_cell_system.annotation.splits import Split
from blood_cell_system.datasets.cell_diameter import is_whole, mixed_magnifications
from blood_cell_system.datasets.folder_build import finish_build, start_build
from blood_cell_system.datasets.prepared import ManifestRow
from blood_cell_system.datasets.verify.checks import listed
from blood_cell_system.errors import (
    DatasetError,
    ImageReadError,
    MaskFormatError,
    MissingDataError,
    SettingsError,
)
from blood_cell_system.folder_lock import locked_folder
from blood_cell_system.imaging.damage import damage_of
from blood_cell_system.imaging.image_file import (
    count_pages,
    is_turned,
    read_file_bytes,
    read_image,
    write_image,
)
from blood_cell_system.imaging.image_folders import refuse_output_within
from blood_cell_system.imaging.mask_encoding import encode_class_mask
from blood_cell_system.masks.sample_mask import MaskMethod, Unlabelled, mask_of_sample
from blood_cell_system.parallel import map_with_progress
from blood_cell_system.stain.optical_density import StainSettings
from blood_cell_system.taxonomy import BUILT_IN, RBC, Taxonomy
from blood_cell_system.wording import counted

_MOST_LINES: Final = 20
"""Of a list in the summary; the manifest has them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareSummary:
    """What preparing did.

    Parameters
    ----------
    split_counts : mapping of str to int
        Images by split; ``no split`` where nothing names them.
    notes : tuple of str
        What the reader had to say.
    given_masks : int
        Images whose class masks were given, and taken as they are.
    """

    output: Path
    mask_method: MaskMethod
    split_counts: Mapping[str, int]
    cell_counts: Mapping[tuple[str, Origin], int]
    dropped: tuple[DroppedCell, ...]
    failed: tuple[FailedImage, ...]
    notes: tuple[str, ...] = ()
    given_masks: int = 0
    taxonomy: Taxonomy = BUILT_IN

    def to_text(self) -> str:
        """Say it in a few lines."""
        splits = ", ".join(f"{name} {count}" for name, count in self.split_counts.items())
        count = sum(self.split_counts.values())
        origin = f"outlines as given, boxes by the {self.mask_method} method"
        if self.given_masks:
            others = f"; the others: {origin}" if self.given_masks < count else ""
            origin = f"{self.given_masks} masks as they were given{others}"
        lines = [f"{self.output}: {counted(count, 'image')} prepared ({splits}), {origin}"]
        if self.given_masks == count and not self.cell_counts:
            lines.append("  where single cells are, nobody has said")
            return "\n".join([*lines, *self._remarks()])
        for cell_type in self.taxonomy.names:
            found = self.cell_counts.get((cell_type, Origin.STAIN), 0)
            marked = sum(
                count
                for (other, origin), count in self.cell_counts.items()
                if other == cell_type and origin is not Origin.STAIN
            )
            more = f", {found} more found by their stain" if found else ""
            lines.append(f"  {cell_type}: {marked} annotated{more}")
        return "\n".join([*lines, *self._remarks()])

    def _remarks(self) -> list[str]:
        lines = list(self.notes)
        if self.dropped:
            lines.append(f"{counted(len(self.dropped), 'box', 'boxes')} dropped:")
            lines += _first_lines(
                [f"  {one.file}: object {one.object_index}: {one.reason}" for one in self.dropped]
            )
        if self.failed:
            lines.append(f"{counted(len(self.failed), 'image')} failed and left out:")
            lines += _first_lines([f"  {image.reason}" for image in self.failed])
        return lines


def _first_lines(lines: list[str]) -> list[str]:
    rest = len(lines) - _MOST_LINES
    if rest <= 0:
        return lines
    return [*lines[:_MOST_LINES], f"  and {rest} more: see manifest.json"]


Choice = TypeVar("Choice", bound=StrEnum)


def prepare_voc(
    source: Path,
    output: Path,
    *,
    mask_method: str = MaskMethod.STAIN,
    jobs: int | None = None,
) -> PrepareSummary:
    """Write a prepared folder from a Pascal VOC folder, for instance a clone of BCCD.

    As :func:`prepare_reading`, with the labels of BCCD written as there and no others.

    Parameters
    ----------
    source : Path
        The VOC folder, or the folder above it.
    mask_method : {"stain", "ellipse"}

    Raises
    ------
    MissingDataError, DatasetError, AnnotationError
        The source is not there, is no VOC folder, or has a label that is not known. Nothing has
        been written then.
    SettingsError, OutputError
        As of ``prepare_reading``.
    """
    method = _choice(MaskMethod, "mask_method", mask_method)
    reading = read_voc_folder(Path(source))
    return prepare_reading(reading, output, mask_method=method, jobs=jobs, mode="bccd")


def prepare_reading(
    reading: Reading,
    output: Path,
    *,
    mask_method: str = MaskMethod.STAIN,
    unlabelled: str = Unlabelled.STAIN,
    jobs: int | None = None,
    mode: str | None = None,
) -> PrepareSummary:
    """Write a prepared folder from a data set that was read.

    Running it again gives the same bytes. A folder of a former run is brought up to date: images
    that no longer belong to it are removed, whatever the settings were. A folder with anything else
    in it is refused.

    Parameters
    ----------
    mask_method : {"stain", "ellipse"}
        What becomes of boxes: masks from the stain, or the ellipse in each box, the guide's
        baseline. Outlines and masks of the data set are taken as they are.
    unlabelled : {"stain", "unscored", "background"}
        What becomes of cells that nobody has marked, see :class:`Unlabelled`.
    jobs : int, optional
        Processes; all cores by default.
    mode : str, optional
        Name of the command's mode, which alone may write the folder again; that of the format by
        default.

    Returns
    -------
    PrepareSummary
        Its ``failed`` lists the images that were left out.

    Raises
    ------
    DatasetError
        No image can be prepared.
    SettingsError
        A choice does not exist, or ``jobs`` is less than 1.
    OutputError
        The output holds something else, or cannot be written to.
    """
    method = _choice(MaskMethod, "mask_method", mask_method)
    rest = _choice(Unlabelled, "unlabelled", unlabelled)
    command = f"prepare --mode {mode or reading.format_name}"
    output = Path(output)
    refuse_output_within(output, reading.root)
    taxonomy = reading.taxonomy
    work = partial(_prepare_image, output=output, method=method, unlabelled=rest, taxonomy=taxonomy)
    results = map_with_progress(work, reading.samples, jobs=jobs, description="preparing")
    with locked_folder(output, command=command):
        start_build(output, command=command, stems=[sample.stem for sample in reading.samples])
        prepared: dict[str, _PreparedImage] = {}
        failed = list(reading.failed)
        for sample, result in zip(reading.samples, results, strict=True):
            if isinstance(result, FailedImage):
                failed.append(result)
            else:
                prepared[sample.stem] = result
        if not prepared:
            raise DatasetError(f"{reading.root}: no image could be prepared; {failed[0].reason}")
        failed.sort(key=lambda image: image.name)
        samples = [sample for sample in reading.samples if sample.stem in prepared]
        cells = {stem: image.cells for stem, image in prepared.items() if image.cells is not None}
        # Of a type that nobody marked in any image it is not said that it is nowhere.
        marked = {cell.cell_type for sample in samples for cell in sample.cells or ()}
        unmarked = tuple(name for name in taxonomy.names if name not in marked)
        reading = replace(reading, notes=(*reading.notes, *_notes_of_images(samples, prepared)))
        finish_build(
            output,
            command=command,
            files={
                f"{folder}/{stem}.png"
                for stem, image in prepared.items()
                for folder in image.folders
            },
            images=[
                ManifestRow(
                    stem=sample.stem,
                    source=reading.source,
                    split=sample.split,
                    unmarked_types=() if sample.cells is None else unmarked,
                ).to_json()
                for sample in samples
            ],
            cells=cells,
            details=_details(reading, method, rest, failed),
            taxonomy=taxonomy,
        )
    splits = Counter(sample.split or "no split" for sample in samples)
    return PrepareSummary(
        output=output,
        mask_method=method,
        split_counts={name: splits[name] for name in (*Split, "no split") if splits[name]},
        cell_counts=Counter(
            (cell.cell_type, cell.origin) for found in cells.values() for cell in found
        ),
        dropped=reading.dropped,
        failed=tuple(failed),
        notes=reading.notes,
        given_masks=sum(sample.class_mask is not None for sample in samples),
        taxonomy=taxonomy,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _PreparedImage:
    cells: tuple[Annotation, ...] | None
    folders: tuple[str, ...]
    pages: int
    is_turned: bool
    damage: str | None


def _prepare_image(
    sample: Sample,
    *,
    output: Path,
    method: MaskMethod,
    unlabelled: Unlabelled,
    taxonomy: Taxonomy,
) -> _PreparedImage | FailedImage:
    try:
        data = read_file_bytes(sample.image_path)
        image = read_image(sample.image_path, data=data)
        mask = mask_of_sample(
            image, sample, method=method, unlabelled=unlabelled, taxonomy=taxonomy
        )
    except (ImageReadError, MaskFormatError, MissingDataError) as error:
        return FailedImage(name=sample.stem, reason=str(error))
    name = f"{sample.stem}.png"
    folders: tuple[str, ...] = ("images", "masks")
    if mask.label_image is not None:
        write_image(output / "instances" / name, mask.label_image.astype(np.uint16))
        folders += ("instances",)
    write_image(output / "images" / name, image)
    write_image(output / "masks" / name, encode_class_mask(mask.class_mask))
    return _PreparedImage(
        cells=mask.cells,
        folders=folders,
        pages=count_pages(sample.image_path),
        is_turned=is_turned(sample.image_path),
        damage=damage_of(sample.image_path, data),
    )


def _notes_of_images(
    samples: Sequence[Sample], prepared: Mapping[str, _PreparedImage]
) -> list[str]:
    """Say what of the image files may not be as their labels take it to be."""
    notes = []
    damaged = [
        f"{sample.image_path} ({damage})"
        for sample in samples
        if (damage := prepared[sample.stem].damage)
    ]
    if damaged:
        notes.append(
            f"{counted(len(damaged), 'file is', 'files are')} damaged, and a part of each image "
            "is not as it was taken: "
            f"{listed(damaged, _MOST_LINES)}. Copy them again from their source, or remove them."
        )
    pages = [sample.image_path for sample in samples if prepared[sample.stem].pages > 1]
    if pages:
        notes.append(
            f"{counted(len(pages), 'file holds', 'files hold')} several images (pages, or "
            "channels of one), for instance "
            f"{pages[0]}: the first page alone was read. Save each as a file of its own, channels "
            "together as RGB."
        )
    mixed = mixed_magnifications(
        {
            sample.stem: [
                math.sqrt(cell.width * cell.height)
                for cell in prepared[sample.stem].cells or ()
                if cell.cell_type == RBC and is_whole(cell, sample.shape)
            ]
            for sample in samples
        }
    )
    if mixed:
        notes.append(
            f"Mixed magnifications: {mixed}. Prepare each magnification into a folder of its own, "
            "and merge them with bloodcells combine, which scales them to one size."
        )
    turned = [sample.image_path for sample in samples if prepared[sample.stem].is_turned]
    if turned:
        notes.append(
            f"{counted(len(turned), 'image is', 'images are')} turned by EXIF data, for "
            f"instance {turned[0]}: labels "
            "are taken to be those of the upright image. Look at them with bloodcells verify."
        )
    return notes


def _choice(kind: type[Choice], name: str, value: str) -> Choice:
    try:
        return kind(value)
    except ValueError as error:
        raise SettingsError(
            f"{name}: received {value!r}; expected one of {', '.join(kind)}."
        ) from error


def _details(
    reading: Reading, method: MaskMethod, unlabelled: Unlabelled, failed: list[FailedImage]
) -> dict[str, Any]:
    return {
        "settings": {
            "format": reading.format_name,
            "mask_method": method,
            "unlabelled": unlabelled,
            "tiny_side_px": TINY_SIDE_PX,
            "duplicate_iou": DUPLICATE_IOU,
            "stain": asdict(StainSettings()) if method is MaskMethod.STAIN else None,
        },
        "licence": reading.licence,
        "notes": list(reading.notes),
        "source_hash": reading.source_hash(),
        "dropped": [asdict(cell) for cell in reading.dropped],
        "failed": [{"stem": image.name, "reason": image.reason} for image in failed],
    }
