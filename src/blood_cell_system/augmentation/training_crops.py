"""Training crops: which image, where in it, and how it is turned, scaled and stained.

The crop of an index depends on the seed and the index alone. Threads may make crops in any order,
and a training that was interrupted sees the crops that it would have seen.

Where a set of 18 images is learned together with one of 205, images in turn would give it a
twelfth of the crops. So the share of a source with *n* images is in proportion to
n^(1 - evenness).
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.annotation.sample import Annotation, Origin
from blood_cell_system.augmentation.augmentation_settings import AugmentationSettings
from blood_cell_system.augmentation.batches import Batch
from blood_cell_system.augmentation.decoded_images import DecodedImages
from blood_cell_system.augmentation.geometric import sample_geometry, transform_boxes, warp
from blood_cell_system.augmentation.pasted_cells import paste_cells
from blood_cell_system.augmentation.photometric import augment_photometric
from blood_cell_system.datasets.prepared import DecodedImage
from blood_cell_system.errors import SettingsError
from blood_cell_system.model_metadata import HEAD_STRIDE, SIZE_UNIT_PX
from blood_cell_system.seeding import generator_for
from blood_cell_system.stain.recolour import recolour
from blood_cell_system.taxonomy import BUILT_IN, NOT_SCORED, Taxonomy


class ImageOrder:
    """Positions of images by index; a function of seed and index alone.

    Indices come in rounds of as many as there are images. Every round has the same number of
    crops of each source, in a new order. Within a source every image comes once, in a new order
    each time, before any comes again.

    Parameters
    ----------
    sources : sequence of str
        Source of every image, by position; one at least.
    evenness : float
        From 0, where every image comes as often as every other, to 1, where every source does.
        Of no effect where there is one source.

    Raises
    ------
    SettingsError
        The evenness is not from 0 to 1.

    Examples
    --------
    Crops as the square roots of 16 and 4, so 2 to 1:

    >>> ImageOrder(["large"] * 16 + ["small"] * 4, evenness=0.5, seed=0).counts_of_a_round()
    {'large': 13, 'small': 7}
    """

    def __init__(self, sources: Sequence[str], *, evenness: float, seed: int) -> None:
        if not 0 <= evenness <= 1:
            raise SettingsError(f"source_evenness: received {evenness}; expected from 0 to 1.")
        self._seed = seed
        self._count = len(sources)
        self._names = sorted(set(sources))
        by_name = np.array([self._names.index(source) for source in sources])
        self._positions = [np.flatnonzero(by_name == i) for i in range(len(self._names))]
        sizes = np.array([len(found) for found in self._positions])
        # All images in one turn, whatever their source, is what a single source needs as well.
        self._is_plain = evenness == 0 or len(self._names) == 1
        self._quotas = sizes if self._is_plain else _quotas(sizes, evenness)

    def counts_of_a_round(self) -> dict[str, int]:
        """How many crops of a round each source gets."""
        return dict(zip(self._names, self._quotas.tolist(), strict=True))

    def frequencies(self) -> NDArray[np.float64]:
        """How often each image comes, against the mean of all; shape (images,)."""
        result = np.empty(self._count)
        for positions, quota in zip(self._positions, self._quotas, strict=True):
            result[positions] = quota / len(positions)
        return result

    def position_of(self, index: int) -> int:
        """Position of the image that a crop is taken from."""
        turn, place = divmod(index, self._count)
        order = generator_for(self._seed, "order", turn).permutation(self._count)
        if self._is_plain:
            return int(order[place])
        # The slots 0 to n - 1 of a round belong to the sources one after the other.
        ends = np.cumsum(self._quotas)
        source = int(np.searchsorted(ends, order[place], side="right"))
        quota, positions = int(self._quotas[source]), self._positions[source]
        before = order[:place]
        own_before = np.count_nonzero((before >= ends[source] - quota) & (before < ends[source]))
        taken = turn * quota + int(own_before)
        own_turn, own_place = divmod(taken, len(positions))
        own_order = generator_for(self._seed, "order", self._names[source], own_turn)
        return int(positions[own_order.permutation(len(positions))[own_place]])


def _quotas(sizes: NDArray[np.intp], evenness: float) -> NDArray[np.intp]:
    """Share the slots of a round among the sources, by the largest remainder.

    No source goes without: the smallest gets more than its number of images says.
    """
    weights = sizes ** (1.0 - evenness)
    ideal = sizes.sum() * weights / weights.sum()
    quotas: NDArray[np.intp] = np.floor(ideal).astype(np.intp)
    left = int(sizes.sum() - quotas.sum())
    quotas[np.argsort(quotas - ideal, kind="stable")[:left]] += 1
    return quotas


_SMALLEST_SIGMA: Final = 0.8
"""Least standard deviation of a centre's Gaussian, in places of the heat map: a narrower one would
be a single place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CentreTargets:
    """Targets of the instance head for one crop; maps have a quarter of the crop's sides.

    Parameters
    ----------
    heat_map : ndarray of shape (height / 4, width / 4, types), dtype float32
        In the order of the taxonomy: exactly 1 at a cell's centre, a Gaussian around it.
    heat_weight : ndarray of the same shape
        0 where nobody knows whether there is a centre, else 1.
    log_size : ndarray of shape (height / 4, width / 4, 2), dtype float32
        ln(width / 64 px) and ln(height / 64 px) of the cell whose centre is near.
    size_weight : ndarray of shape (height / 4, width / 4), dtype float32
    """

    heat_map: NDArray[np.float32]
    heat_weight: NDArray[np.float32]
    log_size: NDArray[np.float32]
    size_weight: NDArray[np.float32]


