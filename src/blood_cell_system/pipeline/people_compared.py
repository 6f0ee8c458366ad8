"""Two people's corrections of the same results, or a person's and the program, compared."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

import blood_cell_system
from blood_cell_system.atomic_files import make_folder, write_json
from blood_cell_system.cells.table import Cells
from blood_cell_system.corrections.correction_log import read_corrections
from blood_cell_system.corrections.paired_cells import PairedCell, paired_cells
from blood_cell_system.corrections.record import Corrections
from blood_cell_system.corrections.replay import CorrectedCell, CorrectedField, replay
from blood_cell_system.errors import BloodCellError, CorrectionsError
from blood_cell_system.metrics.cohens_kappa import RaterAgreement
from blood_cell_system.pipeline.results_folder import ResultsFolder
from blood_cell_system.reports.image_files import write_words
from blood_cell_system.reports.page.agreement_page import (
    AgreementFigure,
    AgreementFile,
    DisagreedCell,
    Disagreement,
    Question,
    render_agreement,
)
from blood_cell_system.reports.page.cell_links import links_to_cells
from blood_cell_system.reports.page.panel import cell_tile

AGREEMENT_STEM: Final = "agreement"
"""Of the names of the files that are written."""

PROGRAM: Final = "the program"

NO_CELL: Final = "no cell"

_MOST_TILES: Final = 500
"""Disagreements that the page shows; some 5 MB. The list in the JSON file has all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unit:
    image: str
    pair: PairedCell


def compare_people(
    results: ResultsFolder, first: Path, second: Path | None = None
) -> tuple[AgreementFile, list[Disagreement]]:
    """Compare two files of corrections, or one with what the program said.

    Gives the figures, and what a page shows of the cells that they call differently.

    Raises
    ------
    CorrectionsError
        A file is damaged or of other results, both are the same, or no cell was judged in both.
    MissingDataError, DatasetError, ImageReadError
        A file is missing, or results are damaged.
    """
    if second is not None and first.resolve() == second.resolve():
        raise CorrectionsError(
            f"{first}: named twice; expected the corrections of two people. Name one file for the "
            "comparison with the program."
        )
    header = results.header
    a = read_corrections(first)
    b = None if second is None else read_corrections(second)
    for path, corrections in ((first, a), (second, b)):
        if corrections is not None:
            corrections.header.check_is_of(header, corrections.images, where=str(path))
    units: list[_Unit] = []
    shown: list[Disagreement] = []
    names = [name for name in results.names if name in a.images]
    for name in names:
        if b is not None and name not in b.images:
            continue
        report = results.report(name)
        cells = results.with_pixels(name, report)
        fields = _field(a, name, cells), _field(b, name, cells)
        found = [_Unit(image=name, pair=pair) for pair in paired_cells(*fields)]
        units += found
        wrong = [unit for unit in found if _is_disputed(unit.pair)]
        if wrong and len(shown) < _MOST_TILES:
            image: NDArray[np.uint8] | None = None
            # The list is worth having without its tiles.
            with suppress(BloodCellError):
                image = results.image(name, report)
            shown += [_shown(unit, fields, image) for unit in wrong]
    if not units:
        other = PROGRAM if second is None else str(second)
        raise CorrectionsError(
            f"{first}: no cell of it was judged in {other} as well; expected cells that both have "
            "corrected or marked as reviewed. Review the same fields."
        )
    who = _people(first, a), PROGRAM if b is None or second is None else _people(second, b)
    if who[0] == who[1]:
        who = f"{who[0]} ({first.name})", f"{who[1]} ({second and second.name})"
    return (
        AgreementFile(
            software_version=blood_cell_system.__version__,
            first=who[0],
            second=who[1],
            fields=len({unit.image for unit in units}),
            questions=tuple(_questions(units, results)),
            disagreements=tuple(
                DisagreedCell(
                    image=unit.image,
                    cell_id=_id_of(unit.pair),
                    first=words_of(unit.pair.first),
                    second=words_of(unit.pair.second),
                )
                for unit in units
                if _is_disputed(unit.pair)
            ),
        ),
        shown[:_MOST_TILES],
    )


