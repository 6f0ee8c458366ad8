"""A trained classifier brought to one's own cells: some dozens of them, in a minute.

So few cells cannot teach a network anew, but they can make it forget. Hence its body stays as it
is, and only the heads move: multinomial regressions on the features that all heads read, held to
the weights that they had [1]_. What a head is charged for is the change of its answers, so that a
feature that these cells do not show keeps its weight, and with it what the classifier knew. Classes
may be new: they begin at the mean of the others.

The figures before and after are of cells whose slide the heads have not seen: each part of the
slides is left out once.

References
----------
.. [1] X. Li, Y. Grandvalet, F. Davoine, "Explicit Inductive Bias for Transfer Learning with
   Convolutional Networks", ICML 2018 (L2-SP).
"""

import hashlib
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

import blood_cell_system
from blood_cell_system.annotation.splits import Split
from blood_cell_system.augmentation.cell_batches import CellAugmentation, CellSampler, for_surround
from blood_cell_system.cells.nucleus_terms import log_odds, nucleus_terms
from blood_cell_system.datasets.cell_folder import CellFolder
from blood_cell_system.datasets.source_licences import FINE_TUNED_ON, licence_of_weights
from blood_cell_system.errors import CheckpointError, DatasetError
from blood_cell_system.metrics.calibration import DEFAULT_COVERAGE, class_thresholds
from blood_cell_system.metrics.classification_scores import confusion_counts, macro_f1
from blood_cell_system.metrics.intervals import Figure, with_interval
from blood_cell_system.model_metadata import ClassifierKind, ModelMetadata, network_input
from blood_cell_system.networks.architectures import classifier_named
from blood_cell_system.networks.cell_classifier import (
    CONDITION_LOGITS,
    FEATURES,
    KNOWN_LOGIT,
    TYPE_LOGITS,
)
from blood_cell_system.seeding import generator_for
from blood_cell_system.taxonomy import NOT_LABELLED
from blood_cell_system.training.classifier_data import CellClasses, CellSet, read_cells
from blood_cell_system.training.fine_tuning import open_trained
from blood_cell_system.wording import counted

