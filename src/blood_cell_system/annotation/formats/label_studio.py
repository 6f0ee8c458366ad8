"""Label Studio's JSON and JSON-MIN: one file for all images."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.annotation.clean import ellipse_outline, turned_box
from blood_cell_system.annotation.folder_listing import FolderListing
from blood_cell_system.annotation.format_registry import reads, writes
from blood_cell_system.annotation.label_map import is_doubtful
from blood_cell_system.annotation.outline import PixelOutline, PolygonOutline
from blood_cell_system.annotation.reader import Reader, ReadingBuilder
from blood_cell_system.annotation.sample import (
    CONDITION,
    CONFIDENCE,
    SUBTYPE,
    Annotation,
    CellFacts,
)
from blood_cell_system.annotation.splits import Split, split_of_words
from blood_cell_system.annotation.text_files import errors_located_at, read_label_json
from blood_cell_system.annotation.writer import (
    LabelledImage,
    LabelWriter,
    OutlineForm,
    WriteStyle,
    pixels_to_write,
    rings_to_write,
    write_compact_json,
)
from blood_cell_system.atomic_files import write_text
from blood_cell_system.boxes import Box
from blood_cell_system.errors import AnnotationError, MissingDataError
from blood_cell_system.imaging.image_file import IMAGE_SUFFIXES
from blood_cell_system.wording import counted

_KINDS: Final = ("rectangle", "polygon", "ellipse", "brush", "keypoint")
_LABEL_KEYS: Final = (*(f"{kind}labels" for kind in _KINDS), "labels")
# Label Studio puts eight digits before the name of a file that is uploaded.
_UPLOADED: Final = re.compile(r"^[0-9a-f]{8}-")
_CHANNELS: Final = 4  # Of a brush's image: red, green, blue, opacity.
_MEASURES: Final = "measures"


@reads("labelstudio", title="Label Studio JSON", order=25)
class LabelStudioReader(Reader):
    """Label Studio's JSON and JSON-MIN with rectangles, polygons, ellipses, points and brushes.

    ::

        folder/
        ├── project-1-at-2026-01-01.json     exported as JSON or JSON-MIN
        └── images/a.png                     anywhere; also as 1a2b3c4d-a.png, as it was uploaded

    Numbers are hundredths of the image's sides; a rectangle is turned about its first corner. Of
    several annotations of an image the one that is called ground truth counts, else the last.
    Predictions are no labels. A region with the choice or label ``difficult``, ``ignore``,
    ``crowd``, ``unsure`` or ``uncertain`` is not scored.

    Format: https://labelstud.io/guide/export. The licence is that of the images.
    """

    suffixes = (".json",)
    signs = (
        re.compile(
            rf'"(?:{"|".join(_LABEL_KEYS[:-1])}|original_width|was_cancelled)"\s*:'
            r'|"(?:annotations|completions|predictions)"\s*:\s*\[\s*\{[^[]{0,2000}"result"\s*:'
        ),
    )
    seen = "{first} has the regions of Label Studio"
    missing = (
        "no JSON file with tasks and regions; expected Label Studio's. Export the project as JSON."
    )

    def read_file(self, path: Path, builder: ReadingBuilder) -> None:
        """Read a file of many images."""
        content = read_label_json(path)
        tasks: dict[str, _Task] = {}
        several: set[str] = set()
        for index, entry in enumerate(content if isinstance(content, list) else [content], start=1):
            try:
                with errors_located_at(f"{path}: task {index}", expected="a task with data"):
                    found = list(_tasks(entry))
            except AnnotationError as error:
                builder.fail(f"task {index}", error)
                continue
            for task in found:
                former = tasks.get(task.reference)
                if former is not None and former.regions is not None and task.regions is not None:
                    several.add(task.reference)
                if former is None or (task.regions is not None and not former.is_truth):
                    tasks[task.reference] = task
        if several:
            builder.note(
                f"{path}: {counted(len(several), 'image was', 'images were')} annotated several "
                "times, for instance "
                f"{min(several)}: what is called ground truth was taken, else the last."
            )
        for task in tasks.values():
            _add(task, path, builder)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """An image with one person's regions; None where nobody has annotated it."""

    reference: str
    regions: Sequence[Mapping[str, Any]] | None
    is_truth: bool = False
    split: Split | None = None


