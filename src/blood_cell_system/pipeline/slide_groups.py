"""Which slide an image is a field of, and which patient a slide is of.

By the folder of the image, by a regular expression, or by a table of the laboratory. A mistake here
adds up cells of different people, so nothing is guessed: an image without a slide, a slide of two
patients and a name that is spelt in two ways are refused before an image is analysed.
"""

import csv
import io
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Final

from blood_cell_system.errors import SettingsError
from blood_cell_system.input_files import read_bytes
from blood_cell_system.pipeline.image_task import InputImage
from blood_cell_system.reports.batch_summary import Slide
from blood_cell_system.text_encoding import decoded

BY_FOLDER: Final = "folder"
"""Value of ``--group-by`` for slides that are folders."""

TABLE_ENDINGS: Final = (".csv", ".tsv")
_REQUIRED: Final = ("image", "slide")
_SHOWN: Final = 5
"""Names that a message lists before "and N more"."""


def group_images(images: Sequence[InputImage], by: str) -> dict[str, Slide]:
    """Give the slide of each image, by the name of its results.

    Parameters
    ----------
    by : str
        ``folder``: each folder of images is a slide; the folder around it, where there is one below
        what all have in common, is the patient. A ``.csv`` or ``.tsv`` file: a table with the
        columns ``image``, ``slide`` and, if known, ``patient``. Else a regular expression that is
        searched in the path of each image; its group ``slide``, or the first, is the slide, and its
        group ``patient``, if it has one, the patient.

    Raises
    ------
    MissingDataError
        There is no such table.
    SettingsError
        The table or the expression does not give every image one slide, and every slide one
        patient.
    """
    if by == BY_FOLDER:
        slides = _by_folder(images)
    elif Path(by).suffix.lower() in TABLE_ENDINGS:
        slides = _by_table(images, Path(by))
    else:
        slides = _by_pattern(images, by)
    _check_patients(by, slides.values())
    return slides


def _by_folder(images: Sequence[InputImage]) -> dict[str, Slide]:
    folders = {image.name: Path(os.path.abspath(image.path)).parent for image in images}  # noqa: PTH100
    distinct = set(folders.values())
    # What lies above the folders of all says nothing; of one folder the name alone does.
    root = Path(os.path.commonpath([folder.parent for folder in distinct])) if distinct else Path()
    slides = {}
    for name, folder in folders.items():
        place = folder.relative_to(root)
        patient = place.parent.as_posix() if len(place.parts) > 1 else None
        slides[name] = Slide(name=place.as_posix(), patient=patient)
    return slides


def _by_pattern(images: Sequence[InputImage], pattern: str) -> dict[str, Slide]:
    place = f"--group-by {pattern}"
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise SettingsError(
            f"{place}: no regular expression ({error}). Expected folder, a .csv file, or an "
            "expression such as '(?P<patient>P[0-9]+)_(?P<slide>S[0-9]+)'."
        ) from error
    if not expression.groups:
        raise SettingsError(
            f"{place}: it has no group, so that it does not say what the slide is. Put what names "
            "the slide into parentheses, for instance '(S[0-9]+)_'."
        )
    slides, missed = {}, []
    key = "slide" if "slide" in expression.groupindex else 1
    for image in images:
        found = expression.search(image.path.as_posix())
        if found is None or not found[key]:
            missed.append(image.path.as_posix())
            continue
        patient = found["patient"] if "patient" in expression.groupindex else None
        slides[image.name] = Slide(name=found[key], patient=patient or None)
    if missed:
        raise SettingsError(
            f"{place}: finds no slide in {_listed(missed)}; expected one in every path. Change the "
            "expression, or name the slides in a table."
        )
    return slides


