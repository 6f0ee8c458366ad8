"""GeoJSON for QuPath: a file for each image."""

import re
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.annotation.folder_listing import FolderListing
from blood_cell_system.annotation.format_registry import reads, writes
from blood_cell_system.annotation.outline import PolygonOutline, Ring, is_inside, nesting_depths
from blood_cell_system.annotation.reader import Reader, ReadingBuilder
from blood_cell_system.annotation.sample import CONDITION, SUBTYPE, Annotation, CellFacts
from blood_cell_system.annotation.text_files import errors_located_at, read_label_json
from blood_cell_system.annotation.writer import (
    LabelledImage,
    LabelWriter,
    WriteStyle,
    box_corners,
    rings_to_write,
    short,
    short_corners,
    write_compact_json,
)
from blood_cell_system.errors import AnnotationError

_KIND: Final = re.compile(r'"type"\s*:\s*"Feature(?:Collection)?"')
_POLYGONS: Final = frozenset({"Polygon", "MultiPolygon"})
_POINTS: Final = frozenset({"Point", "MultiPoint"})
_NO_CLASS: Final = "unclassified"
_FEWEST_CELLS: Final = 2
"""Cells within an object without a class, from which on it is a region, whatever its size."""
_REGION_TO_CELL: Final = 4.0
"""Area of a region around a single cell over the cell's, at least: else both may be one cell, which
is marked twice. Of their boxes."""


@reads("geojson", title="GeoJSON of QuPath", order=30)
class GeoJsonReader(Reader):
    """GeoJSON with polygons and points, as QuPath exports annotations and detections.

    ::

        folder/
        ├── a.png
        └── a.geojson     named as the image; a folder train/, val/ or test/ is its split

    Coordinates are pixels of the full image, 0-based. The class is ``classification`` (QuPath),
    or ``class``, ``label`` or ``name`` of the properties; objects without one are called
    ``unclassified``; those around cells are regions, and left out. Rings within a ring are holes;
    the parts of a MultiPolygon are one cell. Tiles are passed over.

    Format: https://datatracker.ietf.org/doc/html/rfc7946 and
    https://qupath.readthedocs.io/en/stable/docs/advanced/exporting_annotations.html. The licence is
    that of the images.
    """

    may_count_from_one = True
    seen = "{count} files with features of GeoJSON"
    missing = (
        "no file with features; expected GeoJSON, one file an image, with the image's name. Export "
        "the objects from QuPath again."
    )

    def files(self, listing: FolderListing) -> list[Path]:
        """Files with features."""
        return [
            path
            for path in listing.with_suffix(".geojson", ".json")
            if path.suffix.lower() == ".geojson" or _KIND.search(listing.head(path))
        ]

    def read_files(self, files: Sequence[Path], builder: ReadingBuilder) -> None:
        """Read one file an image."""
        regions = sum(_read_file(path, builder) for path in files)
        if regions:
            builder.note(
                f"{regions} objects without a class lie around cells: they were taken for the "
                "regions that were annotated, and left out."
            )


def _read_file(path: Path, builder: ReadingBuilder) -> int:
    """Read one file; return the number of regions around cells, which are left out."""
    with builder.listing_failures(path.stem, label_file=path):
        annotations = []
        for index, feature in enumerate(_features(read_label_json(path), path), start=1):
            with errors_located_at(
                f"{path}: object {index}", expected="a Feature with a geometry of coordinates"
            ):
                annotations += _annotations(feature)
        cells = _without_regions(annotations)
        builder.add(path.stem, cells, label_file=path)
        return len(annotations) - len(cells)
    return 0


def _without_regions(annotations: Sequence[Annotation]) -> list[Annotation]:
    """Leave out objects without a class that lie around cells: annotators draw in such regions."""
    cells = np.array(
        [
            (*(annotation.point or annotation.bounds.centre), _area(annotation))
            for annotation in annotations
            if annotation.cell_type != _NO_CLASS
            and (annotation.point or annotation.box or annotation.outline)
        ]
    ).reshape(-1, 3)
    return [
        annotation
        for annotation in annotations
        if annotation.cell_type != _NO_CLASS or not _is_around(annotation, cells)
    ]


def _area(annotation: Annotation) -> float:
    """Area of the box in square pixels; NaN for a point."""
    if annotation.outline is None and annotation.box is None:
        return float("nan")
    x_min, y_min, x_max, y_max = annotation.bounds
    return (x_max - x_min) * (y_max - y_min)


def _is_around(annotation: Annotation, cells: NDArray[np.float64]) -> bool:
    """Whether an object lies around cells: rows of x and y of the middle, and the area."""
    if annotation.outline is None and annotation.box is None:
        return False
    x_min, y_min, x_max, y_max = annotation.bounds
    middles = cells[:, :2]
    near = cells[((middles >= (x_min, y_min)) & (middles < (x_max, y_max))).all(axis=1)]
    if isinstance(annotation.outline, PolygonOutline):
        rings = annotation.outline.rings
        is_in = [sum(is_inside(middle, ring) for ring in rings) % 2 == 1 for middle in near[:, :2]]
        near = near[np.array(is_in, bool)]
    if len(near) >= _FEWEST_CELLS:
        return True
    return bool((_area(annotation) >= _REGION_TO_CELL * near[:, 2]).any())


