"""What preparing did, for a person to read."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blood_cell_system.boxes import BoxOrigin
from blood_cell_system.classes import CellType
from blood_cell_system.datasets.sample import DroppedCell, FailedPicture
from blood_cell_system.masks.sample_mask import MaskMethod

_MOST_LINES: Final = 20
"""Of a list in the summary; the manifest has them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareSummary:
    """What preparing did.

    Parameters
    ----------
    output : Path
    mask_method : MaskMethod
    split_counts : mapping of str to int
        Pictures by split; ``no split`` where nothing names them.
    cell_counts : mapping of tuple of CellType and BoxOrigin to int
    dropped : tuple of DroppedCell
    failed : tuple of FailedPicture
    notes : tuple of str
        What the reader had to say.
    given_masks : int
        Pictures whose class masks were given, and taken as they are.
    """

    output: Path
    mask_method: MaskMethod
    split_counts: Mapping[str, int]
    cell_counts: Mapping[tuple[CellType, BoxOrigin], int]
    dropped: tuple[DroppedCell, ...]
    failed: tuple[FailedPicture, ...]
    notes: tuple[str, ...] = ()
    given_masks: int = 0

    def to_text(self) -> str:
        """Say it in a few lines."""
        splits = ", ".join(f"{name} {count}" for name, count in self.split_counts.items())
        count = sum(self.split_counts.values())
        origin = f"outlines as given, boxes by the {self.mask_method} method"
        if self.given_masks:
            others = f"; the others: {origin}" if self.given_masks < count else ""
            origin = f"{self.given_masks} masks as they were given{others}"
        lines = [f"{self.output}: {count} pictures prepared ({splits}), {origin}"]
        if self.given_masks == count and not self.cell_counts:
            lines.append("  where single cells are, nobody has said")
            return "\n".join([*lines, *self._remarks()])
        for cell_type in CellType:
            found = self.cell_counts.get((cell_type, BoxOrigin.STAIN), 0)
            marked = sum(
                count
                for (other, origin), count in self.cell_counts.items()
                if other is cell_type and origin is not BoxOrigin.STAIN
            )
            more = f", {found} more found by their stain" if found else ""
            lines.append(f"  {cell_type}: {marked} annotated{more}")
        return "\n".join([*lines, *self._remarks()])

    def _remarks(self) -> list[str]:
        lines = list(self.notes)
        if self.dropped:
            lines.append(f"{len(self.dropped)} boxes dropped:")
            lines += _first_lines(
                [
                    f"  {cell.file}: object {cell.object_index}: {cell.reason}"
                    for cell in self.dropped
                ]
            )
        if self.failed:
            lines.append(f"{len(self.failed)} pictures failed and were left out:")
            lines += _first_lines([f"  {picture.reason}" for picture in self.failed])
        return lines


def _first_lines(lines: list[str]) -> list[str]:
    rest = len(lines) - _MOST_LINES
    if rest <= 0:
        return lines
    return [*lines[:_MOST_LINES], f"  and {rest} more: see manifest.json"]