FEWEST_CELLS: Final = 20
"""Cells from which a classifier is fine-tuned; fewer say nothing of a laboratory."""
FEWEST_OF_CLASS: Final = 5
"""Cells of each class that the classifier does not know yet."""
EXAMPLES: Final = 2400
"""Augmented cells that the heads are fitted to."""
FOLDS: Final = 5
"""Parts of the slides, of which each is left out once to measure by."""
PULL: Final = 0.03
"""Weight of the squared change of the answers, against the mean loss of a cell."""
_NEW_BIAS: Final = -2.0
"""Logit of a class that is new, below the mean of the others."""
_ROUNDS: Final = 300
"""Steps of the fit at most; some dozens are enough."""
_BATCH: Final = 128
_KEPT_SHARE: Final = 0.95
"""Share of the new cells that the threshold of ``known`` keeps."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClassifierStart:
    """A trained classifier, to go on from."""

    path: Path
    sha256: str
    model: keras.Model
    metadata: ModelMetadata


@dataclass(frozen=True, slots=True, kw_only=True)
class BeforeAndAfter:
    """Macro F1 of an output on held-out slides, and what was gained.

    Parameters
    ----------
    output : str
        ``condition`` or ``type``.
    """

    output: str
    cells: int
    slides: int
    before: Figure
    after: Figure
    gain: Figure


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FineTuned:
    """What came of it.

    Parameters
    ----------
    figures : tuple of BeforeAndAfter
        Empty where slides are not known.
    notes : tuple of str
        What a person should know, a sentence each.
    """

    model: keras.Model
    metadata: ModelMetadata
    figures: tuple[BeforeAndAfter, ...]
    notes: tuple[str, ...]


def load_classifier_start(path: Path, kind: ClassifierKind) -> ClassifierStart:
    """Open a trained classifier of a kind of cells.

    Raises
    ------
    MissingDataError
        There is no such file.
    CheckpointError
        The file is damaged, no classifier of this program, or one of other cells.
    """
    path = Path(path)
    model, metadata = open_trained(path)
    if metadata is None or metadata.kind != "classifier" or metadata.architecture is None:
        raise CheckpointError(
            f"{path}: no classifier that this program trained; expected the .keras file that "
            "train-classifier wrote, or the word bundled."
        )
    if metadata.cell_type != kind.cell_type:
        raise CheckpointError(
            f"{path}: a classifier of {metadata.cell_type} cells; expected one of "
            f"{kind.cell_type}. Name that with --init-from."
        )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return ClassifierStart(path=path, sha256=digest, model=model, metadata=metadata)


def fine_tune_classifier(
    start: ClassifierStart, folder: CellFolder, *, pull: float = PULL, seed: int = 0
) -> FineTuned:
    """Fit the heads of a classifier to the cells of a folder.

    Parameters
    ----------
    folder : CellFolder
        All its cells are learned from, whatever their split. Its kind names the classes: those that
        the classifier knows stay, those of which it holds cells are added.
    pull : float
        How firmly the heads are held to what they were.
    seed : int
        Of the augmentation, and of the parts of the slides.

    Raises
    ------
    DatasetError
        There are too few cells, of all or of a class.
    """
    classes = _classes(start.metadata, folder)
    _check_counts(folder, known={*start.metadata.conditions, *start.metadata.subtypes})
    cells = read_cells(folder, Split.TRAIN, classes, records=folder.records)
    body = keras.Model(start.model.input, start.model.get_layer(FEATURES).output)
    sees_surround = start.metadata.sees_surround
    augmentation = for_surround() if sees_surround else CellAugmentation()
    sampler = CellSampler(cells.cells, cells.labels, seed=seed, augmentation=augmentation)
    examples = [sampler[index] for index in range(EXAMPLES)]
    place = np.array([sampler.position_of(index) for index in range(EXAMPLES)])
    seen = _features(body, [example["cells"] for example in examples])
    plain = _features(
        body,
        [
            network_input(cells.cells[index], sees_surround=sees_surround)
            for index in range(len(cells))
        ],
    )
    slides = [record.block for record in cells.cells.records]
    folds = _folds(slides, seed) if folder.has_known_blocks else None
    evidence = start.metadata.nucleus_evidence
    heads: dict[str, tuple[Floats, Floats]] = {}
    thresholds: dict[str, dict[str, float]] = {}
    figures = []
    for output, layer, names, old, labels in (
        ("condition", CONDITION_LOGITS, classes.conditions, start.metadata.conditions,
         cells.labels.condition),
        ("type", TYPE_LOGITS, classes.types, start.metadata.subtypes, cells.labels.cell_type),
    ):  # fmt: skip
        if not names:
            continue
        first = _first_head(start.model, layer, names, old, width=seen.shape[1])
        old_thresholds = getattr(
            start.metadata, f"{'sub' if output == 'type' else ''}{output}_thresholds"
        )
        thresholds[output] = {name: old_thresholds.get(name, 0.0) for name in names}
        if len(np.unique(labels[labels != NOT_LABELLED])) < 2 and set(names) == set(old):
            heads[output] = first
            continue
        true = labels[place]
        odds = np.zeros((len(cells), len(names)))
        if output == "type" and evidence is not None:
            odds = log_odds(evidence, names, nucleus_terms(list(cells.cells)))
        heads[output] = _fitted(first, seen, true, odds[place], pull)
        if folds is None:
            continue
        after = _left_out(first, seen, true, place, plain, odds, folds, pull)
        logits = plain @ first[0] + first[1] + odds
        figures.append(_figure(output, names, old, logits, after, labels, slides, seed))
        chosen = _thresholds(after, labels, names)
        thresholds[output] |= {name: value for name, value in chosen.items() if value is not None}
    model, architecture = _assembled(start, classes, heads)
    known = _known(model, plain)
    threshold = start.metadata.in_distribution_threshold
    if threshold is not None:
        is_cell = cells.labels.known > 0
        threshold = min(threshold, float(np.quantile(known[is_cell], 1 - _KEPT_SHARE)))
    data = f"{start.metadata.data}{FINE_TUNED_ON}{', '.join(folder.sources)}"
    metadata = ModelMetadata.of_classifier(
        folder.kind,
        architecture=architecture,
        conditions=classes.conditions,
        subtypes=classes.types,
        condition_thresholds=_complete(thresholds["condition"]),
        subtype_thresholds=_complete(thresholds.get("type", {})),
        call_thresholds=start.metadata.call_thresholds,
        coverage=start.metadata.coverage,
        nucleus_evidence=evidence if classes.types else None,
        in_distribution_threshold=threshold,
        temperatures=start.metadata.temperatures,
        preset="fine-tuning",
        seed=seed,
        data=data,
        data_sha256=folder.content_hash(),
        licence=licence_of_weights(data, architecture=architecture.name),
        software_version=blood_cell_system.__version__,
        measured={
            "fine_tuning": {
                "init_from": {"file": start.path.name, "sha256": start.sha256},
                "cells": len(cells),
                **{one.output: _rounded(one) for one in figures},
            }
        },
    )
    return FineTuned(
        model=model,
        metadata=metadata,
        figures=tuple(figures),
        notes=_notes(folder, cells, folds),
    )


def _classes(metadata: ModelMetadata, folder: CellFolder) -> CellClasses:
    """Classes that are known already and classes that the folder has, in the kind's order."""
    kind = folder.kind
    conditions = {record.condition for record in folder.records} | set(metadata.conditions)
    types = {record.cell_type for record in folder.records} | set(metadata.subtypes)
    kept = tuple(name for name in kind.types if name in types)
    return CellClasses(
        conditions=tuple(name for name in kind.conditions if name in conditions),
        types=kept if len(kept) > 1 else (),
    )


