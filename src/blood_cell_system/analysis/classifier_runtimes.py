"""Trained classifiers of cells, loaded and ready to run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.analysis.runtimes import (
    check_content,
    load_by_suffix,
    load_keras_model,
    open_session,
    read_onnx,
    run_session,
)
from blood_cell_system.errors import CheckpointError
from blood_cell_system.model_metadata import (
    CELL_SIDE_PX,
    CONDITION_OUTPUT,
    FACTS_KEY,
    HASH_KEY,
    KNOWN_OUTPUT,
    TYPE_OUTPUT,
    ClassifierFacts,
    ClassifierKind,
)


def facts_beside(path: Path, kind: ClassifierKind) -> ClassifierFacts | None:
    """Read the ``.json`` beside a model; None where there is none.

    Raises
    ------
    CheckpointError
        It is damaged, or of a classifier of the other kind.
    """
    beside = path.with_suffix(".json")
    if not beside.is_file():
        return None
    try:
        text = beside.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{beside}: cannot be read ({error.strerror or error}). Check its permissions."
        ) from error
    return read_facts(text, kind, name=str(beside))


def read_facts(text: str | bytes, kind: ClassifierKind, *, name: str) -> ClassifierFacts:
    """Read a classifier's facts.

    Parameters
    ----------
    text : str or bytes
        JSON.
    kind : ClassifierKind
        What they are to be of.
    name : str
        What to call their place in messages.

    Raises
    ------
    CheckpointError
        They make no sense, or are of a classifier of the other kind.
    """
    try:
        facts = ClassifierFacts.from_text(text)
    except ValueError as error:
        raise CheckpointError(
            f"{name}: what the file says of the classifier makes no sense ({error}). Use the file "
            "that was written with the model, or name the model's classes in it."
        ) from error
    if facts.kind is not kind:
        raise CheckpointError(
            f"{name}: a classifier of {facts.kind.cell_type} cells; expected one of "
            f"{kind.cell_type} cells. Were the two exchanged?"
        )
    return facts


_SUM_TOLERANCE: Final = 1e-2
_USUAL_KNOWN_THRESHOLD: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierOutputs:
    """What a classifier says of a batch of cells.

    Parameters
    ----------
    condition : ndarray of shape (batch, conditions), dtype float32
        Probabilities, in the order of the facts' ``conditions``.
    cell_type : ndarray of shape (batch, types), dtype float32, or None
        Probabilities, in the order of the facts' ``types``; None without such an output.
    known : ndarray of shape (batch,), dtype float32, or None
        0 to 1: whether the cell is any of the classes; None without such an output.
    """

    condition: NDArray[np.float32]
    cell_type: NDArray[np.float32] | None = None
    known: NDArray[np.float32] | None = None


def named_outputs(outputs: Any) -> dict[str, NDArray[np.float32]]:
    """Give a model's outputs names: a single one is the condition, whatever it is called.

    Raises
    ------
    KeyError
        There are several, and none is called ``condition``.
    """
    if isinstance(outputs, Mapping):
        named = dict(outputs)
    elif isinstance(outputs, list | tuple):
        named = {CONDITION_OUTPUT: outputs[0]} if len(outputs) == 1 else {}
    else:
        named = {CONDITION_OUTPUT: outputs}
    if len(named) == 1:
        named = {CONDITION_OUTPUT: next(iter(named.values()))}
    if CONDITION_OUTPUT not in named:
        raise KeyError(CONDITION_OUTPUT)
    return {name: np.asarray(value, dtype=np.float32) for name, value in named.items()}


def usual_facts(kind: ClassifierKind, named: Mapping[str, NDArray[np.float32]]) -> ClassifierFacts:
    """Facts of a model that says nothing of itself: the usual classes, as far as it has outputs.

    Parameters
    ----------
    kind : ClassifierKind
    named : mapping of str to ndarray
        What it gives, as of :func:`named_outputs`.
    """
    return ClassifierFacts(
        kind=kind,
        conditions=kind.conditions,
        types=kind.types if TYPE_OUTPUT in named else (),
        known_threshold=_USUAL_KNOWN_THRESHOLD if KNOWN_OUTPUT in named else None,
    )


def check_outputs(
    named: Mapping[str, NDArray[np.float32]], facts: ClassifierFacts, *, name: str
) -> bool:
    """Check what a network says of one made-up cell.

    Parameters
    ----------
    named : mapping of str to ndarray
        As of :func:`named_outputs`, of a batch of one.
    facts : ClassifierFacts
        Which classes it should have.
    name : str
        What to call the network in messages.

    Returns
    -------
    bool
        Whether the condition is logits, of which softmax has still to be taken.

    Raises
    ------
    CheckpointError
        It gives something else than a classifier of these classes does.
    """
    expected = {CONDITION_OUTPUT: (1, len(facts.conditions)), TYPE_OUTPUT: (1, len(facts.types))}
    for output, shape in expected.items():
        if output in named and named[output].shape != shape:
            classes = facts.conditions if output == CONDITION_OUTPUT else facts.types
            raise CheckpointError(
                f"{name}: {output} has the shape {named[output].shape[1:]}; expected "
                f"{shape[1]} values, for {', '.join(classes) or 'no class'}. A model with other "
                "classes names them in the .json file beside it; see docs/data_formats.md."
            )
    if facts.types and TYPE_OUTPUT not in named:
        raise CheckpointError(
            f"{name}: has no output {TYPE_OUTPUT!r}, but its facts name types "
            f"({', '.join(facts.types)}). Use the .json file that was written with the model."
        )
    if KNOWN_OUTPUT in named and named[KNOWN_OUTPUT].size != 1:
        raise CheckpointError(
            f"{name}: {KNOWN_OUTPUT} has the shape {named[KNOWN_OUTPUT].shape[1:]}; expected one "
            "value, as a sigmoid gives it."
        )
    for output, values in named.items():
        if (
            output in (CONDITION_OUTPUT, TYPE_OUTPUT, KNOWN_OUTPUT)
            and not np.isfinite(values).all()
        ):
            raise CheckpointError(
                f"{name}: {output} has values that are no numbers. The training went wrong, or the "
                "file is damaged."
            )
    condition = named[CONDITION_OUTPUT]
    if condition.min() >= 0 and abs(float(condition.sum()) - 1) < _SUM_TOLERANCE:
        return False
    if condition.min() >= 0 and condition.max() <= 1:
        raise CheckpointError(
            f"{name}: {CONDITION_OUTPUT} has values of 0..1 that do not add up to 1; expected "
            "probabilities as a softmax gives them. A cell has one condition only."
        )
    return True


def arranged(
    named: Mapping[str, NDArray[np.float32]], facts: ClassifierFacts, *, are_logits: bool
) -> ClassifierOutputs:
    """Arrays of a classifier's outputs, conditions as probabilities.

    Parameters
    ----------
    named : mapping of str to ndarray
        As of :func:`named_outputs`.
    facts : ClassifierFacts
    are_logits : bool
        Whether softmax has to be taken of the conditions.
    """
    condition = named[CONDITION_OUTPUT]
    if are_logits:
        power = np.exp(condition - condition.max(axis=-1, keepdims=True))
        condition = power / power.sum(axis=-1, keepdims=True)
    known = named.get(KNOWN_OUTPUT)
    return ClassifierOutputs(
        condition=condition,
        cell_type=named.get(TYPE_OUTPUT) if facts.types else None,
        known=None if known is None else known.reshape(len(known)),
    )


class ClassifierRuntime(Protocol):
    """Anything that runs a classifier of cells."""

    @property
    def facts(self) -> ClassifierFacts:
        """Classes and thresholds."""
        ...

    @property
    def input_side(self) -> tuple[int, int]:
        """``(height, width)`` of the cell images that it takes, in pixels."""
        ...

    def predict(self, batch: NDArray[np.float32]) -> ClassifierOutputs:
        """Run on a float32 batch of shape (batch, height, width, 3), RGB of 0..255."""
        ...


class KerasClassifier:
    """A classifier as a Keras model.

    Besides this project's classifiers a plain Keras model works: one image in, RGB of 0..255, and
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
    """Give the size of the images that a network takes; the usual one where it is left open.

    Raises
    ------
    CheckpointError
        It takes something else than batches of RGB images.
    """
    if len(shapes) == 1 and len(shapes[0]) == 4 and shapes[0][3] == 3:
        batch = shapes[0][0]
        # Open dimensions are None, or have a name.
        height, width = (side if isinstance(side, int) else CELL_SIDE_PX for side in shapes[0][1:3])
        if not isinstance(batch, int) and height > 0 and width > 0:
            return height, width
    raise CheckpointError(
        f"{name}: takes inputs of shape {shapes}; expected one of (batch, {CELL_SIDE_PX}, "
        f"{CELL_SIDE_PX}, 3) with an open batch. Is this a classifier of RGB images of cells?"
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
    image = np.linspace(0, 255, height * width * 3, dtype=np.float32)
    try:
        named = run(image.reshape(1, height, width, 3))
    except KeyError as error:
        raise CheckpointError(
            f"{name}: has several outputs, and none is called 'condition'; expected one softmax "
            f"over {', '.join(kind.conditions)}, or outputs 'condition', 'type' and 'known'."
        ) from error
    facts = facts or usual_facts(kind, named)
    return facts, check_outputs(named, facts, name=name)