def _tasks(entry: Mapping[str, Any]) -> Iterator[_Task]:
    """Annotations of one entry: a task, a row of JSON-MIN, or an annotation of cloud storage."""
    if "result" in entry and "task" in entry:
        task = entry["task"]
        data = task.get("data", task) if isinstance(task, Mapping) else entry
        yield _Task(reference=_reference(data), regions=_regions(entry["result"]))
        return
    if "data" not in entry:
        lists = [value for value in entry.values() if isinstance(value, list)]
        rows = [row for rows in lists for row in rows if isinstance(row, Mapping)]
        # A row that was skipped has no list at all.
        yield _Task(reference=_reference(entry), regions=_regions(rows) if lists else None)
        return
    reference = _reference(entry["data"], str(entry.get("file_upload") or ""))
    annotations = [
        annotation
        for annotation in entry.get("annotations") or entry.get("completions") or ()
        if not annotation.get("was_cancelled")
    ]
    split = split_of_words(str(entry["data"].get("split") or ""))
    if not annotations:
        yield _Task(reference=reference, regions=None)
    for annotation in annotations:
        yield _Task(
            reference=reference,
            regions=_regions(annotation["result"]),
            is_truth=bool(annotation.get("ground_truth")),
            split=split,
        )


def _reference(data: Mapping[str, Any], upload: str = "") -> str:
    """Name of the image, as far as its address tells."""
    texts = [data[key] for key in ("image", *data) if isinstance(data.get(key), str)]
    for text in (*texts, upload):
        parts = urlsplit(text.replace("#", "%23"))
        # Files of the server's own disk stand behind the question mark.
        is_local = parts.query.startswith("d=")
        place = unquote(parts.query[2:].partition("&")[0] if is_local else parts.path)
        if PurePosixPath(place.replace("\\", "/")).suffix.lower() in IMAGE_SUFFIXES:
            return place
    raise AnnotationError(
        "names no image; expected its address below data. Export the project as JSON."
    )