def _by_table(images: Sequence[InputImage], path: Path) -> dict[str, Slide]:
    known = _by_word(images)
    slides: dict[str, Slide] = {}
    strangers = []
    for place, row in _rows_of(path):
        word = row["image"]
        if word not in known:
            strangers.append(word)
            continue
        if len(known[word]) > 1:
            raise SettingsError(
                f"{place}: image {word!r} may be any of {_listed(known[word])}; expected one. "
                "Write the path of the image."
            )
        [name] = known[word]
        if not row["slide"]:
            raise SettingsError(f"{place}: image {word!r} has no slide; expected its name.")
        slide = Slide(name=row["slide"], patient=row.get("patient") or None)
        if slides.setdefault(name, slide) != slide:
            raise SettingsError(
                f"{place}: image {word!r} is of {slide}, and of {slides[name]} in a row before; "
                "expected one. Remove the wrong row."
            )
    if strangers:
        raise SettingsError(
            f"{path}: names {_listed(strangers)}, which are none of the images. Remove the rows, "
            "or write the names as the files have them."
        )
    if missed := [image.path.as_posix() for image in images if image.name not in slides]:
        raise SettingsError(
            f"{path}: has no row for {_listed(missed)}; expected one for every image. Add them, or "
            "leave the images out."
        )
    return slides


def _rows_of(path: Path) -> Iterable[tuple[str, dict[str, str]]]:
    """Read the rows of a table, each with its place; blanks around values do not count."""
    try:
        text = decoded(read_bytes(path, error=SettingsError), path)
    except ValueError as error:
        raise SettingsError(f"{path}: no text ({error}). Save the table as CSV UTF-8.") from error
    head = text.partition("\n")[0]
    # Spreadsheets of half of Europe separate by semicolons.
    delimiter = max("\t;,", key=head.count)
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
    try:
        names = [(name or "").strip().lower() for name in reader.fieldnames or ()]
        if lacking := [name for name in _REQUIRED if name not in names]:
            raise SettingsError(
                f"{path}: has no column {' and '.join(lacking)}; found {', '.join(names) or 'none'}"
                ". Expected the columns image, slide and, if known, patient."
            )
        reader.fieldnames = names
        for row in reader:
            values = {k: (v or "").strip() for k, v in row.items() if isinstance(k, str)}
            if any(values.values()):
                yield f"{path}: row {reader.line_num}", values
    except csv.Error as error:
        raise SettingsError(f"{path}: not CSV ({error}). Save the table again.") from error


def _by_word(images: Sequence[InputImage]) -> Mapping[str, list[str]]:
    """Names of results by every word that may stand for an image in a table."""
    known: dict[str, list[str]] = {}
    for image in images:
        place = PurePath(image.path)
        words = {place.as_posix(), str(place), image.name, image.name + place.suffix}
        for word in words | {place.name, place.stem}:
            known.setdefault(word, []).append(image.name)
    exact = {image.path.as_posix(): [image.name] for image in images}
    return known | {image.name: [image.name] for image in images} | exact


def _check_patients(by: str, slides: Iterable[Slide]) -> None:
    place = by if Path(by).suffix.lower() in TABLE_ENDINGS else f"--group-by {by}"
    patients: dict[str, str | None] = {}
    for slide in slides:
        if patients.setdefault(slide.name, slide.patient) != slide.patient:
            both = " and ".join(str(one or "none") for one in (patients[slide.name], slide.patient))
            raise SettingsError(
                f"{place}: slide {slide.name!r} is of two patients: {both}; expected one. Correct "
                "the patient, or give each slide a name of its own."
            )
    for word, names in (
        ("slide", patients.keys()),
        ("patient", set(filter(None, patients.values()))),
    ):
        spelt: dict[str, str] = {}
        for name in sorted(names):
            if spelt.setdefault(" ".join(name.split()).casefold(), name) != name:
                other = spelt[" ".join(name.split()).casefold()]
                raise SettingsError(
                    f"{place}: {word} {name!r} and {word} {other!r} differ in capitals or blanks "
                    "alone; expected one spelling. Write both alike if they are one."
                )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
