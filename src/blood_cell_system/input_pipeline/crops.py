"""Training crops: which picture, where in it, and how it is turned, scaled and stained.

The crop of an index depends on the seed and the index alone. Threads may make crops in any order,
and a training that was interrupted sees the crops that it would have seen.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.classes import CellType
from blood_cell_system.input_pipeline.augmentation import AugmentationSettings
from blood_cell_system.input_pipeline.centre_targets import CentreTargets, centre_targets
from blood_cell_system.input_pipeline.decoded_images import DecodedImage, DecodedImages
from blood_cell_system.input_pipeline.geometric import sample_geometry, transform_boxes, warp
from blood_cell_system.input_pipeline.pasted_cells import LabelledCrop, paste_cells
from blood_cell_system.input_pipeline.photometric import augment_photometric
from blood_cell_system.input_pipeline.picture_order import PictureOrder
from blood_cell_system.input_pipeline.recolour import recolour
from blood_cell_system.seeding import generator_for

# Shares of crops that are centred near a cell of a type, when the picture has one. White cells and
# platelets are a few per cent of all cells and would hardly be seen otherwise.
_NEAR_CELL_SHARES = ((CellType.WBC, 0.3), (CellType.PLATELET, 0.25), (CellType.RBC, 0.25))


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """One training example.

    Parameters
    ----------
    pixels : ndarray of shape (size, size, 3), dtype uint8
    class_mask : ndarray of shape (size, size), dtype uint8
    targets : CentreTargets
    """

    pixels: NDArray[np.uint8]
    class_mask: NDArray[np.uint8]
    targets: CentreTargets


class CropSampler:
    """Crops by index.

    Parameters
    ----------
    images : DecodedImages
    size_px : int
        Side of a crop.
    settings : AugmentationSettings
    seed : int
    order : PictureOrder, optional
        Which picture each crop is taken from; all in turn by default.
    """

    def __init__(
        self,
        images: DecodedImages,
        *,
        size_px: int,
        settings: AugmentationSettings,
        seed: int,
        order: PictureOrder | None = None,
    ) -> None:
        self._images = images
        self._order = order or PictureOrder([""] * len(images), evenness=0, seed=seed)
        self._size_px = size_px
        self._settings = settings
        self._seed = seed

    def __getitem__(self, index: int) -> Crop:
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
        cells = None if image.cells is None else transform_boxes(image.cells, geometry, shape)
        # Nothing is drawn for what is switched off, so that its crops stay as they were.
        share = self._settings.paste_share
        if share and cells is not None and label_image is not None and generator.random() < share:
            pasted = paste_cells(
                LabelledCrop(
                    pixels=pixels, class_mask=class_mask, label_image=label_image, cells=cells
                ),
                self._donor(position, generator),
                generator,
                scale=math.sqrt(abs(float(np.linalg.det(geometry.matrix[:, :2])))),
            )
            pixels, class_mask = pasted.pixels, pasted.class_mask
            label_image, cells = pasted.label_image, pasted.cells
        share = self._settings.recolour_share
        if share and generator.random() < share:
            pixels = recolour(pixels, class_mask, generator)
        return Crop(
            pixels=augment_photometric(pixels, generator, self._settings),
            class_mask=class_mask,
            targets=centre_targets(
                cells, class_mask, label_image, unmarked_types=image.unmarked_types
            ),
        )

    def _donor(self, position: int, generator: np.random.Generator) -> DecodedImage:
        """Another picture of the same laboratory, from which cells may be pasted."""
        positions = self._images.of_source(self._images.source_of(position))
        return self._images[positions[int(generator.integers(len(positions)))]]

    def position_of(self, index: int) -> int:
        """Position of the picture that a crop is taken from."""
        return self._order.position_of(index)

    def _centre(self, image: DecodedImage, generator: np.random.Generator) -> tuple[float, float]:
        """Point ``(x, y)`` that the crop is laid around, away from the border where that can be."""
        height, width = image.class_mask.shape
        x, y = generator.uniform(0, width), generator.uniform(0, height)
        choice = generator.random()
        for cell_type, share in _NEAR_CELL_SHARES:
            choice -= share
            found = [cell for cell in image.cells or () if cell.cell_type == cell_type]
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
