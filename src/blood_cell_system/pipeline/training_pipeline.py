"""All three models trained, one after the other, into a system that can use them at once."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blood_cell_system.datasets.cell_folder import CellFolder, kind_of_folder
from blood_cell_system.datasets.prepared import PreparedDataset
from blood_cell_system.errors import SettingsError
from blood_cell_system.model_metadata import ClassifierKind
from blood_cell_system.pipeline.system import BloodCellAnalysisSystem
from blood_cell_system.quiet_import import import_tensorflow

if TYPE_CHECKING:
    from blood_cell_system.training.classifier import TrainedClassifier
    from blood_cell_system.training.loop import TrainingResult


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """What to train on, how, and where to write.

    Parameters
    ----------
    segmentation_data_dir : Path or str
        A prepared folder, as ``prepare_segmentation_data.py`` writes it.
    rbc_data_dir, wbc_data_dir : Path or str
        Folders of cells, as ``bloodcells crops`` writes them.
    output_dir : Path or str
        For the classifiers.
    checkpoint_dir : Path or str
        For the segmenter.
    log_dir : Path or str
        For TensorBoard.
    preset : str
        ``fast``, ``balanced``, ``accurate`` or ``research``.
    epochs, batch_size : int, optional
        Those of the presets by default.
    samples_per_epoch : int, optional
        Crops of smears, or cells, that make an epoch; those of the presets by default.
    is_deterministic : bool
        Whether the same seed, data and machine must give the same weights, bit by bit; slower.
    """

    segmentation_data_dir: Path | str = "./data/segmentation"
    rbc_data_dir: Path | str = "./data/cells_rbc"
    wbc_data_dir: Path | str = "./data/cells_wbc"
    output_dir: Path | str = "./models"
    checkpoint_dir: Path | str = "./checkpoints"
    log_dir: Path | str = "./logs"
    preset: str = "balanced"
    epochs: int | None = None
    batch_size: int | None = None
    samples_per_epoch: int | None = None
    seed: int = 0
    is_deterministic: bool = False

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "TrainingConfig":
        """Make a configuration of a mapping, as a JSON file gives it.

        Raises
        ------
        SettingsError
            A name is not known.
        """
        known = [entry.name for entry in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise SettingsError(
                f"Training configuration: {', '.join(unknown)} is not known; expected "
                f"{', '.join(known)}."
            )
        return cls(**values)


class TrainingPipeline:
    """Trains the models of a system; needs the ``[train]`` extra.

    Each trained model takes its place in the system. ``d_reduced`` and ``use_domain_adapt`` are the
    system's; what it leaves open is the preset's.

    Raises
    ------
    SettingsError
        The configuration has a name that is not known.
    """

    def __init__(
        self,
        system: BloodCellAnalysisSystem,
        config: TrainingConfig | Mapping[str, Any] | None = None,
    ) -> None:
        self.system = system
        if isinstance(config, Mapping):
            config = TrainingConfig.of(config)
        self.config = config or TrainingConfig()

    def train_segmentation_model(self) -> "TrainingResult":
        """Train the segmenter on a prepared folder.

        Raises
        ------
        BloodCellError
            As of ``training.segmentation.train_segmenter``.
        """
        # Here, not above: importing this module must not wait for TensorFlow.
        import_tensorflow()
        from blood_cell_system.training.presets import preset_named
        from blood_cell_system.training.segmenter_training import train_segmenter

        config = self.config
        settings = replace(preset_named(config.preset), **self._changes(samples="crops_per_epoch"))
        settings.check()
        result = train_segmenter(
            PreparedDataset.open(Path(config.segmentation_data_dir)),
            settings,
            checkpoint_dir=Path(config.checkpoint_dir),
            log_dir=Path(config.log_dir),
            is_deterministic=config.is_deterministic,
        )
        self.system.load_segmenter(result.model_path)
        return result

    def train_rbc_classifier(self) -> "TrainedClassifier":
        """Train the classifier of red cells on a folder of cells.

        Raises
        ------
        BloodCellError
            As of ``training.classification.train_classifier``.
        """
        return self._train_classifier(ClassifierKind("RBC"), self.config.rbc_data_dir)

    def train_wbc_classifier(self) -> "TrainedClassifier":
        """Train the classifier of white cells on a folder of cells.

        Raises
        ------
        BloodCellError
            As of ``training.classification.train_classifier``.
        """
        return self._train_classifier(ClassifierKind("WBC"), self.config.wbc_data_dir)

    def train_all_sequential(
        self,
    ) -> "tuple[TrainingResult, TrainedClassifier, TrainedClassifier]":
        """Train the segmenter, then the classifier of red cells, then that of white cells.

        Raises
        ------
        BloodCellError
            As of the single trainings; those that were done before stay.
        """
        return (
            self.train_segmentation_model(),
            self.train_rbc_classifier(),
            self.train_wbc_classifier(),
        )

    def _train_classifier(self, kind: ClassifierKind, data: Path | str) -> "TrainedClassifier":
        import_tensorflow()
        from blood_cell_system.pipeline.classifier_training import (
            ClassifierFiles,
            train_classifier_files,
        )
        from blood_cell_system.training.presets import classifier_preset_named

        config = self.config
        settings = replace(
            classifier_preset_named(config.preset),
            **self._changes(samples="cells_per_epoch"),
        )
        settings.check()
        output_dir = Path(config.output_dir)
        own = kind_of_folder(Path(data), str(kind))
        trained = train_classifier_files(
            CellFolder.open(Path(data), kind=own, seed=config.seed),
            settings,
            output_dir=output_dir,
            log_dir=Path(config.log_dir),
            is_deterministic=config.is_deterministic,
        )
        if trained.is_complete:
            self.system.load_classifier(ClassifierFiles.within(output_dir, kind).keras, kind)
        return trained

    def _changes(self, *, samples: str) -> dict[str, Any]:
        """Give what differs from the preset."""
        given = {
            "epochs": self.config.epochs,
            "batch_size": self.config.batch_size,
            samples: self.config.samples_per_epoch,
            "d_reduced": self.system.d_reduced,
            "has_domain_adaptation": self.system.use_domain_adapt,
            "seed": self.config.seed,
        }
        return {name: value for name, value in given.items() if value is not None}
