"""Several processes at once, and progress with an honest estimate of the time left."""

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from queue import LifoQueue
from typing import Final, ParamSpec, TypeVar

import cv2

from blood_cell_system.errors import SettingsError, WorkerError
from blood_cell_system.terminal import safe_console

_MOST_ON_WINDOWS: Final = 61
"""Processes that a pool can wait for there: ``ProcessPoolExecutor`` refuses more."""

Item = TypeVar("Item")
Result = TypeVar("Result")
P = ParamSpec("P")


def map_in_processes(
    function: Callable[[Item], Result], items: Sequence[Item], *, jobs: int | None
) -> Iterator[Result]:
    """Apply a function to items in several processes; results come in the order of the items.

    Processes are spawned, never forked, so that it does not matter which threads the program has.
    With one job, or one item, everything happens in this process.

    Parameters
    ----------
    function : callable
        Of a module, or a ``functools.partial`` of one.
    items : sequence
    jobs : int or None
        Number of processes, 1 or more; None for as many as there are cores.

    Raises
    ------
    SettingsError
        ``jobs`` is less than 1.
    WorkerError
        A process was ended from outside.
    """
    jobs = (os.cpu_count() or 1) if jobs is None else jobs
    if jobs < 1:
        raise SettingsError(f"jobs: received {jobs}; expected 1 or more.")
    if sys.platform == "win32":
        jobs = min(jobs, _MOST_ON_WINDOWS)
    if jobs == 1 or len(items) < 2:
        return map(function, items)
    return _map_in_pool(function, items, min(jobs, len(items)))


def _map_in_pool(
    function: Callable[[Item], Result], items: Sequence[Item], jobs: int
) -> Iterator[Result]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_start_worker) as executor:
        try:
            with _interrupts_ignored():
                # Few items at a time: images differ much in how long they take.
                results = executor.map(function, items, chunksize=2)
            yield from results
        except BrokenProcessPool as error:
            raise WorkerError(
                "A helper process ended in the middle of its work; perhaps the memory is full. "
                "Run again with --jobs 1; a script of your own that starts this must do so below "
                'if __name__ == "__main__".'
            ) from error


class WorkerPool:
    """Processes that do one thing at a time each; one that ends costs what it was doing.

    Parameters
    ----------
    jobs : int
        Number of processes, which start at once.
    threads : int
        How many threads libraries may use in each.
    first : callable
        What each does at its start, while the parent goes on; errors of it are passed over.
    """

    def __init__(self, jobs: int, *, threads: int, first: Callable[[], object]) -> None:
        self._threads, self._first = threads, first
        self._callers = ThreadPoolExecutor(jobs)
        self._idle: LifoQueue[ProcessPoolExecutor] = LifoQueue()
        with _interrupts_ignored():
            for _ in range(jobs):
                self._idle.put(self._new())

    def submit(
        self, function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs
    ) -> "Future[Result]":
        """Call a function in the next process that is idle.

        Its future raises ``WorkerError`` where the process ends in the middle.
        """
        return self._callers.submit(self._call, partial(function, *args, **kwargs))

    def _call(self, function: Callable[[], Result]) -> Result:
        worker = self._idle.get()
        try:
            return worker.submit(function).result()
        except BrokenProcessPool as error:
            worker.shutdown()
            worker = self._new()
            raise WorkerError(
                "a helper process ended in the middle of its work; perhaps the memory is full. Run "
                "again with --jobs 1."
            ) from error
        finally:
            self._idle.put(worker)

    def _new(self) -> ProcessPoolExecutor:
        for name in _THREAD_VARIABLES:
            os.environ.setdefault(name, str(self._threads))
        worker = ProcessPoolExecutor(
            1,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=(self._threads,),
        )
        worker.submit(self._first)
        return worker

    def close(self) -> None:
        """Wait for what is in work, and end the processes."""
        self._callers.shutdown()
        while not self._idle.empty():
            self._idle.get().shutdown()


_THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Of the libraries that NumPy may be built with; processes inherit them."""


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Let processes that start meanwhile inherit deafness to Ctrl-C: the parent tells it, once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)


def _start_worker(threads: int = 1) -> None:
    # The pool is the parallelism: OpenCV's own threads would only fight over the cores.
    cv2.setNumThreads(threads)
    # Where processes do not inherit it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        # A killed parent cannot stop its helpers: they would wait for work for ever.
        parent.join()
        os._exit(1)


def map_with_progress(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    jobs: int | None,
    description: str,
) -> Iterator[Result]:
    """Apply a function as :func:`map_in_processes` does, while a bar shows how far it is."""
    results = map_in_processes(function, items, jobs=jobs)
    return with_progress(results, total=len(items), description=description)


T = TypeVar("T")


def with_progress(items: Iterable[T], *, total: int, description: str) -> Iterator[T]:
    """Pass items through while a bar shows how many are done and how long the rest will take.

    On a terminal the bar is drawn in place; elsewhere (a log, CI) only the end is reported. Where
    this package logs warnings only, nothing is shown.
    """
    if logging.getLogger("blood_cell_system").level >= logging.WARNING:
        yield from items
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = safe_console(is_error=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield from progress.track(items, total=total, description=description)
    if not console.is_terminal:
        console.print(f"{description}: {total} done", markup=False, soft_wrap=True)
