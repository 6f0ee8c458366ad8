import pickle
from types import SimpleNamespace

import pytest
from support.cluster_runs import colour_pipeline, rows_of, smear_folder, sources_of, task_of

from blood_cell_system.cluster import scheduling
from blood_cell_system.cluster.field_batches import DoneBatch, WorkerVersionError, run_batch
from blood_cell_system.cluster.scheduling import ClusterRun, connected
from blood_cell_system.cluster.source_listing import SourceImage
from blood_cell_system.errors import OutputError, SettingsError

distributed = pytest.importorskip("distributed", reason="of the extra [cluster]")
# Of Dask's own files and sockets, not of ours.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def pipeline(tmp_path):
    return colour_pipeline(tmp_path / "models")


def run_of(client, place, pipeline, **options):
    return ClusterRun(client, task_of(place, pipeline), **options)


def by_name(rows):
    return {row["image"]: row["status"] for row in rows}


def test_every_image_is_analysed_once_and_sums_are_written(client, pipeline, tmp_path):
    folder = smear_folder(tmp_path / "in", images=3, broken=["s1/bad.png"])
    run = run_of(client, tmp_path / "out", pipeline)
    found = by_name(run.results(sources_of(folder)))
    assert sorted(found) == sorted(
        [*(f"s{slide}/{image}.png" for slide in (0, 1) for image in range(3)), "s1/bad.png"]
    )
    assert [name for name, status in found.items() if status == "failed"] == ["s1/bad.png"]
    assert len(rows_of(tmp_path / "out", "images")) == 7
    assert len(rows_of(tmp_path / "out", "slides")) == 2


def test_what_is_finished_is_not_done_again_and_what_failed_is(client, pipeline, tmp_path):
    folder = smear_folder(tmp_path / "in", broken=["s1/bad.png"])
    list(run_of(client, tmp_path / "out", pipeline).results(sources_of(folder)))
    before = rows_of(tmp_path / "out")
    again = run_of(client, tmp_path / "out", pipeline)
    assert by_name(again.results(sources_of(folder))) == {"s1/bad.png": "failed"}
    assert again.kept == 4
    assert rows_of(tmp_path / "out") == before
    (folder / "s1/bad.png").write_bytes((folder / "s1/0.png").read_bytes())
    third = run_of(client, tmp_path / "out", pipeline)
    assert list(by_name(third.results(sources_of(folder)))) == ["s1/bad.png"]
    assert len(rows_of(tmp_path / "out", "images")) == 5


def test_a_changed_image_takes_the_place_of_the_former_one(client, pipeline, tmp_path):
    folder = smear_folder(tmp_path / "in")
    list(run_of(client, tmp_path / "out", pipeline).results(sources_of(folder)))
    count = len(rows_of(tmp_path / "out"))
    (folder / "s0/1.png").write_bytes((folder / "s0/1.png").read_bytes() + b" ")
    found = by_name(run_of(client, tmp_path / "out", pipeline).results(sources_of(folder)))
    assert "s0/1.png" in found
    assert len(rows_of(tmp_path / "out")) == count
    assert len(rows_of(tmp_path / "out", "images")) == 4


def test_a_finished_image_of_another_slide_now_is_refused(client, pipeline, tmp_path):
    folder = smear_folder(tmp_path / "in", slides=1)
    list(run_of(client, tmp_path / "out", pipeline).results(sources_of(folder)))
    images = sources_of(folder, group_by=r"/([0-9])\.png")
    with pytest.raises(SettingsError, match=r"s0/0.png: its cells are in .* of another slide"):
        list(run_of(client, tmp_path / "out", pipeline).results(images))


def test_faults_of_the_list_are_rows_and_the_others_are_analysed(client, pipeline, tmp_path):
    folder = smear_folder(tmp_path / "in", slides=1, images=1)
    bad = SourceImage(place="list.csv", name="entry 2", fault="entry 2 names no image.")
    found = list(run_of(client, tmp_path / "out", pipeline).results([*sources_of(folder), bad]))
    reasons = {row["image"]: row["reason"] for row in found}
    assert reasons == {"s0/0.png": "", "entry 2": "entry 2 names no image."}


def poisoned(version, package):
    """Fail on every batch with an image of this name, as one that kills its worker does."""
    if any("bad" in image.name for image in pickle.loads(package).images):
        raise RuntimeError("it burst")
    return run_batch(version, package)


