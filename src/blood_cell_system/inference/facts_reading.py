"""What a classifier says of itself, read from where it stands, with errors that say where."""

from pathlib import Path

from blood_cell_system.classifier_facts import ClassifierFacts, ClassifierKind
from blood_cell_system.errors import CheckpointError


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
