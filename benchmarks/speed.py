"""How fast the parts are, as ratios against something measured in the same run.

    python benchmarks/speed.py

A ratio holds on a slow machine as on a fast one; the seconds beside it are of this machine.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import tensorflow as tf

from blood_cell_system.annotation.splits import Split
from blood_cell_system.augmentation.augmentation_settings import AugmentationSettings
from blood_cell_system.augmentation.batches import batches
from blood_cell_system.augmentation.decoded_images import DecodedImages
from blood_cell_system.augmentation.training_crops import CropSampler
from blood_cell_system.cells.separation import separate_cells
from blood_cell_system.datasets.prepared import PreparedDataset
from blood_cell_system.datasets.synthetic import SmearSettings, draw_smear, write_synthetic_folder
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.masks.ellipses import rasterize_ellipses
from blood_cell_system.masks.refine import stain_class_mask
from blood_cell_system.training.loop import StepRates
from blood_cell_system.training.presets import PRESETS
from blood_cell_system.training.segmenter_training import SegmenterLearner


def seconds_of(work: Callable[[], object], *, runs: int = 7) -> float:
    """Median seconds of a piece of work, after one run that does not count."""
    work()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def seconds_of_command(*words: str) -> float:
    """Median seconds of a command, the start of Python included."""
    program = [sys.executable, "-m", "blood_cell_system", *words]
    return seconds_of(lambda: subprocess.run(program, check=True, stdout=subprocess.DEVNULL))


def show(name: str, seconds: float, reference: float, of_what: str) -> None:
    """Print one comparison."""
    print(f"{name:34s} {1000 * seconds:9.1f} ms = {seconds / reference:7.2f} × {of_what}")


def main() -> None:
    """Measure and print."""
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    python = seconds_of(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True))
    show("bloodcells --help", seconds_of_command("--help"), python, "python -c pass")
    smear = draw_smear(SmearSettings(), np.random.default_rng(0))
    with TemporaryDirectory() as folder:
        write_image(Path(folder) / "smear.png", smear.image)
        analysis = seconds_of_command(
            "analyze", "--quiet", f"{folder}/smear.png", "-o", f"{folder}/out"
        )
    show("bloodcells analyze, one image", analysis, python, "python -c pass")
    height, width = smear.class_mask.shape
    blur = seconds_of(lambda: cv2.GaussianBlur(smear.image, (0, 0), 3.0))
    of_blur = f"a Gaussian blur of the same {width}×{height} image"
    cells = smear.cells
    show(
        "ellipse mask",
        seconds_of(lambda: rasterize_ellipses(cells, (height, width))),
        blur,
        of_blur,
    )
    show("stain mask", seconds_of(lambda: stain_class_mask(smear.image, cells)), blur, of_blur)
    drawing = seconds_of(lambda: draw_smear(SmearSettings(), np.random.default_rng(0)))
    show("drawing a smear", drawing, blur, of_blur)
    measure_training(smear.image, blur, of_blur)


def measure_training(image: np.ndarray, blur: float, of_blur: str) -> None:
    """Crops against the step that they feed; network and separation against the blur."""
    settings = PRESETS["fast"]
    learner = SegmenterLearner(settings)
    with TemporaryDirectory() as folder:
        write_synthetic_folder(folder, count=8, settings=SmearSettings(), seed=0)
        images = DecodedImages(PreparedDataset.open(folder).of_split(Split.TRAIN))
        sampler = CropSampler(
            images, size_px=settings.crop_size_px, settings=AugmentationSettings(), seed=0
        )
        size = settings.batch_size
        make = partial(batches, sampler.__getitem__, batch_size=size, first_index=0, count=1)
        (batch,) = make()
        rates = StepRates(*(tf.constant(rate) for rate in (1e-3, 0.9, 0.0)))
        step = seconds_of(lambda: learner.train_step(batch, rates))
        show(
            f"making a batch of {size} crops",
            seconds_of(lambda: list(make())),
            step,
            f"the training step of {settings.preset} ({step:.2f} s)",
        )
    pixels = image[None].astype(np.float32)
    network = seconds_of(lambda: learner.averaged(pixels, training=False))
    show("network", network, blur, of_blur)
    outputs = {name: np.asarray(value)[0] for name, value in learner.averaged(pixels).items()}
    show(
        "separating cells",
        seconds_of(
            lambda: separate_cells(outputs["classes"], outputs["centres"], outputs["log_size"])
        ),
        network,
        "the network",
    )


if __name__ == "__main__":
    main()