def centre_targets(
    cells: Sequence[Annotation] | None,
    class_mask: NDArray[np.uint8],
    label_image: NDArray[np.integer] | None = None,
    *,
    unmarked_types: Collection[str] = (),
    taxonomy: Taxonomy = BUILT_IN,
) -> CentreTargets:
    """Make the instance head's targets.

    A known centre always counts. Elsewhere "no centre" is only taught where it is known: not where
    pixels are not scored, not for a class whose pixels belong to no known cell, and not for a type
    that nobody marked.

    Parameters
    ----------
    cells : sequence of Annotation or None
        Boxes in the crop's pixels, centres inside it; None when nobody has said where cells are,
        which gives no weight to anything.
    class_mask : ndarray of shape (height, width), dtype uint8
        Sides are multiples of 4.
    label_image : ndarray of shape (height, width), optional
        0 where a pixel belongs to no known cell.
    unmarked_types : collection of str
        Types that may be there without a box.
    """
    height, width = class_mask.shape[0] // HEAD_STRIDE, class_mask.shape[1] // HEAD_STRIDE
    shape = (height, width, len(taxonomy))
    heat_map = np.zeros(shape, np.float32)
    log_size = np.zeros((height, width, 2), np.float32)
    size_weight = np.zeros((height, width), np.float32)
    if cells is None:
        return CentreTargets(
            heat_map=heat_map,
            heat_weight=np.zeros(shape, np.float32),
            log_size=log_size,
            size_weight=size_weight,
        )
    for cell in cells:
        _draw_cell(cell, heat_map, log_size, size_weight, taxonomy)
    is_known = _share(class_mask == NOT_SCORED) < 0.5
    heat_weight = np.repeat(is_known[:, :, None], len(taxonomy), axis=2).astype(np.float32)
    if label_image is not None:
        for channel, cell_type in enumerate(taxonomy):
            # The absence of a cell without a channel, such as a platelet, is known where the
            # background is.
            if cell_type.has_channel:
                is_orphan = (class_mask == cell_type.mask_class) & (label_image == 0)
                heat_weight[:, :, channel] *= _share(is_orphan) < 0.5
    for name in unmarked_types:
        heat_weight[:, :, taxonomy.index(name)] = 0
    return CentreTargets(
        heat_map=heat_map,
        heat_weight=np.maximum(heat_weight, heat_map > 0.1),
        log_size=log_size,
        size_weight=size_weight,
    )


