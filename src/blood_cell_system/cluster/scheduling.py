"""A run on a Dask cluster: batches out, rows in, each image once whatever is killed meanwhile.

1. What a former run left behind is settled (:meth:`ResultsDataset.settle`), and workers compare the
   images of batches that count with their hashes: a batch with a changed image does not count.
2. Images are listed lazily, those that are finished left out, and cut into batches of a measured
   size. A few for each worker are in work at a time, so that nothing here grows with the list.
3. A worker writes the cells of a batch; this process alone makes it count. Where a worker dies or
   fails, its batch is cut in two, until the image that it is about stands alone; that one is tried
   again and then listed as failed, with the reason. Where workers die, Dask blames all that waited
   for them: such an image has its last attempt when nothing else is in work.
4. At the end the dataset is settled again, and the sums of slides and patients are written.
"""

import hashlib
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import blood_cell_system
from blood_cell_system.cluster.dataset_lock import DatasetLock
from blood_cell_system.cluster.dataset_sums import write_sums
from blood_cell_system.cluster.field_batches import (
    DoneBatch,
    FieldBatch,
    WorkerVersionError,
    are_unchanged,
    failed_row,
    halves,
    packed,
    run_batch,
)
from blood_cell_system.cluster.results_dataset import ResultsDataset
from blood_cell_system.cluster.source_listing import KeySet, SourceImage, is_scan_name
from blood_cell_system.errors import (
    MissingDataError,
    OutputError,
    SettingsError,
    WorkerError,
)

_BATCH_S: Final = 20.0
"""Seconds that a batch should take: the scheduler's millisecond is then nothing, and what a kill
costs is little."""
_FIRST_IMAGES: Final = 4
_MOST_IMAGES: Final = 256
"""Images of the first batches, and of the largest: some 40,000 cells, 10 MB of Parquet."""
_IN_WORK: Final = 2
"""Batches for each thread of the workers: one in work and one that waits."""
_ATTEMPTS: Final = 3
"""Of an image that stands alone, and of writing a batch's cells."""
_ANSWER_S: Final = 10.0
"""That a scheduler has to answer."""
_NO_WORKER_S: Final = 60.0
"""Until a scheduler without workers is given up."""

_THREADS: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
LOCAL_SETTINGS: Final = {
    # Dask would also give memory back at every chance (MALLOC_TRIM_THRESHOLD_), for which an
    # analysis of many large arrays pays dearly.
    "distributed.nanny.pre-spawn-environ": dict.fromkeys(_THREADS, "1"),
    # A batch that has killed two workers is cut in two, to find the image that does it.
    "distributed.scheduler.allowed-failures": 1,
    # Workers would watch themselves a hundred times a second, for which they pay as well.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.worker.memory.monitor-interval": "500ms",
    # A worker that has paused for its memory takes no batch any more, and gives none back.
    "distributed.worker.memory.pause": False,
}
"""Of Dask, for the processes of this computer; docs/cluster.md has them for others."""

_logger = logging.getLogger(__name__)


