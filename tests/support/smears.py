"""Small folders of drawn smears, made in a fraction of a second."""

from pathlib import Path

from blood_cell_system.datasets.synthetic import (
    FolderLayout,
    SmearSettings,
    write_synthetic_folder,
)


def small_smear_settings(shape: tuple[int, int] = (128, 160)) -> SmearSettings:
    """Settings of a small smear that has all three types of cells more often than not."""
    return SmearSettings(
        shape=shape,
        stain="wright-giemsa",
        cell_diameter_px=28.0,
        white_cell_counts=(0.0, 1.0),
        platelet_rate=3.0,
    )


def small_prepared_folder(
    root: Path, count: int = 6, shape: tuple[int, int] = (128, 160), seed: int = 0
) -> Path:
    """Write a prepared folder of small smears, and return its path."""
    settings = small_smear_settings(shape)
    write_synthetic_folder(root, count=count, settings=settings, seed=seed)
    return root


def small_bccd_clone(
    root: Path, count: int = 6, shape: tuple[int, int] = (120, 160), seed: int = 0
) -> Path:
    """Write a folder that looks like a clone of BCCD, of small smears, and return its path."""
    settings = small_smear_settings(shape)
    write_synthetic_folder(
        root, count=count, settings=settings, seed=seed, layout=FolderLayout.BCCD
    )
    return root
