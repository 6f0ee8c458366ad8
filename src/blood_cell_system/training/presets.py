"""Settings of the trainings, with their ranges and defaults, and the presets as rows of tables.

Crops and cells, not images, make an epoch: its time is known beforehand, however large a data set
is, and images are shown in turn.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, TypeVar

from blood_cell_system.errors import OutOfRangeError, UnknownNameError
from blood_cell_system.model_metadata import STRIDE
from blood_cell_system.settings import check_options, option_of, ranged

SMALLEST_CROP_PX: Final = 64
"""Two places of the bottleneck, so that it has neighbours to compare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings(ABC):
    """What decides the result of any training.

    Parameters
    ----------
    preset : str
    epochs, batch_size : int
    d_reduced : int
        Channels of the Reynolds operator; 0 leaves it out.
    has_domain_adaptation : bool
        Whether features that distinguish laboratories are unlearned.
    dropout : float
        Share of the bottleneck's channels.
    learning_rate : float
        Peak rate of AdamW. The default and those of ``weight_decay`` and ``clip_norm`` are of the
        first network that reached a mean IoU of 0.96 on unseen images of BCCD.
    weight_decay : float
    warmup_share : float
        Share of all steps in which the rate rises; it falls along a cosine in the others.
    clip_norm : float
        Largest global norm of a gradient.
    patience : int
        Epochs without a better validation score before the training stops; 0 never stops.
    seed : int
    precision : str
        In what the network that learns is computed: ``f32``, ``bf16`` or ``f16``. Its weights, and
        the model that is measured and saved, are float32 in any case.
    """

    preset: str
    epochs: int = ranged(at_least=1)
    batch_size: int = ranged(at_least=1)
    d_reduced: int = ranged(at_least=0)
    has_domain_adaptation: bool = False
    dropout: float = ranged(0.0, at_least=0, below=1)
    learning_rate: float = ranged(2e-3, above=0)
    weight_decay: float = ranged(1e-4, at_least=0)
    warmup_share: float = ranged(0.04, at_least=0, at_most=1)
    clip_norm: float = ranged(1.0, above=0)
    patience: int = ranged(0, at_least=0)
    seed: int = ranged(0, at_least=0, at_most=2**32 - 1)
    precision: str = "f32"

    @property
    @abstractmethod
    def examples_per_epoch(self) -> int:
        """Crops or cells that make an epoch."""

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches of an epoch."""
        return max(1, self.examples_per_epoch // self.batch_size)

    def check(self) -> None:
        """Refuse values that make no sense.

        Raises
        ------
        SettingsError
            Naming the option, what was given and what is possible.
        """
        check_options(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentationSettings(TrainingSettings):
    """What decides the result of a training of the segmenter, beside ``TrainingSettings``.

    Parameters
    ----------
    architecture : str
        Name of a registered segmenter.
    architecture_arguments : mapping of str
        Its arguments that are no settings.
    crops_per_epoch : int
    crop_size_px : int
        Side of a crop, a multiple of 32.
    widths : tuple of int
        Channels of the U-Net at strides 2, 4, 8, 16, 32. At a stride of 32 the pairs of the
        bottleneck reach across the largest white cells; the fifth level took the validation IoU of
        the preset ``fast`` on BCCD from 0.952 to 0.963.
    has_instance_head : bool
    scale_range : tuple of float
        Smallest and largest magnification of a crop, drawn evenly in the logarithm.
    recolour_share, paste_share : float
        Share of crops with the colours of another laboratory, and with cells pasted in.
    source_evenness : float
        How often crops show the images of a small source: 0 as often as any other image, 1 so
        that every source has as many crops, 0.5 so that crops are as the square roots of the
        sources' numbers of images. Without effect where all images are of one source.
    cell_diameter_px : float or None
        Width that red cells are brought to; None leaves all images as they are.
    frozen_levels : int
        Levels of the network, from the first, that do not learn.
    keeps_statistics : bool
        Whether the normalisations keep the statistics of an earlier training.
    calibrates_peaks : bool
        Whether the heights of the heat maps' peaks are set by the validation images in the end,
        so that the usual thresholds are the best ones for this network as well.
    kept_share : float
        Share of the initial weights in the weights that are saved (weight interpolation); 0 for a
        new training.
    """

    architecture: str = "reynolds_unet"
    architecture_arguments: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int = ranged(at_least=1, hint=", or auto")
    crops_per_epoch: int
    crop_size_px: int = 256
    widths: tuple[int, ...] = (16, 32, 64, 128, 128)
    has_instance_head: bool = True
    scale_range: tuple[float, float] = ranged((0.8, 1.25), above=0)
    recolour_share: float = ranged(0.0, at_least=0, at_most=1)
    paste_share: float = ranged(0.0, at_least=0, at_most=1)
    source_evenness: float = ranged(0.0, at_least=0, at_most=1)
    cell_diameter_px: float | None = None
    frozen_levels: int = ranged(0, at_least=0)
    keeps_statistics: bool = False
    calibrates_peaks: bool = False
    kept_share: float = ranged(0.0, at_least=0, below=1)

    @property
    def examples_per_epoch(self) -> int:
        """Crops of an epoch."""
        return self.crops_per_epoch

    def check(self) -> None:
        """Refuse values that make no sense; see ``TrainingSettings``."""
        check_options(self)
        _check_epoch(self, "crops_per_epoch")
        if self.crop_size_px < SMALLEST_CROP_PX or self.crop_size_px % STRIDE:
            raise OutOfRangeError(
                f"--crop-size {self.crop_size_px}: expected a multiple of {STRIDE} from "
                f"{SMALLEST_CROP_PX} on."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierSettings(TrainingSettings):
    """What decides the result of a training of a classifier, beside ``TrainingSettings``.

    Parameters
    ----------
    architecture : str
        Name of a registered classifier.
    cells_per_epoch : int
    widths, blocks : tuple of int
        Channels of the network at strides 2, 4, 8, 16, and residual blocks at each.
    has_stain_augmentation : bool
        Whether stain, light and contrast of the training cells are varied.
    label_smoothing : float
        Share of a label that is spread over all classes.
    type_weight, known_weight : float
        Weights of the types and of "one of the classes at all" in the loss, beside the condition's
        weight of 1.

    Notes
    -----
    The ablations in docs/classifier_training.md were measured with these defaults.
    """

    architecture: str = "cell_resnet"
    batch_size: int = ranged(64, at_least=2)
    cells_per_epoch: int
    widths: tuple[int, ...] = (16, 32, 64, 128)
    blocks: tuple[int, ...] = (0, 1, 2, 2)
    has_stain_augmentation: bool = True
    dropout: float = ranged(0.2, at_least=0, below=1)
    label_smoothing: float = ranged(0.05, at_least=0, below=0.5)
    type_weight: float = ranged(1.0, at_least=0)
    known_weight: float = ranged(0.5, at_least=0)
    warmup_share: float = ranged(0.05, at_least=0, at_most=1)

    @property
    def examples_per_epoch(self) -> int:
        """Cells of an epoch."""
        return self.cells_per_epoch

    def check(self) -> None:
        """Refuse values that make no sense; see ``TrainingSettings``."""
        check_options(self)
        _check_epoch(self, "cells_per_epoch")


def _check_epoch(settings: TrainingSettings, name: str) -> None:
    if settings.examples_per_epoch < settings.batch_size:
        raise OutOfRangeError(
            f"{settings.examples_per_epoch} examples an epoch in batches of {settings.batch_size}: "
            f"expected at least one batch. Change {option_of(name)} or --batch-size."
        )


Settings = TypeVar("Settings", bound=TrainingSettings)


def _table(*rows: Settings) -> Mapping[str, Settings]:
    return MappingProxyType({row.preset: row for row in rows})


# fmt: off
PRESETS: Final = _table(
    SegmentationSettings(preset="fast", epochs=10, batch_size=16, crops_per_epoch=480,
                         d_reduced=32, calibrates_peaks=True),
    SegmentationSettings(preset="balanced", epochs=50, batch_size=8, crops_per_epoch=240,
                         d_reduced=64, calibrates_peaks=True, patience=20),
    SegmentationSettings(preset="accurate", epochs=100, batch_size=4, crops_per_epoch=160,
                         d_reduced=128, calibrates_peaks=True, patience=30, crop_size_px=320),
    SegmentationSettings(preset="research", epochs=150, batch_size=4, crops_per_epoch=160,
                         d_reduced=128, calibrates_peaks=True, patience=40, crop_size_px=320),
)
"""Of the segmenter. Epochs, batches and ``d_reduced`` are the guide's; times and IoU of each on
BCCD are in docs/segmentation_training_guide.md, "Options"."""

CLASSIFIER_PRESETS: Final = _table(
    ClassifierSettings(preset="fast", epochs=8, cells_per_epoch=1920, d_reduced=32),
    ClassifierSettings(preset="balanced", epochs=30, cells_per_epoch=3200, d_reduced=64,
                       patience=15),
    ClassifierSettings(preset="accurate", epochs=60, cells_per_epoch=3840, d_reduced=128,
                       patience=25),
    ClassifierSettings(preset="research", epochs=90, cells_per_epoch=3840, d_reduced=128),
)
"""Of the classifiers; ``d_reduced`` as of the segmenter's presets."""
# fmt: on

