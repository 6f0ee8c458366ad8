"""How right a kind of classifier is in laboratories that it has not seen.

For each source a classifier is trained on all others, and answers about the cells of that source.
Each figure stands beside that of the trivial answer: always the most frequent class, and a
regression on the border's colour and the image's size. Intervals are drawn by block (slide,
patient): cells of one are no independent evidence.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.analysis.trained_models import ClassifierOutputs
from blood_cell_system.datasets.cell_folder import FRAME, CellRecord
from blood_cell_system.metrics.calibration import (
    DEFAULT_COVERAGE,
    Guarantee,
    conformal_sets,
    known_threshold_across_sources,
    temperature_across_sources,
    thresholds_across_sources,
)
from blood_cell_system.metrics.classification_scores import (
    auroc,
    confusion_counts,
    macro_f1,
    sensitivity_at_specificity,
)
from blood_cell_system.metrics.intervals import Figure, with_interval
from blood_cell_system.metrics.trivial_answer import grouped_logistic
from blood_cell_system.model_metadata import ModelMetadata, UnseenSource, Validation
from blood_cell_system.taxonomy import NOT_LABELLED

NONE: Final = Figure(value=math.nan)
"""Where there is nothing to measure."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Head:
    """Answers of one output about the cells of a source.

    Parameters
    ----------
    names : tuple of str
        All classes of the kind.
    probabilities : ndarray of shape (n, classes)
        0 for a class that the classifier has not learned.
    labels : ndarray of shape (n,)
        Index of each cell's class; ``NOT_LABELLED`` without one.
    learned : list of int
        Indices of the classes that the classifier has learned.
    thresholds : dict of str to float
        Conformal, of the training.
    """

    names: tuple[str, ...]
    probabilities: Floats
    labels: NDArray[np.int64]
    learned: list[int]
    thresholds: dict[str, float]

    def sets(self, thresholds: Mapping[str, float]) -> NDArray[np.bool_]:
        """Conformal set of each cell; a class without a threshold is hardly ever in one."""
        limits = [thresholds.get(name, 1.0) for name in self.names]
        return conformal_sets(self.probabilities, limits)

    def covered(
        self, thresholds: Mapping[str, float], blocks: Sequence[str]
    ) -> tuple[NDArray[np.bool_], list[str]]:
        """Whether the set of each cell of a class with a threshold holds it, and their blocks."""
        known = [index for index, name in enumerate(self.names) if name in thresholds]
        is_known = np.isin(self.labels, known)
        sets = self.sets(thresholds)[is_known]
        return sets[np.arange(len(sets)), self.labels[is_known]], _of(blocks, is_known)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LeftOutSource:
    """Answers about the cells of a source by a classifier that has not seen it.

    Parameters
    ----------
    metadata : ModelMetadata
        Of that classifier.
    records : tuple of CellRecord
        Cells of the source, outliers among them.
    outputs : ClassifierOutputs
        A row a record.
    learned : frozenset of str
        Conditions and types that it has learned from cells.
    """

    source: str
    metadata: ModelMetadata
    records: tuple[CellRecord, ...]
    outputs: ClassifierOutputs
    learned: frozenset[str]

    @property
    def blocks(self) -> list[str]:
        """Slide or patient of each cell."""
        return [record.block for record in self.records]

    @property
    def is_cell(self) -> NDArray[np.bool_]:
        """Whether each is a cell of the classes."""
        return np.array([not record.is_outlier for record in self.records])

    def head(self, *, of_types: bool) -> Head:
        """Give the answers about conditions, or about types."""
        metadata, kind = self.metadata, self.metadata.classifier_kind
        names, own = (
            (kind.types, metadata.subtypes) if of_types else (kind.conditions, metadata.conditions)
        )
        values = self.outputs.cell_type if of_types else self.outputs.condition
        learned = [index for index, name in enumerate(names) if name in self.learned]
        probabilities = np.zeros((len(self.records), len(names)))
        for index in learned:
            if values is not None and names[index] in own:
                probabilities[:, index] = values[:, own.index(names[index])]
        said = (one.cell_type if of_types else one.condition for one in self.records)
        labels = [names.index(name) if name in names else NOT_LABELLED for name in said]
        return Head(
            names=names,
            probabilities=probabilities,
            labels=np.array(labels, np.int64),
            learned=learned,
            thresholds=metadata.subtype_thresholds if of_types else metadata.condition_thresholds,
        )

    @property
    def rejected(self) -> NDArray[np.bool_]:
        """Whether the classifier takes each for none of its classes."""
        threshold = self.metadata.in_distribution_threshold
        if self.outputs.known is None or threshold is None:
            return np.zeros(len(self.records), dtype=bool)
        return np.asarray(self.outputs.known.ravel() < threshold)

    @property
    def frame(self) -> Floats:
        """Border's colour and image's size of each cell; NaN where they are unknown."""
        rows = [[getattr(record, name) for name in FRAME] for record in self.records]
        return np.array(rows, dtype=np.float64).reshape(-1, len(FRAME))


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionScores:
    """How well a condition is recognised in an unseen source.

    Parameters
    ----------
    sick, healthy, blocks : int
        Cells, and blocks that they are from.
    auroc, sensitivity_99, sensitivity_95 : Figure
        Against healthy cells of the source; at specificities of 99 and 95 %.
    called : Figure
        Share of healthy cells that are called so; the constant answer has 0.
    found : Figure
        Share of sick cells that are called so.
    trivial_auroc : float
        By the border's colour and the image's size alone; the constant answer has 0.5.
    note : str
        Why there is no figure; empty where there is one.
    """

    source: str
    condition: str
    sick: int
    healthy: int
    blocks: int
    auroc: Figure = NONE
    sensitivity_99: Figure = NONE
    sensitivity_95: Figure = NONE
    called: Figure = NONE
    found: Figure = NONE
    trivial_auroc: float = math.nan
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeScores:
    """How well subtypes are recognised in an unseen source.

    Parameters
    ----------
    types : tuple of str
        Those that occur in it and were learned.
    constant_macro_f1, trivial_macro_f1 : float
        Of always the most frequent, and of the border's colour and the image's size.
    """

    source: str
    cells: int
    blocks: int
    types: tuple[str, ...]
    macro_f1: Figure = NONE
    constant_macro_f1: float = math.nan
    trivial_macro_f1: float = math.nan
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustScores:
    """How far the calibration of the other sources holds in an unseen one.

    Parameters
    ----------
    condition_coverage, type_coverage : Figure
        Share of conformal sets that hold the true class.
    recalibrated_coverage : float
        That of the conditions with thresholds from the other left-out sources; NaN without any.
    rejected : Figure
        Share of cells of the classes that are taken for none of them.
    outliers, outliers_rejected : int
    """

    source: str
    cells: int
    condition_coverage: Figure
    type_coverage: Figure
    recalibrated_coverage: float
    rejected: Figure
    outliers: int
    outliers_rejected: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCalibration:
    """Thresholds for a laboratory that nobody has seen, from all left-out sources.

    Parameters
    ----------
    temperatures : dict of str to float
        By output: ``condition``, ``type``; the thresholds are for probabilities without them.
    condition_thresholds, type_thresholds : dict of str to float
    known_threshold : float or None
    """

    guarantee: Guarantee
    coverage: float
    temperatures: dict[str, float]
    condition_thresholds: dict[str, float]
    type_thresholds: dict[str, float]
    known_threshold: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOutScores:
    """Everything that was measured with each source left out."""

    conditions: tuple[ConditionScores, ...]
    types: tuple[TypeScores, ...]
    trust: tuple[TrustScores, ...]
    calibrations: tuple[SourceCalibration, ...]
    validation: Mapping[str, Validation] = field(default_factory=dict)
    """What a model of this kind says of its classes: its metadata's record."""

    def mean_and_worst(self, condition: str) -> tuple[float, float, int] | None:
        """AUROC over the sources that have both classes, and how many these are."""
        return _mean_and_worst(
            [one.auroc.value for one in self.conditions if one.condition == condition]
        )

    @property
    def type_mean_and_worst(self) -> tuple[float, float, int] | None:
        """Macro F1 over the sources with two types or more, and how many these are."""
        return _mean_and_worst([one.macro_f1.value for one in self.types])


