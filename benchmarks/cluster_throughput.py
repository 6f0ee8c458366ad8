"""What a field costs on a local cluster beside the pool of processes, and how memory grows.

    python benchmarks/cluster_throughput.py --fields 200 800 --rounds 3
    python benchmarks/cluster_throughput.py --fields 1000 4000 --ways cluster

Both ways analyse the same small drawn fields and write a table of cells, in turns. The start of a
program costs the same whatever it does after it: what a field costs is taken from the difference
between the smallest and the largest number of fields. Linux alone has these figures.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from blood_cell_system.datasets.synthetic import SmearSettings, draw_smear
from blood_cell_system.imaging.image_file import write_image

DRAWN = 20
"""Fields that differ."""
SHAPE, DIAMETER_PX = (128, 160), 90
WAYS = {"local": ("--write", "table"), "cluster": ("--scheduler", "local")}


def write_fields(folder, count):
    """Write small fields, 500 a slide."""
    rng = np.random.default_rng(0)
    settings = SmearSettings(shape=SHAPE, cell_diameter_px=DIAMETER_PX)
    for number in range(min(DRAWN, count)):
        write_image(folder / f"drawn/{number}.png", draw_smear(settings, rng).image)
    for number in range(count):
        path = folder / f"in/s{number // 500}/{number:06}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.hardlink_to(folder / f"drawn/{number % DRAWN}.png")
    # Of a file that has just been written the time is not kept.
    for path in folder.glob("drawn/*"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return folder / "in"


def peaks_of(pid, found):
    """Note the peaks of memory in MiB of a process and of those that it has started."""
    with suppress(OSError, ValueError):
        words = Path(f"/proc/{pid}/status").read_text("utf-8").split()
        found[pid] = int(words[words.index("VmHWM:") + 1]) / 1024
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text("utf-8").split():
                peaks_of(int(child), found)


def run(way, folder, jobs):
    """Analyse a folder; gives seconds by the clock and of processor, and peaks of memory."""
    import resource

    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "blood_cell_system", "analyze", str(folder), "-o", out]
        command += ["--recursive", "--group-by", "folder", "--no-classify", "-j", str(jobs)]
        command += ["--cell-diameter", str(DIAMETER_PX), *WAYS[way]]
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        peaks = {}
        while process.poll() is None:
            peaks_of(process.pid, peaks)
            time.sleep(0.3)
        seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    own = peaks.pop(process.pid)
    return seconds, cpu, own, max(peaks.values(), default=own)


def main():
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fields", type=int, nargs="+", default=[200, 800])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    options = parser.parse_args()
    fields = sorted(options.fields)
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folders = {count: write_fields(Path(name) / str(count), count) for count in fields}
        for way, count in [(way, n) for n in fields for way in options.ways] * options.rounds:
            one = run(way, folders[count], options.jobs)
            found.setdefault((way, count), []).append(one)
            print(
                f"{way}, {count:,} fields: {one[0]:.1f} s, {one[1]:.1f} s of processor time; "
                f"peaks {one[2]:.0f} MiB, and {one[3]:.0f} MiB of its largest process",
                flush=True,
            )
    costs = {}
    for way in options.ways if len(fields) > 1 else ():
        few, many = (np.median(found[way, count], axis=0) for count in (fields[0], fields[-1]))
        costs[way] = (many - few)[:2] / (fields[-1] - fields[0])
        print(
            f"{way}: {1000 * costs[way][0]:.1f} ms a field more, {1000 * costs[way][1]:.1f} ms of "
            f"processor time; memory {many[2] / few[2] - 1:+.1%}, of its largest process "
            f"{many[3] / few[3] - 1:+.1%}"
        )
    if len(costs) == len(WAYS):
        clock, cpu = costs["local"] / costs["cluster"]
        print(
            f"throughput beside that of the pool: {clock:.2f} by the clock, {cpu:.2f} by processor"
        )


if __name__ == "__main__":
    main()
