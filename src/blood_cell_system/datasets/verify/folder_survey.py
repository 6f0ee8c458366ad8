"""Step 1: what a folder holds, whatever state it is in."""

import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.annotation.text_files import shortened
from blood_cell_system.datasets.prepared import (
    FORMAT_VERSION,
    UNFINISHED_NAME,
    ManifestRow,
    cell_of_row,
    taxonomy_in,
)
from blood_cell_system.datasets.verify.checks import Finding, Severity, finding, listed
from blood_cell_system.errors import (
    BloodCellError,
    DatasetError,
    MissingDataError,
    value_words,
)
from blood_cell_system.imaging.image_folders import images_directly_in, is_left_behind
from blood_cell_system.input_files import read_json
from blood_cell_system.taxonomy import BUILT_IN, Taxonomy
from blood_cell_system.wording import counted

Cells = dict[str, tuple[Annotation, ...]]


def read_manifest(path: Path) -> tuple[dict[str, ManifestRow], dict[str, Any], list[Finding]]:
    """Read a manifest as far as it can be read.

    Returns
    -------
    rows : dict of str to ManifestRow
        By stem.
    details : dict
        Everything else.
    findings : list of Finding
    """
    manifest, findings = _read_json(path)
    details = {key: value for key, value in manifest.items() if key != "images"}
    entries = manifest.get("images", [])
    if not isinstance(entries, list):
        findings.append(_broken(path, "'images' is no list"))
        entries = []
    rows: dict[str, ManifestRow] = {}
    for position, entry in enumerate(entries):
        try:
            row = ManifestRow.model_validate(entry)
        except ValidationError as error:
            message = f"entry {position}, {shortened(entry)}, cannot be read ({value_words(error)})"
            findings.append(_broken(path, message))
            continue
        if row.stem in rows:
            findings.append(_broken(path, f"{row.stem} is listed twice", row.stem))
        rows.setdefault(row.stem, row)
    return rows, details, findings


def read_cells(path: Path, taxonomy: Taxonomy = BUILT_IN) -> tuple[Cells, list[Finding]]:
    """Read annotations as far as they can be read.

    Returns
    -------
    cells : dict of str to tuple of Annotation
        By stem; their corners may be anything.
    findings : list of Finding
    """
    annotations, findings = _read_json(path)
    images = annotations.get("images", {})
    if not isinstance(images, Mapping):
        return {}, [*findings, _broken(path, "'images' is no object")]
    cells: Cells = {}
    for stem, entries in images.items():
        boxes = []
        for position, entry in enumerate(entries if isinstance(entries, list) else [None]):
            box = _box(entry, taxonomy)
            if box is None:
                message = (
                    f"cell {position} of {stem} cannot be read; expected 'cell_type' of "
                    f"{', '.join(taxonomy.names)} and 'bbox' of four numbers"
                )
                findings.append(_broken(path, message, stem))
            else:
                boxes.append(box)
        cells[stem] = tuple(boxes)
    return cells, findings


def _read_json(path: Path) -> tuple[dict[str, Any], list[Finding]]:
    if not os.path.lexists(path):
        return {}, []
    try:
        value = read_json(path)
    except BloodCellError as error:
        return {}, [_broken(path, str(error).removeprefix(f"{path}: "))]
    if not isinstance(value, dict):
        return {}, [_broken(path, "expected an object")]
    if value.get("format_version") != FORMAT_VERSION:
        return value, [_broken(path, f"expected format_version {FORMAT_VERSION}")]
    return value, []


def _box(entry: object, taxonomy: Taxonomy) -> Annotation | None:
    try:
        return cell_of_row(cast(Mapping[str, Any], entry), taxonomy)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        return None


def _broken(path: Path, message: str, *stems: str) -> Finding:
    return finding(f"broken-{path.stem}", f"{path.name}: {message}", *stems)


_MASK_ENDINGS = ("_mask", "-mask", "_label", "_seg", "_gt")


@dataclass(slots=True, kw_only=True)
class FolderSurvey:
    """What a folder holds.

    Parameters
    ----------
    images, masks, instances : dict of str to Path
        By stem; of several files with one stem the first.
    rows : dict of str to ManifestRow
        Entries of the manifest that can be read.
    cells : dict of str to tuple of Annotation
        Boxes that can be read; their corners may be anything.
    details : dict
        Everything else of the manifest.
    doubled : set of str
        Stems of several images, or of several masks.
    """

    root: Path
    images: dict[str, Path] = field(default_factory=dict)
    masks: dict[str, Path] = field(default_factory=dict)
    instances: dict[str, Path] = field(default_factory=dict)
    rows: dict[str, ManifestRow] = field(default_factory=dict)
    cells: dict[str, tuple[Annotation, ...]] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    taxonomy: Taxonomy = BUILT_IN
    doubled: set[str] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)

    @property
    def paired(self) -> list[str]:
        """Stems with an image and a mask, in order."""
        return sorted(self.images.keys() & self.masks.keys())

    def note(self, check: str, message: str, *stems: str, severity: Severity | None = None) -> None:
        """Add a finding."""
        self.findings.append(finding(check, message, *stems, severity=severity))


