"""Lists the packages that an installed package needs, with their licences: a table and an SBOM.

Writes ``licences.md`` and ``sbom.cdx.json`` (CycloneDX 1.5). Exit code 1 where a licence is GPL or
AGPL, or none is stated. It asks the Python that runs it, and needs nothing but that:

    env/bin/python scripts/dependency_licences.py --output dist
"""

import argparse
import json
import re
import sys
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

NAME = "blood-cell-system"
NOT_STATED = "not stated"
_FORBIDDEN = re.compile(r"(?<!L)\bA?GPL|(?<!Lesser )General Public License", re.I)
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][\w.-]*)(?:\[([^\]]*)\])?[^;]*(?:;(.*))?")
_MARKER = re.compile(r"extra\s*==\s*['\"]([\w.-]+)['\"]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package that is installed, and under which licence."""

    name: str
    version: str
    licence: str

    @property
    def is_forbidden(self) -> bool:
        """Whether it may not be a dependency: copyleft without a choice, or nothing stated."""
        choices = re.split(r"\bOR\b", self.licence)
        return self.licence == NOT_STATED or all(map(_FORBIDDEN.search, choices))


def normalised(name: str) -> str:
    """Name of a package as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def licence_of(found: Distribution) -> str:
    """Give a package's licence in a line: its expression, its classifiers, or its first words."""
    metadata = found.metadata
    if expression := metadata.get("License-Expression"):
        return str(expression)
    prefix = "License :: "
    classified = [
        text.rpartition(" :: ")[2]
        for text in metadata.get_all("Classifier") or ()
        if text.startswith(prefix) and text != f"{prefix}OSI Approved"
    ]
    if classified:
        return " and ".join(classified)
    lines = [line.strip() for line in str(metadata.get("License") or "").splitlines()]
    return next((line for line in lines if line and line != "UNKNOWN"), NOT_STATED)


def required_by(found: Distribution, extras: Iterable[str]) -> Iterator[tuple[str, frozenset[str]]]:
    """Names of what a package needs, with the extras that it asks for.

    Markers of systems are not evaluated: what is not installed here is passed over anyway.
    """
    for text in found.requires or ():
        match = _REQUIREMENT.fullmatch(text)
        if match is None:
            continue
        name, wanted, marker = match.groups()
        asked = _MARKER.search(marker or "")
        if asked is None or normalised(asked[1]) in {*map(normalised, extras)}:
            yield name, frozenset(filter(None, re.split(r"[\s,]+", wanted or "")))


def packages_needed(name: str, extras: Iterable[str] = ()) -> tuple[Package, ...]:
    """A package and all that it needs, directly or not, as far as it is installed."""
    found: dict[str, Package] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [(name, frozenset(extras))]
    while waiting:
        name, wanted = waiting.pop()
        if (key := (normalised(name), wanted)) in seen:
            continue
        seen.add(key)
        try:
            one = distribution(name)
        except PackageNotFoundError:
            continue
        found[key[0]] = Package(name=key[0], version=one.version, licence=licence_of(one))
        waiting += required_by(one, wanted)
    return tuple(found[name] for name in sorted(found))


def table_of(packages: Iterable[Package]) -> str:
    """Lay packages out as a Markdown table."""
    rows = [f"| {one.name} | {one.version} | {one.licence} |" for one in packages]
    return "\n".join(["| Package | Version | Licence |", "|---|---|---|", *rows, ""])


def sbom_of(packages: Iterable[Package]) -> Mapping[str, object]:
    """Describe packages as CycloneDX has it; the same packages give the same text."""
    parts = [
        {
            "type": "library",
            "bom-ref": (url := f"pkg:pypi/{one.name}@{one.version}"),
            "name": one.name,
            "version": one.version,
            "purl": url,
            "licenses": [{"license": {"name": one.licence}}],
        }
        for one in packages
    ]
    (subject,) = [part for part in parts if part["name"] == NAME]
    others = [part for part in parts if part is not subject]
    text = json.dumps(others, sort_keys=True)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, text)}",
        "version": 1,
        "metadata": {"component": {**subject, "type": "application"}},
        "components": others,
    }


def main() -> int:
    """Write both files, and say what may not be there."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog="Exit code 1: a licence may not be there."
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--extras", default="", metavar="NAMES", help="Such as train,review.")
    options = parser.parse_args()
    packages = packages_needed(NAME, [name for name in options.extras.split(",") if name])
    if not packages:
        sys.exit(f"{NAME} is not installed for {sys.executable}. Install it there first.")
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "licences.md").write_text(table_of(packages), encoding="utf-8")
    sbom = json.dumps(sbom_of(packages), indent=1) + "\n"
    (options.output / "sbom.cdx.json").write_text(sbom, encoding="utf-8")
    forbidden = [one for one in packages if one.is_forbidden]
    for one in forbidden:
        print(f"{one.name} {one.version}: licence {one.licence}; expected one that is permissive")
    print(f"{len(packages)} packages, {len(forbidden)} with a licence that may not be there")
    return 1 if forbidden else 0


if __name__ == "__main__":
    sys.exit(main())