@contextmanager
def connected(scheduler: str, *, jobs: int) -> Iterator[Any]:
    """Give a client of a cluster: of a scheduler's address, or of processes of this computer.

    Parameters
    ----------
    scheduler : str
        ``local``, or an address such as ``tcp://10.0.0.1:8786``.
    jobs : int
        Processes of ``local``.

    Raises
    ------
    MissingDataError
        Dask is not installed.
    SettingsError
        No scheduler answers at the address, or it has no workers.
    """
    try:
        from dask import config as dask_config
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise MissingDataError(
            "--scheduler: Dask is not installed. Add it with pip install "
            "'blood-cell-system[cluster]', or leave the option out."
        ) from error
    # What it says of workers is in the rows of images, or in an error.
    log = logging.getLogger("distributed")
    log.handlers, log.propagate = [logging.NullHandler()], False
    if scheduler == "local":
        with (
            dask_config.set(LOCAL_SETTINGS),
            LocalCluster(
                n_workers=jobs,
                threads_per_worker=1,
                # Any port, so that two runs do not warn of each other.
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client
        return
    try:
        client = Client(scheduler, timeout=_ANSWER_S)
    except (OSError, ValueError, TimeoutError) as error:
        raise SettingsError(
            f"--scheduler {scheduler}: no scheduler answers ({error}). Expected local, or the "
            "address that dask scheduler prints, for instance tcp://10.0.0.1:8786."
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_NO_WORKER_S)
        except TimeoutError as error:
            raise SettingsError(
                f"--scheduler {scheduler}: has no worker after {_NO_WORKER_S:.0f} s. Start some, "
                "for instance with dask worker."
            ) from error
        yield client


_Item = TypeVar("_Item")


@dataclass(slots=True)
class _Piece:
    """Images that are in work together, and how often they were."""

    images: tuple[SourceImage, ...]
    attempts: int = 0
    is_suspect: bool = False


class ClusterRun:
    """A run on a cluster.

    Parameters
    ----------
    client : distributed.Client
    task : FieldBatch
        What all batches have in common, without images; its dataset is locked for this run.
    lock : DatasetLock, optional
    sources : sequence of str
        Places that images come from, with what their addresses need.
    work, check : callable
        What workers do; the defaults are :func:`run_batch` and :func:`are_unchanged`.
    """

    def __init__(
        self,
        client: Any,
        task: FieldBatch,
        *,
        lock: DatasetLock | None = None,
        sources: Sequence[str] = (),
        work: Callable[[str, bytes], DoneBatch] = run_batch,
        check: Callable[[str, bytes], bool] = are_unchanged,
    ) -> None:
        self._client, self._task, self._sources = client, task, tuple(sources)
        self._dataset = ResultsDataset(task.storage, task.record)
        self._lock = lock or DatasetLock(task.storage)
        self._work, self._check = work, check
        self._seconds_an_image: float | None = None
        self._failed: list[dict[str, Any]] = []
        self._suspects: deque[_Piece] = deque()
        self.kept = 0
        """Images of this run that a former one had finished."""

    def results(self, images: Iterable[SourceImage]) -> Iterator[dict[str, Any]]:
        """Analyse images; gives the row of each that was not finished before, as they end.

        Raises
        ------
        WorkerVersionError
            A worker has another version of the program or of a model.
        OutputError
            Cells cannot be written.
        WorkerError
            The scheduler has ended.
        SettingsError
            An image that is finished is of another slide now.
        """
        finished, placed = self._settled()
        waiting: deque[_Piece] = deque()
        batches = self._batches(self._unfinished(images, finished, placed))

        def take() -> _Piece | None:
            return waiting.popleft() if waiting else next(batches, None)

        for piece, future in self._futures(take, self._submit):
            yield from self._ended(piece, future, waiting)
        suspects = self._suspects

        def take_suspect() -> _Piece | None:
            return suspects.popleft() if suspects else None

        for piece, future in self._futures(take_suspect, self._submit, at_once=1):
            yield from self._ended(piece, future, suspects)
        self._list_failed()
        for batch in self._dataset.settle():
            del batch
        write_sums(self._dataset)

    # What is finished

    def _settled(self) -> tuple[KeySet, KeySet]:
        """Settle the dataset; gives the names that are finished, and those with their slides."""
        self._dataset.forget_failed()
        keys = [batch.key for batch in self._dataset.settle()]
        dataset = self._dataset

        def check(key: str) -> Any:
            package = packed((dataset.storage, dataset.record, key, self._sources))
            return self._sent(self._check, package)

        waiting = iter(keys)
        changed = [
            key
            for key, future in self._futures(lambda: next(waiting, None), check)
            if future.status == "finished" and not future.result()
        ]
        for key in changed:
            dataset.uncommit(key)
        finished, placed = KeySet(), KeySet()
        for batch in dataset.settle() if keys else ():
            for name, slide, patient in batch.sources:
                finished.add(name)
                placed.add(repr((name, slide, patient)))
        return finished, placed

    def _unfinished(
        self, images: Iterable[SourceImage], finished: KeySet, placed: KeySet
    ) -> Iterator[SourceImage]:
        for image in images:
            if image.fault or image.name not in finished:
                yield image
                continue
            if repr((image.name, image.slide, image.patient)) not in placed:
                raise SettingsError(
                    f"{image.name}: its cells are in {self._dataset.storage.shown} as those of "
                    "another slide or patient than they are of now. Choose another --output-dir."
                )
            self.kept += 1

    # Batches

    def _batches(self, images: Iterable[SourceImage]) -> Iterator[_Piece]:
        """Cut images into batches of some seconds, by the time that images have taken so far."""
        batch: list[SourceImage] = []
        for image in images:
            if image.fault or is_scan_name(image.place):
                yield _Piece(images=(image,))
                continue
            batch.append(image)
            if len(batch) >= self._images_a_batch:
                yield _Piece(images=tuple(batch))
                batch = []
        if batch:
            yield _Piece(images=tuple(batch))

    @property
    def _images_a_batch(self) -> int:
        if self._seconds_an_image is None:
            return _FIRST_IMAGES
        return int(min(max(_BATCH_S / max(self._seconds_an_image, 1e-6), 1), _MOST_IMAGES))

    def _submit(self, piece: _Piece) -> Any:
        """Put a piece in work; None for one with a fault, which is not."""
        if piece.images[0].fault:
            return None
        piece.attempts += 1
        return self._sent(self._work, packed(replace(self._task, images=piece.images)))

    def _sent(self, function: Callable[..., Any], package: bytes) -> Any:
        # Not pure: a batch that failed is done again, not looked up.
        return self._client.submit(function, blood_cell_system.__version__, package, pure=False)

    def _futures(
        self,
        take: Callable[[], _Item | None],
        submit: Callable[[_Item], Any],
        *,
        at_once: int | None = None,
    ) -> Iterator[tuple[_Item, Any]]:
        """Keep items in work, some for each worker or so many; gives each with its future.

        ``take`` gives the next item, None while there is none; ``submit`` its future, None for an
        item that has ended.
        """
        from distributed import as_completed

        in_work: dict[Any, _Item] = {}
        completed = as_completed([], loop=self._client.loop)
        try:
            while True:
                while len(in_work) < (at_once or self._room) and (item := take()) is not None:
                    future = submit(item)
                    if future is None:
                        yield item, None
                    else:
                        in_work[future] = item
                        completed.add(future)
                if not in_work:
                    return
                future = next(completed)
                if future.status in ("cancelled", "lost", "pending"):
                    raise WorkerError(
                        "The scheduler has ended, and with it what was in work. Start it and run "
                        "the same command again: what is finished is kept."
                    )
                yield in_work.pop(future), future
                future.release()
        finally:
            if in_work:
                with suppress(Exception):
                    self._client.cancel(list(in_work), force=True)

    @property
    def _room(self) -> int:
        """How many batches may be in work, by the threads that the workers have now."""
        now = time.monotonic()
        if now >= self._counted_until:
            with suppress(OSError, TimeoutError):
                self._threads = max(sum(self._client.nthreads().values()), 1)
            self._counted_until = now + 5
        return _IN_WORK * self._threads

    _threads = 1
    _counted_until = 0.0

    # What came of them

    def _ended(self, piece: _Piece, future: Any, waiting: deque[_Piece]) -> list[dict[str, Any]]:
        """Make what is finished count, and put what is not back; gives rows that are final."""
        if future is None:
            return self._given_up(piece, piece.images[0].fault)
        if future.status == "finished":
            done: DoneBatch = future.result()
            self._measured(done.seconds / len(piece.images))
            self._commit(done.key, done.rows, done.cells)
            return list(done.rows)
        error = future.exception()
        if isinstance(error, WorkerVersionError):
            raise error
        words = self._words_of(error)
        _logger.info("a batch of %s images failed: %s", len(piece.images), words)
        if isinstance(error, OutputError):
            if piece.attempts >= _ATTEMPTS:
                raise error
            waiting.append(piece)
        elif len(piece.images) > 1:
            waiting.extend(_Piece(images=half) for half in halves(piece.images))
        elif type(error).__name__ == "KilledWorker" and not piece.is_suspect:
            piece.is_suspect = True
            self._suspects.append(piece)
        elif piece.attempts < _ATTEMPTS and not piece.is_suspect:
            waiting.append(piece)
        else:
            [image] = piece.images
            return self._given_up(piece, f"{image.name}: tried {piece.attempts} times: {words}")
        return []

    def _words_of(self, error: Any) -> str:
        """Say why a worker gave nothing, in a line."""
        if type(error).__name__ != "KilledWorker":
            return f"{type(error).__name__}: {' '.join(str(error).split())}"
        worker, ended = error.last_worker, set()
        with suppress(OSError, TimeoutError):
            events = self._client.get_events("worker-restart-memory")
            ended = {event["worker"] for _, event in events}
        if worker.address not in ended:
            return "the worker that had it was killed each time; perhaps the memory is full."
        return (
            f"its worker took more than its {worker.memory_limit / 2**20:.0f} MiB of memory. Give "
            "workers more, or analyse it field by field with --max-memory."
        )

    def _given_up(self, piece: _Piece, reason: str) -> list[dict[str, Any]]:
        """List an image as failed, some together in a file."""
        row = failed_row(piece.images[0], reason, self._dataset.record)
        self._failed.append(row)
        if len(self._failed) >= _MOST_IMAGES:
            self._list_failed()
        return [row]

    def _list_failed(self) -> None:
        if self._failed:
            words = "\n".join(row["image"] for row in self._failed)
            self._commit(hashlib.blake2b(words.encode(), digest_size=8).hexdigest(), self._failed)
        self._failed = []

    def _commit(self, key: str, rows: Sequence[dict[str, Any]], cells: Sequence[str] = ()) -> None:
        self._lock.check()
        self._dataset.commit(key, rows, cells)

    def _measured(self, seconds: float) -> None:
        """Note how long an image took: mostly as the last ones did."""
        former = self._seconds_an_image
        self._seconds_an_image = seconds if former is None else 0.7 * former + 0.3 * seconds
