"""The light of the empty slide in an image: what its pixels would be without cells."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from blood_cell_system.stain.optical_density import (
    StainSettings,
    fit_log_light,
    log_light_at,
    log_light_plane,
)

_MAX_PX: Final = 300_000
"""Pixels that an image is reduced to before the fit, so that a large one costs no more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SlideLight:
    """A smooth surface of light across an image.

    Parameters
    ----------
    coefficients : ndarray of shape (6, 3), dtype float64
        Of the logarithm, as ``fit_log_light`` gives them.
    shape : tuple of int
        ``(height, width)`` of the image in pixels.
    """

    coefficients: NDArray[np.float64]
    shape: tuple[int, int]

    def at(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.float32]:
        """Light at points.

        Parameters
        ----------
        x, y : float or ndarray of one shape
            In pixels.

        Returns
        -------
        ndarray of shape (..., 3), dtype float32
            Grey levels of red, green and blue, 1 or more.
        """
        across = 2 * np.asarray(x, dtype=np.float64) / self.shape[1] - 1
        down = 2 * np.asarray(y, dtype=np.float64) / self.shape[0] - 1
        one = np.ones_like(across)
        terms = (one, across, down, across * across, across * down, down * down)
        log_light = log_light_at(self.coefficients, np.stack(terms, axis=-1).astype(np.float32))
        return np.asarray(np.maximum(np.exp(log_light), 1.0))

    def image(self) -> NDArray[np.uint8]:
        """Paint the empty slide: RGB of the image's size."""
        planes = [np.exp(log_light_plane(one, *self.shape)) for one in self.coefficients.T]
        return np.asarray(np.clip(np.rint(np.stack(planes, axis=-1)), 0, 255), dtype=np.uint8)

    @classmethod
    def even(cls, colour: tuple[float, float, float], shape: tuple[int, int]) -> "SlideLight":
        """Light that is the same everywhere.

        Parameters
        ----------
        colour : tuple of float
            Grey levels of red, green and blue.
        shape : tuple of int
            ``(height, width)`` of the image in pixels.
        """
        coefficients = np.zeros((6, 3))
        coefficients[0] = np.log(np.maximum(colour, 1.0))
        return cls(coefficients=coefficients, shape=shape)


def fit_slide_light(
    image: NDArray[np.uint8], *, field: NDArray[np.bool_] | None = None
) -> SlideLight:
    """Find the light of the empty slide.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.
    field : ndarray of shape (height, width), dtype bool, optional
        Where the slide can be seen; False in the dark around a round field of view.

    Examples
    --------
    >>> slide = np.full((60, 80, 3), (240, 230, 220), dtype=np.uint8)
    >>> fit_slide_light(slide).at(40, 30).round().tolist()
    [240.0, 230.0, 220.0]
    """
    height, width = image.shape[:2]
    shrink = min(1.0, float(np.sqrt(_MAX_PX / (height * width))))
    size = max(round(width * shrink), 1), max(round(height * shrink), 1)
    small = image if shrink == 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    small_field = None
    if field is not None:
        small_field = cv2.resize(field.view(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    smooth = np.asarray(cv2.GaussianBlur(small, (0, 0), StainSettings().blur_px))
    return SlideLight(coefficients=fit_log_light(smooth, field=small_field), shape=(height, width))
