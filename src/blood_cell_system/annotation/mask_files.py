"""Class masks as other programs write them, read into ours.

Two kinds: one image of class numbers or colours with a table, the guide's by default, and one black
and white image a class. They are read when an image is prepared, never all at once.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.annotation.label_map import common_labels, plain_name
from blood_cell_system.errors import BloodCellError, MaskFormatError, SettingsError
from blood_cell_system.imaging.image_file import read_image, read_label_image
from blood_cell_system.taxonomy import BUILT_IN, NOT_SCORED, MaskClass, Taxonomy

Value = int | tuple[int, int, int]
"""What stands for a class in a mask: a number, or an RGB colour."""


def _pure(level: int) -> tuple[tuple[int, int, int], ...]:
    return (level, 0, 0), (0, level, 0), (0, 0, level)


GUIDE_COLOURS: Final[tuple[tuple[Value, int], ...]] = (
    *((colour, value) for level in (255, 1) for value, colour in enumerate(_pure(level))),
    ((0, 0, 0), NOT_SCORED),
)
"""What the colours of the guide stand for, also with 1 in the place of 255."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskFile:
    """A mask of class numbers or colours, with what they stand for.

    Parameters
    ----------
    table : tuple of tuple
        Pairs of a value in the file and the value of ``MaskClass``, or 255 for not scored; by
        default the colours of the guide.
    """

    path: Path
    table: tuple[tuple[Value, int], ...] = GUIDE_COLOURS

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that it is read from."""
        return (self.path,)

    def read(self, shape: tuple[int, int]) -> NDArray[np.uint8]:
        """Read the class mask.

        Parameters
        ----------
        shape : tuple of int
            ``(height, width)`` of the image in pixels.

        Returns
        -------
        ndarray of shape (height, width), dtype uint8
            Values of ``MaskClass``, and 255 where not scored.

        Raises
        ------
        ImageReadError
            A file cannot be read.
        MaskFormatError
            It holds a value without a meaning, or is of another size.
        """
        codes = read_values(self.path)
        _check_size(self.path, codes, shape)
        found, positions = np.unique(codes, return_inverse=True)
        classes = {_code(value): name for value, name in self.table}
        unknown = [int(code) for code in found if int(code) not in classes]
        if unknown:
            raise MaskFormatError(
                f"{self.path}: holds {', '.join(map(_in_words, unknown[:5]))}; expected "
                f"{', '.join(map(_in_words, classes))}. Say what the others stand for, as in "
                "--mask-values '#00ff00=RBC,#0000ff=WBC,#000000=background'."
            )
        lookup = np.array([classes[int(code)] for code in found], np.uint8)
        return np.asarray(lookup[positions.reshape(shape)])


@dataclass(frozen=True, slots=True, kw_only=True)
class BinaryMaskFiles:
    """One black and white image a class; white cells lie over red ones, no cell is background.

    Parameters
    ----------
    files : tuple of tuple
        Pairs of ``MaskClass`` and the file of that class, where there is one.
    """

    files: tuple[tuple[MaskClass, Path], ...]

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that it is read from."""
        return tuple(path for _, path in self.files)

    def read(self, shape: tuple[int, int]) -> NDArray[np.uint8]:
        """Read the class mask, as :meth:`MaskFile.read` does."""
        class_mask = np.full(shape, MaskClass.BACKGROUND, np.uint8)
        for cell_class, path in sorted(self.files):
            class_mask[_read_binary_mask(path, shape)] = cell_class
        return class_mask


MaskFiles = MaskFile | BinaryMaskFiles
"""Where the classes of all pixels of an image are given."""


