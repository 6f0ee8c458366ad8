"""Write into a classifier what was measured of its classes in laboratories that it never saw.

    python scripts/validation_record.py weights/rbc_classifier.keras left_out/results.json

``results.json`` is what ``bloodcells evaluate-classifier --leave-one-source-out`` writes for a kind
of classifier, or a file with its ``validation`` alone. The record takes the place of the one in the
``.keras`` and ``.onnx`` files of that name and in the ``.json`` beside them; networks and
thresholds stay as they are, bit by bit.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from blood_cell_system.analysis.opened_networks import read_metadata
from blood_cell_system.networks.onnx_export import replace_metadata


def write_record(path: Path, validation: dict[str, Any], *, licence: str = "") -> None:
    """Write a record, and a licence if there is one, into the files of one model."""
    for file in (path.with_suffix(".keras"), path.with_suffix(".onnx")):
        if not file.is_file():
            continue
        metadata = read_metadata(file)
        if metadata is None:
            raise SystemExit(
                f"{file}: says nothing about itself; expected a model of this package."
            )
        changed = metadata.replace(validation=validation, licence=licence or metadata.licence)
        replace_metadata(file, changed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--licence", default="", help="of the weights, in place of the one there")
    chosen = parser.parse_args()
    results = json.loads(chosen.results.read_text("utf-8"))
    write_record(chosen.model, results["validation"], licence=chosen.licence)
    print(chosen.model, read_metadata(chosen.model))
