"""The models that an analysis uses."""

import hashlib
import logging
from pathlib import Path
from typing import Any, Final

from blood_cell_system.errors import CheckpointError, MissingDataError
from blood_cell_system.inference.runtime_loading import load_runtime
from blood_cell_system.inference.runtimes import KerasRuntime, Runtime, load_keras_model
from blood_cell_system.pipeline.files import sha256_of
from blood_cell_system.pipeline.weights import SEGMENTER_NAMES, bundled_segmenter, segmenter_in

CLASSIFIER_NAMES: Final = {
    "rbc_classifier": "rbc_classifier.keras",
    "wbc_classifier": "wbc_classifier.keras",
}

_logger = logging.getLogger(__name__)


class BloodCellAnalysisSystem:
    """A segmenter and, where there are, classifiers of red and white cells.

    Without a segmenter, the one that comes with this package is used.

    Attributes
    ----------
    segmentation_model : keras.Model or Runtime or None
        Any that :class:`~blood_cell_system.inference.runtimes.KerasRuntime` takes, or anything that
        runs like one.
    rbc_classifier, wbc_classifier : keras.Model or None
        Kept for a version that classifies; reports of this one say ``not assessed``.

    Examples
    --------
    >>> system = BloodCellAnalysisSystem()
    >>> system.segmentation_model is None
    True
    """

    def __init__(self) -> None:
        self._segmentation_model: Any = None
        self._runtime: Runtime | None = None
        self._model_path: Path | None = None
        self._is_set_by_hand = False
        self.rbc_classifier: Any = None
        self.wbc_classifier: Any = None

    @property
    def segmentation_model(self) -> Any:
        """What was set or loaded; None before."""
        return self._segmentation_model

    @segmentation_model.setter
    def segmentation_model(self, model: Any) -> None:
        self._take_segmenter(model, path=None)
        self._is_set_by_hand = model is not None

    def load_segmenter(self, path: Path | str) -> None:
        """Load a segmenter from a ``.keras`` or ``.onnx`` file.

        Raises
        ------
        MissingDataError
            There is no such file.
        CheckpointError
            It is damaged, no model of this kind, or has another ending.
        """
        path = Path(path)
        self._take_segmenter(load_runtime(path), path=path)
        self._is_set_by_hand = True

    def load_models(self, folder: Path | str) -> None:
        """Load what models a folder holds; classifiers may be missing.

        A segmenter that was set before is kept: what was said last and by name counts.

        Parameters
        ----------
        folder : Path or str
            With ``segmentation_model.onnx`` or ``.keras`` (or ``segmentation_model_best.keras``),
            ``rbc_classifier.keras``, ``wbc_classifier.keras``.

        Raises
        ------
        MissingDataError
            There is none of them, and no segmenter was set before.
        CheckpointError
            A file is damaged or no model of this kind.
        """
        folder = Path(folder)
        segmenter = segmenter_in(folder)
        classifiers = {
            attribute: folder / name
            for attribute, name in CLASSIFIER_NAMES.items()
            if (folder / name).is_file()
        }
        if segmenter is None and not classifiers:
            expected = ", ".join((*SEGMENTER_NAMES, *CLASSIFIER_NAMES.values()))
            message = f"{folder}: no models there; expected one of {expected}."
            if not self._is_set_by_hand:
                raise MissingDataError(
                    f"{message} Name the folder that your models were saved in, or set "
                    "segmentation_model."
                )
            _logger.warning("%s Cells are segmented but not classified.", message)
        if segmenter is not None and not self._is_set_by_hand:
            self._take_segmenter(load_runtime(segmenter), path=segmenter)
        for attribute, path in classifiers.items():
            setattr(self, attribute, load_keras_model(path))

    def segmentation_runtime(self) -> Runtime:
        """Give the segmenter, ready to run.

        Raises
        ------
        MissingDataError
            None was set, and none comes with this package.
        CheckpointError
            The model is no segmenter.
        """
        if self._segmentation_model is None:
            path = bundled_segmenter()
            self._take_segmenter(load_runtime(path), path=path)
        if self._runtime is None:
            self._runtime = _as_runtime(self._segmentation_model)
        return self._runtime

    def model_identity(self) -> tuple[str, str]:
        """Name of the segmenter, and the SHA-256 of its file, or of its weights without one.

        Raises
        ------
        MissingDataError
            None was set, and none comes with this package; or its file has gone.
        """
        self.segmentation_runtime()
        if self._model_path is not None:
            return self._model_path.name, sha256_of(self._model_path)
        model = self._segmentation_model
        return str(getattr(model, "name", type(model).__name__)), _hash_of_weights(model)

    def _take_segmenter(self, model: Any, *, path: Path | None) -> None:
        self._segmentation_model = model
        self._model_path = path
        self._runtime = None


def _is_keras(model: Any) -> bool:
    # By what it has, not by its class: that would need importing Keras.
    return hasattr(model, "get_weights") and hasattr(model, "inputs")


def _as_runtime(model: Any) -> Runtime:
    if _is_keras(model):
        return KerasRuntime(model, name="segmentation_model")
    if hasattr(model, "predict") and hasattr(model, "input_shape"):
        runtime: Runtime = model
        return runtime
    raise CheckpointError(
        f"segmentation_model: received {type(model).__name__}; expected a Keras model, as "
        "tf.keras.models.load_model gives it, or a runtime with predict and input_shape."
    )


def _hash_of_weights(model: Any) -> str:
    digest = hashlib.sha256()
    for weights in model.get_weights() if _is_keras(model) else ():
        digest.update(str((weights.shape, weights.dtype)).encode())
        digest.update(weights.tobytes())
    return digest.hexdigest()
