"""Progress with an honest estimate of the time left, on standard error."""

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Final, TypeVar

import cv2

from blood_cell_system.errors import SettingsError, WorkerError
from blood_cell_system.terminal import safe_console

_MOST_ON_WINDOWS: Final = 61
"""Processes that a pool can wait for there: ``ProcessPoolExecutor`` refuses more."""

Item = TypeVar("Item")
Result = TypeVar("Result")


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


def _start_worker() -> None:
    # The pool is the parallelism: OpenCV's own threads would only fight over the cores.
    cv2.setNumThreads(1)
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
