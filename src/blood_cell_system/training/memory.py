"""How large a batch fits, asked before the operating system answers by killing the process."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Final

from blood_cell_system.errors import TrainingMemoryError
from blood_cell_system.models.reynolds import DEFAULT_OFFSETS, dihedral_orbit
from blood_cell_system.training.presets import SegmentationSettings

BATCH_SIZES: Final = (16, 8, 4, 2, 1)

# Activations are kept for the gradient, once more as gradients, and in the convolutions' workspace.
_ACTIVATION_COPIES: Final = 3.0
_FIXED_BYTES: Final = 700_000_000
_CGROUP_FILES: Final = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")

ADVICE: Final = (
    "Use a smaller --batch-size (4, 2 or 1, or auto), a smaller model (--preset fast), or smaller "
    "crops (--crop-size 192)."
)


def available_bytes() -> int | None:
    """Memory that this process may still take, None where the system does not say."""
    try:
        available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        # Counts what the page cache would give back, unlike the free pages above.
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                available = int(line.split()[1]) * 1024
    for name in _CGROUP_FILES:
        limit = Path(name).read_text().strip() if Path(name).is_file() else "max"
        if limit.isdigit():
            available = min(available, int(limit))
    return available


def estimated_bytes(settings: SegmentationSettings) -> int:
    """Memory that a training takes, by the sizes of all activations of the segmenter.

    Parameters
    ----------
    settings : SegmentationSettings
    """
    per_pixel = 4.0 * 3
    for level, width in enumerate(settings.widths):
        # Down and up: two convolutions each, with its norm and its ReLU, and the joined skip.
        per_pixel += 16 * width / 4 ** (level + 1)
    pairs = sum(len(dihedral_orbit(offset)) for offset in DEFAULT_OFFSETS)
    per_pixel += 4 * pairs * settings.d_reduced / 4 ** len(settings.widths)
    values = per_pixel * settings.crop_size_px**2 * settings.batch_size
    return int(4 * _ACTIVATION_COPIES * values) + _FIXED_BYTES


def largest_batch_that_fits(settings: SegmentationSettings) -> int:
    """Batch size for ``--batch-size auto``: the largest that leaves half of the memory free."""
    available = available_bytes()
    for batch_size in BATCH_SIZES:
        needed = estimated_bytes(replace(settings, batch_size=batch_size))
        if available is None or needed <= available / 2:
            return batch_size
    return BATCH_SIZES[-1]


def check_batch_fits(settings: SegmentationSettings) -> None:
    """Refuse a batch that does not fit.

    Raises
    ------
    TrainingMemoryError
        With the guide's advice.
    """
    available = available_bytes()
    needed = estimated_bytes(settings)
    if available is not None and needed > available:
        raise TrainingMemoryError(
            f"--batch-size {settings.batch_size}: needs about {needed / 1e9:.1f} GB of memory; "
            f"{available / 1e9:.1f} GB are available. {ADVICE}"
        )
