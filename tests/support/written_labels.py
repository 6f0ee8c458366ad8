"""Samples with cells of every kind, for writing them in a format and reading them back."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from support.reader_contract import SHAPE, draw_images

from blood_cell_system.annotation.outline import Outline, PixelOutline, PolygonOutline
from blood_cell_system.annotation.sample import Annotation, Sample
from blood_cell_system.annotation.splits import Split
from blood_cell_system.boxes import Box
from blood_cell_system.taxonomy import BUILT_IN

TILE = 18
# Cells lie apart, as two marks of one cell would be taken for such.
PLACES = [(x, y) for y in range(1, SHAPE[0] - TILE, TILE) for x in range(1, SHAPE[1] - TILE, TILE)]
HUNDREDTHS = st.integers(0, 1600).map(lambda number: number / 100)


@st.composite
def pixel_outlines(draw: st.DrawFn, place: tuple[int, int]) -> PixelOutline:
    # Any pixels, in parts and with holes, on a cross that makes them large enough for a cell.
    pixels = draw(arrays.arrays(bool, (TILE - 2, TILE - 2)))
    pixels[5, 2:9] = pixels[2:9, 5] = True
    return PixelOutline.from_pixels(pixels, offset=place)


@st.composite
def polygon_outlines(draw: st.DrawFn, place: tuple[int, int]) -> PolygonOutline:
    radii = draw(arrays.arrays(np.float64, 9, elements=st.integers(30, 80).map(lambda r: r / 10)))
    angles = np.arange(9) * 2 * np.pi / 9
    corners = np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1) + 8.5
    return PolygonOutline(rings=((corners + place).round(3),))


@st.composite
def boxes(draw: st.DrawFn, place: tuple[int, int]) -> Box:
    x, y = (origin + draw(HUNDREDTHS) / 2 for origin in place)
    width, height = (4 + draw(HUNDREDTHS) / 4 for _ in range(2))
    return Box(x, y, x + width, y + height)


@st.composite
def cells(draw: st.DrawFn, place: tuple[int, int], kinds: Sequence[str]) -> Annotation:
    cell_type = draw(st.sampled_from(BUILT_IN.names))
    kind = draw(st.sampled_from(kinds))
    if kind == "point":
        x, y = (origin + draw(HUNDREDTHS) for origin in place)
        return Annotation(cell_type=cell_type, point=(x, y))
    if kind == "box":
        return Annotation(cell_type=cell_type, box=draw(boxes(place)))
    outline: Outline = draw({"pixels": pixel_outlines, "polygon": polygon_outlines}[kind](place))
    return Annotation(cell_type=cell_type, box=outline.box, outline=outline)


@st.composite
def samples(
    draw: st.DrawFn, kinds: Sequence[str] = ("pixels", "polygon", "box", "point")
) -> list[Sample]:
    """Two images with up to four cells and two regions that are not scored."""
    found = []
    for stem in ("a", "b"):
        places = draw(st.lists(st.sampled_from(PLACES), unique=True, max_size=6))
        found.append(
            Sample(
                stem=stem,
                image_path=Path(f"{stem}.png"),
                shape=SHAPE,
                cells=tuple(draw(cells(place, kinds)) for place in places[:4]),
                unscored=tuple(draw(pixel_outlines(place)) for place in places[4:]),
                split=draw(st.sampled_from(Split)),
            )
        )
    return found


def with_images(drawn: Sequence[Sample], folder: Path) -> list[Sample]:
    """The samples, with images that are there."""
    draw_images(folder, [sample.image_path.name for sample in drawn])
    return [replace(sample, image_path=folder / sample.image_path.name) for sample in drawn]


def pixels_in(outline: Outline) -> np.ndarray:
    """Pixels of an outline in an image of ``SHAPE``."""
    mask = np.zeros(SHAPE, bool)
    rows, columns, inside = outline.window(SHAPE)
    mask[rows, columns] = inside
    return mask


def assert_same_sample(found: Sample, expected: Sample, *, within_px: float = 2e-3) -> None:
    """Check that nothing was lost on the way."""
    assert (found.stem, found.shape, found.split) == (
        expected.stem,
        expected.shape,
        expected.split,
    )
    for cell, other in zip(found.cells, expected.cells, strict=True):
        assert_same_cell(cell, other, within_px=within_px)
    for region, other_region in zip(found.unscored, expected.unscored, strict=True):
        np.testing.assert_array_equal(pixels_in(region), pixels_in(other_region))


def assert_same_cell(cell: Annotation, other: Annotation, *, within_px: float) -> None:
    assert cell.cell_type == other.cell_type
    if other.outline is not None:
        np.testing.assert_array_equal(pixels_in(cell.outline), pixels_in(other.outline))
    else:
        assert cell.outline is None
        assert cell.box == (other.box and pytest.approx(other.box, abs=within_px))
        assert cell.point == (other.point and pytest.approx(other.point, abs=within_px))
