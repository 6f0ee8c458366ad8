"""What came of a batch of images, as JSON and as a table."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any, Final

from blood_cell_system.reports.diagnosis import blood_rates
from blood_cell_system.reports.findings import (
    HEALTHY,
    NONE_OF_THESE,
    Findings,
    findings_of_json,
    total_of,
)
from blood_cell_system.reports.image_files import table_to_csv
from blood_cell_system.reports.page.panel import Panel
from blood_cell_system.reports.rates import Rate
from blood_cell_system.reports.report import (
    DISCLAIMER,
    Provenance,
    ReportSettings,
    Status,
    findings_to_json,
    rate_to_json,
    settings_to_json,
)
from blood_cell_system.taxonomy import CELL_TYPES, RBC_CONDITIONS, WBC_CONDITIONS, WBC_TYPES

FORMAT_VERSION: Final = 2

_CSV_COLUMNS: Final = (
    "name",
    "path",
    "status",
    *(cell_type for cell_type in CELL_TYPES),
    "uncertain",
    "touching_border",
    "not_counted",
    "rbc_median_diameter_px",
    "rbc_median_diameter_um",
    *RBC_CONDITIONS,
    *WBC_CONDITIONS,
    *WBC_TYPES,
    "reason",
    "warnings",
)

# Of an image's findings; rates follow from them.
_SUMMED: Final = (
    "state", "reason", "counts", "types", "none_of_these", "cut_off", "uncertain",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOutcome:
    """How one input ended.

    Parameters
    ----------
    name : str
        What the names of its files begin with; empty for an input that holds no image.
    path : str
        As it was named.
    status : Status
    reason : str
        Why it failed; empty otherwise.
    warnings : tuple of str
    summary : mapping
        Counts and sizes; empty for a failed one.
    diameters : mapping of str to tuple of float
        Equivalent diameters of the whole cells by type, in pixels.
    pixel_size_um : float or None
    panel : Panel or None
        What the page shows; None for a failed one.
    cells : tuple of tuple
        ``(cell_id, cell_type, confidence, is_uncertain, is_counted, condition, is_abnormal)`` of
        every cell; no condition where it was not assessed.
    was_kept : bool
        Whether a former run had done it.
    """

    name: str
    path: str
    status: Status
    reason: str = ""
    warnings: tuple[str, ...] = ()
    summary: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    diameters: Mapping[str, tuple[float, ...]] = field(default_factory=lambda: MappingProxyType({}))
    pixel_size_um: float | None = None
    panel: Panel | None = None
    cells: tuple[tuple[int, str, float, bool, bool, str, bool], ...] = ()
    was_kept: bool = False

    def to_json(self) -> dict[str, Any]:
        """Tell how the input ended; the same for an image that was kept and one that was not."""
        value: dict[str, Any] = {
            "name": self.name,
            "path": self.path,
            "status": str(self.status),
            "reason": self.reason,
            "warnings": list(self.warnings),
        }
        return value | {"counts": None} | dict(self.summary)


def outcome_of_report(
    report: Mapping[str, Any], *, name: str, path: str, panel: Panel | None, was_kept: bool
) -> ImageOutcome:
    """Sum up the JSON of a report, whether it was made just now or read from the disk."""
    cells = report["cells"]
    red = report["types"]["RBC"]
    whole = [cell for cell in cells if not cell["touching_border"]]
    return ImageOutcome(
        name=name,
        path=path,
        status=Status(report["status"]),
        warnings=tuple(report["warnings"]),
        summary=MappingProxyType(
            {
                "counts": dict(report["counts"]),
                "is_smear": report["quality"]["is_smear"],
                **{
                    key: sum(kind[key] for kind in report["types"].values())
                    for key in ("uncertain", "touching_border", "not_counted")
                },
                "rbc_median_diameter_px": red["median_diameter_px"],
                "rbc_median_diameter_um": red["median_diameter_um"],
                "data_sha256": report["provenance"]["data_sha256"],
                **{
                    kind: {key: report[kind][key] for key in _SUMMED}
                    for kind in ("rbc_findings", "wbc_findings")
                },
            }
        ),
        diameters=MappingProxyType(
            {
                cell_type: tuple(
                    cell["equivalent_diameter_px"]
                    for cell in whole
                    if cell["cell_type"] == cell_type
                )
                for cell_type in CELL_TYPES
            }
        ),
        pixel_size_um=report["scale"]["pixel_size_um"],
        panel=panel,
        cells=tuple(
            (
                cell["cell_id"],
                cell["cell_type"],
                cell["confidence"],
                "uncertain" in cell["flags"],
                "not_counted" not in cell["flags"],
                _condition_in_words(cell),
                bool(cell["probabilities"]) and cell["condition"] not in HEALTHY | {NONE_OF_THESE},
            )
            for cell in cells
        ),
        was_kept=was_kept,
    )


def _condition_in_words(cell: Mapping[str, Any]) -> str:
    """Tell condition and type with their probabilities; nothing where they were not assessed."""
    if not cell["probabilities"]:
        return ""
    if cell["condition"] == NONE_OF_THESE:
        return NONE_OF_THESE
    told = f"{cell['condition']} {cell['probabilities'][cell['condition']]:.2f}"
    if cell["wbc_type"] is not None:
        told += f", {cell['wbc_type']} {cell['type_probabilities'][cell['wbc_type']]:.2f}"
    return told


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSummary:
    """What came of a batch.

    Parameters
    ----------
    outcomes : tuple of ImageOutcome
        In the order of the inputs.
    settings : ReportSettings
    provenance : Provenance
    passed_over : tuple of str
        Files that are no images by their names.
    """

    outcomes: tuple[ImageOutcome, ...]
    settings: ReportSettings
    provenance: Provenance
    passed_over: tuple[str, ...] = ()

    def count(self, status: Status) -> int:
        """How many inputs ended so."""
        return sum(outcome.status == status for outcome in self.outcomes)

    @property
    def smears(self) -> tuple[ImageOutcome, ...]:
        """Images that were analysed and look like a smear: the sums are of these."""
        return tuple(outcome for outcome in self.outcomes if outcome.summary.get("is_smear"))

    @property
    def left_out(self) -> int:
        """How many images were analysed, but do not look like a smear."""
        return sum(bool(outcome.summary) for outcome in self.outcomes) - len(self.smears)

    @property
    def repeated(self) -> tuple[tuple[str, ...], ...]:
        """Names of smears that are the same file several times, and are summed up as often."""
        names: dict[str, list[str]] = {}
        for outcome in self.smears:
            names.setdefault(outcome.summary["data_sha256"], []).append(outcome.name)
        return tuple(tuple(group) for group in names.values() if len(group) > 1)

    @property
    def counts(self) -> dict[str, int]:
        """Cells by type in all smears together."""
        done = [outcome.summary["counts"] for outcome in self.smears]
        return {kind: sum(counts[kind] for counts in done) for kind in CELL_TYPES}

    @property
    def rates(self) -> tuple[Rate, ...]:
        """Shares of the cells of all smears together."""
        red, white, platelets = self.counts.values()
        return blood_rates(red, white, platelets)

    @property
    def findings(self) -> dict[str, Findings]:
        """What the classifiers found in all smears together: of red cells, of white cells."""
        return {
            kind: total_of(findings_of_json(outcome.summary[kind]) for outcome in self.smears)
            for kind in ("rbc_findings", "wbc_findings")
        }

    def to_json(self) -> dict[str, Any]:
        """Tell what came of the batch."""
        return {
            "format_version": FORMAT_VERSION,
            "disclaimer": DISCLAIMER,
            "provenance": asdict(self.provenance),
            "settings": settings_to_json(self.settings),
            "images_by_status": {str(status): self.count(status) for status in Status},
            "left_out_of_sums": self.left_out,
            "counts": self.counts,
            "rates": [rate_to_json(rate) for rate in self.rates],
            **{kind: findings_to_json(found) for kind, found in self.findings.items()},
            "images": [outcome.to_json() for outcome in self.outcomes],
            "passed_over": list(self.passed_over),
        }

    def to_csv(self) -> str:
        """Lay the images out as comma-separated values, a row an input."""
        rows: Sequence[dict[str, Any]] = [outcome.to_json() for outcome in self.outcomes]
        return table_to_csv(
            _CSV_COLUMNS,
            [
                row
                | (row["counts"] or {})
                | _findings_columns(row)
                | {"warnings": " | ".join(row["warnings"])}
                for row in rows
            ],
        )


def _findings_columns(row: Mapping[str, Any]) -> dict[str, int]:
    """Cells of an image by condition and by type; nothing where they were not assessed."""
    return {
        name: count
        for kind in ("rbc_findings", "wbc_findings")
        for part in ("counts", "types")
        for name, count in row.get(kind, {}).get(part, {}).items()
    }
