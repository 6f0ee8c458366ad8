"""What combining folders came to, in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from blood_cell_system.classes import CellType
from blood_cell_system.datasets.prepared import Split

_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinedSource:
    """One source of a combined folder.

    Parameters
    ----------
    name : str
    licence : str
    picture_count : int
    red_cell_diameter_px : float or None
        Median before resampling, by the labels or as given; None where nothing tells.
    measured_cells : int
        Whole red cells that the labels show.
    magnification : float
        By how much its pictures were resampled; 1 leaves them byte for byte.
    unmarked_types : tuple of CellType
        Types that nobody marked in this source, though they may be there.
    """

    name: str
    licence: str
    picture_count: int
    red_cell_diameter_px: float | None
    measured_cells: int
    magnification: float
    unmarked_types: tuple[CellType, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitMove:
    """A picture that changed its split, because another one shows the same field."""

    stem: str
    from_split: Split | None
    to_split: Split | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CombineSummary:
    """What ``combine_folders`` did.

    Parameters
    ----------
    output : Path
    sources : tuple of CombinedSource
    split_counts : mapping of str to int
    renamed_count : int
        Pictures that got their source's name in front.
    same_fields : tuple of tuple of str
        Groups of originals that show the same field.
    moves : tuple of SplitMove
    cell_diameter_px : float or None
        Asked for; None where sizes were left.
    """

    output: Path
    sources: tuple[CombinedSource, ...]
    split_counts: Mapping[str, int]
    renamed_count: int
    same_fields: tuple[tuple[str, ...], ...]
    moves: tuple[SplitMove, ...]
    cell_diameter_px: float | None

    def to_text(self) -> str:
        """Say it in a few lines."""
        splits = ", ".join(f"{name} {count}" for name, count in self.split_counts.items())
        total = sum(source.picture_count for source in self.sources)
        lines = [f"{self.output}: {total} pictures of {len(self.sources)} sources ({splits})"]
        lines += [f"  {self._line(source)}" for source in self.sources]
        if self.renamed_count:
            lines.append(
                f"{self.renamed_count} pictures share their names with others and got their "
                "source's name in front"
            )
        if self.same_fields:
            lines.append(f"{len(self.same_fields)} fields are there more than once:")
            lines += [f"  {', '.join(group)}" for group in self.same_fields[:_SHOWN]]
            lines += ["  ..."] * (len(self.same_fields) > _SHOWN)
            lines.append(
                f"  each kept in one split, test before val before train: {len(self.moves)} "
                "pictures changed theirs"
            )
        return "\n".join(lines)

    def _line(self, source: CombinedSource) -> str:
        words = f"{source.name}: {source.picture_count} pictures, licence {source.licence}"
        if source.red_cell_diameter_px is None:
            hint = "" if self.cell_diameter_px is None else f": --source-diameter {source.name}=PX"
            return f"{words}, size of red cells unknown, left as they are{hint}"
        change = (
            "left as they are"
            if source.magnification == 1
            else f"resampled by {source.magnification:.2f}"
        )
        return f"{words}, red cells {source.red_cell_diameter_px:.0f} px, {change}"
