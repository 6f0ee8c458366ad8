"""Licences of the collections that models learn from, and which of them allow commercial use.

What is asked here is the ``data`` of a model's metadata: the names of its sources. A name that is
not in the table says nothing about its licence, so that it counts as one that does not allow it.
"""

import re
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Final

from blood_cell_system.datasets.collections.labelled_images import collections
from blood_cell_system.datasets.collections.marked_images import LICENCES
from blood_cell_system.datasets.synthetic.folder import SOURCE as SYNTHETIC

PERMISSIVE: Final = "permissive"
"""In place of names: all sources whose licence allows commercial use."""

_PERMISSIVE: Final = re.compile(r"(MIT|CC0|CC BY|Apache-2\.0|drawn)(?![-\w])(?! ?(NC|ND|SA)\b)")
FINE_TUNED_ON: Final = "; fine-tuned on "
"""Between the sources of a model and those that it was fine-tuned on."""

_PHOTOGRAPHS: Final = "imagenet"
_STARTS: Final = MappingProxyType({"cell_lite": _PHOTOGRAPHS, "cell_lite_plain": _PHOTOGRAPHS})
"""What an architecture learned from before any training here, by its name."""


@cache
def source_licences() -> Mapping[str, str]:
    """Licences by the names of sources."""
    of_collections = {one.source: one.licence for one in collections().values()}
    others = {SYNTHETIC: "drawn by this program", _PHOTOGRAPHS: "research only"}
    return MappingProxyType(dict(sorted((LICENCES | of_collections | others).items())))


def is_permissive(licence: str) -> bool:
    """Whether a licence allows commercial use of what was learned; attribution may be asked for.

    Examples
    --------
    >>> is_permissive("CC BY 4.0 (Acevedo et al. 2020)"), is_permissive("CC BY-NC 4.0")
    (True, False)
    """
    return _PERMISSIVE.match(licence) is not None


def permissive_sources() -> tuple[str, ...]:
    """Names of the sources that allow commercial use."""
    return tuple(name for name, licence in source_licences().items() if is_permissive(licence))


def licences_of(data: str, *, architecture: str = "") -> dict[str, str]:
    """Give the licence of each source that a model's metadata name.

    Parameters
    ----------
    data : str
        Names with commas between; a description in words is one name that nobody knows.
    architecture : str
        Its start may have learned from something as well.

    Returns
    -------
    dict of str to str
        ``not known`` for a name that is not in the table; empty where no source is named.
    """
    names = [name.strip() for name in re.split(FINE_TUNED_ON + "|,", data)]
    if any(" " in name for name in names):
        names = ["unnamed sources"]
    if architecture in _STARTS:
        names.append(_STARTS[architecture])
    return {name: source_licences().get(name, "not known") for name in names if name}


def sources_against(data: str, *, architecture: str = "") -> tuple[str, ...]:
    """Name what keeps a model from commercial use; empty where nothing does."""
    licences = licences_of(data, architecture=architecture)
    if not licences:
        return ("its metadata name no sources",)
    return tuple(
        f"{name[:80]}: {licence}"
        for name, licence in licences.items()
        if not is_permissive(licence)
    )


def licence_of_weights(data: str, *, architecture: str = "") -> str:
    """Say in words what a model's weights may be used for; empty where no source is named."""
    licences = licences_of(data, architecture=architecture)
    if not licences:
        return ""
    against = sources_against(data, architecture=architecture)
    use = (
        "research use, or as the owners of the data allow" if against else "commercial use as well"
    )
    return "; ".join(
        [f"weights: {use}", *(f"{name}: {licence}" for name, licence in licences.items())]
    )
