"""One drawn smear: an image and the whole truth about it.

From dye to image by light, lens, sensor and file. Light is absorbed by the law of Beer and Lambert,
channel by channel: the optical densities of all that lies in its way add, so that cells that
overlap look darker.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.annotation.sample import Annotation, Origin
from blood_cell_system.boxes import Box
from blood_cell_system.datasets.synthetic.drawn_red_cells import (
    MALARIA,
    SICKLE,
    RedCellKind,
    draw_condition,
    draw_kind,
    draw_kind_shares,
    haemoglobin,
    parasite_dyes,
    red_cell_outline,
    sickle_outline,
)
from blood_cell_system.datasets.synthetic.drawn_white_cells import (
    WhiteCellKind,
    draw_white_cell,
    white_cell_dyes,
    white_cell_outline,
)
from blood_cell_system.datasets.synthetic.layout import (
    MAX_TRIES,
    Field,
    place_red_cells,
    place_white_cells,
    walls_between,
)
from blood_cell_system.datasets.synthetic.shapes import (
    FloatMap,
    Outline,
    Patch,
    make_outline,
    make_patch,
    pressed_against,
    ramp,
    smooth_noise,
    smooth_step,
)
from blood_cell_system.datasets.synthetic.smear_settings import (
    MIXED,
    STAINS,
    Dye,
    SmearSettings,
    Stain,
)
from blood_cell_system.taxonomy import BUILT_IN, PLATELET, RBC, WBC


def platelet_outline(
    generator: np.random.Generator, *, centre: tuple[float, float], radius_px: float
) -> Outline:
    """Make the outline of a platelet: roundish, with a few blunt corners."""
    return make_outline(
        generator,
        centre=centre,
        radius_px=radius_px,
        elongation=generator.uniform(1.0, 1.45),
        direction=generator.uniform(0, 2 * np.pi),
        waviness=0.09,
    )


def platelet_dyes(
    patch: Patch, generator: np.random.Generator, *, radius_px: float
) -> dict[Dye, FloatMap]:
    """Amounts of dye in a platelet: purple granules in the middle, a pale blue-gray rim."""
    u = patch.relative_radius
    grain = smooth_noise(generator, u.shape, scale_px=max(1.5, 0.28 * radius_px))
    middle = 1 - smooth_step(u, generator.uniform(0.2, 0.5), 1.0)
    body = patch.coverage
    strength = generator.uniform(0.6, 1.2)
    granules = body * middle * smooth_step(grain, -1.2, 1.2)
    return {
        Dye.CHROMATIN: np.float32(0.62 * strength) * granules
        + np.float32(0.1 * strength) * body * middle,
        Dye.NEUTRAL: np.float32(0.55 * strength) * body,
        Dye.RNA: np.float32(0.35 * strength) * body,
    }


def add_dirt(
    density: FloatMap, generator: np.random.Generator, *, count: int, radius_px: float
) -> None:
    """Add specks of precipitated stain and of dust, in place.

    Parameters
    ----------
    density : ndarray of shape (height, width, 3), dtype float32
        Optical density.
    radius_px : float
        Mean radius of a red cell; specks stay far smaller, so that none passes for a platelet.
    """
    height, width = density.shape[:2]
    for _ in range(count):
        centre = (generator.uniform(0, width), generator.uniform(0, height))
        size = max(1.2, radius_px * generator.uniform(0.035, 0.09))
        outline = make_outline(generator, centre=centre, radius_px=size, waviness=0.15)
        patch = make_patch(outline, (height, width))
        if patch is None:
            continue
        if generator.random() < 0.5:
            shade = ramp(patch.depth_px, 0.8 * size)
            colour = generator.uniform((0.3, 0.35, 0.1), (0.8, 0.9, 0.5))
        else:
            # Dust out of focus: a bright spot with a dark ring.
            u = patch.relative_radius
            shade = np.exp(-(((u - 1) / np.float32(0.35)) ** 2)) - np.float32(0.7) * (u < 0.6)
            colour = np.full(3, generator.uniform(0.08, 0.25))
        density[patch.window] += shade[:, :, None] * colour.astype(np.float32)


MIN_VISIBLE_SHARE: Final = 0.2
"""A cell of which less than this is not under others is left out."""
MIN_VISIBLE_PX: Final = 12
"""A cell with fewer pixels in the image is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A cell before it is drawn.

    Parameters
    ----------
    kind : RedCellKind or WhiteCellKind or None
        None for a platelet.
    radius_px : float
        Mean radius.
    condition : str
        Of a red cell.
    """

    cell_type: str
    kind: RedCellKind | WhiteCellKind | None
    radius_px: float
    patch: Patch
    condition: str = ""

    @property
    def name(self) -> str:
        """What it is, as the truth of a smear lists it."""
        if self.kind is None:
            return "platelet"
        return str(self.kind) if isinstance(self.kind, WhiteCellKind) else self.condition


def visible(bodies: list[Body], shape: tuple[int, int]) -> tuple[list[Body], NDArray[np.uint16]]:
    """Label the cells, leaving out those that others hide, until all that are left are seen."""
    while True:
        labels = _label(bodies, shape)
        seen = np.bincount(labels.ravel(), minlength=len(bodies) + 1)[1:]
        whole = np.array([body.patch.inside.sum() for body in bodies], dtype=np.int64)
        is_kept = (seen >= MIN_VISIBLE_PX) & (seen >= MIN_VISIBLE_SHARE * whole)
        if is_kept.all():
            return bodies, labels
        bodies = [body for body, kept in zip(bodies, is_kept, strict=True) if kept]


def _label(bodies: list[Body], shape: tuple[int, int]) -> NDArray[np.uint16]:
    labels = np.zeros(shape, dtype=np.uint16)
    nearest = np.full(shape, np.inf, dtype=np.float32)
    for number, body in enumerate(bodies, start=1):
        patch = body.patch
        # White cells lie over red ones: they win wherever they are.
        rank = np.float32(-2 if body.cell_type == WBC else 0)
        claim = patch.relative_radius + rank
        view = nearest[patch.window]
        is_won = patch.inside & (claim < view)
        view[is_won] = claim[is_won]
        labels[patch.window][is_won] = number
    return labels


def _box_of(body: Body) -> Annotation:
    """Box of a cell's whole outline, as far as it is in the image."""
    inside = body.patch.inside
    rows = np.flatnonzero(inside.any(axis=1)) + body.patch.rows.start
    columns = np.flatnonzero(inside.any(axis=0)) + body.patch.columns.start
    return Annotation(
        cell_type=body.cell_type,
        box=Box(float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)),
        origin=Origin.DRAWN,
    )