def _check_counts(folder: CellFolder, known: Set[str]) -> None:
    """Refuse what is too little; of a class that is known already a single cell is welcome."""
    total = len(folder.records)
    counts = Counter(
        name
        for record in folder.records
        for name in {record.condition, record.cell_type}
        if name is not None and name not in known
    )
    few = ", ".join(f"{name} ({n})" for name, n in counts.items() if n < FEWEST_OF_CLASS)
    if total < FEWEST_CELLS or few:
        raise DatasetError(
            f"{folder.root}: {counted(total, 'cell')}{f', few of {few}' if few else ''}; "
            f"expected {FEWEST_CELLS} or more, and {FEWEST_OF_CLASS} or more of each new class, to "
            "fine-tune a classifier. Add cells, or leave a class out."
        )


def _features(body: keras.Model, images: Sequence[NDArray[np.uint8]]) -> Floats:
    parts = [
        np.asarray(
            body(np.stack(images[first : first + _BATCH]).astype(np.float32), training=False)
        )
        for first in range(0, len(images), _BATCH)
    ]
    return np.concatenate(parts).astype(np.float64)


def _folds(slides: Sequence[str], seed: int) -> NDArray[np.intp] | None:
    """Part of the slides that each cell is left out with; None for a single slide."""
    names = list(dict.fromkeys(slides))
    if len(names) < 2:
        return None
    order = generator_for(seed, "fine-tuning folds").permutation(len(names)).tolist()
    fold_of = {names[index]: place % FOLDS for place, index in enumerate(order)}
    return np.array([fold_of[name] for name in slides], dtype=np.intp)


def _first_head(
    model: keras.Model, layer: str, names: Sequence[str], old: Sequence[str], *, width: int
) -> tuple[Floats, Floats]:
    """Weights and biases before fine-tuning: new classes begin at the mean of the others."""
    weights, biases = np.zeros((width, len(names))), np.full(len(names), _NEW_BIAS)
    if not old:
        return weights, np.zeros(len(names))
    own_weights, own_biases = (
        part.astype(np.float64) for part in model.get_layer(layer).get_weights()
    )
    weights += own_weights.mean(axis=1, keepdims=True)
    biases += own_biases.mean()
    for place, name in enumerate(names):
        if name in old:
            weights[:, place] = own_weights[:, old.index(name)]
            biases[place] = own_biases[old.index(name)]
    return weights, biases


def _fitted(
    first: tuple[Floats, Floats],
    features: Floats,
    true: NDArray[np.integer],
    odds: Floats,
    pull: float,
) -> tuple[Floats, Floats]:
    """Weights and biases of the least loss with ``odds`` added, held to the first."""
    is_labelled = true != NOT_LABELLED
    design = np.column_stack([features[is_labelled], np.ones(np.count_nonzero(is_labelled))])
    start = np.vstack([first[0], first[1]])
    wanted = np.eye(start.shape[1])[true[is_labelled]]
    # What a weight changes in the answers goes with the size of its feature.
    power = np.mean(design**2, axis=0)[:, None] + 1e-6

    # In units of the answers all weights are of one size, which takes few rounds.
    scaled = design / np.sqrt(power.T)

    def loss(flat: Floats) -> tuple[float, Floats]:
        change = flat.reshape(start.shape)
        logits = before + scaled @ change
        log_likelihood = log_softmax(logits, axis=1)
        fit = -float((wanted * log_likelihood).sum() / len(design))
        slope = scaled.T @ (np.exp(log_likelihood) - wanted) / len(design)
        return fit + 0.5 * pull * float((change**2).sum()), np.asarray(
            slope + pull * change
        ).ravel()

    before = design @ start + odds[is_labelled]
    found = minimize(
        loss, np.zeros(start.size), jac=True, method="L-BFGS-B", options={"maxiter": _ROUNDS}
    )
    fitted = start + found.x.reshape(start.shape) / np.sqrt(power)
    return fitted[:-1], fitted[-1]


