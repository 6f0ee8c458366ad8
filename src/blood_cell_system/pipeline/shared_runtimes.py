"""Networks that threads share: each keeps all cores busy by itself, so one picture at a time."""

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.inference.classifier_outputs import ClassifierOutputs
from blood_cell_system.inference.classifier_runtimes import ClassifierRuntime
from blood_cell_system.inference.runtimes import NetworkOutputs, Runtime


class OneAtATime:
    """A segmenter that threads share.

    Attributes
    ----------
    has_heads : bool
        Whether it told centres of cells the last time.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.input_shape = runtime.input_shape
        self.has_heads = True
        self._runtime = runtime
        self._lock = threading.Lock()

    def predict(self, batch: NDArray[np.float32]) -> NetworkOutputs:
        """Run on a batch, when no other thread does."""
        with self._lock:
            outputs = self._runtime.predict(batch)
        self.has_heads = outputs.centres is not None
        return outputs

    def __getattr__(self, name: str) -> Any:
        # What else a runtime knows of itself, such as the magnification of its training.
        return getattr(self._runtime, name)


class OneClassifierAtATime:
    """A classifier that threads share."""

    def __init__(self, runtime: ClassifierRuntime) -> None:
        self.facts = runtime.facts
        self.input_side = runtime.input_side
        self._runtime = runtime
        self._lock = threading.Lock()

    def predict(self, batch: NDArray[np.float32]) -> ClassifierOutputs:
        """Run on a batch, when no other thread does."""
        with self._lock:
            return self._runtime.predict(batch)
