"""What a classifier's training adds to the loop: cells by index, domains, figures of cells."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np

from blood_cell_system.cell_picture_format import on_white
from blood_cell_system.classifier_facts import ClassifierKind
from blood_cell_system.datasets.cell_folder import CellFolder
from blood_cell_system.datasets.prepared import Split
from blood_cell_system.errors import SettingsError
from blood_cell_system.input_pipeline.cell_augmentation import CellAugmentation
from blood_cell_system.input_pipeline.cell_batches import (
    CellSampler,
    cell_batches,
    plain_batches,
)
from blood_cell_system.training.classifier_data import (
    CellClasses,
    CellSet,
    read_cells,
    with_stain_domains,
)
from blood_cell_system.training.classifier_learner import ClassifierLearner
from blood_cell_system.training.classifier_presets import ClassifierSettings
from blood_cell_system.training.classifier_record import classifier_advice, write_classifier_curves
from blood_cell_system.training.classifier_validation import SCORE_NAME, Outputs, validation_row
from blood_cell_system.training.domain_plan import DomainPlan
from blood_cell_system.training.domain_probe import ProbeResult, probe_domains
from blood_cell_system.training.epoch_loop import EpochLoop
from blood_cell_system.training.loop_parts import (
    Batch,
    DataHashes,
    Measured,
    Row,
    RunFiles,
    TrainingListener,
)
from blood_cell_system.training.state import TrainingState

MEASURING_BATCH: Final = 128

_SETTLING_BATCHES: Final = 8
_PLANNED_EXAMPLES: Final = 4000
_PROBED_CELLS: Final = 3000


def run_files(kind: ClassifierKind) -> RunFiles:
    """Name the files of a kind's training."""
    stem = kind.file_stem
    return RunFiles(
        kind=stem,
        model=f"{stem}_best.keras",
        previous_model=f"{stem}_previous.keras",
        state=f"{stem}_training_state.npz",
    )


class ClassifierTraining(EpochLoop):
    """A training in progress; see ``train_classifier`` for what it writes and raises."""

    def __init__(
        self,
        folder: CellFolder,
        settings: ClassifierSettings,
        *,
        output_dir: Path,
        log_dir: Path,
        resume: TrainingState | None,
        listener: TrainingListener,
    ) -> None:
        self.classes = CellClasses.of(folder)
        self.train = read_cells(folder, Split.TRAIN, self.classes)
        self.val = read_cells(folder, Split.VAL, self.classes)
        self._settings = settings
        domains = self.train, self.val
        if settings.has_domain_adaptation and len(folder.sources) < 2:
            domains = with_stain_domains(self.train, self.val, seed=settings.seed)
        self._domain_sets = domains
        self._sampler = CellSampler(
            self.train.cells,
            domains[0].labels,
            seed=settings.seed,
            augmentation=_augmentation(settings),
        )
        self.plan = self._domain_plan() if settings.has_domain_adaptation else None
        self.learner = ClassifierLearner(settings, self.classes, self.plan)
        validation = replace(folder, records=folder.select(Split.VAL))
        super().__init__(
            settings,
            learner=self.learner,
            hashes=DataHashes(data=folder.content_hash(), validation=validation.content_hash()),
            files=run_files(folder.kind),
            score_name=SCORE_NAME,
            steps_per_epoch=max(1, settings.cells_per_epoch // settings.batch_size),
            folder=output_dir,
            log_dir=log_dir,
            resume=resume,
            listener=listener,
            details={
                "kind": str(folder.kind),
                "data": str(folder.root),
                "conditions": list(self.classes.conditions),
                "types": list(self.classes.types),
                "cells": {"train": len(self.train), "val": len(self.val)},
                "left_out": [f.file for s in (self.train, self.val) for f in s.cells.failed],
                "domains": list(self.plan.names) if self.plan else [],
                "notes": list(folder.notes),
            },
        )

    def batches(self, *, first_index: int, count: int) -> Iterator[Batch]:
        """Give batches of augmented cells."""
        return cell_batches(
            self._sampler,
            batch_size=self._settings.batch_size,
            first_index=first_index,
            count=count,
        )

    def measure(self) -> Measured:
        """Measure the averaged classifier on all validation cells, its statistics settled."""
        first = self.batches(first_index=0, count=_SETTLING_BATCHES)
        self.learner.settle_statistics(batch["cells"] for batch in first)
        return Measured(row=validation_row(self.predict(self.val), self.val.labels))

    def predict(self, cells: CellSet) -> Outputs:
        """Run the averaged classifier on cells as they are."""
        return self.learner.predict(
            plain_batches(cells.cells, cells.labels, batch_size=MEASURING_BATCH)
        )

    def draw_curves(self, path: Path, history: Sequence[Row]) -> None:
        """Draw losses, figures and learning rate."""
        write_classifier_curves(path, history)

    def advice(self, history: Sequence[Row]) -> list[str]:
        """Say what a person would who looks at the curves."""
        return classifier_advice(history)

    def take_best(self) -> None:
        """Give the learner's average the weights of the best epoch."""
        best = keras.saving.load_model(self.model_path, compile=False)
        self.learner.averaged.set_weights(best.get_weights())

    def probe(self) -> ProbeResult | None:
        """How well a linear probe tells the domains apart; None where no class is of two domains.

        It learns on features of training cells and is measured on validation cells.
        """
        try:
            plan = self.plan or self._domain_plan()
        except SettingsError:
            return None
        step = max(1, len(self.train) // _PROBED_CELLS)
        sides: list[Any] = []
        for cell_set, stride in zip(self._domain_sets, (step, 1), strict=True):
            labels = cell_set.labels
            group = (labels.condition + 1) * (len(self.classes.types) + 1) + labels.cell_type + 1
            group[~plan.takes_part(labels)] = -1
            chosen = range(0, len(cell_set), stride)
            features = self.learner.predict(_pixels_of(cell_set, chosen))["features"]
            sides.append((features, labels.source[chosen], group[chosen]))
        return probe_domains(*sides)

    def _domain_plan(self) -> DomainPlan:
        return DomainPlan.of(
            self._domain_sets[0].labels,
            [self._sampler.position_of(index) for index in range(_PLANNED_EXAMPLES)],
            conditions=len(self.classes.conditions),
            types=len(self.classes.types),
        )


def _pixels_of(cell_set: CellSet, positions: Sequence[int]) -> Iterator[Batch]:
    for start in range(0, len(positions), MEASURING_BATCH):
        part = positions[start : start + MEASURING_BATCH]
        yield {"cells": np.stack([on_white(cell_set.cells[position]) for position in part])}


def _augmentation(settings: ClassifierSettings) -> CellAugmentation:
    augmentation = CellAugmentation()
    if settings.has_stain_augmentation:
        return augmentation
    look = replace(
        augmentation.look,
        stain_share=0.0,
        brightness_range=(1.0, 1.0),
        contrast_range=(1.0, 1.0),
    )
    return replace(augmentation, look=look)
