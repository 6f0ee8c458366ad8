"""A folder of pictures and labels, in the format of somebody's tool."""

import importlib
import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, cast

from blood_cell_system.atomic_files import make_folder
from blood_cell_system.datasets.sample import Sample
from blood_cell_system.datasets.writers.writer import (
    LabelledPicture,
    LabelWriter,
    WriteStyle,
    marks_to_write,
)
from blood_cell_system.errors import DatasetError, OutputError, SettingsError
from blood_cell_system.image_io import copy_file, is_turned, read_image, write_image

# Name of the format, its module in this folder, the class there, and its name for people.
_WRITERS: Final[Mapping[str, tuple[str, str, str]]] = MappingProxyType(
    {
        "coco": ("coco_writer", "CocoWriter", "COCO JSON"),
        "labelme": ("labelme_writer", "LabelMeWriter", "LabelMe JSON"),
        "cvat": ("cvat_writer", "CvatWriter", "CVAT XML for images 1.1"),
        "yolo": ("yolo_writer", "YoloWriter", "YOLO text files"),
        "geojson": ("geojson_writer", "GeoJsonWriter", "GeoJSON for QuPath"),
    }
)

WRITTEN_FORMATS: Final = tuple(_WRITERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteSummary:
    """What was written.

    Parameters
    ----------
    output : Path
    format_name : str
        One of ``WRITTEN_FORMATS``.
    mark_counts : mapping of str to int
        Marks by label.
    picture_count : int
    not_held : int
        Marks that the format cannot hold.
    unknown : tuple of str
        Pictures left out because nobody has said where their cells are.
    """

    output: Path
    format_name: str
    mark_counts: Mapping[str, int]
    picture_count: int
    not_held: int
    unknown: tuple[str, ...]

    def to_text(self) -> str:
        """Say it in a few lines."""
        counts = ", ".join(f"{label} {count}" for label, count in sorted(self.mark_counts.items()))
        lines = [
            f"{self.output}: {self.picture_count} pictures as {_WRITERS[self.format_name][2]} "
            f"({counts or 'no cells'})"
        ]
        if self.not_held:
            lines.append(
                f"{self.not_held} cells of which only the centre is known were left out: the "
                "format has no points."
            )
        if self.unknown:
            lines.append(
                f"{len(self.unknown)} pictures were left out, as nobody has said where their cells "
                f"are, for instance {self.unknown[0]}. Analyse them, and convert the results."
            )
        return "\n".join(lines)


def write_labels(
    samples: Iterable[Sample], output: Path, *, format_name: str, style: WriteStyle | None = None
) -> WriteSummary:
    """Write pictures with their labels as a new folder, whole or not at all.

    The pictures are copied byte for byte; those that EXIF data turn are written upright, as PNG,
    because tools differ in whether they turn them.

    Parameters
    ----------
    samples : iterable of Sample
        Taken one at a time.
    output : Path
        A new or empty folder: what people have corrected is never written over.
    format_name : str
        One of ``WRITTEN_FORMATS``.
    style : WriteStyle, optional

    Returns
    -------
    WriteSummary

    Raises
    ------
    SettingsError
        There is no such format.
    OutputError
        The output is not empty, or cannot be written to.
    DatasetError
        There is no picture with known cells.
    MissingDataError, ImageReadError
        A picture cannot be read.
    """
    style = style or WriteStyle()
    make_writer = _writer_class(format_name)
    _refuse_used(output)
    building = output.with_name(f".{output.name}.{secrets.token_hex(8)}.partial")
    make_folder(building)
    try:
        writer = make_writer(building, style)
        counts: Counter[str] = Counter()
        pictures = not_held = 0
        unknown: list[str] = []
        for sample in samples:
            if sample.cells is None:
                unknown.append(sample.stem)
                continue
            marks = marks_to_write(sample, style)
            path = _place_picture(sample, writer.picture_folder(sample))
            not_held += writer.add(LabelledPicture(sample=sample, path=path, marks=marks))
            counts.update(mark.label for mark in marks)
            pictures += 1
        if not pictures:
            raise DatasetError(
                f"{output}: nothing to write: of none of {len(unknown)} pictures anybody has said "
                "where the cells are. Analyse them, and convert the results."
            )
        writer.finish()
        _move(building, output)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return WriteSummary(
        output=output,
        format_name=format_name,
        mark_counts=counts,
        picture_count=pictures,
        not_held=not_held,
        unknown=tuple(unknown),
    )


def _writer_class(format_name: str) -> Callable[[Path, WriteStyle], LabelWriter]:
    if format_name not in _WRITERS:
        raise SettingsError(
            f"format: received {format_name!r}; expected one of {', '.join(WRITTEN_FORMATS)}."
        )
    module_name, class_name, _ = _WRITERS[format_name]
    module = importlib.import_module(f"blood_cell_system.datasets.writers.{module_name}")
    return cast(Callable[[Path, WriteStyle], LabelWriter], getattr(module, class_name))


def _refuse_used(output: Path) -> None:
    if output.is_dir() and not any(output.iterdir()):
        return
    if output.exists():
        raise OutputError(
            f"{output}: is there already; expected a new or empty folder, so that nobody's "
            "corrections are written over. Choose another --output."
        )


def _place_picture(sample: Sample, folder: Path) -> Path:
    """Copy a picture under the name of its sample."""
    if is_turned(sample.image_path):
        path = folder / f"{sample.stem}.png"
        write_image(path, read_image(sample.image_path))
    else:
        path = folder / f"{sample.stem}{sample.image_path.suffix.lower()}"
        copy_file(sample.image_path, path)
    return path


def _move(building: Path, output: Path) -> None:
    try:
        if output.is_dir():
            output.rmdir()
        building.rename(output)
    except OSError as error:
        raise OutputError(
            f"{output}: cannot take its place ({error.strerror or error}). Choose a folder that "
            "you may write to."
        ) from error