def _mean_and_worst(values: Sequence[float]) -> tuple[float, float, int] | None:
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return None
    return float(np.mean(finite)), min(finite), len(finite)


def score_left_out(sources: Sequence[LeftOutSource], *, seed: int = 0) -> LeftOutScores:
    """Measure the answers about all left-out sources.

    Parameters
    ----------
    sources : sequence of LeftOutSource
        Of one kind of cells.
    seed : int
        Of the intervals, and of the folds of the trivial answer.
    """
    return LeftOutScores(
        conditions=tuple(score for one in sources for score in _condition_scores(one, seed)),
        types=tuple(_type_scores(one, seed) for one in sources if _kind_has_types(one)),
        trust=tuple(_trust_scores(one, sources, seed) for one in sources),
        calibrations=tuple(calibration_of(sources, guarantee=one) for one in Guarantee),
        validation=validation_of(sources, seed=seed),
    )


def _kind_has_types(one: LeftOutSource) -> bool:
    return bool(one.metadata.classifier_kind.types)


def _condition_scores(one: LeftOutSource, seed: int) -> list[ConditionScores]:
    head = one.head(of_types=False)
    names, labels, probabilities = head.names, head.labels, head.probabilities
    answers = np.where(one.rejected, NOT_LABELLED, probabilities.argmax(axis=1))
    first = names.index(one.metadata.classifier_kind.healthy)
    scores = []
    for index, name in enumerate(names):
        if index == first:
            continue
        chosen = np.flatnonzero((labels == first) | (labels == index))
        is_sick = labels[chosen] == index
        sick, healthy = int(is_sick.sum()), int((~is_sick).sum())
        blocks = [one.blocks[row] for row in chosen]
        score = ConditionScores(
            source=one.source,
            condition=name,
            sick=sick,
            healthy=healthy,
            blocks=len(set(blocks)),
        )
        if name not in one.learned:
            scores.append(replace(score, note=f"no other source has {name}"))
            continue
        score = replace(
            score,
            called=_share((answers[chosen] == index)[~is_sick], _of(blocks, ~is_sick), seed),
            found=_share((answers[chosen] == index)[is_sick], _of(blocks, is_sick), seed),
        )
        if not sick or not healthy:
            lacking = f"no {name}" if healthy else "no healthy cells" if sick else "neither class"
            scores.append(replace(score, note=f"{lacking}: not averaged in"))
            continue
        of_cell = probabilities[chosen, index]
        trivial = grouped_logistic(one.frame[chosen], is_sick.astype(int), blocks, seed=seed)
        auroc_, at_99, at_95 = (
            with_interval(partial(measure, is_sick, of_cell), blocks, seed=seed)
            for measure in (
                auroc,
                partial(sensitivity_at_specificity, specificity=0.99),
                partial(sensitivity_at_specificity, specificity=0.95),
            )
        )
        scores.append(
            replace(
                score,
                auroc=auroc_,
                sensitivity_99=at_99,
                sensitivity_95=at_95,
                trivial_auroc=math.nan if trivial is None else auroc(is_sick, trivial[:, 1]),
            )
        )
    return scores


