"""A classifier for each source that has not seen it, and its answers about that source.

A run that was stopped goes on where it was.

::

    left_out/
    ├── without_pbc/          training of the classifier that has not seen PBC, and its state
    │   └── answers.npz       its answers about PBC's cells; the last file
    ├── results.json          figures
    ├── results.md            the same as tables
    └── results.png           AUROC of each source beside the trivial answer
"""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from blood_cell_system.analysis.classification import predict_images
from blood_cell_system.analysis.left_out_scores import LeftOutSource
from blood_cell_system.analysis.opened_networks import KerasNetwork
from blood_cell_system.analysis.trained_models import ClassifierOutputs, NetworkClassifier
from blood_cell_system.annotation.splits import Split
from blood_cell_system.atomic_files import write_bytes
from blood_cell_system.datasets.cell_folder import CellFolder, CellRecord
from blood_cell_system.errors import BloodCellError, DatasetError
from blood_cell_system.folder_lock import locked_folder
from blood_cell_system.model_metadata import ModelMetadata
from blood_cell_system.training.classifier import train_classifier
from blood_cell_system.training.classifier_data import CellClasses, read_cells
from blood_cell_system.training.loop import TrainingListener
from blood_cell_system.training.presets import ClassifierSettings
from blood_cell_system.training.state import TrainingState, classifier_files

_ANSWERS: Final = "answers.npz"
_WORDS: Final = "__words__"


def left_out_sources(
    folder: CellFolder,
    settings: ClassifierSettings,
    *,
    output_dir: Path,
    sources: Sequence[str] = (),
    listener: Callable[[], TrainingListener] | None = None,
    report: Callable[[str], None] = lambda words: None,
) -> tuple[LeftOutSource, ...] | None:
    """Train a classifier for each source on all others, and ask it about that source.

    Parameters
    ----------
    sources : sequence of str
        Those that are left out in turn; all by default.
    listener : callable, optional
        Makes a listener for each training.
    report : callable
        Gets a sentence before each training.

    Returns
    -------
    tuple of LeftOutSource or None
        None where a training was stopped; the same call goes on with it.

    Raises
    ------
    DatasetError
        There is a single source, none of a name, a source without cells of the classes, or what is
        left without one cannot be learned from.
    BloodCellError
        As of ``train_classifier``.
    """
    chosen = tuple(sources) or folder.sources
    unknown = [name for name in chosen if name not in folder.sources]
    if unknown or len(folder.sources) < 2:
        raise DatasetError(
            f"{folder.root}: holds the sources {', '.join(folder.sources)}"
            f"{f', not {unknown[0]}' if unknown else ''}; expected two or more, of which each is "
            "left out in turn. Cut cells of several laboratories, each with its --source."
        )
    found = []
    with locked_folder(output_dir, command="evaluate-classifier"):
        for number, source in enumerate(chosen, start=1):
            target = output_dir / f"without_{source}"
            rest = replace(folder, records=_of_others(folder, source))
            identity = {
                "source": source,
                "settings": json.loads(json.dumps(asdict(settings))),
                "data": rest.content_hash(),
                "left_out": replace(
                    folder, records=tuple(r for r in folder.records if r.source == source)
                ).content_hash(),
            }
            done = _answers(target / _ANSWERS, folder, identity)
            if done is None:
                report(f"Source {number} of {len(chosen)}: training without {source}.")
                done = _train(rest, folder, source, settings, target, listener)
                if done is None:
                    return None
                _write_answers(target / _ANSWERS, done, identity)
            found.append(done)
    return tuple(found)


def _of_others(folder: CellFolder, source: str) -> tuple[CellRecord, ...]:
    """Cells of the other sources; those held out for testing may be learned from as well."""
    records = tuple(
        replace(record, split=Split.TRAIN) if record.split is Split.TEST else record
        for record in folder.records
        if record.source != source
    )
    kind = folder.kind
    conditions = {record.condition for record in records} - {None}
    types = {record.cell_type for record in records if kind.types} - {None}
    if len(conditions) < 2 and len(types) < 2:
        raise DatasetError(
            f"{folder.root}: without {source} there are cells of one class only "
            f"({', '.join(sorted(map(str, conditions))) or 'none'}); expected two classes or more "
            "in the other sources. Leave out another source: --left-out NAME"
        )
    return records


def _train(
    rest: CellFolder,
    folder: CellFolder,
    source: str,
    settings: ClassifierSettings,
    target: Path,
    listener: Callable[[], TrainingListener] | None,
) -> LeftOutSource | None:
    state = target / classifier_files(folder.kind).state
    resume = TrainingState.load(state) if state.is_file() else None
    if resume is not None and resume.data_hash != rest.content_hash():
        # A training on other cells says nothing of these.
        resume = None
    trained = train_classifier(
        rest,
        settings,
        output_dir=target,
        log_dir=target / "logs",
        resume=resume,
        listener=None if listener is None else listener(),
    )
    if trained.metadata is None:
        return None
    metadata = trained.metadata
    classes = CellClasses(conditions=metadata.conditions, types=metadata.subtypes)
    records = tuple(record for record in folder.records if record.source == source)
    cells = read_cells(folder, Split.TEST, classes, records=records)
    network = NetworkClassifier(KerasNetwork(trained.model, metadata=metadata), folder.kind)
    outputs = predict_images(network, cells.cells)
    learned = {record.condition for record in rest.select(Split.TRAIN)}
    learned |= {record.cell_type for record in rest.select(Split.TRAIN)}
    return LeftOutSource(
        source=source,
        metadata=metadata,
        records=tuple(cells.cells.records),
        outputs=outputs,
        learned=frozenset(name for name in learned if name),
    )


def _write_answers(path: Path, found: LeftOutSource, identity: Mapping[str, Any]) -> None:
    words = {
        "identity": identity,
        "metadata": found.metadata.to_json(),
        "files": [record.file for record in found.records],
        "learned": sorted(found.learned),
    }
    outputs = found.outputs
    named = {"condition": outputs.condition, "type": outputs.cell_type, "known": outputs.known}
    arrays = {name: part for name, part in named.items() if part is not None}
    buffer = io.BytesIO()
    np.savez(buffer, **{_WORDS: np.array(json.dumps(words)), **arrays})  # type: ignore[arg-type]
    write_bytes(path, buffer.getvalue())


def _answers(path: Path, folder: CellFolder, identity: Mapping[str, Any]) -> LeftOutSource | None:
    """Answers of a former run; None where there are none, or those of another training."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            words = json.loads(str(archive[_WORDS]))
            arrays = {name: archive[name] for name in archive.files if name != _WORDS}
        if words["identity"] != identity:
            return None
        by_file = {record.file: record for record in folder.records}
        return LeftOutSource(
            source=identity["source"],
            metadata=ModelMetadata.from_json(words["metadata"]),
            records=tuple(by_file[file] for file in words["files"]),
            outputs=ClassifierOutputs(
                condition=arrays["condition"],
                cell_type=arrays.get("type"),
                known=arrays.get("known"),
            ),
            learned=frozenset(words["learned"]),
        )
    except (OSError, ValueError, KeyError, TypeError, BloodCellError):
        return None
