"""Models that an analysis uses: where they are, and one slot for each, ready to run on demand."""

import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

from blood_cell_system.analysis.execution import Execution
from blood_cell_system.analysis.opened_networks import KerasNetwork, read_metadata
from blood_cell_system.analysis.trained_models import (
    NetworkClassifier,
    NetworkSegmenter,
    load_classifier,
    load_runtime,
)
from blood_cell_system.errors import (
    CheckpointError,
    ImageReadError,
    MissingDataError,
    system_words,
)
from blood_cell_system.model_metadata import ClassifierKind, ModelMetadata, classifier_kinds
from blood_cell_system.taxonomy import BUILT_IN


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits.

    Raises
    ------
    MissingDataError, ImageReadError
        There is no such file, or it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise MissingDataError(f"{path}: there is no such file. Check the path.") from error
    except OSError as error:
        raise ImageReadError(f"{path}: cannot be read: {system_words(error)}") from error


SEGMENTER_STEM: Final = "segmentation_model"
"""Name of a segmenter's files in a folder of models, without the suffix."""

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
    """Find the segmenter of this package; raises ``MissingDataError`` where it has none."""
    folder = weights_folder()
    path = segmenter_in(folder)
    if path is None:
        raise MissingDataError(
            f"{folder}: no trained model comes with this version; expected one of "
            f"{', '.join(SEGMENTER_NAMES)}. Train one with train_segmentation.py train, then name "
            "it: --model checkpoints/segmentation_model_best.keras"
        )
    return path


def bundled_trainable(kind: ClassifierKind | None = None) -> Path:
    """Find a model of this package that can be fine-tuned: a classifier, or the segmenter.

    Raises
    ------
    MissingDataError
        There is none.
    """
    stem, own = SEGMENTER_STEM, "checkpoints/segmentation_model_best"
    if kind is not None:
        stem, own = kind.file_stem, f"models/{kind.file_stem}"
    path = weights_folder() / f"{stem}.keras"
    if not path.is_file():
        raise MissingDataError(
            f"{path}: no such model that can be trained on comes with this version; expected a "
            f".keras file. Name one of your own: --init-from {own}.keras"
        )
    return path


def classifier_in(folder: Path, kind: ClassifierKind) -> Path | None:
    """Find the classifier of a folder, if there is one: ONNX first, as it needs no TensorFlow."""
    names = (f"{kind.file_stem}.onnx", f"{kind.file_stem}.keras")
    return next((path for name in names if (path := folder / name).is_file()), None)


def classifiers_in(folder: Path) -> dict[ClassifierKind, Path]:
    """Find the classifiers of a folder: of the built-in kinds, and of types of one's own.

    Raises
    ------
    CheckpointError
        A file is damaged.
    """
    found = {kind: path for kind in classifier_kinds() if (path := classifier_in(folder, kind))}
    names = {str(kind) for kind in found}
    others = (path for end in (".onnx", ".keras") for path in folder.glob(f"*_classifier{end}"))
    for path in sorted(others, key=lambda path: (path.suffix == ".keras", path.name)):
        name = path.stem.removesuffix("_classifier")
        if name in names:
            continue
        metadata = read_metadata(path)
        # What calls itself otherwise is somebody's own file, and no model of a folder.
        if metadata is not None and metadata.cell_type.lower() == name:
            names.add(name)
            found[metadata.classifier_kind] = path
    return found


def kind_of_model(path: Path, name: str) -> ClassifierKind:
    """Give the kind of cells that a classifier is for, with the classes that its file names.

    Parameters
    ----------
    name : str
        Of the cell type, in capital or small letters.

    Raises
    ------
    SettingsError
        There is no such type with conditions.
    MissingDataError, CheckpointError
        There is no such file, or it is damaged.
    """
    metadata = read_metadata(path)
    return ClassifierKind(name, (metadata and metadata.taxonomy) or BUILT_IN)


def bundled_classifier(kind: ClassifierKind) -> Path | None:
    """Find the classifier of this package, if there is one."""
    return classifier_in(weights_folder(), kind)


def weights_folder() -> Path:
    """Where the models are that come with this package."""
    return Path(str(resources.files("blood_cell_system"))) / "weights"


def is_keras(model: Any) -> bool:
    """Whether something is a Keras model."""
    return hasattr(model, "get_weights") and hasattr(model, "inputs")


def unwrap(model: Any) -> Any:
    """Give the Keras model inside a runtime; anything else as it is."""
    return getattr(getattr(model, "network", None), "model", model)


def hash_of_weights(model: Any) -> str:
    """SHA-256 of a model's weights; that of nothing for what has none to show."""
    digest = hashlib.sha256()
    for weights in model.get_weights() if is_keras(model) else ():
        digest.update(str((weights.shape, weights.dtype)).encode())
        digest.update(weights.tobytes())
    return digest.hexdigest()


