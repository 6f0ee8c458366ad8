"""Write into a classifier what was measured of its classes in laboratories that it never saw.

    python scripts/validation_record.py weights/rbc_classifier.keras record.json

The record is a JSON object: by condition or subtype a ``Validation``, as ``docs/data_formats.md``
describes it. It takes the place of the one that is there, in the ``.keras`` and ``.onnx`` files of
that name and in the ``.json`` beside them; the networks stay as they are, bit by bit.
"""

import argparse
import json
from pathlib import Path

from blood_cell_system.analysis.runtimes import read_metadata
from blood_cell_system.networks.onnx_export import replace_metadata


def write_record(path: Path, validation: dict[str, object]) -> None:
    """Write a record into the files of one model."""
    for file in (path.with_suffix(".keras"), path.with_suffix(".onnx")):
        if not file.is_file():
            continue
        metadata = read_metadata(file)
        if metadata is None:
            raise SystemExit(
                f"{file}: says nothing about itself; expected a model of this package."
            )
        replace_metadata(file, metadata.replace(validation=validation))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("record", type=Path)
    chosen = parser.parse_args()
    write_record(chosen.model, json.loads(chosen.record.read_text("utf-8")))
    print(chosen.model, read_metadata(chosen.model))
