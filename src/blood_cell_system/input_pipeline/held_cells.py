"""Cell pictures of a folder, read once and held in memory."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.cell_picture_format import CELL_SIDE_PX
from blood_cell_system.datasets.cell_folder import CellFolder, CellRecord
from blood_cell_system.errors import BloodCellError, DatasetError
from blood_cell_system.image_io import read_rgba

ToCellPicture = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""Makes a cell picture of a picture of one cell, RGB or RGBA; raises ``CellPictureError``."""

DEFAULT_BUDGET_BYTES: Final = 1_500_000_000
_BYTES_A_CELL: Final = CELL_SIDE_PX * CELL_SIDE_PX * 4
_THREADS: Final = 2
_MOST_FAILED_SHARE: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedCell:
    """A picture that cannot be learned from.

    Parameters
    ----------
    file : str
    reason : str
    """

    file: str
    reason: str


class HeldCells:
    """Cell pictures with their records, by position.

    Beyond the budget they are held as PNG, and decoded whenever they are asked for.

    Parameters
    ----------
    records : sequence of CellRecord
    pictures : sequence of ndarray of shape (130, 130, 4), dtype uint8
        RGBA, one for each record.
    failed : sequence of FailedCell
    budget_bytes : int
    """

    def __init__(
        self,
        records: Sequence[CellRecord],
        pictures: Sequence[NDArray[np.uint8]],
        *,
        failed: Sequence[FailedCell] = (),
        budget_bytes: int = DEFAULT_BUDGET_BYTES,
    ) -> None:
        self.records = tuple(records)
        self.failed = tuple(failed)
        self._decoded_count = min(len(pictures), max(budget_bytes, 0) // _BYTES_A_CELL)
        self._decoded = list(pictures[: self._decoded_count])
        self._encoded = [_encode(picture) for picture in pictures[self._decoded_count :]]

    @classmethod
    def read(
        cls,
        folder: CellFolder,
        records: Sequence[CellRecord],
        *,
        to_cell_picture: ToCellPicture,
        budget_bytes: int = DEFAULT_BUDGET_BYTES,
    ) -> "HeldCells":
        """Read the pictures of some records of a folder.

        What cannot be read, or shows no single cell, is listed in ``failed`` and left out.

        Parameters
        ----------
        folder : CellFolder
        records : sequence of CellRecord
        to_cell_picture : callable
            For pictures that are no cell pictures yet, such as
            ``partial(lone_cell_picture, cell_type=kind.cell_type)``.
        budget_bytes : int

        Raises
        ------
        DatasetError
            More than half of the pictures fail, or there are none.
        """

        def read(record: CellRecord) -> NDArray[np.uint8] | FailedCell:
            try:
                return to_cell_picture(read_rgba(folder.path_of(record)))
            except BloodCellError as error:
                return FailedCell(file=record.file, reason=str(error))

        with ThreadPoolExecutor(_THREADS) as pool:
            results = list(pool.map(read, records))
        failed = [result for result in results if isinstance(result, FailedCell)]
        if len(failed) > _MOST_FAILED_SHARE * len(results) or not results:
            example = f" For instance {failed[0].file}: {failed[0].reason}" if failed else ""
            raise DatasetError(
                f"{folder.root}: {len(failed)} of {len(results)} pictures cannot be used; expected "
                "pictures of one cell each. Whole fields have to be cut first: bloodcells crops."
                f"{example}"
            )
        pairs = [
            (record, result)
            for record, result in zip(records, results, strict=True)
            if not isinstance(result, FailedCell)
        ]
        return cls(
            [record for record, _ in pairs],
            [picture for _, picture in pairs],
            failed=failed,
            budget_bytes=budget_bytes,
        )

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, position: int) -> NDArray[np.uint8]:
        """Cell picture, RGBA of shape (130, 130, 4); not to be changed."""
        if position < self._decoded_count:
            return self._decoded[position]
        return _decode(self._encoded[position - self._decoded_count])


def _encode(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    bgra = cv2.cvtColor(picture, cv2.COLOR_RGBA2BGRA)
    _, data = cv2.imencode(".png", bgra, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return np.asarray(data)


def _decode(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA))