FINE_TUNING: Final = SegmentationSettings(
    preset="fine-tuning",
    epochs=12,
    batch_size=8,
    crops_per_epoch=160,
    d_reduced=0,
    learning_rate=5e-4,
    warmup_share=0.1,
    recolour_share=0.3,
    frozen_levels=2,
    keeps_statistics=True,
    kept_share=0.7,
)
"""Of a training that begins with a trained segmenter, whose architecture it keeps."""

FINE_TUNING_ALWAYS: Final = (
    "learning_rate",
    "warmup_share",
    "recolour_share",
    "frozen_levels",
    "keeps_statistics",
    # A handful of images says less about the heights than those that the model was made with.
    "calibrates_peaks",
    "kept_share",
)
"""Settings of ``FINE_TUNING`` that stay when a preset is given as well."""


def preset_named(name: str) -> SegmentationSettings:
    """Look a preset of the segmenter up; an unknown name is a ``SettingsError``."""
    return _named(PRESETS, name)


def classifier_preset_named(name: str) -> ClassifierSettings:
    """Look a preset of the classifiers up; an unknown name is a ``SettingsError``."""
    return _named(CLASSIFIER_PRESETS, name)


def _named(presets: Mapping[str, Settings], name: str) -> Settings:
    if name not in presets:
        raise UnknownNameError.of("preset", name, presets)
    return presets[name]
