"""Training cells: which cell, and how it is turned, coarsened and stained, by index.

Example *i* depends on the seed and *i* alone, as the crops of the segmenter do: an interrupted
training sees the cells that it would have seen.

Cells are drawn in steps, so that neither a frequent class nor a large laboratory outvotes the
others. A source counts with the square root of its cells: drawn as often as the others, a source of
three cells would be learned by heart.

1. ``outlier_share`` of the examples are no cells at all: a source that has some, then one of them.
2. ``type_share`` are for the types of white cells: a type, a source that has it, then a cell.
3. All others are for the condition: a source, one of its conditions, then a cell. Within a source
   its conditions are equally frequent, so that the source says nothing about the condition. A
   source of one condition counts a quarter of what one of two conditions counts.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.annotation.sample import FailedImage
from blood_cell_system.augmentation.augmentation_settings import AugmentationSettings
from blood_cell_system.augmentation.batches import Batch, stacked
from blood_cell_system.augmentation.geometric import linear_map, sample_angle
from blood_cell_system.augmentation.photometric import augment_photometric
from blood_cell_system.datasets.cell_folder import CellFolder, CellRecord
from blood_cell_system.errors import BloodCellError, DatasetError, SettingsError
from blood_cell_system.imaging.image_file import read_rgba
from blood_cell_system.model_metadata import CELL_SIDE_PX, ClassifierKind, network_input, on_white
from blood_cell_system.seeding import generator_for
from blood_cell_system.settings import check_ranges, ranged
from blood_cell_system.wording import counted

ToCellImage = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""Makes a cell image of an image of one cell, RGB or RGBA; raises ``CellImageError``."""

DEFAULT_BUDGET_BYTES: Final = 1_500_000_000  # Bytes of decoded cells that are held in memory.
_BYTES_A_CELL: Final = CELL_SIDE_PX * CELL_SIDE_PX * 4
_READING_THREADS: Final = 2  # Threads that decode images.
_MOST_FAILED_SHARE: Final = 0.5  # Of the cells; where more cannot be read, the folder is at fault.


