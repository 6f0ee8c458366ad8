"""Batches of crops, made in the background while the network learns from the one before."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.input_pipeline.crops import CropSampler

Batch = dict[str, NDArray[np.generic]]

# OpenCV and NumPy let go of the interpreter's lock, so threads do; two batches ahead hide jitter.
_THREADS = 2
_BATCHES_AHEAD = 2


def batches(
    sampler: CropSampler, *, batch_size: int, first_index: int, count: int
) -> Iterator[Batch]:
    """Give batches in order of the crops' indices.

    Parameters
    ----------
    sampler : CropSampler
    batch_size : int
    first_index : int
        Index of the first crop.
    count : int
        Number of batches.

    Yields
    ------
    dict of str to ndarray
        ``pixels`` (batch, size, size, 3) uint8, ``class_mask`` (batch, size, size) uint8, and the
        maps of ``CentreTargets`` under their names, with the batch in front.
    """
    waiting: deque[list[Future[Batch]]] = deque()
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="crops") as pool:
        try:
            for number in range(count + _BATCHES_AHEAD):
                if number < count:
                    start = first_index + number * batch_size
                    indices = range(start, start + batch_size)
                    waiting.append([pool.submit(_arrays_of, sampler, index) for index in indices])
                if number >= _BATCHES_AHEAD:
                    yield _stacked([future.result() for future in waiting.popleft()])
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _arrays_of(sampler: CropSampler, index: int) -> Batch:
    crop = sampler[index]
    return {
        "pixels": crop.pixels,
        "class_mask": crop.class_mask,
        "heat_map": crop.targets.heat_map,
        "heat_weight": crop.targets.heat_weight,
        "log_size": crop.targets.log_size,
        "size_weight": crop.targets.size_weight,
    }


def _stacked(examples: list[Batch]) -> Batch:
    return {name: np.stack([example[name] for example in examples]) for name in examples[0]}
