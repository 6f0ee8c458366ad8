"""Training of the segmenter, from a prepared folder to the best model by validation IoU."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import cv2
import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

import blood_cell_system
from blood_cell_system.annotation.splits import Split
from blood_cell_system.augmentation.augmentation_settings import AugmentationSettings
from blood_cell_system.augmentation.batches import Batch
from blood_cell_system.augmentation.decoded_images import DecodedImages
from blood_cell_system.augmentation.training_crops import CropSampler, ImageOrder
from blood_cell_system.datasets.cell_diameter import (
    magnifications_of_images,
    typical_diameter,
    typical_diameters,
)
from blood_cell_system.datasets.prepared import DecodedImage, PreparedDataset, PreparedImage
from blood_cell_system.datasets.source_licences import FINE_TUNED_ON, licence_of_weights
from blood_cell_system.errors import DatasetError, SettingsError, TrainingMemoryError
from blood_cell_system.folder_lock import locked_folder
from blood_cell_system.imaging.overlay import draw_overlay
from blood_cell_system.metrics.confusion import ConfusionMatrix
from blood_cell_system.model_metadata import STRIDE, ModelMetadata, model_name
from blood_cell_system.networks.architectures import segmenter_named
from blood_cell_system.networks.losses import (
    centre_focal_loss,
    scored_cross_entropy,
    scored_dice,
    size_loss,
)
from blood_cell_system.networks.onnx_export import save_model
from blood_cell_system.networks.segmenter import (
    PIXELS_INPUT,
    logits_model,
    with_segmenter_domain_head,
)
from blood_cell_system.taxonomy import BUILT_IN, NOT_SCORED, MaskClass
from blood_cell_system.training.domains import domains_of_images
from blood_cell_system.training.fine_tuning import (
    StartingPoint,
    freeze,
    start_details,
    unlikeness_warnings,
)
from blood_cell_system.training.loop import (
    Images,
    Learner,
    Task,
    Training,
    TrainingListener,
    TrainingResult,
    memory_advice,
    prepare_run,
)
from blood_cell_system.training.peak_calibration import (
    bake_thresholds,
    best_thresholds,
    peak_finder,
)
from blood_cell_system.training.presets import SegmentationSettings
from blood_cell_system.training.run_record import HistoryView, Row
from blood_cell_system.training.state import SEGMENTER_FILES, TrainingState
from blood_cell_system.wording import counted

BATCH_SIZES: Final = (16, 8, 4, 2, 1)
"""Sizes that ``--batch-size auto`` chooses from, the largest first."""

_ACTIVATION_COPIES: Final = 3.0
"""Activations are kept for the gradient, as gradients, and in the convolutions' workspace."""

_FIXED_BYTES: Final = 700_000_000
"""Memory of TensorFlow, the weights and the images held, beside the activations."""

_CGROUP_FILES: Final = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")

FEWEST_IMAGES: Final = 10
"""Of one's own to train a network from random weights; with fewer, fine-tuning is better."""

ADVICE: Final = (
    "Use a smaller --batch-size (4, 2 or 1, or auto), a smaller model (--preset fast), or smaller "
    "crops (--crop-size 192)."
)


def available_bytes() -> int | None:
    """Memory that this process may still take, None where the system does not say."""
    try:
        available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        # Counts what the page cache would give back, unlike the free pages above.
        for line in meminfo.read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                available = int(line.split()[1]) * 1024
    for name in _CGROUP_FILES:
        limit = Path(name).read_text("ascii").strip() if Path(name).is_file() else "max"
        if limit.isdigit():
            available = min(available, int(limit))
    return available


def estimated_bytes(settings: SegmentationSettings) -> int:
    """Memory that a training takes, by the sizes of all activations of the segmenter."""
    per_pixel = segmenter_config(settings).values_per_pixel
    values = per_pixel * settings.crop_size_px**2 * settings.batch_size
    return int(4 * _ACTIVATION_COPIES * values) + _FIXED_BYTES


