"""OME-Zarr: scans as folders of chunks, versions 0.4 (Zarr 2) and 0.5 (Zarr 3).

A chunk that is missing stands for the fill value. Writers leave out chunks of empty glass where
that is white; where it is another, such as 0, nobody scanned black, and the chunk is a hole.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.errors import ImageReadError
from blood_cell_system.imaging.image_file import as_8_bit
from blood_cell_system.imaging.pixel_size import PixelSize
from blood_cell_system.imaging.scan import EXTRA, MOST_TILE_BYTES, TiledScan, check_page, levels_of

_UM_OF_UNIT: Final[Mapping[str, float]] = {
    "nanometer": 1e-3,
    "micrometer": 1.0,
    "millimeter": 1e3,
    "meter": 1e6,
}
_AXES: Final = ("t", "c", "z", "y", "x")


class ZarrScan(TiledScan):
    """An image in OME-Zarr; see :func:`~blood_cell_system.imaging.scan.open_scan`.

    Of several times and depths the first is read. One channel is grey, three are red, green and
    blue.
    """

    def __init__(self, path: Path, page: int = 0) -> None:
        try:
            import zarr
        except ImportError as error:
            raise ImageReadError(
                f"{path}: OME-Zarr, and the library that reads it is not installed ({error}). "
                f"Install it: {EXTRA}."
            ) from error
        images = _images_of(path, zarr.open_group(path, mode="r"))
        check_page(path, page, len(images))
        group, multiscales = images[page]
        self._axes = _axes_of(path, multiscales)
        self._arrays = [group[one["path"]] for one in multiscales["datasets"]]
        for array in self._arrays:
            self._check(path, array)
        places = [self._axes.index("y"), self._axes.index("x")]
        shapes = [tuple(array.shape[k] for k in places) for array in self._arrays]
        tiles = [tuple(array.chunks[k] for k in places) for array in self._arrays]
        super().__init__(
            path,
            levels_of(shapes),
            _pixel_size(multiscales, places[1]),
            tiles=[(h, w) for h, w in tiles],
            page=page,
            pages=len(images),
        )
        self._full_scale = None
        if self._arrays[0].dtype != np.uint8:
            last = len(shapes) - 1
            self._full_scale = self._depth(lambda *place: self._values(last, *place))

    def close(self) -> None:
        """Do nothing: chunks are opened and closed one by one."""

    def _check(self, path: Path, array: Any) -> None:
        if array.ndim != len(self._axes):
            raise _rare(path, f"{array.ndim} dimensions, but axes {', '.join(self._axes)}")
        if array.dtype.kind != "u":
            raise _rare(path, f"values of the type {array.dtype}")
        channels = array.shape[self._axes.index("c")] if "c" in self._axes else 1
        if channels not in (1, 3, 4):
            raise _rare(path, f"{channels} channels")
        size = int(np.prod(array.chunks)) * array.dtype.itemsize
        if size > MOST_TILE_BYTES:
            raise _rare(path, f"chunks of {size / 1e6:.0f} MB")

    def _decoded(self, level: int, row: int, column: int) -> NDArray[np.uint8] | None:
        values = self._values(level, row, column)
        if values is None:
            return None
        if values.dtype != np.uint8:
            values = as_8_bit(values, full_scale=self._full_scale or 65535.0)
        if values.shape[2] == 1:
            values = np.repeat(values, 3, axis=2)
        return np.ascontiguousarray(values[:, :, :3])

    def _values(self, level: int, row: int, column: int) -> NDArray[Any] | None:
        """Read a chunk as (height, width, channels); None for a hole and for empty glass."""
        array = self._arrays[level]
        left, top, width, height = window = self._window_of(level, row, column)
        at: dict[str, slice | int] = {
            "y": slice(top, top + height),
            "x": slice(left, left + width),
            "c": slice(None),
        }
        try:
            if self._is_missing(array, row, column):
                if array.fill_value != np.iinfo(array.dtype).max:
                    self.note_holes(level, [window])
                return None
            values = np.asarray(array[tuple(at.get(axis, 0) for axis in self._axes)])
        except MemoryError:
            raise
        except Exception:  # Damaged bytes lead decoders to errors of almost any kind.
            self.note_holes(level, [window])
            return None
        return np.moveaxis(values, 0, 2) if "c" in self._axes else values[:, :, None]

    def _is_missing(self, array: Any, row: int, column: int) -> bool:
        """Whether a chunk of any channel has no file."""
        chunks = 1
        if "c" in self._axes:
            c = self._axes.index("c")
            chunks = -(-array.shape[c] // array.chunks[c])
        # The files of a shard hold many chunks; what is missing in one of them reads as its fill.
        shards = getattr(array, "shards", None)
        place = dict.fromkeys(self._axes, 0) | {"y": row, "x": column}
        for channel in range(chunks):
            if "c" in place:
                place["c"] = channel
            at = [place[axis] for axis in self._axes]
            if shards:
                at = [
                    k * chunk // shard
                    for k, chunk, shard in zip(at, array.chunks, shards, strict=True)
                ]
            key = array.metadata.encode_chunk_key(tuple(at))
            if not (self.path / array.path / key).is_file():
                return True
        return False


def _images_of(path: Path, root: Any) -> list[tuple[Any, Mapping[str, Any]]]:
    """List groups of images with their multiscales: the root, or its groups 0, 1 and so on."""
    if found := _multiscales(root):
        return [(root, found)]
    names = sorted((name for name, _ in root.groups() if name.isdecimal()), key=int)
    images = [(root[name], found) for name in names if (found := _multiscales(root[name]))]
    if not images:
        raise _rare(path, "no multiscales in its attributes")
    return images


def _multiscales(group: Any) -> Mapping[str, Any] | None:
    attributes = dict(group.attrs)
    found = attributes.get("ome", attributes).get("multiscales")
    return found[0] if found else None


def _axes_of(path: Path, multiscales: Mapping[str, Any]) -> list[str]:
    """Names of the axes; before version 0.4 they were strings, and before 0.3 always these."""
    stated: Sequence[Any] = multiscales.get("axes", _AXES)
    axes = [str(axis["name"] if isinstance(axis, Mapping) else axis).lower() for axis in stated]
    in_order = [axis for axis in _AXES if axis in axes]
    if axes != in_order or axes[-2:] != ["y", "x"]:
        raise _rare(path, f"axes {', '.join(axes)}")
    return axes


def _pixel_size(multiscales: Mapping[str, Any], x_place: int) -> PixelSize | None:
    """Side of a pixel of level 0, where a length is stated for it."""
    axes = multiscales.get("axes", ())
    unit = axes[x_place].get("unit") if axes and isinstance(axes[x_place], Mapping) else None
    um = _UM_OF_UNIT.get(str(unit), 0.0)
    for part in (multiscales["datasets"][0], multiscales):
        for change in part.get("coordinateTransformations", ()):
            if change.get("type") == "scale":
                um *= float(change["scale"][x_place])
    return PixelSize(um=um, origin="scale of the OME-Zarr") if um > 0 else None


def _rare(path: Path, found: str) -> ImageReadError:
    return ImageReadError(
        f"{path}: an OME-Zarr of a rare kind: {found}; expected some of the axes t, c, z, y, x, "
        "1 or 3 channels of 8 or 16 bits, in chunks. Write it anew, or save it as a tiled TIFF."
    )
