"""Different fields of one drawn slide, and what may become of an image of one."""

import numpy as np
from support.smears import small_smear_settings

from blood_cell_system.datasets.synthetic.smear import draw_smear


def drawn_fields(count: int) -> list[np.ndarray]:
    """Draw images of different fields, of shape (160, 208, 3)."""
    settings = small_smear_settings((160, 208))
    return [draw_smear(settings, np.random.default_rng(seed)).image for seed in range(count)]


def cropped(image: np.ndarray) -> np.ndarray:
    """Cut off a little at each side."""
    height, width = image.shape[:2]
    return np.ascontiguousarray(
        image[height // 20 : height - height // 12, width // 11 : width - width // 25]
    )


def stage_moved(image: np.ndarray, *, down: float, across: float) -> tuple[np.ndarray, np.ndarray]:
    """Two images that a camera takes before and after the stage was moved by shares of a side."""
    height, width = image.shape[:2]
    rows, columns = round(height * down), round(width * across)
    before, after = image[: height - rows, columns:], image[rows:, : width - columns]
    return np.ascontiguousarray(before), np.ascontiguousarray(after)
