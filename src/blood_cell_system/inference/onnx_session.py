"""An ONNX file, read and opened: what the runtimes of segmenter and classifiers share."""

from pathlib import Path
from typing import Any, Final

from blood_cell_system.errors import CheckpointError, MissingDataError, SettingsError
from blood_cell_system.onnx_metadata import content_hash

_ONLY_ERRORS: Final = 3


def read_onnx(path: Path) -> bytes:
    """Read an ``.onnx`` file.

    Raises
    ------
    MissingDataError
        There is no such file.
    CheckpointError
        It cannot be read.
    """
    if not path.is_file():
        raise MissingDataError(
            f"{path}: there is no such model. Make one with bloodcells export, or name another "
            "with --model."
        )
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror or error}). Check its permissions."
        ) from error


def open_session(data: bytes, *, name: str, threads: int | None = None) -> Any:
    """Open a network with ONNX Runtime.

    Parameters
    ----------
    data : bytes
        Of the whole file.
    name : str
        What to call it in messages.
    threads : int, optional
        How many threads one run may use; all cores by default.

    Returns
    -------
    onnxruntime.InferenceSession

    Raises
    ------
    SettingsError
        ``threads`` is not positive.
    CheckpointError
        The file is damaged, or of a newer ONNX.
    """
    if threads is not None and threads < 1:
        raise SettingsError(f"threads: received {threads}; expected 1 or more.")
    # Here, not above: importing a module must be quick.
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ONLY_ERRORS
    options.intra_op_num_threads = threads or 0
    # Waiting threads that spin take the cores from the pictures beside this one.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common base.
        raise CheckpointError(
            f"{name}: ONNX Runtime {onnxruntime.__version__} cannot load this model "
            f"({type(error).__name__}: {first_line(error)}). It is damaged, no ONNX file, or "
            "of a newer ONNX. Copy it again, or export it again with bloodcells export."
        ) from error


def check_content(data: bytes, exported_hash: str | None, *, name: str) -> None:
    """Refuse a file whose content is not what was exported: with a changed weight it runs wrongly.

    Parameters
    ----------
    data : bytes
        Of the whole file.
    exported_hash : str or None
        What the file says of its content; None for one that another program has made.
    name : str
        What to call it in messages.

    Raises
    ------
    CheckpointError
        The content is another one.
    """
    if exported_hash is not None and exported_hash != content_hash(data):
        raise CheckpointError(
            f"{name}: damaged: its content is not what was exported. Copy it again, or export it "
            "again with bloodcells export."
        )


def run_session(
    session: Any, outputs: list[str], inputs: dict[str, Any], *, name: str, what: str
) -> list[Any]:
    """Run a network.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
    outputs : list of str
        Names of what to give back.
    inputs : dict of str to ndarray
    name : str
        What to call the network in messages.
    what : str
        What it is run on, for messages.

    Raises
    ------
    CheckpointError
        It fails on these inputs.
    """
    import onnxruntime

    state = onnxruntime.capi.onnxruntime_pybind11_state
    try:
        values: list[Any] = session.run(outputs, inputs)
    except (state.Fail, state.InvalidArgument, state.RuntimeException) as error:
        raise CheckpointError(
            f"{name}: fails on {what} ({first_line(error)}). Export the model again."
        ) from error
    return values


def first_line(error: BaseException) -> str:
    """Give the first line of an error's message."""
    return str(error).strip().partition("\n")[0]