def survey_folder(root: Path) -> FolderSurvey:
    """List a prepared folder and read its manifest and annotations.

    Raises
    ------
    MissingDataError
        The folder itself is not there.
    """
    root = Path(root)
    if not root.is_dir():
        raise MissingDataError(
            f"{root}: there is no such folder. Expected a prepared folder with images/ and masks/; "
            "check --input."
        )
    survey = FolderSurvey(root=root)
    if (root / UNFINISHED_NAME).exists():
        survey.note(
            "unfinished-folder",
            f"{UNFINISHED_NAME} says that the command which writes this folder has not finished",
        )
    survey.images = _list_images(survey, "images", is_required=True)
    survey.masks = _list_images(survey, "masks", is_required=True)
    survey.instances = _list_images(survey, "instances", is_required=False)
    _check_pairs(survey)
    survey.rows, survey.details, findings = read_manifest(root / "manifest.json")
    survey.findings += findings
    try:
        survey.taxonomy = taxonomy_in(survey.details, root / "manifest.json")
    except DatasetError as error:
        survey.findings.append(_broken(root / "manifest.json", str(error)))
    survey.cells, findings = read_cells(root / "annotations.json", survey.taxonomy)
    survey.findings += findings
    _compare_with_files(survey)
    return survey


def _list_images(survey: FolderSurvey, name: str, *, is_required: bool) -> dict[str, Path]:
    folder = survey.root / name
    if not folder.is_dir():
        if is_required:
            survey.note("missing-folder", f"there is no folder {name}/")
        return {}
    try:
        images = set(images_directly_in(folder))
        paths_found = sorted(path for path in folder.iterdir() if not is_left_behind(path.name))
    except OSError as error:
        survey.note("unreadable-folder", f"{name}/ cannot be listed ({error.strerror or error})")
        return {}
    by_stem: defaultdict[str, list[Path]] = defaultdict(list)
    passed_over = []
    for path in paths_found:
        if not path.name.isprintable():
            # Bytes that are no text cannot be written into a report or a manifest.
            survey.note(
                "odd-name", f"{name}/ holds a file whose name is not plain text: {path.name!a}"
            )
        elif path in images:
            by_stem[path.stem].append(path)
        else:
            passed_over.append(path.name)
    if passed_over:
        survey.note(
            "passed-over",
            f"{name}/ holds {len(passed_over)} entries that are no images: {listed(passed_over)}",
        )
    if is_required and not by_stem:
        survey.note("empty-folder", f"{name}/ holds no images")
    for stem, paths in by_stem.items():
        if len(paths) > 1:
            survey.doubled.add(stem)
            survey.note(
                "same-name",
                f"{name}/ holds {listed([path.name for path in paths])}, which differ in nothing "
                "but their ending",
                stem,
            )
    return {stem: paths[0] for stem, paths in by_stem.items()}


def _check_pairs(survey: FolderSurvey) -> None:
    unpaired_masks = survey.masks.keys() - survey.images.keys()
    for stem in sorted(survey.images.keys() - survey.masks.keys()):
        likely = _likely_partner(stem, unpaired_masks)
        hint = f"; masks/{survey.masks[likely].name} looks like it" if likely else ""
        survey.note(
            "missing-mask",
            f"images/{survey.images[stem].name} has no mask of the same name{hint}",
            stem,
        )
    for stem in sorted(unpaired_masks):
        survey.note(
            "missing-image", f"masks/{survey.masks[stem].name} has no image of the same name", stem
        )
    for stem in sorted(survey.instances.keys() - survey.images.keys()):
        survey.note(
            "missing-image",
            f"instances/{survey.instances[stem].name} has no image of the same name",
            stem,
            severity=Severity.WARNING,
        )


def _likely_partner(stem: str, candidates: set[str]) -> str | None:
    wanted = stem.lower()
    for candidate in sorted(candidates):
        name = candidate.lower()
        if name == wanted or any(name == wanted + ending for ending in _MASK_ENDINGS):
            return candidate
    return None


def _compare_with_files(survey: FolderSurvey) -> None:
    for stem in sorted(survey.rows.keys() - survey.images.keys()):
        survey.note("not-in-folder", f"manifest.json lists {stem}, which is not in images/", stem)
    for stem in sorted(survey.images.keys() - survey.rows.keys()) if survey.rows else ():
        survey.note(
            "not-in-manifest",
            f"{stem} is not in manifest.json: it has no split, so that training draws one",
            stem,
        )
    strangers = sorted(survey.cells.keys() - survey.images.keys())
    if strangers and survey.images:
        survey.note(
            "not-in-folder",
            f"annotations.json has cells of {counted(len(strangers), 'image')} that are not in "
            "images/: "
            f"{listed(strangers)}",
            severity=Severity.WARNING,
        )
