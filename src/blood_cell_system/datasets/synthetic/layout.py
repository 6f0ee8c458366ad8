"""Where cells lie: alone, in clumps, and in rouleaux."""

from typing import Final

import numpy as np
from scipy.spatial import cKDTree

MAX_TRIES: Final = 25
"""Places tried for a cell before the field counts as full there."""


class Field:
    """Circles in a field, none nearer to another than it may be.

    Parameters
    ----------
    shape : tuple of int
        ``(height, width)`` in pixels.
    margin_px : float
        How far outside the image centres may lie.
    """

    def __init__(self, shape: tuple[int, int], *, margin_px: float) -> None:
        self.shape = shape
        self.margin_px = margin_px
        self._circles = np.zeros((64, 3))
        self._count = 0

    def random_place(self, generator: np.random.Generator) -> tuple[float, float]:
        """Draw a place in the field with its margin, as ``(x, y)``."""
        height, width = self.shape
        return (
            float(generator.uniform(-self.margin_px, width + self.margin_px)),
            float(generator.uniform(-self.margin_px, height + self.margin_px)),
        )

    def contains(self, x: float, y: float) -> bool:
        """Whether a place lies in the field with its margin."""
        height, width = self.shape
        return (
            -self.margin_px <= x <= width + self.margin_px
            and -self.margin_px <= y <= height + self.margin_px
        )

    def nearness(self, x: float, y: float, radius_px: float) -> np.ndarray:
        """Distance to every circle in units of the sum of both radii: 1 means that they touch."""
        circles = self._circles[: self._count]
        distance = np.hypot(circles[:, 0] - x, circles[:, 1] - y)
        return np.asarray(distance / (circles[:, 2] + radius_px))

    def add(self, x: float, y: float, radius_px: float) -> None:
        """Put a circle into the field."""
        if self._count == len(self._circles):
            self._circles = np.concatenate([self._circles, np.zeros_like(self._circles)])
        self._circles[self._count] = (x, y, radius_px)
        self._count += 1

    def __len__(self) -> int:
        return self._count


def place_white_cells(
    field: Field, generator: np.random.Generator, radii_px: list[float]
) -> list[tuple[float, float] | None]:
    """Place white cells apart from each other, with their centres in the image.

    Returns
    -------
    list of tuple of float or None
        Centre ``(x, y)`` of each; None where the field had no room for it.
    """
    height, width = field.shape
    places: list[tuple[float, float] | None] = []
    for radius in radii_px:
        inset = min(0.4 * radius, 0.4 * min(height, width))
        for _ in range(MAX_TRIES):
            x = float(generator.uniform(inset, width - inset))
            y = float(generator.uniform(inset, height - inset))
            if (field.nearness(x, y, radius) >= 1.02).all():
                field.add(x, y, radius)
                places.append((x, y))
                break
        else:
            places.append(None)
    return places


def place_red_cells(
    field: Field, generator: np.random.Generator, radii_px: np.ndarray, *, clumping: float
) -> list[tuple[float, float, float]]:
    """Place red cells, some alone and some in clumps and rouleaux.

    Parameters
    ----------
    field : Field
        With the white cells in it, which red cells make way for.
    radii_px : ndarray of shape (n,)
        Radii of the cells that are to be placed.
    clumping : float
        Share of the cells that touch or overlap another.

    Returns
    -------
    list of tuple of float
        ``(x, y, radius)`` of each, at most n.
    """
    white_count = len(field)
    # A group has 3.4 cells on average: the share of starts that grow into one follows from that.
    chance_of_group = clumping / (3.4 - 2.4 * clumping)
    waiting = [float(radius) for radius in radii_px]
    placed: list[tuple[float, float, float]] = []
    while waiting:
        start = _place_alone(field, generator, waiting.pop())
        if start is None:
            continue
        placed.append(start)
        if generator.random() < chance_of_group:
            size = min(len(waiting), int(generator.geometric(0.42)))
            is_rouleau = generator.random() < 0.3
            group = [waiting.pop() for _ in range(size)]
            grow = _grow_rouleau if is_rouleau else _grow_clump
            placed += grow(field, generator, start, group, white_count)
    return placed