def _share(is_set: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Share of set pixels under every place of the map."""
    size = (is_set.shape[1] // HEAD_STRIDE, is_set.shape[0] // HEAD_STRIDE)
    return np.asarray(cv2.resize(is_set.astype(np.float32), size, interpolation=cv2.INTER_AREA))


def _draw_cell(
    cell: Annotation,
    heat_map: NDArray[np.float32],
    log_size: NDArray[np.float32],
    size_weight: NDArray[np.float32],
    taxonomy: Taxonomy,
) -> None:
    height, width, _ = heat_map.shape
    x_px, y_px = cell.centre
    column, row = int(x_px // HEAD_STRIDE), int(y_px // HEAD_STRIDE)
    if not (0 <= row < height and 0 <= column < width) or min(cell.width, cell.height) <= 0:
        return
    share = taxonomy[cell.cell_type].sampling.centre_sigma
    sigma_x = max(share * cell.width / HEAD_STRIDE, _SMALLEST_SIGMA)
    sigma_y = max(share * cell.height / HEAD_STRIDE, _SMALLEST_SIGMA)
    rows = slice(max(0, row - int(3 * sigma_y)), min(height, row + int(3 * sigma_y) + 1))
    columns = slice(max(0, column - int(3 * sigma_x)), min(width, column + int(3 * sigma_x) + 1))
    # Around the middle of the centre's own place, so that the peak is exactly 1.
    gauss_y = np.exp(-0.5 * ((np.arange(rows.start, rows.stop) - row) / sigma_y) ** 2)
    gauss_x = np.exp(-0.5 * ((np.arange(columns.start, columns.stop) - column) / sigma_x) ** 2)
    gauss = (gauss_y[:, None] * gauss_x[None, :]).astype(np.float32)
    channel = heat_map[rows, columns, taxonomy.index(cell.cell_type)]
    np.maximum(channel, gauss, out=channel)
    if cell.origin is Origin.POINT:
        # Its size is a guess.
        return
    # The nearest cell's size wins where two are close.
    is_nearest = (gauss > 0.5) & (gauss > size_weight[rows, columns])
    size_weight[rows, columns][is_nearest] = gauss[is_nearest]
    log_size[rows, columns][is_nearest] = np.log(
        np.array([cell.width, cell.height], np.float32) / SIZE_UNIT_PX
    )


class CropSampler:
    """Crops by index.

    Parameters
    ----------
    size_px : int
        Side of a crop.
    order : ImageOrder, optional
        Which image each crop is taken from; all in turn by default.
    taxonomy : Taxonomy
        Of the images.
    """

    def __init__(
        self,
        images: DecodedImages,
        *,
        size_px: int,
        settings: AugmentationSettings,
        seed: int,
        order: ImageOrder | None = None,
        taxonomy: Taxonomy = BUILT_IN,
    ) -> None:
        self._images = images
        self._order = order or ImageOrder([""] * len(images), evenness=0, seed=seed)
        self._size_px = size_px
        self._settings = settings
        self._seed = seed
        self._taxonomy = taxonomy

    def __getitem__(self, index: int) -> Batch:
        """Give a crop as arrays.

        Returns
        -------
        dict of str to ndarray
            ``pixels`` (size, size, 3) uint8, ``class_mask`` (size, size) uint8, and the maps of
            ``CentreTargets`` under their names.
        """
        generator = generator_for(self._seed, "crop", index)
        position = self.position_of(index)
        image = self._images[position]
        shape = (self._size_px, self._size_px)
        geometry = sample_geometry(
            generator, self._settings, centre=self._centre(image, generator), output_shape=shape
        )
        pixels, class_mask, label_image = warp(
            image.pixels, image.class_mask, image.label_image, geometry, shape
        )
        crop = DecodedImage(
            pixels=pixels,
            class_mask=class_mask,
            label_image=label_image,
            cells=None if image.cells is None else transform_boxes(image.cells, geometry, shape),
        )
        # Nothing is drawn for what is switched off, so that its crops stay as they were.
        share = self._settings.paste_share
        is_known = crop.cells is not None and crop.label_image is not None
        if share and is_known and generator.random() < share:
            same_source = self._images.of_source(self._images.source_of(position))
            donor = self._images[same_source[int(generator.integers(len(same_source)))]]
            crop = paste_cells(
                crop,
                donor,
                generator,
                scale=math.sqrt(abs(float(np.linalg.det(geometry.matrix[:, :2])))),
                taxonomy=self._taxonomy,
            )
        pixels = crop.pixels
        share = self._settings.recolour_share
        if share and generator.random() < share:
            pixels = recolour(pixels, crop.class_mask, generator)
        targets = centre_targets(
            crop.cells,
            crop.class_mask,
            crop.label_image,
            unmarked_types=image.unmarked_types,
            taxonomy=self._taxonomy,
        )
        maps = {one.name: getattr(targets, one.name) for one in fields(targets)}
        return {
            "pixels": augment_photometric(pixels, generator, self._settings),
            "class_mask": crop.class_mask,
            **maps,
        }

    def position_of(self, index: int) -> int:
        """Position of the image that a crop is taken from."""
        return self._order.position_of(index)

    def _centre(self, image: DecodedImage, generator: np.random.Generator) -> tuple[float, float]:
        """Point ``(x, y)`` that the crop is laid around, away from the border where that can be."""
        height, width = image.class_mask.shape
        x, y = generator.uniform(0, width), generator.uniform(0, height)
        choice = generator.random()
        for cell_type in reversed(self._taxonomy.bottom_up):
            choice -= cell_type.sampling.crop_share
            found = [cell for cell in image.cells or () if cell.cell_type == cell_type.name]
            if choice < 0 and found:
                x, y = found[generator.integers(len(found))].centre
                # Within a third of the crop the cell stays in view, and not always in the middle.
                shift = generator.uniform(-self._size_px / 3, self._size_px / 3, 2)
                x, y = x + shift[0], y + shift[1]
                break
        return _inside(x, width, self._size_px / 2), _inside(y, height, self._size_px / 2)


def _inside(place: float, side: float, margin: float) -> float:
    """Nearest place that keeps the margin from both ends, or the middle."""
    margin = min(margin, side / 2)
    return float(np.clip(place, margin, side - margin))
