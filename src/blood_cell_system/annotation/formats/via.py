"""VGG Image Annotator (VIA) 1 and 2, in JSON or CSV: one file for all images."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from blood_cell_system.annotation.clean import ellipse_outline
from blood_cell_system.annotation.folder_listing import FolderListing
from blood_cell_system.annotation.format_registry import reads
from blood_cell_system.annotation.label_map import is_doubtful
from blood_cell_system.annotation.outline import PolygonOutline
from blood_cell_system.annotation.reader import Reader, ReadingBuilder
from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.annotation.text_files import errors_located_at, read_label_json
from blood_cell_system.boxes import Box
from blood_cell_system.errors import AnnotationError
from blood_cell_system.input_files import parsed_json, read_table

_JSON: Final = re.compile(r'"(?:_via_img_metadata|shape_attributes|region_attributes|regions)"\s*:')
_IN_JSON: Final = re.compile(r'"filename"\s*:')
_COLUMNS: Final = ("filename", "region_count", "region_shape_attributes", "region_attributes")
# Attributes that hold the label where a region has several, the likeliest first.
_LABEL_NAMES: Final = ("label", "class", "type", "cell_type", "cell", "category", "name")


@reads("via", title="VIA JSON or CSV", order=27)
class ViaReader(Reader):
    """VGG Image Annotator 1 and 2: a project, or its annotations exported as JSON or CSV.

    ::

        folder/
        ├── via_project.json     or via_export_json.json, via_export_csv.csv
        └── images/a.png         anywhere; found by the filename in the file

    Coordinates are pixels, 0-based. Shapes are rect, circle, ellipse, polygon and point. The label
    is the region's attribute ``label``, ``class`` or ``type``, or its only one. A region with the
    ticked attribute ``difficult``, ``ignore``, ``crowd``, ``unsure`` or ``uncertain`` is not
    scored.

    Format: https://www.robots.ox.ac.uk/~vgg/software/via/. The licence is that of the images.
    """

    may_count_from_one = True
    seen = "{first} has the regions of VIA"
    missing = (
        "no JSON or CSV file with regions of VIA 2; expected its export. Export the annotations "
        "as JSON."
    )

    def files(self, listing: FolderListing) -> list[Path]:
        """JSON and CSV files with regions."""
        heads = {path: listing.head(path) for path in listing.with_suffix(".json", ".csv")}
        return [
            path
            for path, head in heads.items()
            if (path.suffix.lower() == ".csv" and all(name in head for name in _COLUMNS))
            or (path.suffix.lower() == ".json" and _JSON.search(head) and _IN_JSON.search(head))
        ]

    def read_files(self, files: Sequence[Path], builder: ReadingBuilder) -> None:
        """Read files of many images each; a project and its exports say the same once."""
        earlier: list[list[tuple[str, list[Region]]]] = []
        for path in files:
            images = _of_csv(path) if path.suffix.lower() == ".csv" else _of_json(path)
            if images in earlier:
                builder.used(path)
                continue
            earlier.append(images)
            read_mark = partial(_annotations, label_name=_label_name(images))
            for name, regions in images:
                builder.add(
                    name,
                    regions,
                    label_file=path,
                    read_mark=read_mark,
                    expected="shape_attributes and region_attributes",
                    where=f"{path}: {name}",
                )


Region = Mapping[str, Any]


def _of_json(path: Path) -> list[tuple[str, list[Region]]]:
    content = read_label_json(path)
    with errors_located_at(str(path), expected="VIA's objects with a filename and regions"):
        return [
            (str(entry["filename"]), _listed(entry["regions"]))
            for entry in content.get("_via_img_metadata", content).values()
        ]


def _listed(regions: Any) -> list[Region]:
    # Version 1 numbers the regions, version 2 lists them.
    return list(
        () if not regions else regions.values() if isinstance(regions, Mapping) else regions
    )


def _of_csv(path: Path) -> list[tuple[str, list[Region]]]:
    regions_of: dict[str, list[Region]] = {}
    columns = {name: (name,) for name in _COLUMNS}
    rows = read_table(path, columns, error=AnnotationError, remedy="Export the annotations again.")
    for line, row in rows:
        with errors_located_at(f"{path}: line {line}", expected=", ".join(_COLUMNS)):
            regions = regions_of.setdefault(row["filename"], [])
            if row["region_count"] != "0":
                shape, attributes = (
                    parsed_json(row[name], path, error=AnnotationError) for name in _COLUMNS[2:]
                )
                regions.append({"shape_attributes": shape, "region_attributes": attributes})
    return list(regions_of.items())


def _label_name(images: Sequence[tuple[str, Sequence[Region]]]) -> str | None:
    """Attribute that holds the labels: by its name, else the one that most regions have."""
    names: Counter[str] = Counter()
    for _, regions in images:
        for region in regions:
            attributes = region.get("region_attributes") if isinstance(region, Mapping) else None
            if isinstance(attributes, Mapping):
                names.update(name for name in map(str, attributes) if not is_doubtful([name]))
    by_name = {name.casefold(): name for name in names}
    likely = next((by_name[name] for name in _LABEL_NAMES if name in by_name), None)
    return likely or next((name for name, _ in names.most_common(1)), None)


def _annotations(
    region: Region, _: tuple[int, int], *, label_name: str | None
) -> Iterator[Annotation]:
    attributes = region.get("region_attributes") or {}
    value = attributes.get(label_name) if label_name else None
    if isinstance(value, Mapping):
        # A checkbox: the ticked ones.
        value = ", ".join(str(name) for name, is_ticked in value.items() if is_ticked)
    yield Annotation(
        # A region without a label is a label of its own, which must be named to be left out.
        cell_type=str(value or "unlabelled").strip(),
        is_definite=not is_doubtful(attributes),
        **_place(region["shape_attributes"]),
    )


def _place(shape: Mapping[str, Any]) -> dict[str, Any]:
    """Box, outline or point of a region, as fields of an annotation."""
    kind = shape["name"]
    if kind == "rect":
        x, y, width, height = (float(shape[name]) for name in ("x", "y", "width", "height"))
        return {"box": Box(x, y, x + width, y + height)}
    if kind == "polygon":
        pairs = zip(shape["all_points_x"], shape["all_points_y"], strict=True)
        return {"outline": PolygonOutline.from_points([(float(x), float(y)) for x, y in pairs])}
    if kind not in ("circle", "ellipse", "point"):
        # Without a place: it is listed among what was dropped.
        return {}
    centre = float(shape["cx"]), float(shape["cy"])
    if kind == "point":
        return {"point": centre}
    radii = [float(shape[name]) for name in (("r", "r") if kind == "circle" else ("rx", "ry"))]
    degrees = math.degrees(float(shape.get("theta") or 0))
    return {"outline": ellipse_outline(centre, radii, degrees=degrees)}
