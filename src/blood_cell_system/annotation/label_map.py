"""From the names that people give to cells to the types that this package knows."""

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from blood_cell_system.annotation.text_files import read_label_text, shortened
from blood_cell_system.errors import AnnotationError, SettingsError
from blood_cell_system.input_files import parsed_json
from blood_cell_system.taxonomy import BUILT_IN, Taxonomy

Labels = Mapping[str, str | None]
"""Type of a cell by its label; None leaves cells with that label out, and does not score them."""

DROP: Final = "drop"
"""In a label map, in the place of a type: the mark is left out as if it were not there."""

_DROP_WORDS: Final = frozenset({"drop", "remove", "delete"})
_LEFT_OUT: Final = frozenset({"", "-", "none", "null", "ignore", "skip"})
_UNSURE: Final = ("difficult", "unknown", "uncertain", "ignore", "unsure")

_DOUBTFUL: Final = frozenset(
    {"difficult", "ignore", "ignored", "crowd", "iscrowd", "isgroupof", "unsure", "uncertain"}
)
"""What people tick, or programs write, where an annotation does not decide what a cell is."""

_NO: Final = frozenset({"", "0", "0.0", "false", "no", "none", "null", "off"})
_SEPARATORS: Final = re.compile(r"[\s_\-./]+")


def plain_name(label: str) -> str:
    """Take the differences that mean nothing away from a label.

    Examples
    --------
    >>> plain_name(" Red_Blood-Cell ")
    'red blood cell'
    """
    return _SEPARATORS.sub(" ", label).strip().casefold()


def is_doubtful(flags: Mapping[Any, Any] | Iterable[Any] | None) -> bool:
    """Whether flags or attributes of an annotation say that its pixels should not be scored.

    Parameters
    ----------
    flags : mapping, iterable of str, or None
        Values by name, or the names of those that are ticked.

    Examples
    --------
    >>> is_doubtful({"Difficult": "true"}), is_doubtful({"ignore": 0}), is_doubtful(None)
    (True, False, False)
    """
    if not flags or isinstance(flags, str):
        return False
    ticked = (
        (name for name, value in flags.items() if str(value).strip().casefold() not in _NO)
        if isinstance(flags, Mapping)
        else flags
    )
    return any(re.sub(r"[\s_-]", "", str(name)).casefold() in _DOUBTFUL for name in ticked)


def common_labels(taxonomy: Taxonomy) -> Labels:
    """Labels that mean one thing in every laboratory: names of types and their synonyms.

    Capitals, dashes and underscores do not count.
    """
    return {
        plain_name(label): cell_type.name
        for cell_type in taxonomy
        for label in (cell_type.name, *cell_type.synonyms)
    } | dict.fromkeys(_UNSURE)


COMMON_LABELS: Final[Labels] = MappingProxyType(common_labels(BUILT_IN))
"""Common labels of the built-in types."""


@dataclass(slots=True, kw_only=True)
class LabelReader:
    """Looks labels up, and remembers those that are not in the table.

    A label that nobody knows is missing everywhere: a reader calls :meth:`type_of` for every cell,
    and calls :meth:`check` when it has read all files.

    Parameters
    ----------
    labels : mapping of str to str or None
    is_exact : bool
        Whether labels must be written as in the table, letter by letter.
    """

    labels: Labels
    is_exact: bool = False
    _plain: dict[str, str | None] = field(init=False)
    _unknown: Counter[str] = field(init=False, default_factory=Counter)
    _first_place: str = field(init=False, default="")

    def __post_init__(self) -> None:
        self._plain = {plain_name(name): cell_type for name, cell_type in self.labels.items()}

    def type_of(self, label: str, *, where: str) -> str | None:
        """Type of a cell; None for those to leave out, and for those that are not known.

        Parameters
        ----------
        where : str
            File and object, for the message.
        """
        if label in self.labels:
            return self.labels[label]
        if not self.is_exact and plain_name(label) in self._plain:
            return self._plain[plain_name(label)]
        if not self._unknown:
            self._first_place = f"{where} is labelled {shortened(label)}"
        self._unknown[label] += 1
        return None

    def check(self) -> None:
        """Refuse labels that are not in the table.

        Raises
        ------
        AnnotationError
            There were some; the message lists them with their numbers and the likely meaning.
        """
        if not self._unknown:
            return
        listed = ", ".join(
            f"{shortened(label)} ({count})" for label, count in self._unknown.most_common(20)
        )
        more = f" and {len(self._unknown) - 20} more" if len(self._unknown) > 20 else ""
        suggestion = ",".join(
            f"{label}={likely_type(label, self.labels) or 'none'}"
            for label, _ in self._unknown.most_common(20)
            if len(label) <= _LONGEST_SUGGESTED
        )
        types = dict.fromkeys(name for name in self.labels.values() if name not in (None, DROP))
        known = self.labels if self.is_exact else types
        raise AnnotationError(
            f"{self._first_place}; expected {', '.join(known)}. Labels that are not known, with "
            f"their numbers: {listed}{more}. Say what they are, perhaps with "
            f"--label-map '{suggestion}' (none leaves cells out and does not score them; drop "
            "leaves a mark out as if it were not there, for instance a region around cells)."
        )


