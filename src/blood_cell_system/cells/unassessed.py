"""Why a cell has no condition: each reason once, with its words and its definition."""

from enum import StrEnum
from typing import Final, Self

NONE_OF_THESE: Final = "none of these"
"""Condition of a cell that is none of the classes, such as a smudge."""

UNDECIDED: Final = "undecided"
"""Condition of a cell that may be sick, but not so probably that it is called so."""


class Reason(StrEnum):
    """Why a cell was not assessed; of several the first of this list."""

    words: str
    definition: str

    def __new__(cls, value: str, words: str, definition: str) -> Self:
        """Make a member of its value, a word or two for people, and a sentence."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.words, member.definition = words, definition
        return member

    NO_CLASSIFIER = (
        "no_classifier",
        "without a classifier",
        "No classifier of its type was used.",
    )
    NO_COLOUR = (
        "no_colour",
        "in an image without colour",
        "The image is grey: classes rest on the stain's colours.",
    )
    CUT_OFF = (
        "cut_off",
        "cut off",
        "The border of what was seen cuts it off: the missing part may hold the evidence.",
    )
    COVERED = (
        "covered",
        "covered",
        "Other cells hide more than a third of it, or a mark on the image a tenth.",
    )
    TOO_SMALL = (
        "too_small",
        "too small",
        "Its outline is less than 6 pixels long.",
    )
    OUT_OF_FOCUS = (
        "out_of_focus",
        "out of focus",
        "Its edge is wider than 21 % of a red cell's diameter.",
    )
    NUCLEUS = (
        "nucleus",
        "as dense as a nucleus",
        "A red cell as dense and purple as a nucleus: it may be a white cell in a clump, a smudge, "
        "a piece of either, or a very dense red cell.",
    )
    NOT_IN_DISTRIBUTION = (
        "not_in_distribution",
        "none of these",
        "It resembles none of the classes that the classifier knows, as a smudge does.",
    )
    UNDECIDED = (
        UNDECIDED,
        UNDECIDED,
        "A disease is its likeliest condition, but less probable than its classifier needs to call "
        "it: look at the cell.",
    )
