"""Splits by the names that people give to folders and files of them."""

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import PurePath
from types import MappingProxyType
from typing import Final


class Split(StrEnum):
    """Part of a data set: learned from, chosen by, reported on."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


_NAMES: Final[Mapping[str, Split]] = MappingProxyType(
    {
        "train": Split.TRAIN,
        "training": Split.TRAIN,
        "val": Split.VAL,
        "valid": Split.VAL,
        "validation": Split.VAL,
        "dev": Split.VAL,
        "test": Split.TEST,
        "testing": Split.TEST,
    }
)
_WORDS: Final = re.compile(r"[a-z]+")


def split_of_words(text: str) -> Split | None:
    """Split that a name says; None where it says none, or several.

    Examples
    --------
    >>> split_of_words("instances_val2017"), split_of_words("smears")
    (<Split.VAL: 'val'>, None)
    """
    found = {_NAMES[word] for word in _WORDS.findall(text.casefold()) if word in _NAMES}
    return found.pop() if len(found) == 1 else None


def split_of_folders(path: PurePath) -> Split | None:
    """Split that the nearest folder of a file is named after; its own name does not count.

    Parameters
    ----------
    path : PurePath
        Relative to the data set's folder.

    Examples
    --------
    >>> split_of_folders(PurePath("valid/images/train_07.png"))
    <Split.VAL: 'val'>
    """
    names = (folder.casefold() for folder in reversed(path.parent.parts))
    return next((_NAMES[name] for name in names if name in _NAMES), None)
