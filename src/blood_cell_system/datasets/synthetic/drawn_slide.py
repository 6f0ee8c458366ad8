"""A drawn slide with thick end, monolayer and feathered edge, and the truth about it.

Cells are stamps, drawn once with the means of :mod:`.smear` and put at many places, so that a slide
of 20,000 pixels a side takes a minute or two. It is drawn and written band by band as a tiled
pyramid; its full size is never in memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from blood_cell_system.atomic_files import csv_text, replacing, write_json, write_text
from blood_cell_system.datasets.synthetic.drawn_red_cells import (
    RedCellKind,
    draw_kind,
    draw_kind_shares,
    haemoglobin,
    red_cell_outline,
)
from blood_cell_system.datasets.synthetic.drawn_white_cells import (
    draw_white_cell,
    white_cell_dyes,
    white_cell_outline,
)
from blood_cell_system.datasets.synthetic.shapes import FloatMap, Patch, make_patch
from blood_cell_system.datasets.synthetic.smear import (
    platelet_dyes,
    platelet_outline,
    vary_stain,
)
from blood_cell_system.datasets.synthetic.smear_settings import STAINS, Dye
from blood_cell_system.seeding import generator_for
from blood_cell_system.settings import check_ranges, ranged
from blood_cell_system.taxonomy import PLATELET, RBC, WBC

TILE_PX: Final = 512
"""Side of the file's tiles."""
_SHRINK: Final = 4
"""How much smaller each level of the pyramid is."""
_LEVELS: Final = 2
"""Smaller levels."""
_HALO_PX: Final = 12
"""Pixels around a part that its blur needs."""
_CHUNK_TILES: Final = 8
"""Tiles of a band that are drawn at once."""
_RED_STAMPS, _FLAT_STAMPS, _WHITE_STAMPS, _PLATELET_STAMPS = 160, 40, 60, 24
_JPEG_QUALITY: Final = 85

GLASS, THICK, MONOLAYER, EDGE = "glass", "thick end", "monolayer", "feathered edge"


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideSettings:
    """What a drawn slide is to look like.

    Parameters
    ----------
    height, width : int
        In pixels; the thick end is at the left.
    cell_diameter_px : float
        Mean diameter of a red cell.
    pixel_size_um : float, optional
        Written into the file; 7.5 µm by the diameter of a red cell by default.
    stain : str
        A name of ``STAINS``.
    red_per_white, red_per_platelet : float
        Red cells for each white cell and platelet.

    Raises
    ------
    SettingsError
        A value makes no sense.
    """

    height: int = ranged(20_000, at_least=TILE_PX, at_most=200_000)
    width: int = ranged(20_000, at_least=TILE_PX, at_most=200_000)
    cell_diameter_px: float = ranged(61.0, at_least=8, at_most=400)
    pixel_size_um: float | None = ranged(None, above=0, is_optional=True)
    stain: str = "wright-giemsa"
    red_per_white: float = ranged(300.0, above=0)
    red_per_platelet: float = ranged(20.0, above=0)

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedCells:
    """Every cell of a drawn slide, in no order.

    Parameters
    ----------
    centre : ndarray of shape (n, 2), dtype float64
        x and y of the middle, in pixels.
    stamp : ndarray of shape (n,), dtype int64
        Which stamp it is.
    zone : ndarray of shape (n,), dtype object
    """

    centre: NDArray[np.float64]
    stamp: NDArray[np.int64]
    zone: NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stamp:
    """A cell drawn once: optical density, and what is left of red cells below."""

    cell_type: str
    kind: str
    density: FloatMap
    diameter_px: float


def zone_at(
    x: NDArray[np.float64], y: NDArray[np.float64], settings: SlideSettings
) -> NDArray[Any]:
    """Name the zone of each place: its truth.

    Parameters
    ----------
    x, y : ndarray of shape (n,), dtype float64
        In pixels.
    """
    across, down = x / settings.width, y / settings.height
    # The smear is a tongue: its edge is round, and zones end along curves.
    bend = 0.10 * (2 * down - 1) ** 2 + 0.012 * np.sin(9 * down + 1)
    along = across + bend
    zones = np.full(x.shape, GLASS, dtype=object)
    zones[along < 0.86] = EDGE
    zones[along < 0.70] = MONOLAYER
    zones[along < 0.34] = THICK
    is_outside = (across < 0.03) | (down < 0.06) | (down > 0.94)
    zones[is_outside] = GLASS
    return zones


