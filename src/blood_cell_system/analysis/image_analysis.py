"""An image of any smear in, its cells out, in the image's own pixels.

1. Turn the image to its standard pose, so that nothing depends on how it lies.
2. Find the field of view, and how large a red cell is.
3. Assess how fit the image is for counting; what is no thin smear is refused here.
4. Resample the image so that red cells are as large as in training.
5. Segment it, and part the cells; once more where these are of another size than was estimated.
6. Bring everything back to the image's own pixels, and measure the cells there.
"""

import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.analysis.marks import (
    MARK_HIDES,
    find_marks,
    mark_share,
    paint_over,
    without_dust,
)
from blood_cell_system.analysis.pose import Pose, standard_pose
from blood_cell_system.analysis.quality import ImageQuality, assess
from blood_cell_system.analysis.scale import (
    ScaleEstimate,
    estimate_diameter,
    estimate_scale,
    scale_of_cells,
)
from blood_cell_system.analysis.segmentation import FoundCells, TileSettings, Window, find_cells
from blood_cell_system.analysis.survey import Survey, closer, find_field, survey
from blood_cell_system.analysis.trained_models import Runtime, training_diameter_of
from blood_cell_system.cells.border_rule import BorderRule, cells_within, count_by_rule
from blood_cell_system.cells.cut_out import is_cut_out_on_black
from blood_cell_system.cells.separation import SeparationSettings
from blood_cell_system.cells.table import Cells
from blood_cell_system.imaging.image_file import check_rgb
from blood_cell_system.imaging.pixel_size import PixelSize
from blood_cell_system.model_metadata import TRAINING_DIAMETER_PX
from blood_cell_system.settings import check_ranges, ranged
from blood_cell_system.stain.slide_light import SlideLight, fit_slide_light
from blood_cell_system.taxonomy import NOT_SCORED

__all__ = ["AnalysisSettings", "BorderRule", "ImageAnalysis", "analyze_image"]

_SURROUND_SIDE_PX: Final = 160
"""Longer side of the image from which the colour outside a round field is blurred."""
_LEAST_STAINED: Final = 2e-5
"""Part of the field that is stained where there is a cell; one small cell in a large image has
more."""


