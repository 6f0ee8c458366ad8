"""Networks of 8 bits, kept only where they are as accurate as the network in float32."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.analysis.classification import predict_images
from blood_cell_system.analysis.execution import is_fast_at_int8
from blood_cell_system.analysis.opened_networks import Arrays, Network, OnnxNetwork
from blood_cell_system.analysis.segmenter_evaluation import (
    EvaluationSettings,
    cells_in,
    evaluate,
)
from blood_cell_system.analysis.trained_models import (
    ClassifierRuntime,
    NetworkClassifier,
    NetworkSegmenter,
    Runtime,
)
from blood_cell_system.annotation.splits import Split
from blood_cell_system.augmentation.augmentation_settings import AugmentationSettings
from blood_cell_system.augmentation.photometric import augment_photometric
from blood_cell_system.datasets.cell_diameter import typical_diameters
from blood_cell_system.datasets.cell_folder import CellFolder
from blood_cell_system.datasets.prepared import PreparedDataset
from blood_cell_system.errors import CheckpointError, DatasetError, SettingsError
from blood_cell_system.metrics.classification_scores import auroc
from blood_cell_system.metrics.matching import IOU_THRESHOLDS
from blood_cell_system.model_metadata import ModelMetadata, Quantisation, content_hash
from blood_cell_system.seeding import generator_for
from blood_cell_system.training.classifier_data import CellClasses, CellSet, read_cells
from blood_cell_system.wording import counted

SEGMENTER_BOUNDS: Final = {"mean IoU": 0.005, "F1 of cells": 0.005, "error of counts": 0.005}
"""By figure of a segmenter, how much worse it may be: half a point of a hundred is below what
another seed of the training changes."""

MAX_FALL_OF_AUROC: Final = 0.003

_FEWEST_OF_A_CLASS: Final = 20
"""Cells with and without a class from which its AUROC is measured: of fewer a single pair of
cells moves it by more than a tenth of the bound."""

Figures = dict[str, float]
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSettings:
    """What is shown to a network.

    Parameters
    ----------
    calibration : int
        Training images, or cells, that the ranges of activations are taken from. Images are shown
        as they are and once with another stain, light and blur. Cells are not: wider ranges are
        coarser steps, and the red cells' AUROC then falls by 0.01 instead of 0.0004.
    measured : int
        Images, or cells, that the figures are measured on, at most; drawn at random.
    """

    calibration: int = 24
    measured: int = 2000
    split: Split = Split.TEST
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A network of 8 bits and what it costs."""

    data: bytes
    record: Quantisation


