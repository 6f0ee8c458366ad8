"""How fast the classifiers' network is, and how large: no data needed, weights are random.

    python benchmarks/classifier_speed.py [--threads 2] [--training]

ONNX Runtime on made-up cells, in batches of 16, on one view of a cell and on its eight quarter
turns and mirror images, by ``d_reduced``. ``--training`` also times steps of learning in
TensorFlow. The time is the processor's, so that other programs do not count; cells a second are
what that many threads would do if nothing else ran.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import onnxruntime
import tensorflow as tf

from blood_cell_system.model_metadata import ClassifierKind, ModelMetadata
from blood_cell_system.networks.cell_classifier import (
    CONDITION_LOGITS,
    KNOWN_LOGIT,
    TYPE_LOGITS,
    CellClassifierConfig,
    build_cell_classifier,
    logits_model,
)
from blood_cell_system.networks.losses import (
    labelled_binary_cross_entropy,
    labelled_cross_entropy,
)
from blood_cell_system.networks.onnx_export import export_onnx

BATCH = 16
TRAINING_BATCH = 64
ROUNDS = 7


def main() -> None:
    """Print a row for each width of the Reynolds operator."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--training", action="store_true", help="time steps of learning as well")
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    print(
        "| d_reduced | million multiplications | parameters | KB of .onnx | cells/s, one view |",
        end="",
    )
    print(" eight views | learning, one core |")
    print("|---|---|---|---|---|---|---|")
    for d_reduced in (0, 32, 64, 128):
        kind = ClassifierKind("WBC")
        model = build_cell_classifier(CellClassifierConfig.for_kind(kind, d_reduced=d_reduced))
        size, rate = exported_size_and_rate(model, kind)
        learning = f"{learning_rate(model):.0f}" if options.training else "–"
        print(
            f"| {d_reduced} | {multiplications(model) / 1e6:.1f} | {model.count_params()} | "
            f"{size / 1e3:.0f} | {options.threads * rate:.0f} | {options.threads * rate / 8:.0f} | "
            f"{learning} |",
            flush=True,
        )


def exported_size_and_rate(model: keras.Model, kind: ClassifierKind) -> tuple[int, float]:
    """Bytes of the ``.onnx`` file, and cells a second of one thread."""
    metadata = ModelMetadata.of_classifier(kind)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "classifier.onnx"
        export_onnx(model, path, metadata=metadata)
        data = path.read_bytes()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    cells = made_up_cells(BATCH)
    return len(data), BATCH / shortest(lambda: session.run(None, {"cells": cells}))


def learning_rate(model: keras.Model) -> float:
    """Cells a second of forward and backward passes and the step."""
    graph = logits_model(model)
    optimizer = keras.optimizers.AdamW(1e-3)
    labels = tf.zeros(TRAINING_BATCH, tf.int32)

    @tf.function
    def step(cells: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            outputs = graph(cells, training=True)
            loss = labelled_binary_cross_entropy(labels, outputs[KNOWN_LOGIT])
            for name in (CONDITION_LOGITS, TYPE_LOGITS):
                loss += labelled_cross_entropy(labels, outputs[name])
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)

    cells = tf.constant(made_up_cells(TRAINING_BATCH))
    return TRAINING_BATCH / shortest(lambda: step(cells))


def multiplications(model: keras.Model) -> int:
    """Multiplications of all convolutions for one cell."""
    return sum(
        int(np.prod(layer.output.shape[1:3]) * np.prod(layer.kernel.shape))
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D)
    )


def made_up_cells(count: int) -> np.ndarray:
    """Noise of the right shape."""
    return np.random.default_rng(0).uniform(0, 255, (count, 130, 130, 3)).astype(np.float32)


def shortest(run: Callable[[], object]) -> float:
    """Seconds of the processor in the best of some rounds, after one that does not count."""
    run()
    seconds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
    return min(seconds)


if __name__ == "__main__":
    main()
