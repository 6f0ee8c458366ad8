"""The place of the segmenter in a system: what was set or loaded, else the built-in one."""

from pathlib import Path
from typing import Any, Final

from blood_cell_system.errors import CheckpointError
from blood_cell_system.inference.keras_runtime import KerasRuntime
from blood_cell_system.inference.runtime_loading import load_runtime
from blood_cell_system.inference.runtimes import Runtime
from blood_cell_system.pipeline.files import sha256_of
from blood_cell_system.pipeline.keras_likeness import hash_of_weights, is_keras, name_of
from blood_cell_system.pipeline.weights import bundled_segmenter

SEGMENTER_STEM: Final = "segmentation_model"


class SegmenterSlot:
    """Holds the segmenter, ready to run when it is asked for.

    Attributes
    ----------
    model : keras.Model or Runtime or None
    path : Path or None
        Where it was loaded from.
    is_by_name : bool
        Whether somebody chose this very model: then a folder of models does not replace it.
    """

    def __init__(self) -> None:
        self.model: Any = None
        self.path: Path | None = None
        self.is_by_name = False
        self._runtime: Runtime | None = None

    def take(self, model: Any) -> None:
        """Put a Keras model or a runtime here; None brings back the built-in one."""
        self.model, self.path, self._runtime = model, None, None
        self.is_by_name = model is not None

    def load(self, path: Path, *, by_name: bool) -> None:
        """Load a ``.keras`` or ``.onnx`` file.

        Raises
        ------
        MissingDataError
            There is no such file.
        CheckpointError
            It is damaged, no model of this kind, or has another ending.
        """
        self.model = self._runtime = load_runtime(path)
        self.path, self.is_by_name = path, by_name

    def ready(self) -> Runtime:
        """Give the segmenter, ready to run.

        Raises
        ------
        MissingDataError
            None was set, and none comes with this package.
        CheckpointError
            The model is no segmenter.
        """
        if self.model is None:
            self.load(bundled_segmenter(), by_name=False)
        if self._runtime is None:
            self._runtime = _as_runtime(self.model)
        return self._runtime

    def identity(self) -> tuple[str, str]:
        """Name of the segmenter, and the SHA-256 of its file, or of its weights without one.

        Raises
        ------
        MissingDataError
            None was set, and none comes with this package; or its file has gone.
        """
        self.ready()
        if self.path is not None:
            return self.path.name, sha256_of(self.path)
        return name_of(self.model), hash_of_weights(self.model)


def _as_runtime(model: Any) -> Runtime:
    if is_keras(model):
        return KerasRuntime(model, name=SEGMENTER_STEM)
    if hasattr(model, "predict") and hasattr(model, "input_shape"):
        runtime: Runtime = model
        return runtime
    raise CheckpointError(
        f"{SEGMENTER_STEM}: received {type(model).__name__}; expected a Keras model, as "
        "tf.keras.models.load_model gives it, or a runtime with predict and input_shape."
    )
