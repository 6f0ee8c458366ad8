import os
import subprocess
import sys

import pytest

from blood_cell_system.errors import SettingsError
from blood_cell_system.training.devices import find_devices

# A process of its own: devices are set before TensorFlow computes.
SHARED = """
from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf
from support.tiny_training import TINY

from blood_cell_system.training.loop import Learner, rates_at

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


class Line(Learner):
    input_name = "x"
    without_decay = ()

    def build(self):
        return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])

    def training_graph(self, domains):
        return keras.Model(self.model.inputs, {"y": self.model.outputs[0]})

    def losses(self, batch, outputs):
        loss = tf.reduce_mean(tf.square(outputs["y"] - batch["y"]))
        return loss, {"loss": loss}


generator = np.random.default_rng(0)
batch = {n: tf.constant(generator.normal(size=(4, s)), tf.float32) for n, s in (("x", 3), ("y", 2))}

def learn(*devices, crops):
    learner = Line(replace(TINY, batch_size=crops))
    learner.devices = devices
    part = {name: values[:crops] for name, values in batch.items()}
    losses = [float(learner.train_step(part, rates_at(n, TINY))["loss"]) for n in range(5)]
    graph = learner.train_step.get_concrete_function(part, rates_at(0, TINY)).graph
    used = {operation.device[-5:] for operation in graph.get_operations()} - {""}
    return losses, learner.averaged.get_weights(), used

for crops in (4, 3):
    losses, weights, used = learn(crops=crops)
    shared, shared_weights, both = learn("CPU:0", "CPU:1", crops=crops)
    assert losses[-1] < losses[0] and not used and both == {"CPU:0", "CPU:1"}, (losses, used, both)
    np.testing.assert_allclose(shared, losses, rtol=1e-5)
    for mine, theirs in zip(shared_weights, weights, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)
assert learn("CPU:0", "CPU:1", crops=1)[2] == {"CPU:0"}
"""


def test_several_devices_learn_together_what_one_learns():
    done = subprocess.run(
        [sys.executable, "-c", SHARED],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr


def test_where_there_is_no_gpu_the_processor_computes():
    assert find_devices("auto") == find_devices("cpu") == ("CPU:0",)


@pytest.mark.parametrize("wanted", [0, -1, "gpu"])
def test_a_number_of_devices_without_sense_is_refused(wanted):
    with pytest.raises(SettingsError, match=r"expected auto, cpu, or a number from 1 on"):
        find_devices(wanted)