def _of(values: Sequence[str], is_chosen: NDArray[np.bool_]) -> list[str]:
    return [value for value, chosen in zip(values, is_chosen.tolist(), strict=True) if chosen]


def _share(is_so: NDArray[np.bool_], blocks: Sequence[str], seed: int) -> Figure:
    """Share of cells, with an interval by block; none without cells."""
    if not len(is_so):
        return NONE
    values = is_so.astype(np.float64)

    def share(weight: Floats) -> float:
        return float((values * weight).sum() / weight.sum()) if weight.any() else math.nan

    return with_interval(share, blocks, seed=seed)


def _type_scores(one: LeftOutSource, seed: int) -> TypeScores:
    head = one.head(of_types=True)
    names = head.names
    chosen = np.flatnonzero(np.isin(head.labels, head.learned))
    blocks = [one.blocks[row] for row in chosen]
    true = head.labels[chosen]
    found = tuple(names[index] for index in np.unique(true).tolist())
    score = TypeScores(source=one.source, cells=len(chosen), blocks=len(set(blocks)), types=found)
    if len(found) < 2:
        lacking = "no types" if not found else f"{found[0]} only"
        return replace(score, note=f"{lacking}: not averaged in")
    answers = head.probabilities[chosen].argmax(axis=1)

    def f1(given: NDArray[np.integer], weight: Floats | None = None) -> float:
        return macro_f1(confusion_counts(true, given, num_classes=len(names), weight=weight))

    # The regression knows the types of this source alone.
    own = np.searchsorted(np.unique(true), true)
    trivial = grouped_logistic(one.frame[chosen], own, blocks, seed=seed)
    constant = np.full(len(true), np.bincount(true).argmax())
    return replace(
        score,
        macro_f1=with_interval(partial(f1, answers), blocks, seed=seed),
        constant_macro_f1=f1(constant),
        trivial_macro_f1=math.nan
        if trivial is None
        else f1(np.unique(true)[trivial.argmax(axis=1)]),
    )


