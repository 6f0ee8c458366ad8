"""A picture of any smear in, its cells out, in the picture's own pixels.

1. Find the field of view, and how large a red cell is.
2. Resample the picture so that red cells are as large as in training.
3. Segment it, and part the cells.
4. Bring everything back to the picture's own pixels, and measure the cells there.
5. Say how fit the picture is to be judged.
"""

import time
from dataclasses import dataclass, field
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.cells.rescaling import rescale_cells, resize_labels
from blood_cell_system.cells.separation import (
    SeparatedCells,
    SeparationSettings,
    separate_cells,
)
from blood_cell_system.errors import ImageReadError, SettingsError
from blood_cell_system.inference.picture_quality import PictureQuality
from blood_cell_system.inference.runtimes import Runtime
from blood_cell_system.inference.scale import ScaleEstimate, estimate_scale
from blood_cell_system.inference.segmenter import BlockSettings, segment_image


class BorderRule(StrEnum):
    """Which of the cells that the field of view cuts off are counted."""

    COUNTED = "counted"
    """All of them."""

    TWO_SIDES = "two-sides"
    """Only those at the upper and the left side, as in a counting chamber: without a bias."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisSettings:
    """How a picture is analysed.

    Parameters
    ----------
    cell_diameter_px : float, optional
        Diameter of a red cell in the picture, in pixels; estimated by default.
    pixel_size_um : float, optional
        Side of a pixel in micrometres.
    blocks : BlockSettings
    separation : SeparationSettings
    border_rule : BorderRule

    Raises
    ------
    SettingsError
        A size is not positive.
    """

    cell_diameter_px: float | None = None
    pixel_size_um: float | None = None
    blocks: BlockSettings = field(default_factory=BlockSettings)
    separation: SeparationSettings = field(default_factory=SeparationSettings)
    border_rule: BorderRule = BorderRule.COUNTED

    def __post_init__(self) -> None:
        for name in ("cell_diameter_px", "pixel_size_um"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise SettingsError(
                    f"{name}: received {value}; expected a number above 0, or none to have it "
                    "estimated."
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureAnalysis:
    """What was found in one picture; everything in the picture's own pixels.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        The picture as it was given.
    class_mask : ndarray of shape (height, width), dtype uint8
        Values of ``CellClass``; ``NOT_SCORED`` outside the field of view.
    separated : SeparatedCells
        Every cell that was found, also those that the border rule leaves out.
    counted : tuple of bool
        One for each cell: whether the border rule counts it.
    field_mask : ndarray of shape (height, width), dtype bool
        What was looked at: False in the dark corners of a round field of view.
    scale : ScaleEstimate
    quality : PictureQuality
    seconds : float
        How long it took.
    """

    image: NDArray[np.uint8]
    class_mask: NDArray[np.uint8]
    separated: SeparatedCells
    counted: tuple[bool, ...]
    field_mask: NDArray[np.bool_]
    scale: ScaleEstimate
    quality: PictureQuality
    seconds: float


def analyze_picture(
    runtime: Runtime, image: NDArray[np.uint8], settings: AnalysisSettings | None = None
) -> PictureAnalysis:
    """Find and measure the cells of one picture.

    Parameters
    ----------
    runtime : Runtime
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.
    settings : AnalysisSettings, optional

    Returns
    -------
    PictureAnalysis

    Raises
    ------
    ImageReadError
        The array is no RGB picture, or has no pixels.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ImageReadError(
            "Picture: expected an array of shape (height, width, 3) and dtype uint8 with a pixel "
            f"at least. Received: shape {image.shape}, dtype {image.dtype}. Read it with "
            "read_image."
        )
    settings = settings or AnalysisSettings()
    started = time.perf_counter()
    height, width = image.shape[:2]
    scale = estimate_scale(
        image, cell_diameter_px=settings.cell_diameter_px, pixel_size_um=settings.pixel_size_um
    )
    resampled = resample(image, scale.magnification_applied)
    result = segment_image(runtime, resampled, settings.blocks)
    found = separate_cells(
        result.class_probabilities, result.centres, result.log_size, settings.separation
    )
    separated = rescale_cells(found, (height, width))
    class_mask = np.asarray(resize_labels(result.class_mask, (height, width)), dtype=np.uint8)
    return PictureAnalysis(
        image=image,
        class_mask=class_mask,
        separated=separated,
        counted=_counted(separated, settings.border_rule),
        field_mask=np.ones((height, width), dtype=bool),
        scale=scale,
        quality=PictureQuality(findings=(), judged_share=1.0, is_smear=True),
        seconds=time.perf_counter() - started,
    )


def resample(image: NDArray[np.uint8], magnification: float) -> NDArray[np.uint8]:
    """Resample a picture; when it gets smaller, every pixel has its share."""
    height, width = image.shape[:2]
    size = max(round(width * magnification), 1), max(round(height * magnification), 1)
    if size == (width, height):
        return image
    kind = cv2.INTER_AREA if magnification < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=kind), dtype=np.uint8)


def _counted(separated: SeparatedCells, rule: BorderRule) -> tuple[bool, ...]:
    if rule == BorderRule.COUNTED:
        return (True,) * len(separated.cells)
    height, width = separated.label_image.shape
    return tuple(cell.box.x_max < width and cell.box.y_max < height for cell in separated.cells)