def largest_batch_that_fits(settings: SegmentationSettings) -> int:
    """Batch size for ``--batch-size auto``: the largest that leaves half of the memory free."""
    available = available_bytes()
    for batch_size in BATCH_SIZES:
        needed = estimated_bytes(replace(settings, batch_size=batch_size))
        if available is None or needed <= available / 2:
            return batch_size
    return BATCH_SIZES[-1]


def check_batch_fits(settings: SegmentationSettings) -> None:
    """Refuse a batch that does not fit.

    Raises
    ------
    TrainingMemoryError
        With the guide's advice.
    """
    available = available_bytes()
    needed = estimated_bytes(settings)
    if available is not None and needed > available:
        raise TrainingMemoryError(
            f"Batches of {settings.batch_size}: need about {needed / 1e9:.1f} GB of memory; "
            f"{available / 1e9:.1f} GB are available. {ADVICE}"
        )


VIEW: Final = HistoryView(
    score="val_mean_iou",
    good_score=0.70,
    train_loss="train_class_loss",
    val_loss="val_class_loss",
    overfitting_rise=1.1,
    loss_title="Class loss (cross-entropy + Dice)",
    loss_labels={"train_class_loss": "training", "val_class_loss": "validation"},
    is_log_loss=True,
    score_title="Validation IoU",
    score_labels={
        "val_mean_iou": "mean",
        "val_iou_background": "background",
        "val_iou_rbc": "RBC",
        "val_iou_wbc": "WBC",
    },
    low_score_advice=(
        "Validation IoU reached {best}, below {good}: more augmentation (bloodcells augment "
        "--aug-factor 5), longer training (--epochs 100), or check the masks (bloodcells verify)."
    ),
    flat_loss_advice=(
        "The training loss does not fall: the learning rate is too high or too low "
        "(--learning-rate), or the masks do not fit the images (bloodcells verify)."
    ),
    overfitting_advice=(
        "Overfitting: the training loss falls while the validation loss rises. Use fewer epochs "
        "(--epochs), --dropout 0.2, more augmentation, or more images. The best model by "
        "validation IoU is the one that was kept."
    ),
)

CENTRE_WEIGHT: Final = 0.2
"""Weight of the centre loss beside the class loss: it is a sum over a crop's places by cell, an
order larger than the pixels' means."""

SIZE_WEIGHT: Final = 0.2
"""Weight of the size loss, like that of the centres that it belongs to."""

_EXAMPLES: Final = 3
"""Validation images that TensorBoard shows."""

_EXAMPLE_SIZE: Final = (384, 288)
"""Their width and height in pixels."""

_COMPARED_IMAGES: Final = 8
"""Training images that show whether the stain is unlike what a model knows."""

_CALIBRATION_IMAGES: Final = 60
"""Validation images, at most, that the heights of peaks are chosen by: so many show enough cells,
platelets among them."""

_logger = logging.getLogger(__name__)


def segmenter_config(settings: SegmentationSettings) -> Any:
    """Config of the architecture that a training's settings name."""
    registered = segmenter_named(settings.architecture)
    return registered.configured(settings, **settings.architecture_arguments)


