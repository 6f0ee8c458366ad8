"""GeoJSON for QuPath: a file for each picture."""

import uuid
from pathlib import Path
from typing import Any, Final

from blood_cell_system.datasets.marks import Mark
from blood_cell_system.datasets.outline import Ring
from blood_cell_system.datasets.rings import is_inside, nesting_depths
from blood_cell_system.datasets.sample import Sample
from blood_cell_system.datasets.writers.colours import label_colour
from blood_cell_system.datasets.writers.writer import (
    LabelledPicture,
    WriteStyle,
    box_corners,
    rings_to_write,
    short,
    short_corners,
    write_compact_json,
)

# QuPath identifies objects by their UUID; equal data gives equal files.
_NAMESPACE: Final = uuid.UUID("8d6c0b1e-6d0e-5f52-9b1c-1f6c3a1f7f10")


class GeoJsonWriter:
    """Writes ``NAME.geojson`` beside each picture; splits become folders.

    A cell of which only the box is known is a rectangle with the metadata ``shape: box``. Regions
    that are not scored have the class ``ignore``.
    """

    def __init__(self, root: Path, style: WriteStyle) -> None:
        self._root = root
        self._style = style

    def picture_folder(self, sample: Sample) -> Path:
        """Folder of the split."""
        return self._root / str(sample.split or "")

    def add(self, picture: LabelledPicture) -> int:
        """Write a picture's labels; GeoJSON holds all of them."""
        features = [
            {
                "type": "Feature",
                "id": str(uuid.uuid5(_NAMESPACE, f"{picture.sample.stem}/{index}")),
                "geometry": _geometry(mark, picture.sample.shape, self._style),
                "properties": {
                    "objectType": "annotation",
                    "classification": {
                        "name": mark.label,
                        "color": list(label_colour(mark.label)),
                    },
                }
                | ({"metadata": {"shape": "box"}} if _is_box(mark) else {}),
            }
            for index, mark in enumerate(picture.marks)
        ]
        write_compact_json(
            picture.path.with_suffix(".geojson"),
            {"type": "FeatureCollection", "features": features},
        )
        return 0

    def finish(self) -> None:
        """Nothing belongs to all pictures."""


def _is_box(mark: Mark) -> bool:
    return mark.outline is None and mark.box is not None


def _geometry(mark: Mark, shape: tuple[int, int], style: WriteStyle) -> dict[str, Any]:
    if mark.outline is None and mark.box is None:
        assert mark.point is not None
        return {"type": "Point", "coordinates": [short(value) for value in mark.point]}
    if mark.outline is None:
        assert mark.box is not None
        return {"type": "Polygon", "coordinates": [_closed(box_corners(mark.box))]}
    polygons = _polygons(rings_to_write(mark.outline, shape, style))
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}


def _polygons(rings: tuple[Ring, ...]) -> list[list[list[list[float | int]]]]:
    """Polygons, each an outer ring and the holes directly within it."""
    depths = nesting_depths(rings)
    polygons = {
        index: [_closed(ring)] for index, ring in enumerate(rings) if depths[index] % 2 == 0
    }
    for index, hole in enumerate(rings):
        if depths[index] % 2 == 0:
            continue
        around = next(
            other
            for other in polygons
            if depths[other] == depths[index] - 1 and is_inside(hole[0], rings[other])
        )
        polygons[around].append(_closed(hole))
    return list(polygons.values())


def _closed(ring: Ring) -> list[list[float | int]]:
    """Corners of a ring that ends where it began."""
    corners = short_corners(ring)
    return [*corners, corners[0]]