class HeldCells:
    """Cell images with their records, by position.

    Beyond the budget they are held as PNG, and decoded whenever they are needed.

    Parameters
    ----------
    images : sequence of ndarray of shape (130, 130, 4), dtype uint8
        RGBA, one for each record.
    """

    def __init__(
        self,
        records: Sequence[CellRecord],
        images: Sequence[NDArray[np.uint8]],
        *,
        failed: Sequence[FailedImage] = (),
        budget_bytes: int = DEFAULT_BUDGET_BYTES,
    ) -> None:
        self.records = tuple(records)
        self.failed = tuple(failed)
        self._decoded_count = min(len(images), max(budget_bytes, 0) // _BYTES_A_CELL)
        self._decoded = list(images[: self._decoded_count])
        self._encoded = [_encode(image) for image in images[self._decoded_count :]]

    @classmethod
    def read(
        cls,
        folder: CellFolder,
        records: Sequence[CellRecord],
        *,
        to_cell_image: ToCellImage,
        budget_bytes: int = DEFAULT_BUDGET_BYTES,
    ) -> "HeldCells":
        """Read the images of some records of a folder.

        What cannot be read, or shows no single cell, is listed in ``failed`` and left out.

        Parameters
        ----------
        to_cell_image : callable
            For images that are no cell images yet, such as
            ``partial(single_cell_image, cell_type=kind.cell_type)``.

        Raises
        ------
        DatasetError
            More than half of the images fail, or there are none.
        """

        def read(record: CellRecord) -> NDArray[np.uint8] | FailedImage:
            try:
                return to_cell_image(read_rgba(folder.path_of(record)))
            except BloodCellError as error:
                return FailedImage(name=record.file, reason=str(error))

        with ThreadPoolExecutor(_READING_THREADS) as pool:
            results = list(pool.map(read, records))
        failed = [result for result in results if isinstance(result, FailedImage)]
        if len(failed) > _MOST_FAILED_SHARE * len(results) or not results:
            example = f" For instance {failed[0].name}: {failed[0].reason}" if failed else ""
            raise DatasetError(
                f"{folder.root}: {len(failed)} of {counted(len(results), 'image')} cannot be "
                "used; expected "
                "images of one cell each. Whole fields have to be cut first: bloodcells crops."
                f"{example}"
            )
        pairs = [
            (record, result)
            for record, result in zip(records, results, strict=True)
            if not isinstance(result, FailedImage)
        ]
        return cls(
            [record for record, _ in pairs],
            [image for _, image in pairs],
            failed=failed,
            budget_bytes=budget_bytes,
        )

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        return (self[position] for position in range(len(self)))

    def __getitem__(self, position: int) -> NDArray[np.uint8]:
        """Cell image, RGBA of shape (130, 130, 4); not to be changed."""
        if position < self._decoded_count:
            return self._decoded[position]
        data = cv2.imdecode(self._encoded[position - self._decoded_count], cv2.IMREAD_UNCHANGED)
        return np.asarray(cv2.cvtColor(data, cv2.COLOR_BGRA2RGBA))


def _encode(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    bgra = cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA)
    _, data = cv2.imencode(".png", bgra, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return np.asarray(data)


_MIDDLE: Final = (CELL_SIDE_PX - 1) / 2


def _default_look() -> AugmentationSettings:
    # The slide is white already, so light varies less than in smears. All sources go through the
    # same JPEG: its traces must not distinguish them.
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
    """Ranges of the random changes of a cell image.

    Parameters
    ----------
    look : AugmentationSettings
        Turns, flips, scale, stain, light, blur, noise and JPEG; its elastic part is not used.
    shift_px : float
        Largest shift in either direction.
    resolution_share : float
        Share of images that are made coarse as cells of low magnification are.
    smallest_extent_px : float
        Length of a cell in the coarsest of them, drawn evenly in the logarithm up to the full one.
    outline_px : int
        By how many pixels the outline is moved out or in, at most.
    surround_share : float
        Share of images that keep what lies around the cell; the others lie on white.
    coloured_share : float
        Share of these others that lie on black or on a slide of some colour.

    Raises
    ------
    SettingsError
        A number is out of its range.
    """

    look: AugmentationSettings = field(default_factory=_default_look)
    # Beyond these bounds the cell or its surroundings would come and go.
    shift_px: float = ranged(6.0, at_least=0, at_most=15)
    resolution_share: float = ranged(0.6, at_least=0, at_most=1)
    smallest_extent_px: float = ranged(24.0, at_least=8, at_most=100)
    outline_px: int = ranged(3, at_least=0, at_most=6)
    surround_share: float = ranged(0.0, at_least=0, at_most=1)
    coloured_share: float = ranged(0.0, at_least=0, at_most=1)

    def __post_init__(self) -> None:
        check_ranges(self)


def for_surround() -> CellAugmentation:
    """Give the changes for networks that see the surround, for the stain of any laboratory.

    Trainings that each left laboratories out were better with such strong changes of the stain and
    with the surround in half of the cells (docs/classifier_training.md, "Which network").
    """
    look = replace(
        _default_look(), stain_share=1.0, stain_mixing=0.12, stain_strength_range=(0.5, 1.9)
    )
    return CellAugmentation(
        look=look,
        surround_share=0.5,
        coloured_share=0.4,
        # White cells are 50 px or longer in all collections; coarser ones lose their granules.
        resolution_share=0.4,
        smallest_extent_px=45.0,
    )


def augment_cell(
    cell_image: NDArray[np.uint8], generator: np.random.Generator, settings: CellAugmentation
) -> NDArray[np.uint8]:
    """Change a cell image, and lay it on white.

    Parameters
    ----------
    cell_image : ndarray of shape (130, 130, 4), dtype uint8
        RGBA.

    Returns
    -------
    ndarray of shape (130, 130, 3), dtype uint8
        RGB; as ``settings`` say, white wherever the changed cell is not.
    """
    moved = cv2.warpAffine(
        cell_image,
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
    return _on_some_ground(look, alpha, generator, settings)


def _on_some_ground(
    look: NDArray[np.uint8],
    alpha: NDArray[np.uint8],
    generator: np.random.Generator,
    settings: CellAugmentation,
) -> NDArray[np.uint8]:
    if settings.surround_share and generator.random() < settings.surround_share:
        return look
    if settings.coloured_share and generator.random() < settings.coloured_share:
        is_black = generator.random() < _BLACK_SHARE
        colour = 0.0 if is_black else np.clip(generator.normal(*_SLIDE_LIGHT, 3), 60, 255)
        ground = np.full_like(look, np.rint(colour).astype(np.uint8))
        return np.asarray(np.where(alpha[:, :, None] > 0, look, ground))
    return on_white(np.dstack([look, alpha]))


def _sample_matrix(
    generator: np.random.Generator, settings: CellAugmentation
) -> NDArray[np.float64]:
    look = settings.look
    angle = sample_angle(generator, look)
    scale = math.exp(generator.uniform(*np.log(look.scale_range)))
    is_flipped = generator.random() < look.flip_share
    linear = linear_map(angle, scale=scale, is_flipped=is_flipped)
    shift = generator.uniform(-settings.shift_px, settings.shift_px, 2)
    offset = _MIDDLE + shift - linear @ (_MIDDLE, _MIDDLE)
    return np.column_stack([linear, offset])


def _coarsened(
    image: NDArray[np.uint8], generator: np.random.Generator, settings: CellAugmentation
) -> NDArray[np.uint8]:
    """Make an image as coarse as that of a cell of fewer pixels: smaller, and back again."""
    extent = math.exp(generator.uniform(math.log(settings.smallest_extent_px), math.log(100)))
    side = max(8, round(CELL_SIDE_PX * extent / 100))
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
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


_BLACK_SHARE: Final = 0.2
"""Of coloured grounds: what is cut out on black."""
_SLIDE_LIGHT: Final = (200.0, 40.0)
"""Mean and standard deviation of a slide's light, of 255, where it was not divided out."""

UNKNOWN: Final = -1
"""Index of a condition or type that nobody knows, and of what is no cell."""

# Relative to a class of several conditions: it has no contrast to teach.
_SINGLE_CONDITION_WEIGHT: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class CellBalance:
    """What is drawn how often.

    Parameters
    ----------
    outlier_share : float
        Of all examples, where there are outliers.
    type_share : float
        Of the rest, where types are known.

    Raises
    ------
    SettingsError
        A share is not from 0 to below 1.
    """

    outlier_share: float = ranged(0.15, at_least=0, below=1)
    type_share: float = ranged(0.55, at_least=0, below=1)

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CellLabels:
    """What is known about cells, as numbers.

    Parameters
    ----------
    condition, cell_type : ndarray of shape (n,), dtype int32
        Index among the kind's conditions and types; ``UNKNOWN`` where nobody knows.
    known : ndarray of shape (n,), dtype float32
        1 for cells of the classes, 0 for what is none of them.
    source : ndarray of shape (n,), dtype int32
        Index among ``sources``.
    """

    condition: NDArray[np.int32]
    cell_type: NDArray[np.int32]
    known: NDArray[np.float32]
    source: NDArray[np.int32]
    sources: tuple[str, ...]

    @classmethod
    def of(
        cls,
        records: Sequence[CellRecord],
        *,
        kind: ClassifierKind,
        sources: Sequence[str] | None = None,
    ) -> "CellLabels":
        """Labels of records; ``sources`` fixes their order, by name by default."""
        names = tuple(sources or sorted({record.source for record in records}))
        conditions = {name: index for index, name in enumerate(kind.conditions)}
        types = {name: index for index, name in enumerate(kind.types)}

        def numbers(values: Sequence[int]) -> NDArray[np.int32]:
            return np.array(values, dtype=np.int32)

        return cls(
            condition=numbers([conditions.get(r.condition or "", UNKNOWN) for r in records]),
            cell_type=numbers([types.get(r.cell_type or "", UNKNOWN) for r in records]),
            known=np.array([not r.is_outlier for r in records], dtype=np.float32),
            source=numbers([names.index(r.source) for r in records]),
            sources=names,
        )


class CellSampler:
    """Augmented training cells by index.

    Parameters
    ----------
    labels : CellLabels
        Of the same cells.
    augmentation : CellAugmentation or None
        None leaves the images as they are.

    Raises
    ------
    SettingsError
        There is no cell with a known condition or type.
    """

    def __init__(
        self,
        cells: HeldCells,
        labels: CellLabels,
        *,
        seed: int,
        augmentation: CellAugmentation | None,
        balance: CellBalance | None = None,
    ) -> None:
        self._cells = cells
        self._labels = labels
        self._seed = seed
        self._augmentation = augmentation
        self._balance = balance or CellBalance()
        has_condition = labels.condition != UNKNOWN
        self._outliers = _grouped(labels.source, labels.known == 0)
        self._types = [
            _grouped(labels.source, labels.cell_type == cell_type)
            for cell_type in np.unique(labels.cell_type[labels.cell_type != UNKNOWN])
        ]
        self._conditions = [
            _grouped(labels.condition, has_condition & (labels.source == source))
            for source in np.unique(labels.source[has_condition])
        ]
        weights = [
            math.sqrt(sum(map(len, groups))) * (_SINGLE_CONDITION_WEIGHT if len(groups) == 1 else 1)
            for groups in self._conditions
        ]
        self._source_shares = np.array(weights) / max(sum(weights), 1e-9)
        if not self._types and not self._conditions:
            raise SettingsError(
                "Cells: none of them has a known condition or type; expected labelled ones. Check "
                "cells.csv."
            )

    def position_of(self, index: int) -> int:
        """Position of the cell that an example shows."""
        generator = generator_for(self._seed, "cell", index)
        is_outlier = generator.random() < self._balance.outlier_share
        is_for_type = generator.random() < self._balance.type_share
        if is_outlier and self._outliers:
            group = _of_some_source(self._outliers, generator)
        elif self._types and (is_for_type or not self._conditions):
            sources = self._types[generator.integers(len(self._types))]
            group = _of_some_source(sources, generator)
        else:
            source = generator.choice(len(self._conditions), p=self._source_shares)
            groups = self._conditions[int(source)]
            group = groups[generator.integers(len(groups))]
        return int(group[generator.integers(len(group))])

    def __getitem__(self, index: int) -> Batch:
        """Give an example: ``cells`` (130, 130, 3) uint8, and its labels by name, 0-dimensional."""
        position = self.position_of(index)
        image = self._cells[position]
        if self._augmentation is None:
            pixels = on_white(image)
        else:
            generator = generator_for(self._seed, "look", index)
            pixels = augment_cell(image, generator, self._augmentation)
        return {"cells": pixels, **_labels_at(self._labels, position)}


def plain_batches(
    cells: HeldCells, labels: CellLabels, *, batch_size: int, sees_surround: bool = False
) -> Iterator[Batch]:
    """Give every cell once, in order and as it is, for measuring; the last batch may be short.

    Yields
    ------
    dict of str to ndarray
        ``cells`` (batch, 130, 130, 3) uint8; ``condition``, ``cell_type``, ``source`` (batch,)
        int32; ``known`` (batch,) float32.
    """
    for start in range(0, len(cells), batch_size):
        positions = range(start, min(start + batch_size, len(cells)))
        pixels = [network_input(cells[p], sees_surround=sees_surround) for p in positions]
        of_cells = [_labels_at(labels, position) for position in positions]
        yield {"cells": np.stack(pixels), **stacked(of_cells)}


def _grouped(values: NDArray[np.int32], is_meant: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """Positions of what is meant, an array for each of its values."""
    return [np.flatnonzero(is_meant & (values == value)) for value in np.unique(values[is_meant])]


def _of_some_source(
    groups: Sequence[NDArray[np.intp]], generator: np.random.Generator
) -> NDArray[np.intp]:
    """Choose a source; each counts with the square root of its cells."""
    roots = np.sqrt([len(group) for group in groups])
    return groups[int(generator.choice(len(groups), p=roots / roots.sum()))]


def _labels_at(labels: CellLabels, position: int) -> Batch:
    return {
        "condition": labels.condition[position],
        "cell_type": labels.cell_type[position],
        "known": labels.known[position],
        "source": labels.source[position],
    }