class SegmenterLearner(Learner):
    """The segmenter, with class loss, centre loss and size loss."""

    input_name = PIXELS_INPUT
    without_decay = ("bias", "gamma", "beta")

    def __init__(
        self,
        settings: SegmentationSettings,
        *,
        num_cell_types: int = len(BUILT_IN),
        domains: int = 0,
        start: Sequence[NDArray[np.float32]] | None = None,
    ) -> None:
        self._settings = settings
        self.config = segmenter_config(settings)
        if settings.has_instance_head:
            self.config = replace(self.config, num_cell_types=num_cell_types)
        super().__init__(settings, domains=domains, start=start)
        self._averaged_logits = logits_model(self.averaged)

    def training_graph(self, domains: int) -> keras.Model:
        """Make a model of logits that shares the network's weights, with a head of domains.

        What fine-tuning does not change is frozen, and the beginning is remembered.
        """
        freeze(self.model, self._settings)
        weights = self.model.weights if self._settings.kept_share else []
        self._start = [tf.Variable(np.asarray(weight), trainable=False) for weight in weights]
        if domains:
            return with_segmenter_domain_head(self.model, domains=domains)
        return logits_model(self.model)

    def used_weights(self) -> Sequence[Any]:
        """Weights between those of the beginning and those that it has now [1]_.

        References
        ----------
        .. [1] M. Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022: what lies
           between keeps most of what the beginning knew and has most of what was learned.
        """
        kept = self._settings.kept_share
        if not kept:
            return super().used_weights()
        pairs = zip(self._start, self.model.weights, strict=True)
        return [kept * start + (1.0 - kept) * weight for start, weight in pairs]

    def losses(self, batch: Mapping[str, Any], outputs: Any) -> tuple[Any, dict[str, Any]]:
        """Give the weighted sum, and ``class_loss``, ``centre_loss`` and ``size_loss``."""
        total = _class_loss(batch["class_mask"], outputs["class_logits"])
        losses = {"class_loss": total}
        if "centre_logits" in outputs:
            losses["centre_loss"] = centre_focal_loss(
                batch["heat_map"], batch["heat_weight"], outputs["centre_logits"]
            )
            losses["size_loss"] = size_loss(
                batch["log_size"], batch["size_weight"], outputs["log_size"]
            )
            total += CENTRE_WEIGHT * losses["centre_loss"] + SIZE_WEIGHT * losses["size_loss"]
        return total, losses

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def predict_step(self, pixels: Any, class_mask: Any) -> tuple[Any, Any]:
        """Class mask, of the same shape, and class loss of the averaged model.

        Parameters
        ----------
        pixels : tensor of shape (batch, height, width, 3), dtype uint8
        class_mask : tensor of shape (batch, height, width), dtype uint8
        """
        outputs = self._averaged_logits(tf.cast(pixels, tf.float32), training=False)
        logits = outputs["class_logits"]
        return tf.cast(tf.argmax(logits, axis=-1), tf.uint8), _class_loss(class_mask, logits)

    def number_groups(self) -> dict[str, Sequence[Any]]:
        """Variables by group; of fine-tuning also the weights of the beginning."""
        return {**super().number_groups(), "start": self._start}


def _class_loss(class_mask: Any, class_logits: Any) -> Any:
    return scored_cross_entropy(class_mask, class_logits) + scored_dice(class_mask, class_logits)


