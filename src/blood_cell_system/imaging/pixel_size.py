"""The side of a pixel in micrometres, as an image's file states it.

Microscope software writes it as OME-XML, as ImageJ's or Aperio's description, or as the resolution
of a TIFF, PNG or JPEG. A resolution is usually that of a printer or a screen (72, 96, 300 dots an
inch), which is no size on a slide.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from blood_cell_system.imaging.image_file import opened

PLAUSIBLE_UM: Final = (0.02, 1.2)
"""Sides of a pixel in µm with which a red cell can be analysed: it is 375 to 6 pixels wide."""

_PRINTED_UM: Final = 5.0
"""Side of a pixel in µm from which a resolution is that of a print or a screen: 5,080 dots an
inch."""
_EVEN: Final = 0.02
"""Largest difference between width and height of a pixel, as part of its width."""
_INCH_UM: Final = 25_400.0
_DESCRIPTION, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 270, 282, 283, 296
_UM_OF_TIFF_UNIT: Final = MappingProxyType({2: _INCH_UM, 3: 10_000.0})
_UM_OF_UNIT: Final[Mapping[str, float]] = MappingProxyType(
    {
        "nm": 1e-3,
        "um": 1.0,
        "micron": 1.0,
        "microns": 1.0,
        "micrometer": 1.0,
        "micrometre": 1.0,
        "mm": 1e3,
        "cm": 1e4,
        "m": 1e6,
        "inch": _INCH_UM,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelSize:
    """How large a pixel is, and who says so.

    Parameters
    ----------
    um : float
        Side of a pixel in micrometres.
    origin : str
        In words, for instance ``OME-XML of the file``.
    is_given : bool
        Whether a person said so, not the file.
    """

    um: float
    origin: str
    is_given: bool = False

    @property
    def is_plausible(self) -> bool:
        """Whether a smear can be analysed at this size."""
        return PLAUSIBLE_UM[0] <= self.um <= PLAUSIBLE_UM[1]


def read_pixel_size(path: Path, *, data: bytes | None = None) -> PixelSize | None:
    """Read the side of a pixel from an image's metadata.

    Parameters
    ----------
    data : bytes, optional
        What the file holds, where it has been read.

    Returns
    -------
    PixelSize or None
        None where the file states none, the resolution of a print or a screen, or pixels that are
        not square. A size in a unit of a microscope is given even where it is not plausible.

    Raises
    ------
    MissingDataError, ImageReadError
        As of ``read_image``.
    """
    with opened(Path(path), data) as image:
        tags: Mapping[int, Any] = getattr(image, "tag_v2", {})
        if _X_RESOLUTION in tags or _DESCRIPTION in tags:
            return pixel_size_in_tags(tags)
        # Of PNG, JPEG and BMP, which Pillow gives in dots an inch.
        across, down = (_number(value) for value in image.info.get("dpi", (0, 0))[:2])
        return _of_resolution(across, down, _INCH_UM, str(image.format))


def pixel_size_in_tags(tags: Mapping[int, Any]) -> PixelSize | None:
    """Read the side of a pixel from the tags of a TIFF; see :func:`read_pixel_size`."""
    description = _text(tags.get(_DESCRIPTION, ""))
    for found in (_of_ome(description), _of_imagej(description, tags), _of_aperio(description)):
        if found is not None:
            return found
    unit_um = _UM_OF_TIFF_UNIT.get(int(tags.get(_RESOLUTION_UNIT, 2)))
    across, down = (_number(_ratio(tags.get(tag))) for tag in (_X_RESOLUTION, _Y_RESOLUTION))
    return _of_resolution(across, down, unit_um, "TIFF")


def _ratio(value: Any) -> Any:
    """Divide what tifffile gives as numerator and denominator."""
    if isinstance(value, tuple) and len(value) == 2:
        return value[0] / value[1] if value[1] else None
    return value


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    # Pillow takes UTF-8 for Latin-1.
    return str(value).replace("Â", "")


def _um_of_unit(unit: str) -> float | None:
    plain = unit.strip().strip('"').replace("\\u00B5", "u").replace("\\u00b5", "u")
    return _UM_OF_UNIT.get(re.sub("[µμ]", "u", plain).lower())


def _square(x_um: float, y_um: float, origin: str) -> PixelSize | None:
    if not (0 < x_um < float("inf") and abs(y_um - x_um) <= _EVEN * x_um):
        return None
    return PixelSize(um=float(x_um), origin=origin)


def _of_ome(description: str) -> PixelSize | None:
    pixels = re.search(r"<(?:\w+:)?Pixels\b[^>]*>", description)
    if pixels is None:
        return None
    sides = []
    for axis in "XY":
        size = re.search(rf'\bPhysicalSize{axis}="([^"]+)"', pixels[0])
        unit = re.search(rf'\bPhysicalSize{axis}Unit="([^"]+)"', pixels[0])
        in_um = _um_of_unit(unit[1]) if unit else 1.0
        if size is None or in_um is None or (number := _number(size[1])) is None:
            return None
        sides.append(number * in_um)
    return _square(sides[0], sides[1], "OME-XML of the file")


def _of_imagej(description: str, tags: Mapping[int, Any]) -> PixelSize | None:
    unit = re.search(r"^unit=(.+)$", description, re.MULTILINE)
    if not description.startswith("ImageJ=") or unit is None:
        return None
    in_um = _um_of_unit(unit[1])
    across, down = (_number(_ratio(tags.get(tag))) for tag in (_X_RESOLUTION, _Y_RESOLUTION))
    if in_um is None or not across or not down:
        return None
    return _square(in_um / across, in_um / down, "ImageJ's calibration in the file")


def _of_aperio(description: str) -> PixelSize | None:
    found = re.search(r"\bMPP\s*=\s*([\d.]+)", description)
    number = _number(found[1]) if found else None
    return _square(number, number, "Aperio's description in the file") if number else None


def _of_resolution(
    across: float | None, down: float | None, unit_um: float | None, kind: str
) -> PixelSize | None:
    if unit_um is None or not across or not down:
        return None
    found = _square(unit_um / across, unit_um / down, f"resolution of the {kind} file")
    return found if found is not None and found.um < _PRINTED_UM and found.is_plausible else None


def _number(value: object) -> float | None:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