def likely_type(label: str, labels: Labels = COMMON_LABELS) -> str | None:
    """Type that a label most likely means, by its spelling; None where there is no likeness.

    Examples
    --------
    >>> likely_type("erythrocite"), likely_type("Leukozyt"), likely_type("dust")
    ('RBC', 'WBC', None)
    """
    known = {
        plain_name(name): cell_type
        for name, cell_type in {**COMMON_LABELS, **labels}.items()
        if cell_type not in (None, DROP)
    }
    name = " ".join(re.findall(r"\w+", plain_name(label)))
    words = name.split()
    if not _NEGATIONS.isdisjoint(words):
        return None
    # A longer name often holds a known one: "RBC infected", "mature neutrophil", "RBC: Positive".
    for word in (name, *words):
        for form in (word, word.removesuffix("s"), *_transpositions(word)):
            if form in known:
                return known[form]
    if len(name) < _SHORTEST_ALIKE:
        return None
    close = difflib.get_close_matches(name, known, n=1, cutoff=_LIKENESS)
    return known[close[0]] if close else None


_LONGEST_SUGGESTED: Final = 60  # Letters of a label that a person would write in a map.
_NEGATIONS: Final = frozenset({"no", "non", "not", "without"})
_SHORTEST_ALIKE: Final = 7  # Letters: shorter words are alike by chance.
_LIKENESS: Final = 0.8  # Of difflib; "Leukozyt" has 0.82 with leukocyte.


def _transpositions(word: str) -> Iterable[str]:
    return (
        word[:place] + word[place + 1] + word[place] + word[place + 2 :]
        for place in range(len(word) - 1)
    )


def read_label_map(text: str, taxonomy: Taxonomy = BUILT_IN) -> dict[str, str | None]:
    """Read a label map: ``name=RBC,other=none``, or the name of a file with it.

    A file has a line ``name=type`` for each label, or is JSON: an object of names and types. Lines
    that begin with # are passed over.

    Parameters
    ----------
    text : str
        Types are those of the taxonomy; none leaves cells out and does not score their place, drop
        leaves the mark out alone.

    Raises
    ------
    SettingsError
        A part is no pair, or a type is not known.
    MissingDataError, AnnotationError
        The file is not there, or cannot be read.

    Examples
    --------
    >>> read_label_map("erythro=RBC, dust=none")
    {'erythro': 'RBC', 'dust': None}
    """
    path = Path(text)
    if "=" in text and not path.is_file():
        return _pairs(text.split(","), "--label-map", taxonomy)
    content = read_label_text(path)
    if not content.lstrip().startswith("{"):
        return _pairs(content.splitlines(), str(path), taxonomy)
    table = parsed_json(
        content,
        path,
        error=SettingsError,
        remedy='Write an object of labels and types, such as {"erythrocyte": "RBC"}.',
    )
    return {
        str(name): _type_named(str(value or ""), str(path), taxonomy)
        for name, value in table.items()
    }


def _pairs(parts: Iterable[str], where: str, taxonomy: Taxonomy) -> dict[str, str | None]:
    table: dict[str, str | None] = {}
    for part in parts:
        if not part.strip() or part.lstrip().startswith("#"):
            continue
        # A label may hold an equals sign, a type never does.
        name, separator, value = part.rpartition("=")
        if not separator or not name.strip():
            raise SettingsError(
                f"{where}: {part.strip()!r} is no pair; expected "
                f"{', '.join(f'label={name}' for name in taxonomy.names)} or label=none, separated "
                "by commas or lines."
            )
        table[name.strip()] = _type_named(value, where, taxonomy)
    return table


def _type_named(value: str, where: str, taxonomy: Taxonomy) -> str | None:
    name = plain_name(value)
    if name in _LEFT_OUT:
        return None
    if name in _DROP_WORDS:
        return DROP
    found = common_labels(taxonomy).get(name)
    if found is None:
        raise SettingsError(
            f"{where}: {value.strip()!r} is no type of cell; expected "
            f"{', '.join(taxonomy.names)}, none or drop."
        )
    return found