_ESTIMATED: Final = ", or none to have it estimated"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisSettings:
    """How an image is analysed.

    Parameters
    ----------
    cell_diameter_px : float, optional
        Diameter of a red cell in the image, in pixels; estimated by default.
    pixel_size_um : float, optional
        Side of a pixel in micrometres; by default what the file states, if it does.
    pixel_size_origin : str
        Where that size comes from, in words.
    keeps_pose : bool
        Analyse the image as it lies: for comparing what several views of one image show.

    Raises
    ------
    SettingsError
        A size is not positive.
    """

    cell_diameter_px: float | None = ranged(None, above=0, is_optional=True, hint=_ESTIMATED)
    pixel_size_um: float | None = ranged(None, above=0, is_optional=True, hint=_ESTIMATED)
    pixel_size_origin: str = "as given"
    separation: SeparationSettings = field(default_factory=SeparationSettings)
    tiles: TileSettings = field(default_factory=TileSettings)
    border_rule: BorderRule = BorderRule.COUNTED
    keeps_pose: bool = False

    def __post_init__(self) -> None:
        check_ranges(self)

    @property
    def pixel_size(self) -> PixelSize | None:
        """Size that was given, with its origin."""
        if self.pixel_size_um is None:
            return None
        return PixelSize(um=self.pixel_size_um, origin=self.pixel_size_origin, is_given=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageAnalysis:
    """What was found in one image; everything in the image's own pixels.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        The image as it was given.
    class_mask : ndarray of shape (height, width), dtype uint8
        Values of ``MaskClass``; ``NOT_SCORED`` outside the field of view.
    cells : Cells
        Every cell that was found, also those that the border rule leaves out; see ``is_counted``.
    field_mask : ndarray of shape (height, width), dtype bool
        What was analysed: False in the dark corners of a round field of view.
    seconds : float
        How long it took.
    marks : ndarray of shape (height, width), dtype uint8, or None
        As of ``find_marks``.
    """

    image: NDArray[np.uint8]
    class_mask: NDArray[np.uint8]
    cells: Cells
    field_mask: NDArray[np.bool_]
    scale: ScaleEstimate
    quality: ImageQuality
    seconds: float
    marks: NDArray[np.uint8] | None = None
    _light: list[SlideLight] = field(default_factory=list, repr=False, compare=False)

    @property
    def light(self) -> SlideLight:
        """Light of the empty slide; computed once, also for copies with other cells."""
        if not self._light:
            has_rim = not self.field_mask.all()
            field = self.field_mask if has_rim else None
            self._light.append(fit_slide_light(self.image, field=field))
        return self._light[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A field of a larger image, with a margin in which its cells are whole.

    Parameters
    ----------
    inner : Window
        The field with its margin, in the pixels that are there for the network; see ``find_cells``.
    own : Window
        Its own part of these: cells whose centroid lies there are its cells, and no other field's.
    scale : ScaleEstimate
        Of the whole; its magnification is that of ``block_grid``.
    holes : tuple of Window
        What of the field could not be read.
    marks : ndarray of shape (height, width), dtype uint8, or None
        As of ``find_marks``, of the field.
    """

    inner: Window
    own: Window
    scale: ScaleEstimate
    holes: tuple[Window, ...] = ()
    marks: NDArray[np.uint8] | None = None

    @property
    def red_cell_area_px(self) -> float | None:
        """Area of a red cell of the whole, in pixels that the network sees."""
        diameter = self.scale.red_cell_diameter_px
        if diameter is None:
            return None
        return float(np.pi / 4 * (diameter * self.scale.magnification_applied) ** 2)

    def owns(self, cells: Cells) -> NDArray[np.bool_]:
        """Which cells have their centroid in the field's own part."""
        x, y = cells["centroid"].T
        rows, columns = self.own
        return np.asarray(
            (x >= columns.start) & (x < columns.stop) & (y >= rows.start) & (y < rows.stop)
        )


def analyze_field(
    runtime: Runtime,
    image: NDArray[np.uint8],
    frame: Frame,
    settings: AnalysisSettings,
) -> ImageAnalysis:
    """Find and measure the cells of one field of a larger image.

    It is analysed as it lies, at the scale of the whole. Of its cells those are given that are its
    own; with a margin that is wider than a cell none of them is cut off by its border.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB; more than the field, of which the analysis is.
    """
    check_rgb(image)
    started = time.perf_counter()
    field = np.ascontiguousarray(image[frame.inner])
    separation = replace(settings.separation, red_cell_area_px=frame.red_cell_area_px)
    settings = replace(settings, separation=separation)
    found = _analyze_posed(runtime, field, settings, None, frame, around=image)
    own = found.cells.select(frame.owns(found.cells))
    cells = count_by_rule(own, settings.border_rule, found.field_mask)
    if (is_hidden := mark_share(cells, found.marks) >= MARK_HIDES).any():
        cells = cells.with_columns(is_counted=cells["is_counted"] & ~is_hidden)
    share = float(found.field_mask[frame.own].sum() / found.field_mask.size)
    return replace(
        found,
        cells=cells,
        quality=replace(found.quality, judged_share=share),
        seconds=time.perf_counter() - started,
    )


def analyze_image(
    runtime: Runtime,
    image: NDArray[np.uint8],
    settings: AnalysisSettings | None = None,
    stated: PixelSize | None = None,
) -> ImageAnalysis:
    """Find and measure the cells of one image.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.
    stated : PixelSize, optional
        What the image's file says; the settings go first.

    Raises
    ------
    ImageReadError
        The array is no RGB image, or has no pixels.
    """
    check_rgb(image)
    settings = settings or AnalysisSettings()
    started = time.perf_counter()
    pose = Pose() if settings.keeps_pose else standard_pose(image)
    posed = _analyze_posed(runtime, pose.apply(image), settings, settings.pixel_size or stated)
    field_mask = pose.undo(posed.field_mask)
    # The border rule knows an upper and a left side: those of the image as it was given.
    cells = count_by_rule(pose.undo_cells(posed.cells), settings.border_rule, field_mask)
    marks = None if posed.marks is None else pose.undo(posed.marks)
    if (is_hidden := mark_share(cells, marks) >= MARK_HIDES).any():
        cells = cells.with_columns(is_counted=cells["is_counted"] & ~is_hidden)
    return replace(
        posed,
        image=image,
        class_mask=pose.undo(posed.class_mask),
        cells=cells,
        field_mask=field_mask,
        marks=marks,
        seconds=time.perf_counter() - started,
    )


def _analyze_posed(
    runtime: Runtime,
    image: NDArray[np.uint8],
    settings: AnalysisSettings,
    pixel_size: PixelSize | None,
    frame: Frame | None = None,
    around: NDArray[np.uint8] | None = None,
) -> ImageAnalysis:
    """Analyse an image as it lies; which cells are counted is still open."""
    field_mask = find_field(image) if frame is None else _without_holes(image, frame)
    marks = find_marks(image, field_mask) if frame is None else frame.marks
    clean = image if marks is None else paint_over(image, marks)
    view = survey(clean, field_mask)
    vote = estimate_diameter(clean, field_mask, first=view)
    training_diameter = training_diameter_of(runtime) or TRAINING_DIAMETER_PX
    if frame is not None:
        scale = frame.scale
    else:
        scale = estimate_scale(
            vote,
            cell_diameter_px=settings.cell_diameter_px,
            pixel_size=pixel_size,
            training_diameter_px=training_diameter,
        )
    diameter = scale.red_cell_diameter_px or (vote.diameter_px if vote else None)
    judge = partial(
        assess,
        view,
        vote=vote,
        closer=closer(clean, field_mask, view, diameter),
        pixel_size=pixel_size,
        judged_share=float(field_mask.mean()),
    )
    quality = judge(
        scale=scale,
        is_vouched_for=settings.cell_diameter_px is not None,
        is_cut_out=frame is None and is_cut_out_on_black(image),
    )
    if not quality.is_smear or float((view.foreground[view.field] > 0).mean()) < _LEAST_STAINED:
        # A network that has always seen cells finds some on anything, a blank slide included.
        cells = Cells.empty(field_mask.shape)
        class_mask = np.zeros(field_mask.shape, dtype=np.uint8)
    else:
        seen = _without_surround(clean, field_mask, view)
        inner = None
        if frame is not None and around is not None:
            inner = frame.inner
            if seen is not image:
                around = around.copy()
                around[inner] = seen
            seen = around
        found = _found(runtime, seen, scale, settings, training_diameter, inner=inner)
        # A part of an image keeps the scale of the whole.
        second = None
        if frame is None:
            second = scale_of_cells(found.cells, scale, training_diameter_px=training_diameter)
        if second is not None:
            scale = second
            found = _found(runtime, seen, scale, settings, training_diameter)
            quality = quality.with_findings_of(judge(scale=scale), "focus", "scale")
        cells, class_mask = found.cells, found.class_mask
    class_mask[~field_mask] = NOT_SCORED
    cells = without_dust(cells_within(cells, field_mask), clean)
    return ImageAnalysis(
        image=image,
        class_mask=class_mask,
        cells=cells,
        field_mask=field_mask,
        scale=scale,
        quality=quality,
        marks=marks,
        seconds=0.0,
    )


def _found(
    runtime: Runtime,
    image: NDArray[np.uint8],
    scale: ScaleEstimate,
    settings: AnalysisSettings,
    training_diameter: float,
    *,
    inner: Window | None = None,
) -> FoundCells:
    return find_cells(
        runtime,
        image,
        magnification=scale.magnification_applied,
        separation=settings.separation.for_diameter(training_diameter),
        tiles=settings.tiles,
        keeps_pose=True,
        inner=inner,
    )


def _without_holes(image: NDArray[np.uint8], frame: Frame) -> NDArray[np.bool_]:
    field_mask = np.ones(image.shape[:2], dtype=bool)
    for hole in frame.holes:
        field_mask[hole] = False
    return field_mask


def _without_surround(
    image: NDArray[np.uint8], field_mask: NDArray[np.bool_], view: Survey
) -> NDArray[np.uint8]:
    """Continue the slide around a round field: the network has never seen a dark surround.

    The light falls off towards the rim, so that the slide's colour there is that of the slide near
    by; another would make an edge, and of the edge a cell.
    """
    if field_mask.all():
        return image
    is_slide = view.field & (view.foreground == 0)
    if not is_slide.any():
        is_slide = view.field
    step = max(1, round(max(view.field.shape) / _SURROUND_SIDE_PX))
    weight = is_slide[::step, ::step].astype(np.float32)
    colour = view.image[::step, ::step].astype(np.float32) * weight[:, :, None]
    reach = weight.shape
    total, share = np.zeros((*reach, 3), np.float32), np.zeros(reach, np.float32)
    # Ever wider averages, of which the narrow ones count for more wherever they know anything.
    for width in (2, 8, 32):
        importance = 1e-3 ** (width.bit_length() / 2)
        total += importance * cv2.GaussianBlur(colour, (0, 0), width)
        share += importance * cv2.GaussianBlur(weight, (0, 0), width)
    average = total / np.maximum(share, 1e-20)[:, :, None]
    average[share <= 1e-20] = np.median(view.image[is_slide], axis=0)
    height, width = field_mask.shape
    surround = cv2.resize(average, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.where(field_mask[:, :, None], image, np.clip(surround, 0, 255).astype(np.uint8))