def write_agreement(
    agreement: AgreementFile,
    shown: Sequence[Disagreement],
    results: ResultsFolder,
    output_dir: Path,
) -> None:
    """Write ``agreement.json`` and ``agreement.html``.

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    make_folder(output_dir)
    cells: dict[str, list[int]] = {}
    for one in agreement.disagreements:
        if isinstance(one.cell_id, int):
            cells.setdefault(one.image, []).append(one.cell_id)
    links = links_to_cells(results.path, cells, name="disagreed")
    addresses = [(link.cells, link.address(output_dir)) for link in links]
    write_json(output_dir / f"{AGREEMENT_STEM}.json", agreement.to_json())
    page = render_agreement(agreement, shown, addresses)
    write_words(output_dir / f"{AGREEMENT_STEM}.html", page)


def _field(corrections: Corrections | None, name: str, cells: Cells) -> CorrectedField:
    """Give a field after a person's corrections; the program has judged every cell of it."""
    events = () if corrections is None else corrections.of_image(name)
    field = replay(events, cells)
    return replace(field, is_reviewed=True) if corrections is None else field


def _people(path: Path, corrections: Corrections) -> str:
    return ", ".join(dict.fromkeys(event.by for event in corrections.events)) or path.name


def words_of(cell: CorrectedCell | None) -> str:
    """Say what a cell is: its type, condition and subtype."""
    if cell is None:
        return NO_CELL
    return ", ".join(filter(None, (cell.cell_type, cell.condition, cell.subtype)))


def _id_of(pair: PairedCell) -> int | str:
    for cell in (pair.first, pair.second):
        if cell is not None and cell.row is not None:
            return cell.row + 1
    made = pair.first or pair.second
    return made.id if made is not None else 0


_Answer = Callable[[CorrectedCell | None], str | None]


def _type_of(cell: CorrectedCell | None) -> str | None:
    return NO_CELL if cell is None else cell.cell_type


def _condition_of(cell: CorrectedCell | None) -> str | None:
    return None if cell is None else cell.condition


def _subtype_of(cell: CorrectedCell | None) -> str | None:
    return None if cell is None else cell.subtype


def _is_disputed(pair: PairedCell) -> bool:
    a, b = pair.first, pair.second
    if a is None or b is None or a.cell_type != b.cell_type:
        return True
    return any(None not in (of(a), of(b)) and of(a) != of(b) for of in (_condition_of, _subtype_of))


def _questions(units: Sequence[_Unit], results: ResultsFolder) -> Iterator[Question]:
    """Cell or not and which type; of each type condition and subtype, where both say one."""
    asked: dict[str, tuple[Sequence[_Unit], _Answer]] = {"cell type": (units, _type_of)}
    for kind in results.taxonomy:
        of_kind = [
            unit
            for unit in units
            if _type_of(unit.pair.first) == kind.name == _type_of(unit.pair.second)
        ]
        asked[f"condition of {kind.name}"] = of_kind, _condition_of
        asked[f"subtype of {kind.name}"] = of_kind, _subtype_of
    for name, (of, answer) in asked.items():
        told = [
            (unit.image, first, second)
            for unit in of
            if (first := answer(unit.pair.first)) is not None
            and (second := answer(unit.pair.second)) is not None
        ]
        if not told:
            continue
        fields, firsts, seconds = zip(*told, strict=True)
        found = RaterAgreement.of(firsts, seconds, fields)
        yield Question(
            name=name,
            total=found.total,
            observed=AgreementFigure.of(found.observed),
            kappa=AgreementFigure.of(found.kappa),
            classes=found.classes,
            counts=tuple(tuple(row) for row in found.counts.tolist()),
            by_class=tuple(AgreementFigure.of(one) for one in found.by_class),
        )


def _shown(
    unit: _Unit, fields: tuple[CorrectedField, CorrectedField], image: NDArray[np.uint8] | None
) -> Disagreement:
    pair = unit.pair
    field, label = (
        (fields[0], pair.first_label) if pair.first is not None else (fields[1], pair.second_label)
    )
    jpeg = b""
    if image is not None and (place := _box_of(field, label)) is not None:
        jpeg = cell_tile(image, place)
    return Disagreement(
        image=unit.image,
        cell_id=str(_id_of(pair)),
        first=words_of(pair.first),
        second=words_of(pair.second),
        jpeg=jpeg,
    )


def _box_of(field: CorrectedField, label: int) -> tuple[int, int, int, int] | None:
    rows, columns = np.nonzero(field.label_image == label)
    if not len(rows):
        return None
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1
