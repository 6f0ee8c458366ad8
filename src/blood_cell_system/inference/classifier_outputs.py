"""What a classifier says, and whether it is a classifier at all."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.classifier_facts import (
    CONDITION_OUTPUT,
    KNOWN_OUTPUT,
    TYPE_OUTPUT,
    ClassifierFacts,
    ClassifierKind,
)
from blood_cell_system.errors import CheckpointError

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