def place_cells(
    settings: SlideSettings, stamps: tuple[_Stamp, ...], generator: np.random.Generator
) -> PlacedCells:
    """Put cells on a slide: a layer that thins out, layers on each other, and flat cells apart."""
    diameter = settings.cell_diameter_px
    kinds = _groups(stamps)
    centres, chosen, zones = [], [], []
    shares = {THICK: (0.95, 0.9, 0.8), MONOLAYER: (1.0,), EDGE: (1.0,)}
    for zone, layers in shares.items():
        for share in layers:
            centre = _lattice(settings, generator, jitter=0.5 if zone == THICK else 0.22)
            x, y = centre.T
            keep = zone_at(x, y, settings) == zone
            if zone == THICK:
                chance = np.full(len(x), share)
            elif zone == MONOLAYER:
                # From nearly touching to well apart.
                place = np.clip((x / settings.width - 0.34) / 0.36, 0, 1)
                chance = 0.85 - 0.4 * place
            else:
                streak = np.sin(y / (9 * diameter)) + np.sin(x / (23 * diameter))
                chance = np.clip(0.16 + 0.16 * streak, 0.03, 0.5)
            keep &= generator.random(len(x)) < chance
            centre = centre[keep]
            flat = zone == EDGE
            centres.append(centre)
            chosen.append(generator.choice(kinds["flat" if flat else RBC], len(centre)))
            zones.append(np.full(len(centre), zone, dtype=object))
    red, red_stamp = np.concatenate(centres), np.concatenate(chosen)
    red_zone = np.concatenate(zones)
    single = red[red_zone != THICK]
    count = round(len(single) / settings.red_per_white)
    white = single[generator.choice(len(single), min(count, len(single)), replace=False)]
    if len(white) > 1:
        near = cKDTree(white).query_pairs(4.5 * diameter, output_type="ndarray")
        white = np.delete(white, np.unique(near[:, 1]), axis=0) if len(near) else white
    white_stamp = generator.choice(kinds[WBC], len(white))
    if len(white):
        sizes = np.array([stamps[k].diameter_px for k in white_stamp])
        reach, nearest = cKDTree(white).query(red)
        is_free = reach > 0.5 * sizes[nearest] + 0.48 * diameter
        red, red_stamp, red_zone = red[is_free], red_stamp[is_free], red_zone[is_free]
    count = round(len(red) / settings.red_per_platelet)
    small = generator.random((3 * count, 2)) * (settings.width, settings.height)
    is_on = np.isin(zone_at(small[:, 0], small[:, 1], settings), (MONOLAYER, EDGE))
    small = small[is_on]
    everything = np.concatenate([red, white]) if len(white) else red
    if len(small) and len(everything):
        reach, _ = cKDTree(everything).query(small)
        limit = np.where(reach > 0, 0.72 * diameter, 0)
        small = small[reach > limit][:count]
    small_stamp = generator.choice(kinds[PLATELET], len(small))
    centre = np.concatenate([red, white, small])
    return PlacedCells(
        centre=np.floor(centre) + 0.5,
        stamp=np.concatenate([red_stamp, white_stamp, small_stamp]).astype(np.int64),
        zone=np.concatenate(
            [
                red_zone,
                zone_at(white[:, 0], white[:, 1], settings),
                zone_at(small[:, 0], small[:, 1], settings),
            ]
        ),
    )


def _groups(stamps: tuple[_Stamp, ...]) -> dict[str, NDArray[np.int64]]:
    groups: dict[str, list[int]] = {}
    for index, stamp in enumerate(stamps):
        name = "flat" if stamp.kind == "flat" else stamp.cell_type
        groups.setdefault(name, []).append(index)
    return {name: np.array(found) for name, found in groups.items()}


def _lattice(
    settings: SlideSettings, generator: np.random.Generator, *, jitter: float
) -> NDArray[np.float64]:
    """Places on a hexagonal lattice, each shifted by chance so that some cells touch."""
    spacing = 1.14 * settings.cell_diameter_px
    rows = int(settings.height / (spacing * 0.866)) + 1
    columns = int(settings.width / spacing) + 1
    row, column = np.mgrid[0:rows, 0:columns]
    x = (column + 0.5 * (row % 2)) * spacing + generator.uniform(0, spacing)
    y = row * spacing * 0.866 + generator.uniform(0, spacing)
    centre = np.stack([x.ravel(), y.ravel()], axis=1)
    angle = generator.uniform(0, 2 * np.pi, len(centre))
    reach = jitter * spacing * np.sqrt(generator.random(len(centre)))
    return centre + np.stack([reach * np.cos(angle), reach * np.sin(angle)], axis=1)


