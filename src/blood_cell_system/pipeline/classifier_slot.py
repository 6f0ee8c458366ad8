"""The place of a classifier in a system: what was set or loaded, else the built-in one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blood_cell_system.classifier_facts import ClassifierFacts, ClassifierKind
from blood_cell_system.errors import CheckpointError
from blood_cell_system.inference.classifier_runtimes import (
    ClassifierRuntime,
    KerasClassifier,
    load_classifier,
)
from blood_cell_system.pipeline.files import sha256_of
from blood_cell_system.pipeline.keras_likeness import hash_of_weights, is_keras, name_of
from blood_cell_system.pipeline.weights import bundled_classifier


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
