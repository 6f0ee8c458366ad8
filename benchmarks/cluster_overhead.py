"""What a run on a cluster costs beside the analysis: seconds of the scheduler, and memory.

    python benchmarks/cluster_overhead.py tasks --images 100000
    python benchmarks/cluster_overhead.py memory --images 1000 20000

Workers do nothing, or write the cells of one drawn report for every image. ``tasks`` gives the
milliseconds of each image and of each batch; ``memory`` the peaks of this process and of the
workers, each number of images in processes of its own.
"""

import argparse
import functools
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from blood_cell_system.cluster.field_batches import DoneBatch, FieldBatch
from blood_cell_system.cluster.results_dataset import DatasetRecord, ResultsDataset, image_row
from blood_cell_system.cluster.scheduling import ClusterRun, connected
from blood_cell_system.cluster.source_listing import SourceImage
from blood_cell_system.cluster.storage import Storage
from blood_cell_system.datasets.synthetic.smear import SmearSettings, draw_smear
from blood_cell_system.pipeline.image import InferencePipeline
from blood_cell_system.pipeline.system import BloodCellAnalysisSystem
from blood_cell_system.reports.batch_summary import ImageOutcome, Slide
from blood_cell_system.reports.report import DiagnosticReport

SECONDS_AN_IMAGE = 0.2
"""As a field of 640 × 480 takes: it decides how many images are in a batch."""


def nothing(version, package):
    """Do nothing with a batch."""
    batch = pickle.loads(package)
    rows = tuple(
        {"image": image.name, "slide": image.slide, "status": "ok", "is_smear": True}
        for image in batch.images
    )
    return DoneBatch(
        key=batch.key, rows=rows, cells=(), seconds=SECONDS_AN_IMAGE * len(batch.images)
    )


@functools.cache
def drawn_report():
    """The report of one drawn smear."""
    import numpy as np

    image = draw_smear(SmearSettings(), np.random.default_rng(0)).image
    report = InferencePipeline(BloodCellAnalysisSystem()).analyze_array(image).report
    return DiagnosticReport.from_json(report.to_json())


def written(version, package):
    """Write the cells of one report for every image of a batch."""
    batch = pickle.loads(package)
    outcomes = [
        ImageOutcome(
            name=image.name,
            path=image.place,
            report=drawn_report(),
            slide=Slide(name=str(image.slide)),
        )
        for image in batch.images
    ]
    return DoneBatch(
        key=batch.key,
        rows=tuple(image_row(outcome, batch.record) for outcome in outcomes),
        cells=ResultsDataset(batch.storage, batch.record).write_cells(batch.key, outcomes),
        seconds=SECONDS_AN_IMAGE * len(batch.images),
    )


def peak_kib(pid):
    """Peak of the memory of a process on Linux."""
    words = Path(f"/proc/{pid}/status").read_text("utf-8").split()
    return int(words[words.index("VmHWM:") + 1])


def run(images, work):
    """Run a list of images through two workers; gives seconds, batches and peaks of memory."""
    import os

    pipeline = InferencePipeline(BloodCellAnalysisSystem())
    with tempfile.TemporaryDirectory() as folder:
        record = DatasetRecord.of(pipeline, has_slides=True)
        dataset = ResultsDataset.started(Storage(folder), record)
        listed = (
            SourceImage(place=f"/in/{n}.png", name=f"{n}.png", slide=f"S{n // 1000}")
            for n in range(images)
        )
        with connected("local", jobs=2) as client:
            task = FieldBatch(
                recipe=pipeline.recipe(threads=1), record=dataset.record, storage=dataset.storage
            )
            client.run(peak_kib, 1)
            cluster = ClusterRun(client, task, work=work)
            start, cpu = time.perf_counter(), time.process_time()
            rows = sum(1 for _ in cluster.results(listed))
            seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
            workers = [peak_kib(pid) for pid in client.run(os.getpid).values()]
        batches = len(list(Path(folder).glob("images/part-*")))
    # Unix alone has it.
    import resource

    driver = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return rows, batches, seconds, cpu, driver, workers


def main():
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["tasks", "memory"])
    parser.add_argument("--images", type=int, nargs="+", required=True)
    options = parser.parse_args()
    if len(options.images) > 1:
        for images in options.images:
            command = [sys.executable, __file__, options.what, "--images", str(images)]
            subprocess.run(command, check=True)
        return
    work = nothing if options.what == "tasks" else written
    rows, batches, seconds, cpu, driver, workers = run(options.images[0], work)
    print(
        f"{rows:,} images in {batches:,} batches: {seconds:.1f} s, of this process with the "
        f"scheduler {cpu:.1f} s of processor time: {1000 * cpu / rows:.3f} ms an image, "
        f"{1000 * cpu / batches:.1f} ms a batch; peaks {driver / 1024:.0f} MiB here, "
        f"{', '.join(f'{one / 1024:.0f}' for one in workers)} MiB in the workers",
        flush=True,
    )


if __name__ == "__main__":
    main()