def draw_stamps(
    settings: SlideSettings, absorption: FloatMap, generator: np.random.Generator
) -> tuple[_Stamp, ...]:
    """Draw the cells that a slide is made of."""
    radius = settings.cell_diameter_px / 2
    side = 2 * int(6 * radius / 2) + 1
    middle = (side / 2, side / 2)
    stamps = []

    def add(cell_type: str, kind: str, patch: Patch | None, dyes: dict[Dye, FloatMap]) -> None:
        if patch is None:
            return
        planes = np.zeros((len(Dye), side, side), dtype=np.float32)
        for dye, amount in dyes.items():
            planes[dye][patch.window] += amount
        density = np.moveaxis(planes, 0, 2) @ absorption
        area = float(patch.inside.sum())
        rows, columns = (np.flatnonzero((density > 1e-4).any(axis=(axis, 2))) for axis in (1, 0))
        # Symmetric around the middle, so that a place is the place of the middle.
        reach = int(max(abs(side // 2 - np.array([rows[0], rows[-1], columns[0], columns[-1]]))))
        window = slice(side // 2 - reach, side // 2 + reach + 1)
        stamps.append(
            _Stamp(
                cell_type=cell_type,
                kind=kind,
                density=np.ascontiguousarray(density[window, window], dtype=np.float32),
                diameter_px=2 * (area / np.pi) ** 0.5,
            )
        )

    shares = draw_kind_shares(generator)
    for number in range(_RED_STAMPS + _FLAT_STAMPS):
        is_flat = number >= _RED_STAMPS
        kind = RedCellKind.SPHERE if is_flat else draw_kind(generator, shares)
        size = (
            radius
            * (1.06 if is_flat else 1)
            * float(np.clip(generator.normal(1, 0.05), 0.85, 1.15))
        )
        outline = red_cell_outline(generator, kind=kind, centre=middle, radius_px=size)
        patch = make_patch(outline, (side, side))
        if patch is None:
            continue
        amount = haemoglobin(patch, generator, kind=kind, radius_px=size, pallor=0.55, rim=0.12)
        add(RBC, "flat" if is_flat else str(kind), patch, {Dye.HAEMOGLOBIN: amount})
    for _ in range(_WHITE_STAMPS):
        white_kind, size = draw_white_cell(generator, red_radius_px=radius)
        outline = white_cell_outline(generator, kind=white_kind, centre=middle, radius_px=size)
        patch = make_patch(outline, (side, side))
        if patch is None:
            continue
        dyes = white_cell_dyes(patch, generator, kind=white_kind, radius_px=size)
        add(WBC, str(white_kind), patch, dyes)
    for _ in range(_PLATELET_STAMPS):
        size = settings.cell_diameter_px * generator.uniform(0.12, 0.2)
        outline = platelet_outline(generator, centre=middle, radius_px=size)
        patch = make_patch(outline, (side, side))
        if patch is not None:
            add(PLATELET, "platelet", patch, platelet_dyes(patch, generator, radius_px=size))
    return tuple(stamps)


class SlideDrawing:
    """A slide that is drawn where it is asked for; equal seeds give equal pixels."""

    def __init__(self, settings: SlideSettings, seed: int = 0) -> None:
        self.settings = settings
        self.seed = seed
        generator = generator_for(seed, "slide")
        self._glass, absorption = vary_stain(STAINS[settings.stain], generator)
        self.stamps = draw_stamps(settings, absorption, generator)
        self.cells = place_cells(settings, self.stamps, generator)
        self._order = np.argsort(self.cells.centre[:, 1], kind="stable")
        self._rows = self.cells.centre[self._order, 1]
        self._reach = max(len(stamp.density) for stamp in self.stamps) // 2 + 1

    def draw(self, left: int, top: int, width: int, height: int) -> NDArray[np.uint8]:
        """Draw a part whose corner is a corner of a tile; RGB."""
        halo = _HALO_PX
        density = np.zeros((height + 2 * halo, width + 2 * halo, 3), dtype=np.float32)
        y0, x0 = top - halo, left - halo
        first, last = np.searchsorted(
            self._rows, (y0 - self._reach, y0 + len(density) + self._reach)
        )
        for index in np.sort(self._order[first:last]):
            x, y = self.cells.centre[index].astype(np.int64) - (x0, y0)
            stamp = self.stamps[self.cells.stamp[index]].density
            reach = len(stamp) // 2
            rows = slice(max(y - reach, 0), min(y + reach + 1, density.shape[0]))
            columns = slice(max(x - reach, 0), min(x + reach + 1, density.shape[1]))
            if rows.start >= rows.stop or columns.start >= columns.stop:
                continue
            density[rows, columns] += stamp[
                rows.start - y + reach : rows.stop - y + reach,
                columns.start - x + reach : columns.stop - x + reach,
            ]
        light = cv2.exp(-density)
        light = cv2.GaussianBlur(light, (0, 0), max(0.5, 0.012 * self.settings.cell_diameter_px))
        light = light[halo:-halo, halo:-halo] * self._glass
        noise = generator_for(self.seed, "noise", left, top).standard_normal(
            light.shape, dtype=np.float32
        )
        light += cv2.GaussianBlur(noise, (0, 0), 0.6) * np.float32(3.0)
        return np.asarray(np.clip(np.rint(light), 0, 255), dtype=np.uint8)


def write_slide(output: Path, settings: SlideSettings, *, seed: int = 0) -> SlideDrawing:
    """Draw a slide into ``slide.tif``, and its truth into ``slide_cells.csv`` and JSON.

    Parameters
    ----------
    output : Path
        Folder to write; made when it is not there.

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    from tifffile import TiffWriter

    output.mkdir(parents=True, exist_ok=True)
    drawing = SlideDrawing(settings, seed)
    # Without the library of codecs only what the standard library packs can be written.
    has_codecs = find_spec("imagecodecs") is not None
    packing: dict[str, Any] = {"compression": "deflate", "compressionargs": {"level": 1}}
    if has_codecs:
        packing = {"compression": "jpeg", "compressionargs": {"level": _JPEG_QUALITY}}
    size_um = settings.pixel_size_um or 7.5 / settings.cell_diameter_px
    shape = settings.height, settings.width
    smaller = [
        np.zeros((*(-(-side // _SHRINK**k) for side in shape), 3), dtype=np.uint8)
        for k in range(1, _LEVELS + 1)
    ]
    with replacing(output / "slide.tif") as temporary, TiffWriter(temporary, bigtiff=True) as file:
        common = {"tile": (TILE_PX, TILE_PX), "photometric": "rgb", "metadata": None, **packing}
        file.write(
            _tiles(drawing, smaller[0]),
            shape=(*shape, 3),
            dtype="uint8",
            subifds=_LEVELS,
            resolution=(1e4 / size_um, 1e4 / size_um),
            resolutionunit="CENTIMETER",
            **common,
        )
        for index, level in enumerate(smaller):
            if index:
                before = smaller[index - 1]
                level[:] = cv2.resize(before, level.shape[1::-1], interpolation=cv2.INTER_AREA)
            file.write(level, subfiletype=1, **common)
    _write_truth(output, drawing)
    return drawing


def _tiles(drawing: SlideDrawing, smaller: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """Draw the tiles of the file in their order, and the level above from them."""
    height, width = drawing.settings.height, drawing.settings.width
    side = TILE_PX // _SHRINK
    for top in range(0, height, TILE_PX):
        for start in range(0, width, _CHUNK_TILES * TILE_PX):
            across = min(-(-(width - start) // TILE_PX), _CHUNK_TILES)
            chunk = drawing.draw(start, top, across * TILE_PX, TILE_PX)
            small = cv2.resize(chunk, (across * side, side), interpolation=cv2.INTER_AREA)
            place = smaller[top // _SHRINK :, start // _SHRINK :][:side, : across * side]
            place[:] = small[: place.shape[0], : place.shape[1]]
            for index in range(across):
                yield np.ascontiguousarray(chunk[:, index * TILE_PX : (index + 1) * TILE_PX])


def _write_truth(output: Path, drawing: SlideDrawing) -> None:
    cells, stamps = drawing.cells, drawing.stamps
    rows = [
        (round(x, 1), round(y, 1), stamp.cell_type, stamp.kind, round(stamp.diameter_px, 1), zone)
        for (x, y), stamp, zone in zip(
            cells.centre.tolist(),
            (stamps[k] for k in cells.stamp),
            cells.zone,
            strict=True,
        )
    ]
    heading = ("x", "y", "cell_type", "kind", "diameter_px", "zone")
    write_text(output / "slide_cells.csv", csv_text([heading, *rows]))
    names, counts = np.unique(cells.zone.astype(str), return_counts=True)
    write_json(
        output / "slide.json",
        {
            "width_px": drawing.settings.width,
            "height_px": drawing.settings.height,
            "seed": drawing.seed,
            "stain": drawing.settings.stain,
            "cell_diameter_px": drawing.settings.cell_diameter_px,
            "cells_by_zone": dict(zip(names.tolist(), counts.tolist(), strict=True)),
        },
    )
