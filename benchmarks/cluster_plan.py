"""What 10⁶ and 10⁸ fields take on a cluster: arithmetic on measured constants and stated prices.

    python benchmarks/cluster_plan.py
    python benchmarks/cluster_plan.py --seconds-a-field 0.5 --cpu-hour 0.04

Every constant is an option, so that other machines and prices can be put in. The defaults of what
was measured name the command that measured them; prices are round list prices of common clouds,
to be replaced by one's own.
"""

import argparse

MEASURED = {
    "seconds-a-field": (0.35, "of one core, drawn fields of 640×480: docs/cluster.md"),
    "driver-ms-a-field": (0.145, "benchmarks/cluster_overhead.py tasks --images 100000"),
    "mb-a-field": (0.3, "size of the image that is read, as JPEG or small PNG"),
    "kb-a-result": (
        18.7,
        "Parquet a field of 150 cells: benchmarks/cluster_sums.py, 1.25 GB / 66,667",
    ),
    "rows-a-second": (1.7e6, "of sums and one core: benchmarks/cluster_sums.py"),
    "bytes-a-name": (18.0, "that the driver keeps of a finished image, two keys and room to merge"),
}
"""Value and source by option."""
PRICES = {
    "cpu-hour": (0.04, "$ an hour of a core on demand; spot prices are a third"),
    "put": (5e-6, "$ a request that writes or lists"),
    "get": (0.4e-6, "$ a request that reads"),
    "gb-month": (0.023, "$ a month to keep a gigabyte"),
}
BATCH_S, CELLS_A_FIELD = 20.0, 150


def plan(fields, workers, o):
    """Give hours, requests and dollars of a run of so many fields with so many workers."""
    a_batch = min(max(BATCH_S / o["seconds-a-field"], 1), 256)
    batches = fields / a_batch
    hours_of_workers = fields * o["seconds-a-field"] / workers / 3600
    hours_of_driver = fields * o["driver-ms-a-field"] / 1e3 / 3600
    gets, puts = 2 * fields + 4 * batches, 2 * batches
    size_gb = fields * o["kb-a-result"] / 1e6
    return {
        "hours": max(hours_of_workers, hours_of_driver),
        "driver": hours_of_driver / max(hours_of_workers, hours_of_driver),
        "batches": batches,
        "gets": gets,
        "puts": puts,
        "gb": size_gb,
        "gb_per_s": workers / o["seconds-a-field"] * o["mb-a-field"] / 1e3,
        "sums_h": fields * CELLS_A_FIELD / o["rows-a-second"] / 3600,
        "names_gb": fields * o["bytes-a-name"] / 1e9,
        "compute": fields * o["seconds-a-field"] / 3600 * o["cpu-hour"],
        "requests": gets * o["get"] + puts * o["put"],
        "month": size_gb * o["gb-month"],
    }


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, (value, words) in {**MEASURED, **PRICES}.items():
        parser.add_argument(f"--{name}", type=float, default=value, help=words)
    options = {k.replace("_", "-"): v for k, v in vars(parser.parse_args()).items()}
    heads = ("Fields", "Workers", "Hours", "Fields a second", "Driver busy", "GB/s read")
    print("|", " | ".join((*heads, "Batches", "Requests")), "|")
    print("|---|---|---|---|---|---|---|---|")
    for fields in (10**6, 10**8):
        for workers in (2, 16, 128, 1024, 4096, 16384):
            p = plan(fields, workers, options)
            rate = fields / p["hours"] / 3600
            print(
                f"| {fields:,} | {workers:,} | {p['hours']:,.1f} | {rate:,.0f} | "
                f"{100 * p['driver']:.0f} % | {p['gb_per_s']:.2f} | {p['batches']:,.0f} | "
                f"{p['gets'] + p['puts']:,.0f} |"
            )
    p = plan(10**6, 1024, options)
    print(
        f"\nA million fields: ${p['compute']:,.2f} for cores, ${p['requests']:.2f} for "
        f"{p['gets']:,.0f} reads and {p['puts']:,.0f} writes, ${p['month']:.2f} a month to keep "
        f"{p['gb']:,.0f} GB of results."
    )
    most = 1e3 / options["driver-ms-a-field"] * options["seconds-a-field"]
    p = plan(10**8, 1024, options)
    print(
        f"One driver feeds {most:,.0f} workers. At 10⁸ fields it holds {p['names_gb']:.1f} GB of "
        f"names, and the sums take {p['sums_h']:.1f} hours of a core at the end."
    )


if __name__ == "__main__":
    main()
