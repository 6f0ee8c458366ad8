"""Batches of examples, made in the background while the network learns from the one before."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Batch = dict[str, NDArray[Any]]
"""Arrays of an example, or of a batch of them, by name."""

THREADS: Final = 2
"""Threads that make examples: more would take cores from the network that learns."""

BATCHES_AHEAD: Final = 2
"""Batches that are made before they are needed."""


def batches(
    arrays_of: Callable[[int], Batch], *, batch_size: int, first_index: int, count: int
) -> Iterator[Batch]:
    """Give batches in order of the examples' indices, made ahead in threads.

    Parameters
    ----------
    arrays_of : callable
        Gives the example of an index.
    first_index : int
        Index of the first example.
    count : int
        Number of batches.

    Yields
    ------
    dict of str to ndarray
        The examples' arrays under their names, with the batch in front.
    """
    waiting: deque[list[Future[Batch]]] = deque()
    with ThreadPoolExecutor(THREADS, thread_name_prefix="examples") as pool:
        try:
            for number in range(count + BATCHES_AHEAD):
                if number < count:
                    start = first_index + number * batch_size
                    indices = range(start, start + batch_size)
                    waiting.append([pool.submit(arrays_of, index) for index in indices])
                if number >= BATCHES_AHEAD:
                    yield stacked([future.result() for future in waiting.popleft()])
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def stacked(examples: list[Batch]) -> Batch:
    """Put examples into a batch."""
    return {name: np.stack([example[name] for example in examples]) for name in examples[0]}
