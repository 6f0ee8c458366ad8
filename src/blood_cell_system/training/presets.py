"""Presets of the classifiers' trainings as rows of one table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from blood_cell_system.model_metadata import STRIDE
from blood_cell_system.training.settings import Condition, TrainingSettings, named_preset


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentationSettings(TrainingSettings):
    """Everything that decides what a training of the segmenter comes to.

    Parameters
    ----------
    architecture : str
        Name of a registered segmenter.
    architecture_arguments : mapping of str
        Its arguments that are no settings.
    crops_per_epoch : int
        An epoch is this many crops, however many images there are: time is known beforehand, and
        images are taken in turn, but for what ``source_evenness`` says.
    crop_size_px : int
        Side of a crop, a multiple of 32.
    widths : tuple of int
        Channels of the U-Net at strides 2, 4, 8, 16, 32.
    has_instance_head : bool
    scale_range : tuple of float
        Smallest and largest magnification of a crop, drawn evenly in the logarithm.
    recolour_share, paste_share : float
        Share of crops with the colours of another laboratory, and with cells pasted in.
    source_evenness : float
        How often crops show the images of a small source: 0 as often as any other image, 1 so
        that every source has as many crops, 0.5 so that crops are as the square
        roots of the sources' numbers of images. Of no effect where all are of one source.
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
        Share of the weights that it began with in the weights that get used; 0 for a new training.

    Notes
    -----
    For what it has in common with other trainings see ``TrainingSettings``.
    """

    architecture: str = "reynolds_unet"
    architecture_arguments: Mapping[str, Any] = field(default_factory=dict)
    crops_per_epoch: int
    crop_size_px: int = 256
    # At a stride of 32 the bottleneck's pairs reach across the largest white cells.
    widths: tuple[int, ...] = (16, 32, 64, 128, 128)
    has_instance_head: bool = True
    scale_range: tuple[float, float] = (0.8, 1.25)
    recolour_share: float = 0.0
    paste_share: float = 0.0
    source_evenness: float = 0.0
    cell_diameter_px: float | None = None
    frozen_levels: int = 0
    keeps_statistics: bool = False
    calibrates_peaks: bool = False
    kept_share: float = 0.0

    def conditions(self) -> tuple[Condition, ...]:
        """All that the settings must fulfil; the first that they do not is told."""
        crop_size_fits = self.crop_size_px >= 64 and self.crop_size_px % STRIDE == 0
        return (
            # A class with slots is made anew by the decorator, which super() does not know.
            *TrainingSettings.conditions(self),
            Condition("batch_size", self.batch_size >= 1, "1 or more, or auto"),
            Condition(
                "crops_per_epoch", self.crops_per_epoch >= self.batch_size, "at least a batch"
            ),
            Condition("crop_size_px", crop_size_fits, f"a multiple of {STRIDE} from 64 on"),
            Condition("recolour_share", 0 <= self.recolour_share <= 1, "from 0 to 1"),
            Condition("paste_share", 0 <= self.paste_share <= 1, "from 0 to 1"),
            Condition("source_evenness", 0 <= self.source_evenness <= 1, "from 0 to 1"),
            Condition("kept_share", 0 <= self.kept_share < 1, "from 0 to below 1"),
        )


PRESETS: Final[Mapping[str, SegmentationSettings]] = MappingProxyType(
    {
        settings.preset: settings
        for settings in (
            SegmentationSettings(
                preset="fast",
                epochs=10,
                batch_size=16,
                crops_per_epoch=480,
                d_reduced=32,
                calibrates_peaks=True,
            ),
            SegmentationSettings(
                preset="balanced",
                epochs=50,
                batch_size=8,
                crops_per_epoch=240,
                d_reduced=64,
                calibrates_peaks=True,
                patience=20,
            ),
            SegmentationSettings(
                preset="accurate",
                epochs=100,
                batch_size=4,
                crops_per_epoch=160,
                crop_size_px=320,
                d_reduced=128,
                calibrates_peaks=True,
                patience=30,
            ),
            SegmentationSettings(
                preset="research",
                epochs=150,
                batch_size=4,
                crops_per_epoch=160,
                crop_size_px=320,
                d_reduced=128,
                calibrates_peaks=True,
                patience=40,
            ),
        )
    }
)


def preset_named(name: str) -> SegmentationSettings:
    """Look a preset up.

    Raises
    ------
    SettingsError
        There is none of that name.
    """
    return named_preset(PRESETS, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierSettings(TrainingSettings):
    """Everything that decides what a training of a classifier comes to.

    Parameters
    ----------
    architecture : str
        Name of a registered classifier.
    cells_per_epoch : int
        An epoch is this many cells, however many there are: time is known beforehand.
    widths, blocks : tuple of int
        Channels of the network at strides 2, 4, 8, 16, and residual blocks at each.
    has_stain_augmentation : bool
        Whether stain, light and contrast of the training cells are varied.
    label_smoothing : float
    type_weight, known_weight : float
        What the types and "one of the classes at all" count in the loss beside the condition.

    Notes
    -----
    For what it has in common with other trainings see ``TrainingSettings``.
    """

    architecture: str = "cell_resnet"
    batch_size: int = 64
    cells_per_epoch: int
    widths: tuple[int, ...] = (16, 32, 64, 128)
    blocks: tuple[int, ...] = (0, 1, 2, 2)
    has_stain_augmentation: bool = True
    dropout: float = 0.2
    label_smoothing: float = 0.05
    type_weight: float = 1.0
    known_weight: float = 0.5
    warmup_share: float = 0.05

    def conditions(self) -> tuple[Condition, ...]:
        """All that the settings must fulfil; the first that they do not is told."""
        return (
            # A class with slots is made anew by the decorator, which super() does not know.
            *TrainingSettings.conditions(self),
            Condition("batch_size", self.batch_size >= 2, "2 or more"),
            Condition(
                "cells_per_epoch", self.cells_per_epoch >= self.batch_size, "at least a batch"
            ),
            Condition("label_smoothing", 0 <= self.label_smoothing < 0.5, "from 0 to below 0.5"),
            Condition("type_weight", self.type_weight >= 0, "0 or more"),
            Condition("known_weight", self.known_weight >= 0, "0 or more"),
        )


CLASSIFIER_PRESETS: Final[Mapping[str, ClassifierSettings]] = MappingProxyType(
    {
        settings.preset: settings
        for settings in (
            ClassifierSettings(preset="fast", epochs=8, cells_per_epoch=1920, d_reduced=32),
            ClassifierSettings(
                preset="balanced", epochs=30, cells_per_epoch=3200, d_reduced=64, patience=15
            ),
            ClassifierSettings(
                preset="accurate", epochs=60, cells_per_epoch=3840, d_reduced=128, patience=25
            ),
            ClassifierSettings(
                preset="research", epochs=90, cells_per_epoch=3840, d_reduced=128, patience=0
            ),
        )
    }
)


def classifier_preset_named(name: str) -> ClassifierSettings:
    """Look a preset up.

    Raises
    ------
    SettingsError
        There is none of that name.
    """
    return named_preset(CLASSIFIER_PRESETS, name)
