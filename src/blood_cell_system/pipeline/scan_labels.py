"""The cells of an image or a whole scan as labels in OME-Zarr, made of label images of files."""

from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.atomic_files import replacing_folder
from blood_cell_system.errors import SettingsError
from blood_cell_system.imaging.scan import EXTRA
from blood_cell_system.reports.batch_summary import SLIDES_FOLDER, ImageOutcome, scan_offsets
from blood_cell_system.reports.image_files import read_labels

if TYPE_CHECKING:
    from blood_cell_system.pipeline.scan_fields import PlannedScan

ENDING: Final = "_labels.ome.zarr"
"""What the names of their folders end with."""
_CHUNK_PX: Final = 1024
_SMALLEST_PX: Final = 1024
"""Longer side of the smallest level, at most."""


def check_zarr() -> None:
    """Refuse to go on where zarr is not installed.

    Raises
    ------
    SettingsError
        It is not.
    """
    if find_spec("zarr") is None:
        raise SettingsError(
            f"--label-zarr: the library that writes OME-Zarr is not installed. Install it: {EXTRA}."
        )


def labels_path(scan: "PlannedScan", output_dir: Path) -> Path:
    """Where a folder of results has the labels of a scan."""
    return output_dir / SLIDES_FOLDER / f"{scan.name.replace('/', '_')}{ENDING}"


def write_scan_labels(
    scan: "PlannedScan", outcomes: Sequence[ImageOutcome], output_dir: Path, path: Path
) -> None:
    """Write the labels of a scan's cells, one level after the other.

    A pixel has the ``scan_cell_id`` that its cell has in the table of all cells. Where cells of two
    fields meet in a pixel, it is the first one's.

    Parameters
    ----------
    output_dir : Path
        Has the label images of the fields.

    Raises
    ------
    OutputError
        The folder cannot be written; what was there stays.
    MissingDataError, ImageReadError
        The label image of a field has gone, or is damaged.
    """
    offsets = scan_offsets(outcomes)
    own = [one for one in outcomes if one.name in scan.fields and one.report is not None]
    level, size = scan.scan.levels[scan.level], scan.scan.pixel_size
    fields = (
        (scan.fields[one.name].seen[:2], _numbered(output_dir, one.name, offsets[one.name]))
        for one in own
    )
    with replacing_folder(path) as temporary:
        _write(temporary, level.shape, level.downsample, size.um if size else None, fields)


def write_image_labels(outcome: ImageOutcome, output_dir: Path, path: Path) -> None:
    """Write the labels of an image's cells; a pixel has the ``cell_id`` of its cell.

    Raises
    ------
    OutputError
        The folder cannot be written.
    MissingDataError, ImageReadError
        The label image has gone, or is damaged.
    """
    labels = _numbered(output_dir, outcome.name, 0)
    size = None if outcome.report is None else outcome.report.scale.pixel_size_um
    with replacing_folder(path) as temporary:
        _write(temporary, labels.shape, 1.0, size, [((0, 0), labels)])


def _numbered(output_dir: Path, name: str, offset: int) -> NDArray[np.uint32]:
    labels = read_labels(output_dir, name).astype(np.uint32)
    labels[labels > 0] += np.uint32(offset)
    return labels


def _write(
    path: Path,
    shape: tuple[int, ...],
    downsample: float,
    pixel_size_um: float | None,
    fields: Iterable[tuple[tuple[int, int], NDArray[np.uint32]]],
) -> None:
    """Write an OME-Zarr of version 0.4 that holds ``labels/cells``."""
    import zarr

    root = zarr.open_group(path, mode="w", zarr_format=2)
    labels = root.create_group("labels")
    labels.attrs["labels"] = ["cells"]
    cells = labels.create_group("cells")
    arrays = [_array(cells, "0", shape)]
    for (left, top), found in fields:
        window = slice(top, top + found.shape[0]), slice(left, left + found.shape[1])
        there = np.asarray(arrays[0][window])
        arrays[0][window] = np.where(there == 0, found, there)
    while max(arrays[-1].shape) > _SMALLEST_PX:
        arrays.append(_halved(cells, str(len(arrays)), arrays[-1]))
    side = downsample * (pixel_size_um or 1.0)
    unit = {} if pixel_size_um is None else {"unit": "micrometer"}
    cells.attrs.update(
        {
            "image-label": {"version": "0.4"},
            "multiscales": [
                {
                    "version": "0.4",
                    "name": "cells",
                    "axes": [{"name": name, "type": "space"} | unit for name in "yx"],
                    "datasets": [
                        {
                            "path": str(level),
                            "coordinateTransformations": [
                                {"type": "scale", "scale": [side * 2**level] * 2}
                            ],
                        }
                        for level in range(len(arrays))
                    ],
                }
            ],
        }
    )


def _array(group: Any, name: str, shape: tuple[int, ...]) -> Any:
    return group.create_array(
        name,
        shape=shape,
        dtype="uint32",
        chunks=tuple(min(side, _CHUNK_PX) for side in shape),
        fill_value=0,
        chunk_key_encoding={"name": "v2", "separator": "/"},
    )


def _halved(group: Any, name: str, larger: Any) -> Any:
    """Make a level of half the sides: of every four pixels the first."""
    height, width = larger.shape
    small = _array(group, name, (-(-height // 2), -(-width // 2)))
    for window in _windows(small.shape):
        twice = tuple(slice(2 * part.start, 2 * part.stop, 2) for part in window)
        small[window] = np.asarray(larger[twice])
    return small


def _windows(shape: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    for top in range(0, shape[0], _CHUNK_PX):
        for left in range(0, shape[1], _CHUNK_PX):
            yield (
                slice(top, min(top + _CHUNK_PX, shape[0])),
                slice(left, min(left + _CHUNK_PX, shape[1])),
            )
