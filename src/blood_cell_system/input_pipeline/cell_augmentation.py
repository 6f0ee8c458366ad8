"""Changing a cell picture as other microscopes, stains and segmenters would."""

import math
from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.cell_picture_format import CELL_SIDE_PX, on_white
from blood_cell_system.errors import SettingsError
from blood_cell_system.input_pipeline.augmentation import AugmentationSettings
from blood_cell_system.input_pipeline.photometric import augment_photometric

_MIDDLE: Final = (CELL_SIDE_PX - 1) / 2


def _default_look() -> AugmentationSettings:
    # The slide is white already, so light varies less than in smears. All sources go through the
    # same JPEG: its traces must not tell them apart.
    return AugmentationSettings(
        scale_range=(0.85, 1.15),
        brightness_range=(0.88, 1.1),
        contrast_range=(0.85, 1.2),
        stain_share=0.9,
        noise_share=0.5,
        largest_noise=6.0,
        blur_share=0.3,
        largest_blur_px=1.8,
        jpeg_share=0.7,
        jpeg_quality_range=(50, 95),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CellAugmentation:
    """Ranges of the random changes of a cell picture.

    Parameters
    ----------
    look : AugmentationSettings
        Turns, flips, scale, stain, light, blur, noise and JPEG; its elastic part is not used.
    shift_px : float
        Largest shift in either direction.
    resolution_share : float
        Share of pictures that are made coarse as cells of low magnification are.
    smallest_extent_px : float
        Length of a cell in the coarsest of them, drawn evenly in the logarithm up to the full one.
    outline_px : int
        By how many pixels the outline is moved out or in, at most.

    Raises
    ------
    SettingsError
        A number is out of its range.
    """

    look: AugmentationSettings = field(default_factory=_default_look)
    shift_px: float = 6.0
    resolution_share: float = 0.6
    smallest_extent_px: float = 24.0
    outline_px: int = 3

    def __post_init__(self) -> None:
        if not 0 <= self.resolution_share <= 1:
            raise SettingsError(
                f"resolution_share: received {self.resolution_share}; expected a share from 0 to 1."
            )
        if not 8 <= self.smallest_extent_px <= 100:
            raise SettingsError(
                f"smallest_extent_px: received {self.smallest_extent_px}; expected 8 to 100."
            )
        if not (0 <= self.shift_px <= 15 and 0 <= self.outline_px <= 6):
            raise SettingsError(
                f"shift_px, outline_px: received {self.shift_px}, {self.outline_px}; expected 0 to "
                "15 and 0 to 6: beyond, the cell or its surroundings would come and go."
            )


def augment_cell(
    cell_picture: NDArray[np.uint8], generator: np.random.Generator, settings: CellAugmentation
) -> NDArray[np.uint8]:
    """Change a cell picture, and lay it on white.

    Parameters
    ----------
    cell_picture : ndarray of shape (130, 130, 4), dtype uint8
        RGBA.
    generator : numpy.random.Generator
    settings : CellAugmentation

    Returns
    -------
    ndarray of shape (130, 130, 3), dtype uint8
        RGB; white wherever the changed cell is not.
    """
    moved = cv2.warpAffine(
        cell_picture,
        _sample_matrix(generator, settings),
        (CELL_SIDE_PX, CELL_SIDE_PX),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(255, 255, 255, 0),
    )
    if generator.random() < settings.resolution_share:
        moved = _coarsened(moved, generator, settings)
    alpha = _moved_outline(moved[:, :, 3], generator, settings)
    look = augment_photometric(np.ascontiguousarray(moved[:, :, :3]), generator, settings.look)
    return on_white(np.dstack([look, alpha]))


def _sample_matrix(
    generator: np.random.Generator, settings: CellAugmentation
) -> NDArray[np.float64]:
    look = settings.look
    if generator.random() < look.any_angle_share:
        angle = generator.uniform(0, 2 * math.pi)
    else:
        angle = int(generator.integers(4)) * math.pi / 2
    scale = math.exp(generator.uniform(*np.log(look.scale_range)))
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    linear = np.array([[cosine, -sine], [sine, cosine]])
    if generator.random() < look.flip_share:
        linear[:, 0] *= -1
    shift = generator.uniform(-settings.shift_px, settings.shift_px, 2)
    offset = _MIDDLE + shift - linear @ (_MIDDLE, _MIDDLE)
    return np.column_stack([linear, offset])


def _coarsened(
    picture: NDArray[np.uint8], generator: np.random.Generator, settings: CellAugmentation
) -> NDArray[np.uint8]:
    """Make a picture as coarse as that of a cell of fewer pixels: smaller, and back again."""
    extent = math.exp(generator.uniform(math.log(settings.smallest_extent_px), math.log(100)))
    side = max(8, round(CELL_SIDE_PX * extent / 100))
    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    size = (CELL_SIDE_PX, CELL_SIDE_PX)
    return np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_LINEAR))


def _moved_outline(
    alpha: NDArray[np.uint8], generator: np.random.Generator, settings: CellAugmentation
) -> NDArray[np.uint8]:
    """Move the outline out or in, as another segmenter might have drawn it; its edge is sharp."""
    _, inside = cv2.threshold(alpha, 127, 255, cv2.THRESH_BINARY)
    steps = int(generator.integers(-settings.outline_px, settings.outline_px, endpoint=True))
    if steps == 0:
        return np.asarray(inside)
    side = 2 * abs(steps) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    change = cv2.dilate if steps > 0 else cv2.erode
    return np.asarray(change(inside, kernel))