def _place_alone(
    field: Field, generator: np.random.Generator, radius: float
) -> tuple[float, float, float] | None:
    for _ in range(MAX_TRIES):
        x, y = field.random_place(generator)
        if (field.nearness(x, y, radius) >= 1.04).all():
            field.add(x, y, radius)
            return x, y, radius
    return None


def _grow_clump(
    field: Field,
    generator: np.random.Generator,
    start: tuple[float, float, float],
    radii_px: list[float],
    white_count: int,
) -> list[tuple[float, float, float]]:
    grown = [start]
    for radius in radii_px:
        for _ in range(MAX_TRIES):
            x0, y0, radius0 = grown[int(generator.integers(len(grown)))]
            distance = generator.uniform(0.55, 1.0) * (radius + radius0)
            angle = generator.uniform(0, 2 * np.pi)
            x, y = x0 + distance * np.cos(angle), y0 + distance * np.sin(angle)
            near = field.nearness(x, y, radius)
            if field.contains(x, y) and _has_room(near, white_count, 0.55):
                field.add(x, y, radius)
                grown.append((x, y, radius))
                break
    return grown[1:]


def _grow_rouleau(
    field: Field,
    generator: np.random.Generator,
    start: tuple[float, float, float],
    radii_px: list[float],
    white_count: int,
) -> list[tuple[float, float, float]]:
    grown = [start]
    direction = generator.uniform(0, 2 * np.pi)
    spacing = generator.uniform(0.36, 0.62)
    for radius in radii_px:
        x0, y0, radius0 = grown[-1]
        direction += generator.normal(0, 0.2)
        distance = spacing * (radius + radius0)
        x, y = x0 + distance * np.cos(direction), y0 + distance * np.sin(direction)
        near = field.nearness(x, y, radius)
        if not (field.contains(x, y) and _has_room(near, white_count, 0.34)):
            break
        field.add(x, y, radius)
        grown.append((x, y, radius))
    return grown[1:]


def _has_room(near: np.ndarray, white_count: int, nearest: float) -> bool:
    # White cells are soft but thick: red cells lie against them, not on them.
    return bool((near[:white_count] >= 0.95).all() and (near[white_count:] >= nearest).all())


def walls_between(
    circles: list[tuple[float, float, float]], generator: np.random.Generator
) -> list[list[tuple[float, float]]]:
    """Choose which neighbours press against each other instead of overlapping.

    Parameters
    ----------
    circles : list of tuple of float
        ``(x, y, radius)`` of each cell.

    Returns
    -------
    list of list of tuple of float
        Of each cell the walls that flatten it: direction in radians, distance in pixels.
    """
    walls: list[list[tuple[float, float]]] = [[] for _ in circles]
    if len(circles) < 2:
        return walls
    x, y, radius = np.array(circles).T
    tree = cKDTree(np.column_stack([x, y]))
    first, second = tree.query_pairs(1.08 * 2 * radius.max(), output_type="ndarray").T
    reach = radius[first] + radius[second]
    distance = np.hypot(x[first] - x[second], y[first] - y[second])
    touches = (distance > 0.72 * reach) & (distance < 1.08 * reach)
    # The tree's order is its own affair: sorted pairs draw the same numbers everywhere.
    order = np.lexsort((second, first))
    order = order[touches[order]]
    first, second, reach, distance = first[order], second[order], reach[order], distance[order]
    is_wall = generator.random(len(first)) < generator.uniform(0.2, 0.8)
    for k in np.flatnonzero(is_wall):
        i, j = int(first[k]), int(second[k])
        direction = float(np.arctan2(y[j] - y[i], x[j] - x[i]))
        # A gap of a hundredth of a cell keeps the two apart to the eye.
        share = 0.99 * distance[k] / reach[k]
        walls[i].append((direction, float(share * radius[i])))
        walls[j].append((direction + np.pi, float(share * radius[j])))
    return walls
