"""Images held decoded in memory, as far as memory is granted."""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.datasets.prepared import PreparedImage
from blood_cell_system.imaging.image_file import read_label_image
from blood_cell_system.imaging.resampling import Resampler

DEFAULT_BUDGET_BYTES: Final = 2_000_000_000  # Bytes of decoded images that are held in memory.


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedImage:
    """One image with everything that is known of it.

    Parameters
    ----------
    pixels : ndarray of shape (height, width, 3), dtype uint8
    class_mask : ndarray of shape (height, width), dtype uint8
    label_image : ndarray of shape (height, width), dtype uint16, or None
    unmarked_types : tuple of str
        Types that may be there without a box.
    """

    pixels: NDArray[np.uint8]
    class_mask: NDArray[np.uint8]
    label_image: NDArray[np.uint16] | None
    cells: tuple[Annotation, ...] | None
    unmarked_types: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Memory taken by the arrays."""
        labels = 0 if self.label_image is None else self.label_image.nbytes
        return self.pixels.nbytes + self.class_mask.nbytes + labels


class DecodedImages:
    """Decoded images by position; the longest unused ones give way when the budget is spent.

    Safe to use from several threads.

    Parameters
    ----------
    budget_bytes : int
        Ten thousand images do not fit into a laptop; those beyond the budget are decoded again.
    magnifications : mapping of str to float, optional
        By how much the images of a source are resampled; others stay as they are.
    """

    def __init__(
        self,
        images: Sequence[PreparedImage],
        *,
        budget_bytes: int = DEFAULT_BUDGET_BYTES,
        magnifications: Mapping[str, float] | None = None,
    ) -> None:
        self._images = tuple(images)
        self._magnifications = dict(magnifications or {})
        positions: dict[str, list[int]] = {}
        for position, image in enumerate(self._images):
            positions.setdefault(image.source, []).append(position)
        self._positions = {source: tuple(found) for source, found in positions.items()}
        self._budget_bytes = budget_bytes
        self._held: OrderedDict[int, DecodedImage] = OrderedDict()
        self._held_bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._images)

    def source_of(self, position: int) -> str:
        """Name of the data set that an image comes from."""
        return self._images[position].source

    def of_source(self, source: str) -> tuple[int, ...]:
        """Positions of all images of a data set."""
        return self._positions[source]

    def __getitem__(self, position: int) -> DecodedImage:
        with self._lock:
            if position in self._held:
                self._held.move_to_end(position)
                return self._held[position]
        image = self._images[position]
        decoded = decode(image, magnification=self._magnifications.get(image.source, 1.0))
        with self._lock:
            if position not in self._held:
                self._held[position] = decoded
                self._held_bytes += decoded.size_bytes
            while self._held_bytes > self._budget_bytes and len(self._held) > 1:
                _, dropped = self._held.popitem(last=False)
                self._held_bytes -= dropped.size_bytes
        return decoded


def decode(image: PreparedImage, *, magnification: float = 1.0) -> DecodedImage:
    """Read everything that is known of one image, and resample it where needed."""
    pixels, class_mask = image.read()
    path = image.instance_path
    label_image = read_label_image(path) if path is not None else None
    cells = image.cells
    if magnification != 1:
        resampler = Resampler.by(magnification, pixels.shape[:2])
        new_mask = resampler.class_mask(class_mask)
        if label_image is not None:
            label_image = resampler.label_image(label_image, class_mask, new_mask)
        pixels, class_mask = resampler.image(pixels), new_mask
        if cells is not None:
            cells = tuple(replace(cell, box=resampler.box(cell.bounds)) for cell in cells)
    return DecodedImage(
        pixels=pixels,
        class_mask=class_mask,
        label_image=label_image,
        cells=cells,
        unmarked_types=image.unmarked_types,
    )
