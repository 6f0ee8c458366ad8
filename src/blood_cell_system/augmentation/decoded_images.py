"""Images held decoded in memory, as far as memory is granted."""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final

from blood_cell_system.datasets.prepared import DecodedImage, PreparedImage

DEFAULT_BUDGET_BYTES: Final = 2_000_000_000  # Bytes of decoded images that are held in memory.


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
        decoded = image.decoded(magnification=self._magnifications.get(image.source, 1.0))
        with self._lock:
            if position not in self._held:
                self._held[position] = decoded
                self._held_bytes += decoded.size_bytes
            while self._held_bytes > self._budget_bytes and len(self._held) > 1:
                _, dropped = self._held.popitem(last=False)
                self._held_bytes -= dropped.size_bytes
        return decoded