def describe(model: Any, shape: tuple[int, ...] | None = None) -> str:
    """Describe a model in a line: size, input (``shape`` is an example of it) and outputs."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyModel:
    """A model that can run, and what a report says about it.

    Parameters
    ----------
    runtime : Runtime or ClassifierRuntime
    name : str
        Of its file, with what runs it where that is not the default, or of the model in memory.
    sha256 : str
        Of the file, or of the weights of a model in memory.
    runs_in : str or None
        Runtime with its version, device and precision; None for a model in memory.
    """

    runtime: Any
    name: str
    sha256: str
    runs_in: str | None = None


class ModelSlot:
    """Holds one model, ready to run on demand; the one of this package where none was set.

    Parameters
    ----------
    kind : ClassifierKind or None
        None for the segmenter.
    execution : Execution, optional
        How files are run.

    Attributes
    ----------
    model : keras.Model or Runtime or ClassifierRuntime or None
        What was set, built or loaded.
    path : Path or None
        Where it was loaded from.
    metadata : ModelMetadata or None
    is_by_name : bool
        Whether the user chose this very model: then a folder of models does not replace it.
    """

    def __init__(
        self, kind: ClassifierKind | None = None, *, execution: Execution | None = None
    ) -> None:
        self.kind, self.execution = kind, execution or Execution()
        self.stem = SEGMENTER_STEM if kind is None else kind.file_stem
        self.set(None)

    def set(self, model: Any, *, metadata: ModelMetadata | None = None) -> None:
        """Put a Keras model or a runtime here; None brings back the built-in one."""
        self.model, self.metadata = model, metadata
        self.path: Path | None = None
        self.is_by_name = model is not None
        self._ready: ReadyModel | None = None

    def load(self, path: Path, *, is_by_name: bool = True) -> None:
        """Load a ``.keras`` or ``.onnx`` file; raises as ``open_network``."""
        self._ready = ready = self._loaded(path)
        self.path, self.is_by_name, self.metadata = path, is_by_name, _metadata_of(ready.runtime)
        network = getattr(ready.runtime, "network", None)
        # For people who go on with the model itself a classifier is what Keras gives.
        self.model = getattr(network, "model", ready.runtime) if self.kind else ready.runtime

    def ready(self) -> ReadyModel | None:
        """Give the model, ready to run; None for a classifier that there is not.

        Raises
        ------
        MissingDataError
            No segmenter was set, and none comes with this package.
        CheckpointError
            What was set is no model of this kind.
        """
        if self._ready is None and self.model is not None:
            runtime = self._as_runtime()
            self.metadata = self.metadata or _metadata_of(runtime)
            self._ready = ReadyModel(
                runtime=runtime,
                name=str(getattr(self.model, "name", type(self.model).__name__)),
                sha256=hash_of_weights(unwrap(self.model)),
            )
        if self._ready is None:
            path = bundled_segmenter() if self.kind is None else bundled_classifier(self.kind)
            self._ready = None if path is None else self._loaded(path)
        return self._ready

    def _loaded(self, path: Path) -> ReadyModel:
        runtime: NetworkSegmenter | NetworkClassifier
        if self.kind is None:
            runtime = load_runtime(path, execution=self.execution)
        else:
            runtime = load_classifier(path, self.kind, execution=self.execution)
        # With --precision int8 the file of 8 bits beside it runs.
        ran = Path(getattr(getattr(runtime, "network", None), "name", path))
        words = self.execution.words_for(path)
        name = ran.name if self.execution.is_default else f"{ran.name} ({words})"
        return ReadyModel(runtime=runtime, name=name, sha256=sha256_of(ran), runs_in=words)

    def _as_runtime(self) -> Any:
        model = self.model
        if is_keras(model):
            network = KerasNetwork(model, name=self.stem, metadata=self.metadata)
            return NetworkClassifier(network, self.kind) if self.kind else NetworkSegmenter(network)
        needed = ("predict", "metadata", "input_side") if self.kind else ("predict", "input_shape")
        if all(hasattr(model, name) for name in needed) and (
            self.kind is None or model.metadata.cell_type == self.kind.cell_type
        ):
            return model
        what = f"classifier of {self.kind.cell_type} cells" if self.kind else "segmenter"
        raise CheckpointError(
            f"{self.stem}: received {type(model).__name__}; expected a Keras model, as "
            "tf.keras.models.load_model gives it, or a runtime of such a "
            f"{what} with {', '.join(needed)}."
        )


def _metadata_of(runtime: Any) -> ModelMetadata | None:
    metadata: ModelMetadata | None = getattr(runtime, "metadata", None)
    return metadata
