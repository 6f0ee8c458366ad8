"""Seconds and memory of the sums over a dataset of drawn rows of cells.

    python benchmarks/cluster_sums.py --rows 10000000 --slides 100

The rows are drawn by chance, 150 an image and 100 images a file, with every column of a dataset.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from blood_cell_system.cluster.dataset_sums import sums_by
from blood_cell_system.cluster.results_dataset import DatasetRecord, ResultsDataset, cells_folder
from blood_cell_system.cluster.storage import Storage
from blood_cell_system.pipeline.image import InferencePipeline
from blood_cell_system.pipeline.system import BloodCellAnalysisSystem

CELLS_AN_IMAGE, IMAGES_A_FILE = 150, 100


def drawn_cells(schema, images, rng):
    """Draw the rows of some images: mostly red cells, a few white ones and platelets."""
    count = CELLS_AN_IMAGE * len(images)

    def chosen(words, shares):
        return pa.array(words).take(pa.array(rng.choice(len(words), count, p=shares)))

    kinds = chosen(["RBC", "WBC", "Platelet"], [0.9, 0.02, 0.08])
    columns = {
        "image": pa.array(np.repeat(images, CELLS_AN_IMAGE).tolist()),
        "cell_type": kinds,
        "condition": chosen(["healthy_RBC", "malaria_RBC", None], [0.85, 0.02, 0.13]),
        "subtype": chosen([None, "neutrophil", "lymphocyte"], [0.98, 0.01, 0.01]),
        "reason": chosen([None, "cut_off", "covered"], [0.85, 0.1, 0.05]),
        "flags": chosen(["", "touching_border", "uncertain"], [0.8, 0.15, 0.05]),
    }
    for field in schema:
        if pa.types.is_boolean(field.type):
            columns.setdefault(field.name, pa.array(rng.random(count) < 0.9))
        elif pa.types.is_floating(field.type):
            columns[field.name] = pa.array(np.round(rng.normal(80, 8, count), 2))
        elif pa.types.is_integer(field.type):
            columns[field.name] = pa.array(np.tile(np.arange(CELLS_AN_IMAGE), len(images)))
    columns["is_smear"] = pa.array(np.ones(count, bool))
    arrays = [columns.get(field.name, pa.nulls(count, field.type)) for field in schema]
    return pa.table([array.cast(f.type) for array, f in zip(arrays, schema, strict=True)], schema)


def write_dataset(folder, rows, slides):
    """Write a dataset of drawn rows."""
    pipeline = InferencePipeline(BloodCellAnalysisSystem())
    record = DatasetRecord.of(pipeline, has_slides=True)
    dataset = ResultsDataset.started(Storage(str(folder)), record)
    rng = np.random.default_rng(0)
    table, schema = None, record.cells_schema
    for number in range(rows // (CELLS_AN_IMAGE * IMAGES_A_FILE)):
        slide = f"S{number * slides * CELLS_AN_IMAGE * IMAGES_A_FILE // rows}"
        images = [f"{number}_{image}" for image in range(IMAGES_A_FILE)]
        names = pa.array(np.repeat(images, CELLS_AN_IMAGE).tolist())
        if table is None or number % 20 == 0:
            table = drawn_cells(schema, images, rng)
        table = table.set_column(schema.get_field_index("image"), "image", names)
        path = folder / cells_folder(slide) / f"part-{number:016x}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(table, path, compression="zstd")
        row = {"slide": slide, "status": "ok", "is_smear": True}
        dataset.commit(f"{number:016x}", [row | {"image": image} for image in images], [])
    return dataset


def main():
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--slides", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--dataset", type=Path, help="where it is kept; written if not there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.dataset or Path(temporary)
        if not (folder / "dataset.json").exists():
            write_dataset(folder, options.rows, options.slides)
            print(f"written: {sum(f.stat().st_size for f in folder.rglob('*.parquet')):,} bytes")
        before, cpu = time.perf_counter(), time.process_time()
        sums = list(sums_by(ResultsDataset.open(str(folder)), "slide", jobs=options.jobs))
        seconds, cpu = time.perf_counter() - before, time.process_time() - cpu
        total = sum(sum(one.sums.counts.values()) for one in sums)
        # Unix alone has it.
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"{total:,} counted cells of {len(sums)} slides: {seconds:.2f} s", end=" ")
        print(f"({cpu:.2f} s of processor time), peak {peak:.2f} GB")


if __name__ == "__main__":
    main()
