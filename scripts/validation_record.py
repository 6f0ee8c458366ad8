"""Write into a classifier what was measured of its classes in laboratories that it never saw.

    python scripts/validation_record.py weights/rbc_classifier.keras left_out/results.json

``results.json`` is what ``bloodcells evaluate-classifier --leave-one-source-out`` writes for a kind
of classifier. Its record of each class takes the place of the one in the ``.keras`` and ``.onnx``
files of that name and in the ``.json`` beside them, and so do the thresholds that hold on average
over the left-out sources; the networks stay as they are, bit by bit.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from blood_cell_system.analysis.runtimes import read_metadata
from blood_cell_system.metrics.calibration import Guarantee
from blood_cell_system.networks.onnx_export import replace_metadata


def write_record(path: Path, results: dict[str, Any]) -> None:
    """Write the record and the thresholds into the files of one model."""
    (found,) = (one for one in results["calibrations"] if one["guarantee"] == Guarantee.AVERAGE)
    for file in (path.with_suffix(".keras"), path.with_suffix(".onnx")):
        if not file.is_file():
            continue
        metadata = read_metadata(file)
        if metadata is None:
            raise SystemExit(
                f"{file}: says nothing about itself; expected a model of this package."
            )
        changed = metadata.replace(
            validation=results["validation"],
            coverage=found["coverage"],
            condition_thresholds=_of(metadata.conditions, found["condition_thresholds"]),
            subtype_thresholds=_of(metadata.subtypes, found["type_thresholds"]),
            in_distribution_threshold=found["known_threshold"],
        )
        replace_metadata(file, changed)


def _of(names: tuple[str, ...], thresholds: dict[str, float]) -> dict[str, float]:
    return {name: thresholds[name] for name in names}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("results", type=Path)
    chosen = parser.parse_args()
    write_record(chosen.model, json.loads(chosen.results.read_text("utf-8")))
    print(chosen.model, read_metadata(chosen.model))