def _read_binary_mask(path: Path, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Read a black and white mask, of 0 and 255 as well as of 0 and 1.

    What is brighter than half of the brightest counts, so that a blurred border (JPEG, scaling)
    lies where it was.
    """
    brightness = read_brightness(path)
    _check_size(path, brightness, shape)
    return np.asarray(2 * brightness > max(int(brightness.max(initial=0)), 1))


def read_brightness(path: Path) -> NDArray[np.int64]:
    """Read the numbers of a gray mask, or the brightest channel of one in colours.

    Raises
    ------
    ImageReadError
        The file cannot be read.
    """
    codes = read_values(path)
    brightest = np.maximum(np.maximum(codes >> 16 & 255, codes >> 8 & 255), codes & 255)
    return np.where(codes >= COLOUR, brightest, codes)


def read_values(path: Path) -> NDArray[np.int64]:
    """Read the values of a mask: class numbers, or colours as ``0x1rrggbb``; gray is a number.

    Raises
    ------
    ImageReadError
        The file cannot be read.
    """
    try:
        return read_label_image(path).astype(np.int64)
    except BloodCellError:
        rgb = read_image(path).astype(np.int64)
    red, green, blue = rgb[:, :, 0], rgb[:, :, 1], rgb[:, :, 2]
    colours = COLOUR | red << 16 | green << 8 | blue
    return np.where((red == green) & (green == blue), red, colours)


COLOUR: Final = 1 << 24
"""Bit that marks a colour among the values of a mask; lower values are class numbers."""


def _code(value: Value) -> int:
    if isinstance(value, int):
        return value
    red, green, blue = value
    # As read_values has it: gray is a number.
    return red if red == green == blue else COLOUR | red << 16 | green << 8 | blue


def _in_words(code: int) -> str:
    return f"#{code & (COLOUR - 1):06x}" if code & COLOUR else str(code)


def _check_size(path: Path, values: NDArray[np.generic], shape: tuple[int, int]) -> None:
    if values.shape[:2] != shape:
        raise MaskFormatError(
            f"{path}: the mask has (height, width) {values.shape[:2]}, the image {shape}; "
            "expected the same size. Make the mask again from the image as it is."
        )


_COLOUR_TEXT: Final = re.compile(r"#?([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})", re.IGNORECASE)
_UNSCORED: Final = frozenset({"unscored", "not scored", "ignore", "unknown", "void"})


def read_mask_values(text: str, taxonomy: Taxonomy = BUILT_IN) -> dict[Value, int]:
    """Read a table such as ``0=background,1=RBC,#0000ff=WBC``.

    Parameters
    ----------
    text : str
        Numbers or colours; background, unscored, or a type, which stands for its channel (that of
        platelets is background).

    Returns
    -------
    dict of int or tuple of int to int
        Values of ``MaskClass``, or 255 for not scored.

    Raises
    ------
    SettingsError
        A part is no pair, or one of its sides is not known.

    Examples
    --------
    >>> read_mask_values("0=background, 2=WBC, #00ff00=RBC, 255=unscored")
    {0: 0, 2: 2, (0, 255, 0): 1, 255: 255}
    """
    table: dict[Value, int] = {}
    for part in text.split(","):
        value, separator, name = part.partition("=")
        if not separator:
            raise SettingsError(
                f"--mask-values: {part.strip()!r} is no pair; expected for instance "
                "0=background,1=RBC,2=WBC or '#00ff00=RBC'."
            )
        table[_value(value.strip())] = _class_value(name, taxonomy)
    return table


def _value(text: str) -> Value:
    if text.isdecimal():
        return int(text)
    found = _COLOUR_TEXT.fullmatch(text)
    if not found:
        raise SettingsError(
            f"--mask-values: {text!r} is neither a number nor a colour; expected for instance 1 or "
            "#00ff00."
        )
    red, green, blue = (int(channel, 16) for channel in found.groups())
    return red, green, blue


def _class_value(name: str, taxonomy: Taxonomy) -> int:
    plain = plain_name(name)
    if plain == "background":
        return int(MaskClass.BACKGROUND)
    if plain in _UNSCORED:
        return NOT_SCORED
    cell_type = common_labels(taxonomy).get(plain)
    if cell_type is None:
        raise SettingsError(
            f"--mask-values: {name.strip()!r} is no class; expected background, "
            f"{', '.join(taxonomy.names)} or unscored."
        )
    return int(taxonomy[cell_type].mask_class)