def vary_stain(stain: Stain, generator: np.random.Generator) -> tuple[FloatMap, FloatMap]:
    """Let a stain differ from smear to smear, as times and buffers do.

    Returns
    -------
    glass : ndarray of shape (3,), dtype float32
        RGB of the empty field.
    absorption : ndarray of shape (5, 3), dtype float32
        Optical density of each dye at amount 1.
    """
    absorption = stain.absorption()
    strength = generator.normal(1, 0.1, (len(absorption), 1)).clip(0.75, 1.3)
    mixing = np.eye(3) + generator.normal(0, 0.03, (3, 3))
    glass = np.array(stain.glass) * generator.uniform(0.94, 1.03)
    glass += generator.normal(0, 3.0, 3)
    return (
        np.clip(glass, 0, 253).astype(np.float32),
        ((absorption * strength) @ mixing).astype(np.float32),
    )


def _light_field(shape: tuple[int, int], generator: np.random.Generator) -> FloatMap:
    """Uneven light around 1: a hot spot off the middle, darker corners, a slant, a tint."""
    height, width = shape
    size = max(shape)
    y = (np.arange(height, dtype=np.float32)[:, None] - height / 2) / size
    x = (np.arange(width, dtype=np.float32)[None, :] - width / 2) / size
    spot_x, spot_y = generator.normal(0, 0.12, 2)
    darkening = generator.uniform(0.02, 0.3)
    slant_x, slant_y = generator.normal(0, 0.03, 2)
    light = 1 - darkening * ((x - spot_x) ** 2 + (y - spot_y) ** 2) + slant_x * x + slant_y * y
    tint = generator.normal(0, 0.02, (2, 3))
    return np.stack(
        [light * (1 + tint[0, c] * x + tint[1, c] * y) for c in range(3)], axis=2
    ).astype(np.float32)


def photograph(
    density: FloatMap,
    glass: FloatMap,
    generator: np.random.Generator,
    settings: SmearSettings,
) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    """Send light through a smear and keep what the camera makes of it.

    Parameters
    ----------
    density : ndarray of shape (height, width, 3), dtype float32
        Optical density in red, green and blue.
    glass : ndarray of shape (3,), dtype float32
        RGB of the empty field.

    Returns
    -------
    ndarray of shape (height, width, 3), dtype uint8
        RGB.
    """
    height, width = density.shape[:2]
    diameter = settings.cell_diameter_px
    plasma = smooth_noise(generator, (height, width), scale_px=1.5 * diameter)
    light = cv2.exp(-density - np.float32(0.008) * plasma[:, :, None])
    blur_px = max(0.5, generator.uniform(*settings.defocus) * diameter)
    light = cv2.GaussianBlur(light, (0, 0), blur_px)
    # Refraction at the edges: a thin bright line outside, a dark one inside.
    halo_px = max(1.0, 0.02 * diameter)
    fringe = np.float32(generator.uniform(0.1, 0.6))
    light += fringe * (light - cv2.GaussianBlur(light, (0, 0), halo_px))
    light *= _light_field((height, width), generator) * glass
    light = _shift_colours(light, generator)
    light += _sensor_noise(light.shape, generator, generator.uniform(*settings.noise))
    pixels = np.clip(np.rint(light), 0, 255).astype(np.uint8)
    lowest, highest = settings.jpeg_quality
    return _through_jpeg(pixels, int(generator.integers(lowest, highest + 1)))