class SegmenterTask(Task):
    """Crops of training images, and IoU on whole validation images.

    Parameters
    ----------
    dataset : PreparedDataset
        With splits.
    is_new : bool
        False when a training is resumed, which needs no comparison with its beginning.

    Raises
    ------
    DatasetError
        There is nothing to learn from, or nothing to choose by.
    SettingsError
        Domain adaptation was asked for, and all images are alike.
    """

    files = SEGMENTER_FILES
    view = VIEW
    learner: SegmenterLearner

    def __init__(
        self,
        dataset: PreparedDataset,
        settings: SegmentationSettings,
        *,
        start: StartingPoint | None,
        is_new: bool,
    ) -> None:
        if start is not None:
            dataset = _with_types_of(start, dataset)
        train_images, val_images = (_images_of(dataset, s) for s in (Split.TRAIN, Split.VAL))
        magnifications = _magnifications((*train_images, *val_images), settings)
        known = {name: value for name, value in magnifications.items() if value is not None}
        decoded = DecodedImages(train_images, magnifications=known)
        self._validation_images = DecodedImages(val_images, magnifications=known)
        sources = [image.source for image in train_images]
        order = ImageOrder(sources, evenness=settings.source_evenness, seed=settings.seed)
        self.domains = None
        if settings.has_domain_adaptation:
            self.domains = domains_of_images(
                sources,
                (decoded[position].pixels for position in range(len(decoded))),
                seed=settings.seed,
                frequencies=order.frequencies(),
            )
        domain_names = list(self.domains.names) if self.domains else []
        taxonomy = self._taxonomy = start.taxonomy if start else dataset.taxonomy
        self.learner = SegmenterLearner(
            settings,
            num_cell_types=len(taxonomy),
            domains=len(domain_names),
            start=None if start is None else start.model.get_weights(),
        )
        self.remarks = (_numbers_of(train_images, val_images),)
        self.data_warnings = tuple(
            _warnings_about(train_images, settings, is_from_scratch=is_new and start is None)
        )
        diameter = typical_diameter(train_images)
        training_diameter = settings.cell_diameter_px or diameter
        self.learner.averaged.name = model_name(training_diameter)
        self.data_hash = dataset.content_hash()
        data = ", ".join(sorted({*sources} - {""}))
        if start is not None:
            data = f"{start.data}{FINE_TUNED_ON}{data}"
        self.metadata = ModelMetadata(
            kind="segmenter",
            architecture=self.learner.architecture,
            taxonomy=None if taxonomy == BUILT_IN else taxonomy,
            training_diameter_px=training_diameter,
            preset=settings.preset,
            seed=settings.seed,
            data=data,
            data_sha256=self.data_hash,
            licence=licence_of_weights(data),
            software_version=blood_cell_system.__version__,
        )
        self.validation_hash = replace(dataset, images=val_images).content_hash()
        self.details = {
            "data": str(dataset.root),
            "images": {"train": len(train_images), "val": len(val_images)},
            "red_cell_diameter_px": diameter,
            "magnifications": magnifications,
            "crops_of_a_round": order.counts_of_a_round(),
            "domains": domain_names,
            **(start_details(start) if start else {}),
        }
        self.batch_size = settings.batch_size
        self._iou_before: float | None = None
        self._sampler = CropSampler(
            decoded,
            size_px=settings.crop_size_px,
            settings=AugmentationSettings(
                scale_range=settings.scale_range,
                recolour_share=settings.recolour_share,
                paste_share=settings.paste_share,
            ),
            seed=settings.seed,
            order=order,
            taxonomy=taxonomy,
        )
        if start is not None and is_new:
            self._compare_with_start(start, decoded, magnifications, train_images)

    def example(self, index: int) -> Batch:
        """Give a crop and its targets."""
        return self._sampler[index]

    def position_of(self, index: int) -> int:
        """Position of a crop's image."""
        return self._sampler.position_of(index)

    def measure(self) -> tuple[dict[str, float], Images]:
        """Measure the averaged model on the whole validation images."""
        confusion = ConfusionMatrix()
        losses, overlays = [], []
        for position in range(len(self._validation_images)):
            image = self._validation_images[position]
            height, width = image.class_mask.shape
            pixels, class_mask = _padded(image.pixels, image.class_mask)
            predicted, loss = self.learner.predict_step(
                tf.constant(pixels[None]), tf.constant(class_mask[None])
            )
            class_mask_predicted = np.asarray(predicted)[0, :height, :width]
            confusion.update(image.class_mask, class_mask_predicted)
            losses.append(float(loss))
            if position < _EXAMPLES:
                overlay = draw_overlay(image.pixels, class_mask_predicted)
                overlays.append(cv2.resize(overlay, _EXAMPLE_SIZE, interpolation=cv2.INTER_AREA))
        row = {"val_class_loss": float(np.mean(losses)), "val_mean_iou": confusion.mean_iou}
        for cell_class in MaskClass:
            name = cell_class.name.lower()
            row[f"val_iou_{name}"] = float(confusion.iou[cell_class])
            row[f"val_dice_{name}"] = float(confusion.dice[cell_class])
        return row, overlays

    def advice(self, history: Sequence[Row]) -> list[str]:
        """Give the guide's remedies."""
        advice = super().advice(history)
        best = max((row["val_mean_iou"] for row in history), default=1.0)
        if self._iou_before is not None and best < self._iou_before:
            advice.append(
                f"Fine-tuning did not help: validation IoU was {self._iou_before:.3f} before and "
                f"is {best:.3f} at best. Check the masks (bloodcells verify), label more images, "
                "or keep the model as it was."
            )
        return advice

    def calibrate_peaks(self, model_path: Path) -> dict[str, float]:
        """Give the best model peaks of the usual heights; done once more it changes little.

        Returns
        -------
        dict of str to float
            Best threshold of a type of cell before.
        """
        best = keras.saving.load_model(model_path, compile=False)
        found = best_thresholds(
            self._some_validation_images(), peak_finder(best), taxonomy=self._taxonomy
        )
        if found:
            bake_thresholds(best, found, taxonomy=self._taxonomy)
            save_model(best, model_path, metadata=self.metadata)
        return {str(cell_type): threshold for cell_type, threshold in found.items()}

    def _some_validation_images(self) -> Iterator[DecodedImage]:
        """Give validation images from all over the list."""
        available = len(self._validation_images)
        count = min(_CALIBRATION_IMAGES, available)
        for number in range(count):
            yield self._validation_images[number * available // count]

    def _compare_with_start(
        self,
        start: StartingPoint,
        decoded: DecodedImages,
        magnifications: Mapping[str, float | None],
        images: Sequence[PreparedImage],
    ) -> None:
        """Measure the model before it learns anything, and warn where the images are unlike."""
        step = max(1, len(decoded) // _COMPARED_IMAGES)
        warnings = unlikeness_warnings(
            start,
            magnifications=magnifications,
            images=[decoded[i].pixels for i in range(0, len(decoded), step)][:_COMPARED_IMAGES],
            cells=[image.cells for image in images],
        )
        self._iou_before = self.measure()[0]["val_mean_iou"]
        self.details |= {"val_mean_iou_before": self._iou_before, "unlikeness": warnings}
        _logger.info("Validation IoU of %s as it is: %.3f", start.path.name, self._iou_before)
        for warning in warnings:
            _logger.warning("Warning: %s", warning)


def _padded(
    pixels: NDArray[np.uint8], class_mask: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Bring both to the segmenter's stride; what is added is not scored."""
    height, width = class_mask.shape
    added = 0, -height % STRIDE, 0, -width % STRIDE
    return (
        cv2.copyMakeBorder(pixels, *added, cv2.BORDER_REPLICATE),
        cv2.copyMakeBorder(class_mask, *added, cv2.BORDER_CONSTANT, value=(NOT_SCORED,)),
    )


def _magnifications(
    images: Sequence[PreparedImage], settings: SegmentationSettings
) -> dict[str, float | None]:
    """By how much each source is resampled, None where its cells' size is not known."""
    if settings.cell_diameter_px is None:
        return {}
    diameters = typical_diameters(images)
    return {
        source: settings.cell_diameter_px / diameters[source] if source in diameters else None
        for source in sorted({image.source for image in images})
    }


def _numbers_of(train_images: Sequence[PreparedImage], val_images: Sequence[PreparedImage]) -> str:
    copies = sum(image.is_augmented for image in train_images)
    among = f" ({copies} of them augmented copies)" if copies else ""
    return (
        f"Learns from {counted(len(train_images), 'image')}{among}, and chooses the best epoch by "
        f"{counted(len(val_images), 'image')} for validation."
    )


def _warnings_about(
    train_images: Sequence[PreparedImage],
    settings: SegmentationSettings,
    *,
    is_from_scratch: bool,
) -> Iterator[str]:
    originals = sum(not image.is_augmented for image in train_images)
    if is_from_scratch and originals < FEWEST_IMAGES:
        yield (
            f"{counted(originals, 'image')} to learn from will not make a usable model. Label "
            f"{FEWEST_IMAGES} or more, or fine-tune the built-in model with --init-from bundled."
        )
    is_scaled = settings.cell_diameter_px is not None
    mixed = magnifications_of_images(train_images, is_by_source=is_scaled)
    if mixed:
        yield (
            f"{mixed}. A model learns one size. Prepare each magnification into a folder of its "
            "own, and merge them with bloodcells combine, which scales them to one size."
        )


def _with_types_of(start: StartingPoint, dataset: PreparedDataset) -> PreparedDataset:
    """Give the data the model's cell types; those that the data have not are not annotated."""
    missing = [name for name in dataset.taxonomy.names if name not in start.taxonomy]
    if missing:
        raise SettingsError(
            f"{dataset.root}: has cells of the type {missing[0]}, which {start.path} does not "
            f"know; expected types of {', '.join(start.taxonomy.names)}. Train a new model, or "
            "prepare the folder with the model's types."
        )
    further = [name for name in start.taxonomy.names if name not in dataset.taxonomy]
    if not further:
        return dataset
    images = tuple(
        replace(image, unmarked_types=(*image.unmarked_types, *further)) for image in dataset.images
    )
    return replace(dataset, images=images)


def _images_of(dataset: PreparedDataset, split: Split) -> tuple[PreparedImage, ...]:
    images = dataset.of_split(split)
    if not images:
        purpose = "to learn from" if split == Split.TRAIN else "to choose the best model by"
        raise DatasetError(
            f"{dataset.root}: no images {purpose} (split {str(split)!r}). Prepare a folder with "
            "more images, or remove manifest.json to have splits drawn."
        )
    return images


def train_segmenter(
    dataset: PreparedDataset,
    settings: SegmentationSettings,
    *,
    checkpoint_dir: Path,
    log_dir: Path,
    resume: TrainingState | None = None,
    listener: TrainingListener | None = None,
    is_deterministic: bool = False,
    start: StartingPoint | None = None,
    devices: Sequence[str] | None = None,
) -> TrainingResult:
    """Train a segmenter, or continue a training.

    Writes into ``checkpoint_dir``: ``segmentation_model_best.keras`` (its running average),
    ``segmentation_training_state.npz``, ``history.csv``, ``history.json``, ``training_curves.png``,
    ``run.json``; and TensorBoard events into a folder of its own in ``log_dir``.

    Parameters
    ----------
    dataset : PreparedDataset
        Images without a split get one drawn by the seed.
    resume : TrainingState, optional
        Where to go on.
    is_deterministic : bool
        Whether the same seed, data, software and machine must give the same weights, bit by bit.
        TensorFlow then keeps to one order of work, which costs speed. It holds
        for the rest of the process.
    start : StartingPoint, optional
        A trained model to begin with, in place of random weights; ``fine_tuning_settings`` has the
        settings for it.
    devices : sequence of str, optional
        As of ``find_devices``; several share the batches. By default all GPUs.

    Raises
    ------
    DatasetError
        There is nothing to learn from, or nothing to choose by.
    ResumeError
        The state is of another model.
    TrainingMemoryError
        The batch does not fit into memory.
    OutputError
        A folder cannot be written to, or the model was removed from it meanwhile.
    FolderInUseError
        Another training writes into ``checkpoint_dir``.
    DivergedError
        A loss is no number any more; the best model before stays.
    """
    check_batch_fits(settings)
    prepare_run(checkpoint_dir, log_dir, is_deterministic=is_deterministic)
    with (
        locked_folder(checkpoint_dir, command="train"),
        memory_advice(settings.batch_size, ADVICE),
    ):
        dataset = dataset.with_splits(settings.seed)
        task = SegmenterTask(dataset, settings, start=start, is_new=resume is None)
        training = Training(
            task,
            settings,
            folder=checkpoint_dir,
            log_dir=log_dir,
            resume=resume,
            listener=listener,
            devices=devices,
        )
        result = training.run()
        if result.is_complete and settings.calibrates_peaks and settings.has_instance_head:
            training.write_record(peak_thresholds_before=task.calibrate_peaks(result.model_path))
    return result
