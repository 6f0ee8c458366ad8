"""One drawn smear: a picture and the whole truth about it."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.boxes import LabelledBox
from blood_cell_system.classes import MASK_CLASS, CellType
from blood_cell_system.datasets.synthetic.bodies import Body, box_of, visible
from blood_cell_system.datasets.synthetic.disease import (
    MALARIA,
    SICKLE,
    draw_condition,
    parasite_dyes,
    sickle_outline,
)
from blood_cell_system.datasets.synthetic.layout import (
    MAX_TRIES,
    Field,
    place_red_cells,
    place_white_cells,
    walls_between,
)
from blood_cell_system.datasets.synthetic.optics import photograph, vary_stain
from blood_cell_system.datasets.synthetic.red_cells import (
    RedCellKind,
    draw_kind,
    draw_kind_shares,
    haemoglobin,
    red_cell_outline,
)
from blood_cell_system.datasets.synthetic.settings import MIXED, STAINS, Dye, SmearSettings
from blood_cell_system.datasets.synthetic.shapes import FloatMap, make_patch, pressed_against
from blood_cell_system.datasets.synthetic.small_bodies import (
    add_dirt,
    platelet_dyes,
    platelet_outline,
)
from blood_cell_system.datasets.synthetic.white_cells import (
    WhiteCellKind,
    draw_white_cell,
    white_cell_dyes,
    white_cell_outline,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnSmear:
    """A drawn smear with its truth.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.
    class_mask : ndarray of shape (height, width), dtype uint8
        Values of ``CellClass``; platelets are background.
    label_image : ndarray of shape (height, width), dtype uint16
        0 background, 1..n the cells, platelets among them. Where two red cells overlap, each has
        the part that lies nearer to its own middle; white cells lie over red ones.
    cells : tuple of LabelledBox
        Cell ``i`` has the label ``i + 1``. Its box is that of its whole outline, as far as it is
        in the image: also of the part that lies under another cell, which a person sees as well.
    kinds : tuple of str
        What each cell is: ``healthy_RBC``, ``malaria_RBC``, ``sickle_RBC``, a value of
        ``WhiteCellKind``, or ``platelet``.
    """

    image: NDArray[np.uint8]
    class_mask: NDArray[np.uint8]
    label_image: NDArray[np.uint16]
    cells: tuple[LabelledBox, ...]
    kinds: tuple[str, ...]


def draw_smear(settings: SmearSettings, generator: np.random.Generator) -> DrawnSmear:
    """Draw a smear.

    Parameters
    ----------
    settings : SmearSettings
    generator : numpy.random.Generator
        An equal state gives an equal smear.

    Returns
    -------
    DrawnSmear

    Examples
    --------
    >>> settings = SmearSettings(shape=(96, 128), cell_diameter_px=30)
    >>> smear = draw_smear(settings, np.random.default_rng(0))
    >>> smear.image.shape, int(smear.label_image.max()) == len(smear.cells)
    ((96, 128, 3), True)
    """
    stain = settings.stain
    if stain == MIXED:
        stain = str(generator.choice(list(STAINS)))
    bodies = _white_and_red_bodies(settings, generator)
    bodies, labels = visible(bodies, settings.shape)
    bodies += _platelet_bodies(settings, generator, labels, bodies)
    # Platelets lie where no label is, so they take nothing from the cells before them.
    bodies, labels = visible(bodies, settings.shape)
    glass, absorption = vary_stain(STAINS[stain], generator)
    density = _dye_amounts(bodies, settings, generator) @ absorption
    add_dirt(
        density,
        generator,
        count=int(generator.poisson(settings.dirt_rate)),
        radius_px=settings.cell_diameter_px / 2,
    )
    mask_values = np.array([0] + [MASK_CLASS[body.cell_type] for body in bodies], dtype=np.uint8)
    return DrawnSmear(
        image=photograph(density, glass, generator, settings),
        class_mask=mask_values[labels],
        label_image=labels,
        cells=tuple(box_of(body) for body in bodies),
        kinds=tuple(body.name for body in bodies),
    )


def _white_and_red_bodies(settings: SmearSettings, generator: np.random.Generator) -> list[Body]:
    height, width = settings.shape
    radius = settings.cell_diameter_px / 2
    field = Field(settings.shape, margin_px=0.8 * radius)
    bodies = []
    count = int(generator.choice(len(settings.white_cell_counts), p=settings.white_cell_counts))
    drawn = [
        draw_white_cell(generator, red_radius_px=radius, kinds=settings.white_kinds)
        for _ in range(count)
    ]
    places = place_white_cells(field, generator, [size for _, size in drawn])
    for (white_kind, size), centre in zip(drawn, places, strict=True):
        if centre is None:
            continue
        outline = white_cell_outline(generator, kind=white_kind, centre=centre, radius_px=size)
        patch = make_patch(outline, settings.shape)
        if patch is not None:
            bodies.append(
                Body(cell_type=CellType.WBC, kind=white_kind, radius_px=size, patch=patch)
            )
    area = (height + 1.6 * radius) * (width + 1.6 * radius)
    red_count = round(generator.uniform(*settings.coverage) * area / (np.pi * radius**2))
    spread = generator.uniform(0.03, 0.09)
    radii = radius * generator.normal(1, spread, red_count).clip(0.75, 1.25)
    shares = draw_kind_shares(generator)
    clumping = generator.uniform(*settings.clumping)
    places_and_radii = place_red_cells(field, generator, radii, clumping=clumping)
    walls = walls_between(places_and_radii, generator)
    for (x, y, size), own_walls in zip(places_and_radii, walls, strict=True):
        kind = draw_kind(generator, shares)
        condition = draw_condition(settings, generator)
        if condition == SICKLE:
            # Dense all over: its haemoglobin has turned to fibres.
            kind = RedCellKind.SPHERE
            outline = sickle_outline(generator, centre=(x, y), radius_px=size)
        else:
            outline = red_cell_outline(generator, kind=kind, centre=(x, y), radius_px=size)
        for direction, distance_px in own_walls:
            outline = pressed_against(outline, direction=direction, distance_px=distance_px)
        patch = make_patch(outline, settings.shape)
        if patch is not None:
            bodies.append(
                Body(
                    cell_type=CellType.RBC,
                    kind=kind,
                    radius_px=size,
                    patch=patch,
                    condition=condition,
                )
            )
    return bodies


def _platelet_bodies(
    settings: SmearSettings,
    generator: np.random.Generator,
    labels: NDArray[np.uint16],
    others: list[Body],
) -> list[Body]:
    """Put platelets into the gaps, so that each of them is whole."""
    red_count = sum(body.cell_type == CellType.RBC for body in others)
    count = int(generator.poisson(settings.platelet_rate * red_count / 20))
    free_px = cv2.distanceTransform((labels == 0).astype(np.uint8), cv2.DIST_L2, 3)
    field = Field(settings.shape, margin_px=0)
    bodies: list[Body] = []
    for _ in range(count):
        size = settings.cell_diameter_px * generator.uniform(0.1, 0.2)
        # The outline reaches further than its mean radius.
        reach_px = 1.7 * size + 1
        for _ in range(MAX_TRIES):
            x, y = field.random_place(generator)
            if free_px[int(y), int(x)] < reach_px or (field.nearness(x, y, reach_px) < 1).any():
                continue
            field.add(x, y, reach_px)
            outline = platelet_outline(generator, centre=(x, y), radius_px=size)
            patch = make_patch(outline, settings.shape)
            if patch is not None:
                bodies.append(
                    Body(cell_type=CellType.PLATELET, kind=None, radius_px=size, patch=patch)
                )
            break
    return bodies


def _dye_amounts(
    bodies: list[Body], settings: SmearSettings, generator: np.random.Generator
) -> FloatMap:
    """Sum up the dye of all cells.

    Returns
    -------
    ndarray of shape (height, width, 5), dtype float32
    """
    planes = np.zeros((len(Dye), *settings.shape), dtype=np.float32)
    pallor, rim = generator.uniform(0.0, 0.75), generator.uniform(0.03, 0.3)
    # Cells that lie on each other are squeezed: their amounts add less than fully.
    power = generator.uniform(1.1, 2.2)
    polychromasia = generator.uniform(0.0, 0.12)
    ordered = sorted(bodies, key=lambda body: body.cell_type != CellType.RBC)
    for body in ordered:
        window = body.patch.window
        if isinstance(body.kind, RedCellKind):
            amount = haemoglobin(
                body.patch,
                generator,
                kind=body.kind,
                radius_px=body.radius_px,
                pallor=pallor,
                rim=rim,
            )
            planes[Dye.HAEMOGLOBIN][window] += np.maximum(amount, 0) ** np.float32(power)
            # Young red cells still hold RNA, which tints them blue.
            planes[Dye.RNA][window] += amount * np.float32(abs(generator.normal(0, polychromasia)))
            if body.condition == MALARIA:
                parasite = parasite_dyes(body.patch, generator, radius_px=body.radius_px)
                for dye, amount in parasite.items():
                    planes[dye][window] += amount
            continue
        if isinstance(body.kind, WhiteCellKind):
            # A white cell pushes red ones aside; little of them is left below it.
            pushed_away = 1 - np.float32(0.95) * body.patch.coverage
            planes[Dye.HAEMOGLOBIN][window] *= pushed_away
            planes[Dye.RNA][window] *= pushed_away
            amounts = white_cell_dyes(
                body.patch, generator, kind=body.kind, radius_px=body.radius_px
            )
        else:
            amounts = platelet_dyes(body.patch, generator, radius_px=body.radius_px)
        for dye, amount in amounts.items():
            planes[dye][window] += amount
    planes[Dye.HAEMOGLOBIN] **= np.float32(1 / power)
    return np.moveaxis(planes, 0, 2)