def _left_out(
    first: tuple[Floats, Floats],
    seen: Floats,
    true: NDArray[np.integer],
    place: NDArray[np.intp],
    plain: Floats,
    odds: Floats,
    folds: NDArray[np.intp],
    pull: float,
) -> Floats:
    """Probabilities of each cell, by heads that have not seen its slide."""
    probabilities = np.zeros((len(plain), len(first[1])))
    for fold in np.unique(folds):
        is_seen = folds[place] != fold
        weights, biases = _fitted(first, seen[is_seen], true[is_seen], odds[place][is_seen], pull)
        is_out = folds == fold
        logits = plain[is_out] @ weights + biases + odds[is_out]
        probabilities[is_out] = softmax(logits, axis=1)
    return probabilities


def _figure(
    output: str,
    names: Sequence[str],
    old: Sequence[str],
    logits: Floats,
    after: Floats,
    labels: NDArray[np.int32],
    slides: Sequence[str],
    seed: int,
) -> BeforeAndAfter:
    # Before, it could not answer with a class that is new.
    logits[:, [name not in old for name in names]] = -np.inf if old else 0.0
    answers = logits.argmax(axis=1), after.argmax(axis=1)
    chosen = np.flatnonzero(labels != NOT_LABELLED)
    own_slides = [slides[index] for index in chosen.tolist()]

    def f1(given: NDArray[np.integer], weight: Floats) -> float:
        counts = confusion_counts(
            labels[chosen], given[chosen], num_classes=len(names), weight=weight
        )
        return macro_f1(counts)

    def figure(measure: Any) -> Figure:
        return with_interval(measure, own_slides, seed=seed)

    return BeforeAndAfter(
        output=output,
        cells=len(chosen),
        slides=len(set(own_slides)),
        before=figure(lambda weight: f1(answers[0], weight)),
        after=figure(lambda weight: f1(answers[1], weight)),
        gain=figure(lambda weight: f1(answers[1], weight) - f1(answers[0], weight)),
    )


def _thresholds(
    after: Floats, labels: NDArray[np.int32], names: Sequence[str]
) -> dict[str, float | None]:
    """Conformal thresholds of the classes that the cells have; None of a class without cells.

    Of fewer cells than the coverage needs, the smallest probability: it holds n of n + 1.
    """
    chosen = class_thresholds(after, labels, coverage=DEFAULT_COVERAGE)
    found: dict[str, float | None] = {}
    for index, name in enumerate(names):
        own = after[labels == index, index]
        value = None if not len(own) else float(chosen[index]) or float(own.min())
        found[name] = value
    return found


def _assembled(
    start: ClassifierStart, classes: CellClasses, heads: dict[str, tuple[Floats, Floats]]
) -> tuple[keras.Model, Any]:
    """Build a network of these classes, with the old body and the new heads."""
    record = start.metadata.architecture
    if record is None:
        raise CheckpointError(f"{start.path}: its metadata name no architecture. Train it anew.")
    registered = classifier_named(record.name)
    arguments = record.arguments | {"conditions": classes.conditions, "types": classes.types}
    config = registered.configured(None, **arguments)
    model = registered.build(config)
    for layer in model.layers:
        if layer.name not in (CONDITION_LOGITS, TYPE_LOGITS) and layer.get_weights():
            layer.set_weights(start.model.get_layer(layer.name).get_weights())
    for output, layer_name in (("condition", CONDITION_LOGITS), ("type", TYPE_LOGITS)):
        if output in heads:
            model.get_layer(layer_name).set_weights([p.astype(np.float32) for p in heads[output]])
    return model, registered.record(config)


def _known(model: keras.Model, plain: Floats) -> Floats:
    weights, bias = model.get_layer(KNOWN_LOGIT).get_weights()
    return np.asarray(1 / (1 + np.exp(-(plain @ weights + bias)))).ravel()


def _complete(thresholds: dict[str, float]) -> dict[str, float]:
    return {name: min(1.0, value) for name, value in thresholds.items()}


def _rounded(one: BeforeAndAfter) -> dict[str, Any]:
    return {
        name: {
            "value": round(figure.value, 4),
            "interval": None if figure.interval is None else [round(v, 4) for v in figure.interval],
        }
        for name, figure in (("before", one.before), ("after", one.after))
    }


def _notes(folder: CellFolder, cells: CellSet, folds: NDArray[np.intp] | None) -> tuple[str, ...]:
    notes = []
    if cells.cells.failed:
        first = cells.cells.failed[0]
        notes.append(
            f"{counted(len(cells.cells.failed), 'image is', 'images are')} left out, for "
            f"instance {first.name}: "
            f"{first.reason}"
        )
    if not folder.has_known_blocks:
        notes.append(
            "No figures before and after: nobody says which cells are of one slide or patient. "
            "Give --block-pattern, or a column 'block' in cells.csv."
        )
    elif folds is None:
        notes.append(
            "No figures before and after: all cells are of one slide or patient. Add cells of "
            "others."
        )
    return tuple(notes)
