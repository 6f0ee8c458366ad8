"""Networks that threads share: each keeps all cores busy by itself, so one image at a time."""

import hashlib
import threading
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.analysis.classifier_runtimes import (
    ClassifierOutputs,
    ClassifierRuntime,
    KerasClassifier,
    load_classifier,
)
from blood_cell_system.analysis.runtimes import KerasRuntime, NetworkOutputs, Runtime, load_runtime
from blood_cell_system.errors import (
    CheckpointError,
    ImageReadError,
    MissingDataError,
    SettingsError,
)
from blood_cell_system.model_metadata import ClassifierFacts, ClassifierKind

SUMMARY_NAME: Final = "batch_summary.json"
"""Lies in every folder of results."""


def sha256_of(path: Path) -> str:
    """Hash a file of any size.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    MissingDataError
        There is no such file.
    ImageReadError
        It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise MissingDataError(f"{path}: there is no such file. Check the path.") from error
    except (OSError, ValueError) as error:
        raise ImageReadError(f"{path}: cannot be read ({error}). Check its permissions.") from error


SEGMENTER_NAMES: Final = (
    "segmentation_model.onnx",
    "segmentation_model.keras",
    "segmentation_model_best.keras",
)
"""File names of a segmenter, the first that is there taken: ONNX needs no TensorFlow."""


def segmenter_in(folder: Path) -> Path | None:
    """Find the segmenter of a folder, if there is one."""
    return next((path for name in SEGMENTER_NAMES if (path := folder / name).is_file()), None)


def bundled_segmenter() -> Path:
    """Find the segmenter that comes with this package.

    Raises
    ------
    MissingDataError
        None came with it.
    """
    folder = weights_folder()
    path = segmenter_in(folder)
    if path is None:
        raise MissingDataError(
            f"{folder}: no trained model comes with this version; expected one of "
            f"{', '.join(SEGMENTER_NAMES)}. Train one with train_segmentation.py train, then name "
            "it: --model checkpoints/segmentation_model_best.keras"
        )
    return path


def bundled_trainable_segmenter() -> Path:
    """Find the segmenter that comes with this package, in the form that can be trained on.

    Raises
    ------
    MissingDataError
        Only the form for analysing came with it, or none.
    """
    path = weights_folder() / "segmentation_model.keras"
    if not path.is_file():
        raise MissingDataError(
            f"{path}: the model that comes with this version can analyse images, but not be "
            "trained on; expected a .keras file. Name one of your own: --init-from "
            "checkpoints/segmentation_model_best.keras"
        )
    return path


def classifier_in(folder: Path, kind: ClassifierKind) -> Path | None:
    """Find the classifier of a folder, if there is one: ONNX first, as it needs no TensorFlow."""
    names = (f"{kind.file_stem}.onnx", f"{kind.file_stem}.keras")
    return next((path for name in names if (path := folder / name).is_file()), None)


def bundled_classifier(kind: ClassifierKind) -> Path | None:
    """Find the classifier that comes with this package, if there is one."""
    return classifier_in(weights_folder(), kind)


def weights_folder() -> Path:
    """Where the models are that come with this package."""
    return Path(str(resources.files("blood_cell_system"))) / "weights"


def is_keras(model: Any) -> bool:
    """Whether something is a Keras model."""
    return hasattr(model, "get_weights") and hasattr(model, "inputs")


def unwrap(model: Any) -> Any:
    """Give the Keras model inside a runtime; anything else as it is."""
    return model if is_keras(model) else getattr(model, "model", model)


def hash_of_weights(model: Any) -> str:
    """SHA-256 of a model's weights; that of nothing for what has none to show."""
    digest = hashlib.sha256()
    for weights in model.get_weights() if is_keras(model) else ():
        digest.update(str((weights.shape, weights.dtype)).encode())
        digest.update(weights.tobytes())
    return digest.hexdigest()


def name_of(model: Any) -> str:
    """Name of a model; of one without, that of its class."""
    return str(getattr(model, "name", type(model).__name__))


