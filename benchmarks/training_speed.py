"""Where the seconds of a training go, and how many images a second beside the original U-Net.

    python benchmarks/training_speed.py [--steps 6] [--preset fast] [--precision f32]

Drawn smears are learned from. CPU time is of all threads and hardly depends on what else the
machine does; images a second are by the clock. The original is the guide's U-Net of 64…1024
filters at 512×512 pixels, one image a step, without augmentation.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from blood_cell_system.datasets.prepared import PreparedDataset
from blood_cell_system.datasets.synthetic import write_synthetic_folder
from blood_cell_system.training.loop import rates_at
from blood_cell_system.training.presets import PRESETS
from blood_cell_system.training.segmenter_training import SegmenterTask

ORIGINAL_SIDE = 512
ORIGINAL_FILTERS = (64, 128, 256, 512, 1024)


def original_unet() -> keras.Model:
    """Build the guide's original U-Net."""
    pixels = maps = keras.Input((ORIGINAL_SIDE, ORIGINAL_SIDE, 3))
    skipped = []

    def twice(maps, filters):
        for _ in range(2):
            maps = layers.Conv2D(filters, 3, padding="same", activation="relu")(maps)
        return maps

    for filters in ORIGINAL_FILTERS[:-1]:
        skipped.append(twice(maps, filters))
        maps = layers.MaxPooling2D()(skipped[-1])
    maps = twice(maps, ORIGINAL_FILTERS[-1])
    for filters, skip in zip(ORIGINAL_FILTERS[-2::-1], reversed(skipped), strict=True):
        maps = layers.Conv2DTranspose(filters, 2, strides=2)(maps)
        maps = twice(layers.Concatenate()([skip, maps]), filters)
    return keras.Model(pixels, layers.Conv2D(3, 1, activation="softmax")(maps))


def seconds_of(work: Callable[[], object]) -> tuple[float, float]:
    """Clock and CPU seconds."""
    started, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started, time.process_time() - cpu


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--original-steps", type=int, default=1)
    parser.add_argument("--preset", choices=PRESETS, default="fast")
    parser.add_argument("--precision", choices=("f32", "bf16", "f16"), default="f32")
    options = parser.parse_args()
    steps = options.steps
    settings = replace(PRESETS[options.preset], precision=options.precision)
    with TemporaryDirectory() as folder:
        write_synthetic_folder(Path(folder) / "smears", count=8)
        dataset = PreparedDataset.open(Path(folder) / "smears").with_splits(0)
        task = SegmenterTask(dataset, settings, start=None, is_new=True)

        def learn(first: int, count: int) -> None:
            batches = task.batches(first_index=first * settings.batch_size, count=count)
            for step, batch in enumerate(batches, start=first):
                tensors = {name: tf.constant(values) for name, values in batch.items()}
                losses = task.learner.train_step(tensors, rates_at(step, settings))
                float(losses["class_loss"])

        learn(0, 1)  # Compiles, and decodes the images.
        batch_size = settings.batch_size
        crops = seconds_of(lambda: [task.example(index) for index in range(batch_size)])
        both = seconds_of(lambda: learn(1, steps))
        task.measure()
        validation = seconds_of(task.measure)
    model = original_unet()
    model.compile("adam", "sparse_categorical_crossentropy")
    image = np.zeros((1, ORIGINAL_SIDE, ORIGINAL_SIDE, 3), np.float32)
    mask = np.zeros((1, ORIGINAL_SIDE, ORIGINAL_SIDE), np.uint8)
    model.train_on_batch(image, mask)
    times = options.original_steps
    original = seconds_of(lambda: [model.train_on_batch(image, mask) for _ in range(times)])
    images = steps * batch_size
    rows = {
        "crops": tuple(value / batch_size for value in crops),
        "crops and steps": tuple(value / images for value in both),
        "original U-Net, steps": tuple(value / times for value in original),
    }
    how = f"{options.preset}, {options.precision}"
    print(f"Preset {how}, batches of {batch_size}, milliseconds an image:")
    for name, (clock, cpu) in rows.items():
        print(f"  {name:24s} clock {clock * 1e3:8.1f}  CPU {cpu * 1e3:8.1f}")
    print(f"  validation of an epoch: clock {validation[0]:.2f} s, CPU {validation[1]:.2f} s")
    (clock, cpu), (other_clock, other_cpu) = rows["crops and steps"], rows["original U-Net, steps"]
    print(
        f"Images/s, of the original's: {other_clock / clock:.0f} ×; by CPU {other_cpu / cpu:.0f} ×"
    )


if __name__ == "__main__":
    main()
