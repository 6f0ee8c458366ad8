"""From a Pascal VOC folder to a prepared folder."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from blood_cell_system.boxes import BoxOrigin, LabelledBox
from blood_cell_system.classes import CellType
from blood_cell_system.datasets.folder_build import finish_build, start_build
from blood_cell_system.datasets.prepared import Split
from blood_cell_system.datasets.voc import (
    FailedPicture,
    VocDataset,
    VocSample,
)
from blood_cell_system.datasets.voc_cells import DUPLICATE_IOU, TINY_SIDE_PX, DroppedBox
from blood_cell_system.errors import DatasetError, ImageReadError, MissingDataError, SettingsError
from blood_cell_system.image_io import read_image, write_image
from blood_cell_system.mask_encoding import encode_class_mask
from blood_cell_system.masks.rasterize import rasterize_ellipses
from blood_cell_system.masks.refine import stain_class_mask
from blood_cell_system.masks.stain import StainSettings
from blood_cell_system.parallel import map_in_processes
from blood_cell_system.progress import with_progress

COMMAND = "prepare --mode bccd"


class MaskMethod(StrEnum):
    """How masks come from boxes."""

    STAIN = "stain"
    ELLIPSE = "ellipse"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareSummary:
    """What ``prepare_voc`` did.

    Parameters
    ----------
    output : Path
    mask_method : MaskMethod
    split_counts : mapping of str to int
        Pictures by split; ``no split`` where no list names them.
    cell_counts : mapping of tuple of CellType and BoxOrigin to int
    dropped : tuple of DroppedBox
    failed : tuple of FailedPicture
    """

    output: Path
    mask_method: MaskMethod
    split_counts: Mapping[str, int]
    cell_counts: Mapping[tuple[CellType, BoxOrigin], int]
    dropped: tuple[DroppedBox, ...]
    failed: tuple[FailedPicture, ...]

    def to_text(self) -> str:
        """Say it in a few lines."""
        splits = ", ".join(f"{name} {count}" for name, count in self.split_counts.items())
        lines = [
            f"{self.output}: {sum(self.split_counts.values())} pictures prepared ({splits}), "
            f"masks from the {self.mask_method} method"
        ]
        for cell_type in CellType:
            annotated = self.cell_counts.get((cell_type, BoxOrigin.ANNOTATED), 0)
            found = self.cell_counts.get((cell_type, BoxOrigin.STAIN), 0)
            more = f", {found} more found by their stain" if found else ""
            lines.append(f"  {cell_type}: {annotated} annotated{more}")
        if self.dropped:
            lines.append(f"{len(self.dropped)} boxes dropped:")
            lines += [f"  {b.file}: object {b.object_index}: {b.reason}" for b in self.dropped]
        if self.failed:
            lines.append(f"{len(self.failed)} pictures failed and were left out:")
            lines += [f"  {picture.reason}" for picture in self.failed]
        return "\n".join(lines)


def prepare_voc(
    source: Path,
    output: Path,
    *,
    mask_method: str = MaskMethod.STAIN,
    jobs: int | None = None,
) -> PrepareSummary:
    """Write a prepared folder from a Pascal VOC folder, for instance a clone of BCCD.

    Running it again gives the same bytes. A folder of a former run is brought up to date: pictures
    that no longer belong to it are removed, whatever the settings were. A folder with anything else
    in it is refused.

    Parameters
    ----------
    source : Path
        The VOC folder, or the folder above it.
    output : Path
    mask_method : {"stain", "ellipse"}
        From the stain and the boxes; or the ellipse in each box, the guide's baseline.
    jobs : int, optional
        Processes; all cores by default.

    Returns
    -------
    PrepareSummary
        Its ``failed`` lists the pictures that were left out.

    Raises
    ------
    MissingDataError, DatasetError, AnnotationError
        The source is not there, is no VOC folder, or has a label that is not known. Nothing has
        been written then.
    SettingsError
        There is no such mask method, or ``jobs`` is less than 1.
    OutputError
        The output holds something else, or cannot be written to.
    """
    method = _mask_method(mask_method)
    dataset = VocDataset.open(Path(source))
    output = Path(output)
    work = partial(_prepare_picture, output=output, method=method)
    job_count = (os.cpu_count() or 1) if jobs is None else jobs
    results = map_in_processes(work, dataset.samples, jobs=job_count)
    start_build(output, command=COMMAND, stems=[sample.stem for sample in dataset.samples])
    results = with_progress(results, total=len(dataset.samples), description="preparing")
    prepared: dict[str, tuple[LabelledBox, ...]] = {}
    failed = list(dataset.failed)
    for sample, result in zip(dataset.samples, results, strict=True):
        if isinstance(result, FailedPicture):
            failed.append(result)
        else:
            prepared[sample.stem] = result
    if not prepared:
        raise DatasetError(f"{source}: no picture could be prepared; {failed[0].reason}")
    failed.sort(key=lambda picture: picture.stem)
    samples = [sample for sample in dataset.samples if sample.stem in prepared]
    folders = ("images", "masks") + (("instances",) if method is MaskMethod.STAIN else ())
    finish_build(
        output,
        command=COMMAND,
        files={f"{folder}/{stem}.png" for folder in folders for stem in prepared},
        images=[_manifest_row(sample, _source_name(dataset.root)) for sample in samples],
        cells=prepared,
        details=_details(dataset, method, failed),
    )
    return PrepareSummary(
        output=output,
        mask_method=method,
        split_counts=_count_splits(samples),
        cell_counts=Counter(
            (cell.cell_type, cell.origin) for cells in prepared.values() for cell in cells
        ),
        dropped=dataset.dropped,
        failed=tuple(failed),
    )


def _prepare_picture(
    sample: VocSample, *, output: Path, method: MaskMethod
) -> tuple[LabelledBox, ...] | FailedPicture:
    try:
        image = read_image(sample.image_path)
    except (ImageReadError, MissingDataError) as error:
        return FailedPicture(stem=sample.stem, reason=str(error))
    name = f"{sample.stem}.png"
    cells = sample.cells
    if method is MaskMethod.STAIN:
        stain = stain_class_mask(image, cells)
        class_mask, cells = stain.class_mask, stain.cells
        write_image(output / "instances" / name, stain.label_image.astype(np.uint16))
    else:
        class_mask = rasterize_ellipses(cells, sample.shape)
    write_image(output / "images" / name, image)
    write_image(output / "masks" / name, encode_class_mask(class_mask))
    return cells


def _mask_method(name: str) -> MaskMethod:
    try:
        return MaskMethod(name)
    except ValueError as error:
        raise SettingsError(
            f"mask_method: received {name!r}; expected one of {', '.join(MaskMethod)}."
        ) from error


def _source_name(root: Path) -> str:
    """Name of the data set: that of the folder, for the clone of BCCD in lower case."""
    name = root.resolve().name
    return "bccd" if name.upper().startswith("BCCD") else name


def _manifest_row(sample: VocSample, source_name: str) -> dict[str, str | None]:
    return {
        "stem": sample.stem,
        "split": sample.split,
        "source": source_name,
        "original": sample.stem,
    }


def _details(
    dataset: VocDataset, method: MaskMethod, failed: list[FailedPicture]
) -> dict[str, Any]:
    return {
        "settings": {
            "mask_method": method,
            "tiny_side_px": TINY_SIDE_PX,
            "duplicate_iou": DUPLICATE_IOU,
            "stain": asdict(StainSettings()) if method is MaskMethod.STAIN else None,
        },
        "source_hash": dataset.source_hash(),
        "dropped": [asdict(box) for box in dataset.dropped],
        "failed": [asdict(picture) for picture in failed],
    }


def _count_splits(samples: list[VocSample]) -> dict[str, int]:
    counts = Counter(sample.split or "no split" for sample in samples)
    return {name: counts[name] for name in (*Split, "no split") if counts[name]}