class _Recorded:
    """A network that keeps what it is shown."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.batches: list[NDArray[np.float32]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def run(self, batch: NDArray[np.float32]) -> Arrays:
        self.batches.append(batch.copy())
        return self._network.run(batch)


def quantise(
    path: Path,
    data_dir: Path,
    *,
    settings: GateSettings | None = None,
    report: Callable[[str], None] = print,
) -> Candidate:
    """Make the fastest network of 8 bits that is as accurate as a network in float32.

    Parameters
    ----------
    path : Path
        An ``.onnx`` file of this package.
    data_dir : Path
        Prepared folder of a segmenter, folder of cells of a classifier.
    report : callable
        Takes a line for every candidate.

    Raises
    ------
    CheckpointError
        The file says nothing about itself, or no candidate is as accurate.
    DatasetError
        The folder has too little to calibrate or to measure.
    SettingsError
        Sums of 8 bits may overflow on this processor, so that its figures would be wrong.
    """
    import onnx

    from blood_cell_system.networks.int8 import candidates, quantised
    from blood_cell_system.networks.onnx_export import onnx_bytes

    settings = settings or GateSettings()
    data = path.read_bytes()
    network = OnnxNetwork(data, name=str(path))
    metadata = network.metadata
    if metadata is None or metadata.quantisation is not None:
        found = "is of 8 bits already" if metadata else "says nothing about itself"
        raise CheckpointError(
            f"{path}: {found}; expected a network in float32 that bloodcells export has written."
        )
    if not is_fast_at_int8():
        raise SettingsError(
            f"{path}: this processor has no 8-bit dot products, and sums of 8 bits may overflow; "
            "expected AVX-512 VNNI, or ARM with dot products. Run bloodcells quantize on such a "
            "machine."
        )
    of_kind = _segmenter_work if metadata.kind == "segmenter" else _classifier_work
    batches, measure, words = of_kind(network, metadata, data_dir, settings)
    before = measure(network)
    bounds = {name: SEGMENTER_BOUNDS.get(name, MAX_FALL_OF_AUROC) for name in before}
    model = onnx.load_from_string(data)
    for kept, names in candidates(model):
        made = quantised(model, batches, kept=names)
        after = measure(OnnxNetwork(onnx_bytes(made, metadata), name=f"{path} in 8 bits"))
        record = Quantisation(
            of_sha256=content_hash(data),
            kept=kept,
            calibrated_on=f"{len(batches)} batches of {data_dir.name}, split train",
            measured_on=f"{words} of {data_dir.name}, split {settings.split}",
            falls={name: round(_fall(name, before[name], after[name]), 6) for name in before},
            bounds=bounds,
        )
        worst = max(record.falls, key=lambda name: record.falls[name] / bounds[name])
        report(
            f"{kept} in float32: worst is {worst}, {record.falls[worst]:+.4f} of at most "
            f"{bounds[worst]}: {'passes' if record.passes else 'fails'}"
        )
        if record.passes:
            return Candidate(
                data=onnx_bytes(made, metadata.replace(quantisation=record)), record=record
            )
    raise CheckpointError(
        f"{path}: in 8 bits its figures fall by more than the bounds, whichever layers stay in "
        "float32. Nothing was written; use it in float32, or calibrate on more images "
        "(--calibration)."
    )


def _fall(name: str, before: float, after: float) -> float:
    """By how much a figure is worse; of an error, by how much it has grown."""
    return after - before if name.startswith("error") else before - after


Work = tuple[list[NDArray[np.float32]], Callable[[Network], Figures], str]
"""Batches to calibrate on, what measures a network, and on how much."""


def _segmenter_work(
    network: Network, _: ModelMetadata, data_dir: Path, settings: GateSettings
) -> Work:
    dataset = PreparedDataset.open(data_dir).with_splits(settings.seed)
    train = _some(dataset.of_split(Split.TRAIN), settings.calibration, settings.seed, data_dir)
    images = _some(dataset.of_split(settings.split), settings.measured, settings.seed, data_dir)
    known = EvaluationSettings(cell_diameters=typical_diameters((*train, *images)))
    recorded = _Recorded(network)
    segmenter = NetworkSegmenter(recorded)
    recorded.batches.clear()
    for image in train:
        pixels, _mask = image.read()
        # Ranges must hold for the images of other laboratories as well.
        generator = generator_for(settings.seed, "gate", image.stem)
        for shown in (pixels, augment_photometric(pixels, generator, AugmentationSettings())):
            cells_in(segmenter, shown, source=image.source, settings=known)

    def measure(one: Network) -> Figures:
        return segmenter_figures(NetworkSegmenter(one), images, known)

    return recorded.batches, measure, counted(len(images), "image")


def segmenter_figures(
    runtime: Runtime, images: Iterable[Any], settings: EvaluationSettings
) -> Figures:
    """Give mean IoU, F1 at IoU 0.5 and the error of the counts, all cell types together."""
    evaluation = evaluate(runtime, images, settings=settings)
    figures = {"mean IoU": evaluation.confusion.mean_iou}
    counts = [
        of_type[IOU_THRESHOLDS[0]]
        for scores in evaluation.cells
        for of_type in scores.matching.matches.values()
    ]
    matched, missed, false_found = (
        sum(getattr(one, name) for one in counts) for name in ("matched", "missed", "false_found")
    )
    if matched + missed:
        figures["F1 of cells"] = 2 * matched / (2 * matched + missed + false_found)
        errors = [report.error for scores in evaluation.cells for report in scores.counts.values()]
        wrong = sum(one.mean_absolute_error * one.image_count for one in errors)
        figures["error of counts"] = wrong / max(sum(one.true_total for one in errors), 1)
    return figures


def _classifier_work(
    network: Network, metadata: ModelMetadata, data_dir: Path, settings: GateSettings
) -> Work:
    kind = metadata.classifier_kind
    folder = CellFolder.open(data_dir, kind=kind, seed=settings.seed)
    classes = CellClasses(conditions=metadata.conditions, types=metadata.subtypes)

    def cells_of(split: Split, count: int) -> CellSet:
        records = _some(folder.select(split), count, settings.seed, data_dir)
        return read_cells(folder, split, classes, records=records)

    train = cells_of(Split.TRAIN, settings.calibration)
    measured = cells_of(settings.split, settings.measured)
    recorded = _Recorded(network)
    classifier = NetworkClassifier(recorded, kind)
    recorded.batches.clear()
    predict_images(classifier, (train.cells[place] for place in range(len(train))))

    def measure(one: Network) -> Figures:
        return classifier_figures(NetworkClassifier(one, kind), measured)

    return recorded.batches, measure, counted(len(measured), "cell")


def classifier_figures(classifier: ClassifierRuntime, cells: CellSet) -> Figures:
    """Give the AUROC of every class against all others, where there are enough cells of both.

    Raises
    ------
    DatasetError
        There are too few cells.
    """
    outputs = predict_images(classifier, (cells.cells[place] for place in range(len(cells))))
    metadata, labels = classifier.metadata, cells.labels
    figures: Figures = {}
    for names, values, truth in (
        (metadata.conditions, outputs.condition, labels.condition),
        (metadata.subtypes, outputs.cell_type, labels.cell_type),
    ):
        if values is None:
            continue
        is_labelled = truth >= 0
        for index, name in enumerate(names):
            is_positive = truth[is_labelled] == index
            if _FEWEST_OF_A_CLASS <= is_positive.sum() <= len(is_positive) - _FEWEST_OF_A_CLASS:
                figures[f"AUROC of {name}"] = auroc(is_positive, values[is_labelled, index])
    if not figures:
        raise DatasetError(
            f"{counted(len(cells), 'cell')}: no class has {_FEWEST_OF_A_CLASS} cells and as "
            "many others; "
            "expected that of one class at least. Measure on more cells, or on another --split."
        )
    return figures


def _some(items: Sequence[Any], count: int, seed: int, data_dir: Path) -> tuple[Any, ...]:
    """Draw so many at random."""
    if not items:
        raise DatasetError(
            f"{data_dir}: a split has no images; expected some to calibrate on (train) and some to "
            "measure on. Choose another --split, or a folder with more images."
        )
    chosen = generator_for(seed, "gate").permutation(len(items))[:count]
    return tuple(items[place] for place in sorted(chosen.tolist()))