def _shift_colours(light: FloatMap, generator: np.random.Generator) -> FloatMap:
    """Chromatic aberration: red and blue are a little larger or smaller than green."""
    height, width = light.shape[:2]
    channels = list(cv2.split(light))
    for channel, sign in ((0, 1), (2, -1)):
        zoom = 1 + sign * generator.normal(0, 0.0012)
        shift = generator.normal(0, 0.25, 2)
        matrix = np.array(
            [
                [zoom, 0, (1 - zoom) * width / 2 + shift[0]],
                [0, zoom, (1 - zoom) * height / 2 + shift[1]],
            ]
        )
        channels[channel] = cv2.warpAffine(
            channels[channel],
            matrix,
            (width, height),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
    merged: FloatMap = cv2.merge(channels)
    return merged


def _sensor_noise(shape: tuple[int, ...], generator: np.random.Generator, sigma: float) -> FloatMap:
    """Noise that neighbouring pixels share in part, as a camera's colour filter leaves it."""
    white = generator.standard_normal(shape, dtype=np.float32)
    # A blur of 0.6 px leaves 0.48 of the standard deviation.
    shared: FloatMap = cv2.GaussianBlur(white, (0, 0), 0.6)
    return shared * np.float32(sigma / 0.48)


def _through_jpeg(
    pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], quality: int
) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    encoded = cv2.imencode(
        ".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )[1]
    decoded = cv2.cvtColor(cv2.imdecode(encoded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    return np.asarray(decoded)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnSmear:
    """A drawn smear with its truth.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.
    class_mask : ndarray of shape (height, width), dtype uint8
        Values of ``MaskClass``; platelets are background.
    label_image : ndarray of shape (height, width), dtype uint16
        0 background, 1..n the cells, platelets among them. Where two red cells overlap, each has
        the part that lies nearer to its own middle; white cells lie over red ones.
    cells : tuple of Annotation
        Cell ``i`` has the label ``i + 1``. Its box is that of its whole outline, as far as it is
        in the image: also of the part that lies under another cell, which a person sees as well.
    kinds : tuple of str
        What each cell is: ``healthy_RBC``, ``malaria_RBC``, ``sickle_RBC``, a value of
        ``WhiteCellKind``, or ``platelet``.
    """

    image: NDArray[np.uint8]
    class_mask: NDArray[np.uint8]
    label_image: NDArray[np.uint16]
    cells: tuple[Annotation, ...]
    kinds: tuple[str, ...]


def draw_smear(settings: SmearSettings, generator: np.random.Generator) -> DrawnSmear:
    """Draw a smear.

    Parameters
    ----------
    generator : numpy.random.Generator
        An equal state gives an equal smear.

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
    classes = BUILT_IN.mask_classes
    mask_values = np.array([0, *(classes[body.cell_type] for body in bodies)], dtype=np.uint8)
    return DrawnSmear(
        image=photograph(density, glass, generator, settings),
        class_mask=mask_values[labels],
        label_image=labels,
        cells=tuple(map(_box_of, bodies)),
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
            bodies.append(Body(cell_type=WBC, kind=white_kind, radius_px=size, patch=patch))
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
            body = Body(cell_type=RBC, kind=kind, radius_px=size, patch=patch, condition=condition)
            bodies.append(body)
    return bodies


def _platelet_bodies(
    settings: SmearSettings,
    generator: np.random.Generator,
    labels: NDArray[np.uint16],
    others: list[Body],
) -> list[Body]:
    """Put platelets into the gaps, so that each of them is whole."""
    red_count = sum(body.cell_type == RBC for body in others)
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
                bodies.append(Body(cell_type=PLATELET, kind=None, radius_px=size, patch=patch))
            break
    return bodies


def _dye_amounts(
    bodies: list[Body], settings: SmearSettings, generator: np.random.Generator
) -> FloatMap:
    """Sum up the dye of all cells, (height, width, 5)."""
    planes = np.zeros((len(Dye), *settings.shape), dtype=np.float32)
    pallor, rim = generator.uniform(0.0, 0.75), generator.uniform(0.03, 0.3)
    # Cells that lie on each other are squeezed: their amounts add less than fully.
    power = generator.uniform(1.1, 2.2)
    polychromasia = generator.uniform(0.0, 0.12)
    ordered = sorted(bodies, key=lambda body: body.cell_type != RBC)
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
