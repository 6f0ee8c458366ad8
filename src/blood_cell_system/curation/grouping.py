"""Which pictures belong together: a slide's, a patient's, a laboratory's."""

import csv
import io
import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from blood_cell_system.datasets.prepared import PreparedImage
from blood_cell_system.errors import DatasetError, MissingDataError, SettingsError

_PICTURE_COLUMNS = ("picture", "file", "image", "stem", "name")


class GroupBy(StrEnum):
    """What is never parted."""

    IMAGE = "image"
    SLIDE = "slide"
    PATIENT = "patient"
    SOURCE = "source"


def groups_by(
    images: Sequence[PreparedImage],
    by: GroupBy,
    *,
    pattern: str | None = None,
    table: Path | None = None,
) -> list[str]:
    """Name of each picture's group.

    Parameters
    ----------
    images : sequence of PreparedImage
    by : GroupBy
        For slides and patients, names come from the pattern or the table, else from what the
        manifest says.
    pattern : str, optional
        Regular expression that finds the group in a picture's name: its first group in
        parentheses, or all that it matches.
    table : Path, optional
        CSV with a column of pictures' names and one called ``slide``, ``patient`` or ``group``.

    Returns
    -------
    list of str

    Raises
    ------
    SettingsError
        The pattern is none, both pattern and table are given, or neither where one is needed.
    DatasetError
        The group of some pictures is not known.
    MissingDataError
        There is no such table.
    """
    if pattern is not None and table is not None:
        raise SettingsError("--pattern and --table: expected one of them. Leave one out.")
    if by is GroupBy.IMAGE:
        return [image.original for image in images]
    if by is GroupBy.SOURCE:
        return [image.source for image in images]
    if pattern is not None:
        names = _by_pattern(images, pattern)
    elif table is not None:
        names = _by_table(images, table, by)
    else:
        names = [image.group for image in images]
    unknown = [image.stem for image, name in zip(images, names, strict=True) if not name]
    if unknown:
        raise DatasetError(
            f"the {by} of {len(unknown)} of {len(images)} pictures is not known, for instance of "
            f"{', '.join(unknown[:3])}; expected one for each. Say --pattern with a regular "
            f"expression that finds it in the names, or --table with a CSV file of picture,{by}."
        )
    return [str(name) for name in names]


def _by_pattern(images: Sequence[PreparedImage], pattern: str) -> list[str | None]:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise SettingsError(
            f"--pattern {pattern!r}: not a regular expression ({error}). For names such as "
            "slide07_field3 write --pattern 'slide(\\d+)'."
        ) from error
    found = [expression.search(image.original) for image in images]
    return [None if hit is None else (hit[1] if hit.re.groups else hit[0]) for hit in found]


def _by_table(images: Sequence[PreparedImage], table: Path, by: GroupBy) -> list[str | None]:
    if not table.is_file():
        raise MissingDataError(f"{table}: there is no such table. Check the path of --table.")
    try:
        text = table.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{table}: not UTF-8 ({error}). Save it as CSV UTF-8.") from error
    reader = csv.DictReader(io.StringIO(text, newline=""))
    columns = list(reader.fieldnames or ())
    picture = next((name for name in _PICTURE_COLUMNS if name in columns), None)
    group = next((name for name in (str(by), "group") if name in columns), None)
    if picture is None or group is None:
        raise DatasetError(
            f"{table}: has the columns {columns}; expected 'picture' and {str(by)!r}, with commas "
            "between. Add a first line with these names."
        )
    # Names with or without their ending, and with or without folders.
    by_stem = {Path(row[picture].replace("\\", "/")).stem: row[group] for row in reader}
    return [by_stem.get(image.original) or by_stem.get(image.stem) for image in images]
