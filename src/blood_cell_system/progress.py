"""Progress with an honest estimate of the time left, on standard error."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def with_progress(items: Iterable[T], *, total: int, description: str) -> Iterator[T]:
    """Pass items through while a bar shows how many are done and how long the rest will take.

    On a terminal the bar is drawn in place; elsewhere (a log, CI) only the end is told.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(file=sys.stderr)
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