def test_an_image_that_fails_its_batch_is_isolated_with_the_reason(client, pipeline, tmp_path):
    folder = smear_folder(tmp_path / "in", images=3)
    (folder / "s0/bad.png").write_bytes((folder / "s0/0.png").read_bytes())
    run = run_of(client, tmp_path / "out", pipeline, work=poisoned)
    rows = list(run.results(sources_of(folder)))
    (failed,) = [row for row in rows if row["status"] == "failed"]
    assert failed["reason"] == "s0/bad.png: tried 3 times: RuntimeError: it burst"
    assert len(rows) == 7
    assert len(rows_of(tmp_path / "out", "images")) == 7


IN_WORK = set()


class BlamingRun(ClusterRun):
    """Knows what is in work, as Dask does when a worker dies."""

    def _submit(self, piece):
        IN_WORK.update(image.name for image in piece.images)
        return super()._submit(piece)

    def _ended(self, piece, future, waiting):
        IN_WORK.difference_update(image.name for image in piece.images)
        return super()._ended(piece, future, waiting)


def blamed(version, package):
    """Blame whatever is in work together with a certain image for the death of a worker."""
    if "s0/bad.png" in IN_WORK:
        worker = SimpleNamespace(address="tcp://dead:1", memory_limit=500 << 20)
        raise distributed.scheduler.KilledWorker("task", worker, 1)
    return run_batch(version, package)


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([], "the worker that had it was killed each time; perhaps the memory is full."),
        (
            [{"worker": "tcp://dead:1"}],
            "its worker took more than its 500 MiB of memory. Give workers more, or analyse it "
            "field by field with --max-memory.",
        ),
    ],
)
def test_images_that_wait_for_a_worker_that_dies_are_not_blamed(
    client, pipeline, tmp_path, events, reason
):
    for event in events:
        client.log_event("worker-restart-memory", event)
    folder = smear_folder(tmp_path / "in")
    (folder / "s0/bad.png").write_bytes((folder / "s0/0.png").read_bytes())
    run = BlamingRun(client, task_of(tmp_path / "out", pipeline), work=blamed)
    rows = list(run.results(sources_of(folder)))
    assert {row["image"]: row["reason"] for row in rows if row["status"] == "failed"} == {
        "s0/bad.png": f"s0/bad.png: tried 2 times: {reason}"
    }
    assert len(rows) == 5


def refused(version, package):
    raise WorkerVersionError("a worker has another version")


def full(version, package):
    raise OutputError("the disk is full")


@pytest.mark.parametrize(("work", "error"), [(refused, WorkerVersionError), (full, OutputError)])
def test_what_no_image_is_to_blame_for_ends_the_run(client, pipeline, tmp_path, work, error):
    folder = smear_folder(tmp_path / "in")
    with pytest.raises(error):
        list(run_of(client, tmp_path / "out", pipeline, work=work).results(sources_of(folder)))
    assert not list((tmp_path / "out").rglob("*.parquet"))


def empty(version, package):
    """Do nothing, at once."""
    batch = pickle.loads(package)
    return DoneBatch(key=batch.key, rows=(), cells=(), seconds=0.001 * len(batch.images))


def test_batches_grow_until_they_take_some_seconds(client, pipeline, tmp_path, monkeypatch):
    sizes = []

    def ended(self, piece, future, waiting):
        self._measured(future.result().seconds / len(piece.images))
        sizes.append(len(piece.images))
        return []

    monkeypatch.setattr(ClusterRun, "_ended", ended)
    images = (SourceImage(place=f"{n}.png", name=f"{n}.png") for n in range(2_000))
    list(run_of(client, tmp_path / "out", pipeline, work=empty).results(images))
    assert sum(sizes) == 2_000
    assert sizes[0] == 4
    assert max(sizes) == 256


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nothing"])
def test_an_address_without_a_scheduler_is_refused(address, monkeypatch):
    monkeypatch.setattr(scheduling, "_ANSWER_S", 0.5)
    with (
        pytest.raises(SettingsError, match=r"no scheduler answers .*dask scheduler prints"),
        connected(address, jobs=1),
    ):
        pass


def test_a_scheduler_without_workers_is_refused(monkeypatch):
    monkeypatch.setattr(scheduling, "_NO_WORKER_S", 0.2)
    with (
        distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as cluster,
        pytest.raises(SettingsError, match="has no worker after"),
        connected(cluster.scheduler_address, jobs=1),
    ):
        pass
