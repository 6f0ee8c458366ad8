"""Write into a classifier what was measured of its classes in laboratories that it never saw.

    python scripts/validation_record.py weights/rbc_classifier.keras left_out/results.json
    python scripts/validation_record.py commercial_weights/wbc_classifier.keras cells_unseen

``results.json`` is what ``bloodcells evaluate-classifier --leave-one-source-out`` writes for a kind
of classifier, or a file with its ``validation`` alone. For a folder of cells the classifier itself
answers, about those of sources that it has not learned from. The record takes the place of the one
in the ``.keras`` and ``.onnx`` files of that name and in the ``.json`` beside them; networks and
thresholds stay as they are, bit by bit.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from blood_cell_system.analysis.classification import predict_images
from blood_cell_system.analysis.left_out_scores import LeftOutSource, validation_of
from blood_cell_system.analysis.opened_networks import read_metadata
from blood_cell_system.analysis.trained_models import load_classifier
from blood_cell_system.annotation.splits import Split
from blood_cell_system.datasets.cell_folder import CellFolder
from blood_cell_system.networks.onnx_export import replace_metadata
from blood_cell_system.training.classifier_data import CellClasses, read_cells


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


def unseen_validation(path: Path, cells: Path) -> dict[str, Any]:
    """Let a classifier answer about the cells of a folder whose sources it has not learned from."""
    metadata = read_metadata(path)
    if metadata is None:
        raise SystemExit(f"{path}: says nothing about itself; expected a classifier.")
    folder = CellFolder.open(cells, kind=metadata.classifier_kind)
    seen = {name.strip() for name in metadata.data.split(",")}
    names = sorted({record.source for record in folder.records} - seen)
    if not names:
        raise SystemExit(
            f"{cells}: has cells of {', '.join(sorted(seen))} alone, which it has seen."
        )
    classes = CellClasses(conditions=metadata.conditions, types=metadata.subtypes)
    network = load_classifier(path, metadata.classifier_kind)
    sources = []
    for name in names:
        records = tuple(record for record in folder.records if record.source == name)
        found = read_cells(folder, Split.TEST, classes, records=records).cells
        sources.append(
            LeftOutSource(
                source=name,
                metadata=metadata,
                records=tuple(found.records),
                outputs=predict_images(network, found),
                learned=frozenset(metadata.conditions + metadata.subtypes),
            )
        )
    method = "by sources that had no part in the training"
    return {
        name: one.model_copy(update={"method": method}).model_dump(mode="json")
        for name, one in validation_of(sources).items()
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--licence", default="", help="of the weights, in place of the one there")
    chosen = parser.parse_args()
    if chosen.results.is_dir():
        validation = unseen_validation(chosen.model, chosen.results)
    else:
        validation = json.loads(chosen.results.read_text("utf-8"))["validation"]
    write_record(chosen.model, validation, licence=chosen.licence)
    print(chosen.model, read_metadata(chosen.model))
