"""A Gaussian over optical densities: how a kind of pixel looks in one picture."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ColourModel:
    """A Gaussian over the three densities of a pixel.

    Parameters
    ----------
    mean : ndarray of shape (3,), dtype float32
    whitening : ndarray of shape (3, 3), dtype float32
        Factor ``L`` of the inverse covariance ``L @ L.T``.
    """

    mean: NDArray[np.float32]
    whitening: NDArray[np.float32]

    @classmethod
    def of_samples(cls, samples: NDArray[np.float32], *, spread: float) -> Self:
        """Fit to samples, leaving out the tenth of them that is farthest from the median.

        Parameters
        ----------
        samples : ndarray of shape (n, 3), dtype float32
            At least one.
        spread : float
            Standard deviation that is added to the samples' own.
        """
        middle = np.median(samples, axis=0).astype(np.float32)
        offsets = samples - middle
        distance = np.abs(offsets).sum(axis=1)
        offsets = offsets[distance <= np.quantile(distance, 0.9)]
        covariance = offsets.T @ offsets / len(offsets) + np.eye(3) * spread**2
        return cls(mean=middle, whitening=_factor(covariance))

    @classmethod
    def around(cls, mean: NDArray[np.float32], *, spread: float) -> Self:
        """Equal spread in all directions around a known colour."""
        return cls(mean=mean, whitening=_factor(np.eye(3) * spread**2))

    def log_density(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logarithm of the Gaussian, but for a constant that is the same for all models.

        Parameters
        ----------
        pixels : ndarray of shape (..., 3), dtype float32

        Returns
        -------
        ndarray of shape (...), dtype float32
        """
        whitened = (pixels - self.mean) @ self.whitening
        log_volume = np.float32(np.log(np.diag(self.whitening)).sum())
        exponent: NDArray[np.float32] = np.einsum("...i,...i->...", whitened, whitened)
        return log_volume - np.float32(0.5) * exponent


def _factor(covariance: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.linalg.cholesky(np.linalg.inv(covariance)).astype(np.float32)
