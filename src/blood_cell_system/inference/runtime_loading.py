"""The right runtime for a model's file."""

from pathlib import Path

from blood_cell_system.inference.keras_runtime import KerasRuntime
from blood_cell_system.inference.model_suffix import load_by_suffix
from blood_cell_system.inference.onnx_runtime import OnnxRuntime
from blood_cell_system.inference.runtimes import Runtime


def load_runtime(path: Path, *, threads: int | None = None) -> Runtime:
    """Load a trained segmenter; the suffix chooses how.

    Parameters
    ----------
    path : Path
        Ends in ``.onnx`` or ``.keras``; the second needs the ``[train]`` extra.
    threads : int, optional
        How many threads one picture may use, of an ``.onnx`` file; TensorFlow's threads are a
        matter of the whole process. All cores by default.

    Returns
    -------
    Runtime

    Raises
    ------
    MissingDataError
        There is no such file.
    SettingsError
        ``threads`` is not positive.
    CheckpointError
        The file is of another kind, damaged, or no segmenter.
    """
    return load_by_suffix(
        Path(path),
        onnx=lambda path: OnnxRuntime.load(path, threads=threads),
        keras=KerasRuntime.load,
    )