def _regions(results: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Regions with what belongs to each: some projects have shape, label and choices apart."""
    regions: dict[Any, dict[str, Any]] = {}
    for index, result in enumerate(results):
        if result.get("from_name") in (CONDITION, SUBTYPE):
            named = result.get("value", {}).get("choices") or [None]
            regions.setdefault(result.get("id", index), {})[str(result["from_name"])] = named[0]
            continue
        # JSON-MIN has the values without what is around them.
        value = {**result.get("value", result)}
        around = {key: result[key] for key in result if key not in ("value", "type")}
        region = regions.setdefault(result.get("id", index), {})
        region |= around | value
        if str(result.get("type", "")).removesuffix("labels") in _KINDS:
            # Also a shape whose place is missing: it is listed among what was dropped.
            region[_IS_SHAPE] = True
    return [region for region in regions.values() if not region.keys().isdisjoint(_SHAPE_KEYS)]


_IS_SHAPE: Final = "is_shape"
_SHAPE_KEYS: Final = ("x", "points", "rle", "vertices", _IS_SHAPE)


def _add(task: _Task, path: Path, builder: ReadingBuilder) -> None:
    reference = _found(task.reference, path, builder.listing)
    if task.regions is None:
        unlabelled = AnnotationError(
            f"{path}: {reference} is not annotated yet, or was skipped. Label it, or remove it."
        )
        builder.fail_named(reference, unlabelled, label_file=path)
        return
    first = task.regions[0] if task.regions else {}
    builder.add(
        reference,
        task.regions,
        label_file=path,
        read_mark=_annotations,
        expected="a shape in hundredths of the image, and its label",
        where=f"{path}: {reference}",
        size=(first.get("original_height"), first.get("original_width")),
        split=task.split,
    )


def _found(reference: str, path: Path, listing: FolderListing) -> str:
    """Name under which an image is in the folder: as it was uploaded, or before."""
    name = PurePosixPath(reference.replace("\\", "/")).name
    for candidate in (reference, _UPLOADED.sub("", name)):
        try:
            listing.image_named(candidate, beside=path.parent, where=str(path))
        except MissingDataError:
            continue
        except AnnotationError:
            # Several fit: that is told when it is added.
            pass
        return candidate
    return reference


def _annotations(region: Mapping[str, Any], size: tuple[int, int]) -> Iterator[Annotation]:
    if float(region.get("image_rotation") or 0) % 360:
        raise AnnotationError(
            "the image was turned in Label Studio; expected it upright. Turn it back there, and "
            "export again."
        )
    labels = [str(name) for key in _LABEL_KEYS for name in region.get(key) or ()]
    choices = [*labels, *(region.get("choices") or ())]
    definite = [label for label in labels if not is_doubtful([label])]
    yield Annotation(
        # A region without a label is a label of its own, which must be named to be left out.
        cell_type=", ".join(definite) or (labels[0] if labels else "unlabelled"),
        is_definite=len(definite) == len(labels) and not is_doubtful(choices),
        facts=_facts(region),
        **_place(region, size),
    )


def _facts(region: Mapping[str, Any]) -> CellFacts | None:
    meta = region.get("meta")
    measures = meta.get(_MEASURES) if isinstance(meta, Mapping) else None
    named = {name: region.get(name) for name in (CONDITION, SUBTYPE)}
    numbers = measures if isinstance(measures, Mapping) else {}
    return CellFacts.from_attributes({**numbers, **named, CONFIDENCE: region.get("score")})


def _place(region: Mapping[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    """Box, outline or point of a region, as fields of an annotation."""
    scale = np.array((size[1], size[0])) / 100
    if "rle" in region:
        return {"outline": _brush_outline(region["rle"], size)}
    if "points" in region:
        return {"outline": PolygonOutline.from_points(np.array(region["points"]) * scale)}
    if "x" not in region:
        # Without a place: it is listed among what was dropped.
        return {}
    x, y = (float(number) for number in (region["x"], region["y"]) * scale)
    degrees = float(region.get("rotation") or 0)
    if "radiusX" in region:
        radii = (float(region["radiusX"]) * scale[0], float(region["radiusY"]) * scale[1])
        return {"outline": ellipse_outline((x, y), radii, degrees=degrees)}
    if "keypointlabels" in region or "height" not in region:
        return {"point": (x, y)}
    width, height = (float(number) for number in (region["width"], region["height"]) * scale)
    if not degrees:
        return {"box": Box(x, y, x + width, y + height)}
    # About the first corner, while ours is about the middle.
    turn = math.radians(degrees)
    middle_x = x + (width * math.cos(turn) - height * math.sin(turn)) / 2
    middle_y = y + (width * math.sin(turn) + height * math.cos(turn)) / 2
    box = Box(
        middle_x - width / 2, middle_y - height / 2, middle_x + width / 2, middle_y + height / 2
    )
    return {"outline": turned_box(box, degrees)}


def _brush_outline(numbers: Sequence[int], size: tuple[int, int]) -> PixelOutline:
    """Pixels of a brush, whose opacity is packed bit by bit.

    Source: https://github.com/HumanSignal/label-studio-converter, ``brush.py``.
    """
    bits = np.unpackbits(np.array(numbers, dtype=np.uint8))
    place = 0

    def read(count: int) -> int:
        nonlocal place
        word = bits[place : place + count]
        if len(word) < count:
            raise AnnotationError("the brush's run lengths are cut off. Export the project again.")
        place += count
        return int(word @ (1 << np.arange(count - 1, -1, -1, dtype=np.int64)))

    total = read(32)
    if total != size[0] * size[1] * _CHANNELS:
        raise AnnotationError(
            f"the brush has {total} values; expected {_CHANNELS} for each pixel of an image of "
            f"(height, width) {size}. Export the project again."
        )
    width = read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    values = np.zeros(total, dtype=np.uint16)
    done = 0
    while done < total:
        is_run = read(1)
        end = min(done + 1 + read(sizes[read(2)]), total)
        if is_run:
            values[done:end] = read(width)
        else:
            values[done:end] = [read(width) for _ in range(end - done)]
        done = end
    return PixelOutline.from_pixels(values[_CHANNELS - 1 :: _CHANNELS].reshape(size) > 0)


def _brush_numbers(pixels: NDArray[np.bool_]) -> list[int]:
    """Pack pixels as :func:`_brush_outline` reads them: runs alone, of up to 65,536 values."""
    values = np.repeat(pixels.ravel().astype(np.uint8) * 255, _CHANNELS)
    ends = [*np.flatnonzero(np.diff(values)) + 1, len(values)]
    words = [(len(values), 32), (7, 5), (2, 4), (3, 4), (7, 4), (_RUN_BITS - 1, 4)]
    start = 0
    for end in ends:
        for first in range(start, end, 1 << _RUN_BITS):
            length = min(end - first, 1 << _RUN_BITS)
            words += [(1, 1), (3, 2), (length - 1, _RUN_BITS), (int(values[start]), 8)]
        start = end
    bits = "".join(f"{word:0{size}b}" for word, size in words)
    packed = np.packbits(np.frombuffer(bits.encode("ascii"), np.uint8) - ord("0"))
    return [int(byte) for byte in packed]


_RUN_BITS: Final = 16


@writes(
    "labelstudio",
    next_step=(
        "make a project with labels.xml, serve {output} as local files, then import tasks.json"
    ),
)
class LabelStudioWriter(LabelWriter):
    """Writes ``images/``, ``tasks.json`` and ``labels.xml``, the labelling of the project.

    Outlines in one part are polygons, all others brushes. Condition and subtype are choices of a
    region, its confidence the score; measures are in its ``meta``. Regions that are not scored are
    labelled ``ignore``. Splits are in the data of the tasks.

    Source: https://labelstud.io/guide/predictions and, of local files,
    https://labelstud.io/guide/storage#Local-storage.
    """

    def __init__(self, root: Path, style: WriteStyle) -> None:
        super().__init__(root, style)
        self._tasks: list[dict[str, Any]] = []
        self._choices: dict[str, dict[str, None]] = {CONDITION: {}, SUBTYPE: {}}

    def add(self, image: LabelledImage) -> None:
        """Remember an image's labels."""
        results = []
        for index, annotation in enumerate(image.annotations, start=1):
            results += list(self._results(annotation, str(index), image.sample.shape))
        data = {"image": f"/data/local-files/?d=images/{quote(image.path.name)}"}
        if image.sample.split is not None:
            data["split"] = str(image.sample.split)
        number = len(self._tasks) + 1
        self._tasks.append(
            {"id": number, "data": data, "annotations": [{"id": number, "result": results}]}
        )

    def _results(
        self, annotation: Annotation, name: str, shape: tuple[int, int]
    ) -> Iterator[dict[str, Any]]:
        kind, value = _region(annotation, shape, self._style)
        height, width = shape
        around = {
            "id": name,
            "to_name": "image",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
        }
        labels = f"{kind}labels"
        region = {
            **around,
            "type": labels,
            "from_name": kind,
            "value": {**value, labels: [annotation.cell_type]},
        }
        facts = annotation.facts
        if facts is not None and facts.confidence is not None:
            region["score"] = round(facts.confidence, 4)
        if facts is not None and facts.measures:
            region["meta"] = {_MEASURES: CellFacts(measures=facts.measures).to_attributes()}
        yield region
        named = facts.to_attributes() if facts is not None else {}
        for choice, known in self._choices.items():
            if choice in named:
                known[str(named[choice])] = None
                value = {"choices": [named[choice]]}
                yield {**around, "type": "choices", "from_name": choice, "value": value}

    def finish(self) -> None:
        """Write the tasks, and the labelling that they need."""
        write_compact_json(self._root / "tasks.json", self._tasks)
        view = Element("View")
        SubElement(view, "Image", name="image", value="$image")
        for tag in ("RectangleLabels", "PolygonLabels", "BrushLabels", "KeyPointLabels"):
            kind = tag.removesuffix("Labels").lower()
            labels = SubElement(view, tag, name=kind, toName="image")
            for label in self._style.labels:
                colour = "#{:02x}{:02x}{:02x}".format(*self._style.colour(label))
                SubElement(labels, "Label", value=label, background=colour)
        for choice, known in self._choices.items():
            if known:
                choices = SubElement(view, "Choices", name=choice, toName="image", perRegion="true")
                for value in known:
                    SubElement(choices, "Choice", value=value)
        ElementTree.indent(view)
        write_text(self._root / "labels.xml", ElementTree.tostring(view, encoding="unicode") + "\n")


def _region(
    annotation: Annotation, shape: tuple[int, int], style: WriteStyle
) -> tuple[str, dict[str, Any]]:
    """Kind of a region and its place, in hundredths of the image's sides."""
    scale = 100 / np.array((shape[1], shape[0]), dtype=np.float64)
    if annotation.outline is not None:
        rings = rings_to_write(annotation.outline, shape, style)
        if style.outlines is OutlineForm.POLYGONS and len(rings) == 1:
            return "polygon", {"points": (rings[0] * scale).tolist(), "closed": True}
        outline = pixels_to_write(annotation.outline, shape)
        rows, columns, inside = outline.window(shape)
        pixels = np.zeros(shape, dtype=np.bool_)
        pixels[rows, columns] = inside
        return "brush", {"format": "rle", "rle": _brush_numbers(pixels)}
    if annotation.box is not None:
        x_min, y_min, x_max, y_max = np.array(annotation.box) * np.tile(scale, 2)
        place = {"x": x_min, "y": y_min, "width": x_max - x_min, "height": y_max - y_min}
        return "rectangle", {**{k: float(v) for k, v in place.items()}, "rotation": 0}
    assert annotation.point is not None
    x, y = (np.array(annotation.point) * scale).tolist()
    return "keypoint", {"x": x, "y": y, "width": 0.5}