def _trust_scores(one: LeftOutSource, sources: Sequence[LeftOutSource], seed: int) -> TrustScores:
    others = [other for other in sources if other is not one]
    recalibrated = math.nan
    if others:
        calibration = calibration_of(others, guarantee=Guarantee.AVERAGE)
        covered, _ = one.head(of_types=False).covered(calibration.condition_thresholds, one.blocks)
        recalibrated = float(covered.mean()) if len(covered) else math.nan
    is_cell = one.is_cell
    return TrustScores(
        source=one.source,
        cells=int(is_cell.sum()),
        condition_coverage=_coverage(one, seed, of_types=False),
        type_coverage=_coverage(one, seed, of_types=True),
        recalibrated_coverage=recalibrated,
        rejected=_share(one.rejected[is_cell], _of(one.blocks, is_cell), seed),
        outliers=int((~is_cell).sum()),
        outliers_rejected=int(one.rejected[~is_cell].sum()),
    )


def _coverage(one: LeftOutSource, seed: int, *, of_types: bool) -> Figure:
    head = one.head(of_types=of_types)
    return _share(*head.covered(head.thresholds, one.blocks), seed)


def calibration_of(
    sources: Sequence[LeftOutSource],
    *,
    guarantee: Guarantee,
    coverage: float = DEFAULT_COVERAGE,
) -> SourceCalibration:
    """Choose thresholds such that the coverage holds in a laboratory that nobody has seen.

    Parameters
    ----------
    sources : sequence of LeftOutSource
        At least one.
    guarantee : Guarantee
    coverage : float
        Share of conformal sets that should hold the true class.
    """
    kind = sources[0].metadata.classifier_kind
    temperatures: dict[str, float] = {}
    thresholds: dict[str, dict[str, float]] = {}
    of_cell = [one.source for one in sources for _ in one.records]
    for output, names, of_types in (
        ("condition", kind.conditions, False),
        ("type", kind.types, True),
    ):
        if not names:
            continue
        heads = [one.head(of_types=of_types) for one in sources]
        probabilities = np.concatenate([head.probabilities for head in heads])
        # A class that a source alone has was not learned without it: its cells say nothing.
        labels = np.concatenate(
            [
                np.where(np.isin(head.labels, head.learned), head.labels, NOT_LABELLED)
                for head in heads
            ]
        )
        temperatures[output] = temperature_across_sources(probabilities, labels, of_cell)
        chosen = thresholds_across_sources(
            probabilities, labels, of_cell, coverage=coverage, guarantee=guarantee
        )
        thresholds[output] = dict(zip(names, chosen.tolist(), strict=True))
    known = [(one, one.outputs.known) for one in sources if one.outputs.known is not None]
    threshold = None
    if known:
        threshold = known_threshold_across_sources(
            np.concatenate([values.ravel()[one.is_cell] for one, values in known]),
            [one.source for one, _ in known for _ in range(int(one.is_cell.sum()))],
            guarantee=guarantee,
        )
    return SourceCalibration(
        guarantee=guarantee,
        coverage=coverage,
        temperatures=temperatures,
        condition_thresholds=thresholds["condition"],
        type_thresholds=thresholds.get("type", {}),
        known_threshold=threshold,
    )


