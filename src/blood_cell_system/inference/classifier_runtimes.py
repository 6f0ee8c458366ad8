"""Trained classifiers of cells, loaded and ready to run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.cell_picture_format import CELL_SIDE_PX
from blood_cell_system.classifier_facts import FACTS_KEY, ClassifierFacts, ClassifierKind
from blood_cell_system.errors import CheckpointError
from blood_cell_system.inference.classifier_outputs import (
    ClassifierOutputs,
    arranged,
    check_outputs,
    named_outputs,
    usual_facts,
)
from blood_cell_system.inference.facts_reading import facts_beside, read_facts
from blood_cell_system.inference.keras_runtime import load_keras_model
from blood_cell_system.inference.model_suffix import load_by_suffix
from blood_cell_system.inference.onnx_session import (
    check_content,
    open_session,
    read_onnx,
    run_session,
)
from blood_cell_system.onnx_metadata import HASH_KEY


class ClassifierRuntime(Protocol):
    """Anything that runs a classifier of cells."""

    @property
    def facts(self) -> ClassifierFacts:
        """Classes and thresholds."""
        ...

    @property
    def input_side(self) -> tuple[int, int]:
        """``(height, width)`` of the cell pictures that it takes, in pixels."""
        ...

    def predict(self, batch: NDArray[np.float32]) -> ClassifierOutputs:
        """Run on a float32 batch of shape (batch, height, width, 3), RGB of 0..255."""
        ...


class KerasClassifier:
    """A classifier as a Keras model.

    Besides this project's classifiers a plain Keras model works: one picture in, RGB of 0..255, and
    one softmax (or its logits) over as many classes as the facts name.

    Parameters
    ----------
    model : keras.Model
    kind : ClassifierKind
    facts : ClassifierFacts, optional
        Its classes and thresholds; without them it has the usual classes, in the usual order.
    name : str
        What to call it in messages.

    Raises
    ------
    CheckpointError
        The model is no classifier of these classes.
    """

    def __init__(
        self,
        model: Any,
        kind: ClassifierKind,
        *,
        facts: ClassifierFacts | None = None,
        name: str = "model",
    ) -> None:
        self.model = model
        shapes = [tuple(tensor.shape) for tensor in getattr(model, "inputs", None) or []]
        self.input_side = checked_side(shapes, name=name)
        self.facts, self._are_logits = _probed(self._named, self.input_side, kind, facts, name=name)

    @classmethod
    def load(cls, path: Path, kind: ClassifierKind) -> Self:
        """Load a ``.keras`` file and the ``.json`` beside it; code in it is never run.

        Raises
        ------
        MissingDataError
            There is no such file.
        CheckpointError
            It is damaged, carries code, or is no classifier of this kind.
        """
        path = Path(path)
        facts = facts_beside(path, kind)
        return cls(load_keras_model(path), kind, facts=facts, name=str(path))

    def predict(self, batch: NDArray[np.float32]) -> ClassifierOutputs:
        """Run on a float32 batch of shape (batch, height, width, 3), RGB of 0..255."""
        return arranged(self._named(batch), self.facts, are_logits=self._are_logits)

    def _named(self, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        # predict_on_batch compiles once for batches of all sizes.
        return named_outputs(self.model.predict_on_batch(batch))


class OnnxClassifier:
    """A classifier in an ``.onnx`` file; its facts are in the file's metadata.

    Parameters
    ----------
    data : bytes
        The file.
    kind : ClassifierKind
        What it is to classify.
    name : str
        What to call it in messages.
    threads : int, optional
        How many threads one batch may use; all cores by default.

    Raises
    ------
    SettingsError
        ``threads`` is not positive.
    CheckpointError
        The file is damaged, of a newer ONNX, or no classifier of this kind.
    """

    def __init__(
        self, data: bytes, kind: ClassifierKind, *, name: str = "model", threads: int | None = None
    ) -> None:
        self._name = name
        self._session = open_session(data, name=name, threads=threads)
        properties = dict(self._session.get_modelmeta().custom_metadata_map)
        check_content(data, properties.get(HASH_KEY), name=name)
        facts = None
        if FACTS_KEY in properties:
            facts = read_facts(properties[FACTS_KEY], kind, name=name)
        inputs = self._session.get_inputs()
        self.input_side = checked_side([tuple(entry.shape) for entry in inputs], name=name)
        if inputs[0].type != "tensor(float)":
            raise CheckpointError(
                f"{name}: takes {inputs[0].type}; expected tensor(float). Export the model again."
            )
        self._input = inputs[0].name
        self._output_names = [output.name for output in self._session.get_outputs()]
        self.facts, self._are_logits = _probed(self._named, self.input_side, kind, facts, name=name)

    @classmethod
    def load(cls, path: Path, kind: ClassifierKind, *, threads: int | None = None) -> Self:
        """Load an ``.onnx`` file.

        Raises
        ------
        MissingDataError
            There is no such file.
        SettingsError
            ``threads`` is not positive.
        CheckpointError
            The file is damaged, of a newer ONNX, or no classifier of this kind.
        """
        return cls(read_onnx(Path(path)), kind, name=str(Path(path)), threads=threads)

    def predict(self, batch: NDArray[np.float32]) -> ClassifierOutputs:
        """Run on a float32 batch of shape (batch, height, width, 3), RGB of 0..255."""
        return arranged(self._named(batch), self.facts, are_logits=self._are_logits)

    def _named(self, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        values = run_session(
            self._session,
            self._output_names,
            {self._input: batch},
            name=self._name,
            what=f"a batch of {len(batch)} cells",
        )
        return named_outputs(dict(zip(self._output_names, values, strict=True)))


def load_classifier(
    path: Path, kind: ClassifierKind, *, threads: int | None = None
) -> ClassifierRuntime:
    """Load a classifier; the suffix chooses how.

    Parameters
    ----------
    path : Path
        Ends in ``.onnx`` or ``.keras``; the second needs the ``[train]`` extra.
    kind : ClassifierKind
    threads : int, optional
        Of an ``.onnx`` file.

    Raises
    ------
    MissingDataError
        There is no such file.
    SettingsError
        ``threads`` is not positive.
    CheckpointError
        The file is of another kind, damaged, carries code, or is no classifier of this kind.
    """
    return load_by_suffix(
        Path(path),
        onnx=lambda path: OnnxClassifier.load(path, kind, threads=threads),
        keras=lambda path: KerasClassifier.load(path, kind),
    )


def checked_side(shapes: list[tuple[Any, ...]], *, name: str) -> tuple[int, int]:
    """Give the size of the pictures that a network takes; the usual one where it is left open.

    Raises
    ------
    CheckpointError
        It takes something else than batches of RGB pictures.
    """
    if len(shapes) == 1 and len(shapes[0]) == 4 and shapes[0][3] == 3:
        batch = shapes[0][0]
        # Open dimensions are None, or have a name.
        height, width = (side if isinstance(side, int) else CELL_SIDE_PX for side in shapes[0][1:3])
        if not isinstance(batch, int) and height > 0 and width > 0:
            return height, width
    raise CheckpointError(
        f"{name}: takes inputs of shape {shapes}; expected one of (batch, {CELL_SIDE_PX}, "
        f"{CELL_SIDE_PX}, 3) with an open batch. Is this a classifier of RGB pictures of cells?"
    )


def _probed(
    run: Callable[[NDArray[np.float32]], dict[str, NDArray[np.float32]]],
    side: tuple[int, int],
    kind: ClassifierKind,
    facts: ClassifierFacts | None,
    *,
    name: str,
) -> tuple[ClassifierFacts, bool]:
    """Run on a made-up cell; give the facts, and whether conditions come as logits."""
    height, width = side
    picture = np.linspace(0, 255, height * width * 3, dtype=np.float32)
    try:
        named = run(picture.reshape(1, height, width, 3))
    except KeyError as error:
        raise CheckpointError(
            f"{name}: has several outputs, and none is called 'condition'; expected one softmax "
            f"over {', '.join(kind.conditions)}, or outputs 'condition', 'type' and 'known'."
        ) from error
    facts = facts or usual_facts(kind, named)
    return facts, check_outputs(named, facts, name=name)