def describe(model: Any, shape: tuple[int, ...] | None = None) -> str:
    """Tell in a line what a model takes and gives, and how large it is.

    Parameters
    ----------
    model : object
        None for one that is not there.
    shape : tuple of int, optional
        Where the model takes images of any size: an example.
    """
    if model is None:
        return "none set; the one of this package is used, if it has any"
    model = unwrap(model)
    if not is_keras(model):
        return type(model).__name__
    sides = tuple(model.inputs[0].shape)[1:]
    taken = " × ".join("any" if side is None else str(side) for side in sides)
    if shape is not None and None in sides:
        taken += f" (such as {' × '.join(map(str, shape))})"
    outputs = ", ".join(getattr(model, "output_names", ()))
    return f"{model.count_params():,} parameters, takes {taken}, gives {outputs}"


def check_input_shape(name: str, shape: tuple[int, int, int], *, multiple_of: int) -> None:
    """Refuse what is no shape of RGB images.

    Parameters
    ----------
    name : str
        What to call it in messages.
    shape : tuple of int
        ``(height, width, 3)``.
    multiple_of : int
        What height and width have to be multiples of.

    Raises
    ------
    SettingsError
        It is something else.
    """
    sides = tuple(shape)[:2]
    is_fine = len(shape) == 3 and shape[2] == 3 and min(sides) > 0
    if not is_fine or any(side % multiple_of for side in sides):
        words = f", height and width multiples of {multiple_of}" if multiple_of > 1 else ""
        raise SettingsError(f"{name}: received {shape}; expected (height, width, 3){words}.")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyClassifier:
    """A classifier that can run, and what a report says of it.

    Parameters
    ----------
    runtime : ClassifierRuntime
    name : str
        Of its file, or of the model in memory.
    sha256 : str
        Of the file, or of the weights of a model in memory.
    """

    runtime: ClassifierRuntime
    name: str
    sha256: str


class ClassifierSlot:
    """Holds one classifier, ready to run when it is asked for.

    Parameters
    ----------
    kind : ClassifierKind
    """

    def __init__(self, kind: ClassifierKind) -> None:
        self.kind = kind
        self.model: Any = None
        self.path: Path | None = None
        self.facts: ClassifierFacts | None = None
        self._ready: ReadyClassifier | None = None

    def take(self, model: Any, *, facts: ClassifierFacts | None = None) -> None:
        """Put a Keras model or a runtime here; None brings back the built-in one."""
        self.model, self.path, self.facts, self._ready = model, None, facts, None

    def load(self, path: Path) -> None:
        """Load a ``.keras`` or ``.onnx`` file.

        Raises
        ------
        MissingDataError
            There is no such file.
        CheckpointError
            It is damaged, carries code, or is no classifier of this kind.
        """
        runtime = load_classifier(path, self.kind)
        self.model = runtime.model if isinstance(runtime, KerasClassifier) else runtime
        self.path, self.facts = path, runtime.facts
        self._ready = ReadyClassifier(runtime=runtime, name=path.name, sha256=sha256_of(path))

    def ready(self) -> ReadyClassifier | None:
        """Give the classifier, ready to run; None where there is none.

        Raises
        ------
        CheckpointError
            What was set is no classifier of this kind.
        """
        if self.model is None:
            path = bundled_classifier(self.kind)
            if path is None:
                return None
            self._ready = self._ready or _loaded(path, self.kind)
        elif self._ready is None:
            self._ready = ReadyClassifier(
                runtime=self._as_runtime(),
                name=name_of(self.model),
                sha256=hash_of_weights(self.model),
            )
        return self._ready

    def known_facts(self) -> ClassifierFacts:
        """Classes and thresholds of what was set.

        Raises
        ------
        CheckpointError
            What was set is no classifier of this kind.
        """
        return self.facts or self._as_runtime().facts

    def _as_runtime(self) -> ClassifierRuntime:
        if is_keras(self.model):
            return KerasClassifier(
                self.model, self.kind, facts=self.facts, name=self.kind.file_stem
            )
        if hasattr(self.model, "predict") and hasattr(self.model, "facts"):
            runtime: ClassifierRuntime = self.model
            if runtime.facts.kind is self.kind:
                return runtime
        raise CheckpointError(
            f"{self.kind.file_stem}: received {type(self.model).__name__}; expected a Keras model, "
            "as tf.keras.models.load_model gives it, or a runtime of such a classifier with "
            "predict, facts and input_side."
        )


def _loaded(path: Path, kind: ClassifierKind) -> ReadyClassifier:
    return ReadyClassifier(
        runtime=load_classifier(path, kind), name=path.name, sha256=sha256_of(path)
    )


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