def validation_of(sources: Sequence[LeftOutSource], *, seed: int = 0) -> dict[str, Validation]:
    """Give the record of a model of this kind: how each class is recognised where it is unseen.

    Cells are called as a report calls them, with the thresholds of the training that left them out:
    one possible class, in distribution.

    Parameters
    ----------
    sources : sequence of LeftOutSource
    seed : int
        Of the intervals.

    Returns
    -------
    dict of str to Validation
        By condition that is not the healthy one, and by subtype; none for a class that nobody could
        be asked about.
    """
    kind = sources[0].metadata.classifier_kind
    found: dict[str, list[UnseenSource]] = {}
    for one in sources:
        for of_types in (False, True):
            head = one.head(of_types=of_types)
            sets, labels, probabilities = (
                head.sets(head.thresholds),
                head.labels,
                head.probabilities,
            )
            is_sure = ~one.rejected & (sets.sum(axis=1) == 1)
            for index in head.learned:
                name = head.names[index]
                if name == kind.healthy:
                    continue
                is_other = labels != NOT_LABELLED if of_types else labels == 0
                rows = np.flatnonzero(is_other | (labels == index))
                if not len(rows):
                    continue
                is_so, blocks = labels[rows] == index, [one.blocks[row] for row in rows]
                called = is_sure[rows] & sets[rows, index]
                found.setdefault(name, []).append(
                    _unseen(one.source, is_so, called, probabilities[rows, index], blocks, seed)
                )
    method = "each source left out of a training of its own, answered about cell by cell"
    return {name: Validation(sources=tuple(of), method=method) for name, of in found.items()}


def _unseen(
    source: str,
    is_so: NDArray[np.bool_],
    called: NDArray[np.bool_],
    probabilities: Floats,
    blocks: Sequence[str],
    seed: int,
) -> UnseenSource:
    has_both = bool(is_so.any() and not is_so.all())
    figures = {
        "auroc": with_interval(partial(auroc, is_so, probabilities), blocks, seed=seed)
        if has_both
        else NONE,
        "sensitivity": _share(called[is_so], _of(blocks, is_so), seed),
        "false_alarm_rate": _share(called[~is_so], _of(blocks, ~is_so), seed),
    }
    intervals = {"auroc": "auroc_interval", "sensitivity": "sensitivity_interval"}
    values: dict[str, Any] = {}
    for name, figure in figures.items():
        if not math.isfinite(figure.value):
            continue
        values[name] = round(figure.value, 4)
        if figure.interval is not None and all(map(math.isfinite, figure.interval)):
            ends = tuple(round(min(max(end, 0.0), 1.0), 4) for end in figure.interval)
            values[intervals.get(name, "false_alarm_interval")] = ends
    return UnseenSource(
        source=source,
        positives=int(is_so.sum()),
        negatives=int((~is_so).sum()),
        groups=len(set(blocks)),
        **values,
    )