def _features(content: Any, path: Path) -> list[Any]:
    # QuPath has written all three.
    if isinstance(content, dict) and content.get("type") == "FeatureCollection":
        content = content.get("features")
    elif isinstance(content, dict) and content.get("type") == "Feature":
        content = [content]
    if not isinstance(content, list):
        raise AnnotationError(
            f"{path}: expected a FeatureCollection, a Feature, or a list of them. Export the "
            "objects from QuPath as GeoJSON again."
        )
    return content


def _annotations(feature: Mapping[str, Any]) -> list[Annotation]:
    properties = feature.get("properties") or {}
    if properties.get("objectType") == "tile":
        return []
    label, facts = _label(properties), _facts(properties)
    geometry: Any = feature.get("geometry") or {}
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if kind in _POLYGONS:
        polygons = [coordinates] if kind == "Polygon" else coordinates
        rings = [_corners(ring) for polygon in polygons for ring in polygon]
        outline = PolygonOutline.from_points(*rings)
        metadata = properties.get("metadata")
        says_box = isinstance(metadata, dict) and metadata.get("shape") == "box"
        if says_box and outline.is_upright_rectangle:
            return [Annotation(cell_type=label, facts=facts, box=outline.box)]
        return [Annotation(cell_type=label, facts=facts, outline=outline)]
    if kind in _POINTS:
        points = [coordinates] if kind == "Point" else coordinates
        return [
            Annotation(cell_type=label, facts=facts, point=(float(x), float(y)))
            for x, y, *_ in points
        ]
    # Without a place: it is listed among what was dropped.
    return [Annotation(cell_type=label)]


def _facts(properties: Mapping[str, Any]) -> CellFacts | None:
    """Give numbers of the measurements, and names of the metadata."""
    numbers: Any = properties.get("measurements") or {}
    if isinstance(numbers, list):
        # As QuPath wrote them before version 0.4.
        numbers = {one["name"]: one["value"] for one in numbers}
    metadata = properties.get("metadata")
    names = {k: v for k, v in (metadata or {}).items() if k in (CONDITION, SUBTYPE)}
    return CellFacts.from_attributes({**numbers, **names})


def _label(properties: Mapping[str, Any]) -> str:
    for key in ("classification", "class", "label", "name"):
        value = properties.get(key)
        if isinstance(value, dict):
            # Classes within classes are a list of names from QuPath 0.5 on.
            value = value.get("name") or ": ".join(map(str, value.get("names") or ()))
        if value:
            return str(value)
    return _NO_CLASS


def _corners(ring: Any) -> list[tuple[float, float]]:
    corners = [(float(x), float(y)) for x, y, *_ in ring]
    # A ring ends where it began.
    return corners[:-1] if len(corners) > 1 and corners[0] == corners[-1] else corners


# QuPath identifies objects by their UUID; equal data gives equal files.
_NAMESPACE: Final = uuid.UUID("8d6c0b1e-6d0e-5f52-9b1c-1f6c3a1f7f10")


@writes("geojson", next_step="open an image in QuPath, then drag its .geojson into the window")
class GeoJsonWriter(LabelWriter):
    """Writes ``NAME.geojson`` beside each image; splits become folders.

    A cell of which only the box is known is a rectangle with the metadata ``shape: box``. Regions
    that are not scored have the class ``ignore``. Cells with a confidence or measures are
    detections with measurements; condition and subtype are in their metadata.
    """

    images = ""

    def add(self, image: LabelledImage) -> None:
        """Write an image's labels."""
        features = [
            {
                "type": "Feature",
                "id": str(uuid.uuid5(_NAMESPACE, f"{image.sample.stem}/{index}")),
                "geometry": _geometry(annotation, image.sample.shape, self._style),
                "properties": {
                    # Only detections have measurements that QuPath draws and tabulates.
                    "objectType": "detection" if annotation.facts else "annotation",
                    "classification": {
                        "name": annotation.cell_type,
                        "color": list(self._style.colour(annotation.cell_type)),
                    },
                    **_facts_of(annotation),
                },
            }
            for index, annotation in enumerate(image.annotations)
        ]
        write_compact_json(
            image.path.with_suffix(".geojson"),
            {"type": "FeatureCollection", "features": features},
        )


def _facts_of(annotation: Annotation) -> dict[str, Any]:
    found = annotation.facts.to_attributes() if annotation.facts else {}
    numbers = {name: value for name, value in found.items() if not isinstance(value, str)}
    names = {name: value for name, value in found.items() if isinstance(value, str)}
    is_box = annotation.outline is None and annotation.box is not None
    metadata = ({"shape": "box"} if is_box else {}) | names
    parts = {"measurements": numbers, "metadata": metadata}
    return {name: part for name, part in parts.items() if part}


def _geometry(annotation: Annotation, shape: tuple[int, int], style: WriteStyle) -> dict[str, Any]:
    if annotation.outline is None and annotation.box is None:
        assert annotation.point is not None
        return {"type": "Point", "coordinates": [short(value) for value in annotation.point]}
    if annotation.outline is None:
        assert annotation.box is not None
        return {"type": "Polygon", "coordinates": [_closed(box_corners(annotation.box))]}
    polygons = _polygons(rings_to_write(annotation.outline, shape, style))
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
