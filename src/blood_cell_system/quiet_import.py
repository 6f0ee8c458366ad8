"""Importing libraries without what they write past Python's logging, or send to their makers.

TensorFlow's notes on how it was built are kept back. Recent ONNX Runtimes count how they are used,
leave an identifier in the user's cache, and can send both to Microsoft; OpenVINO reports each
import to Intel. Images of patients are worked on here: both are switched off before they load.
"""

import importlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep what libraries write to standard error; it is shown only where the block fails."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as notes:
        visible = os.dup(2)
        os.dup2(notes.fileno(), 2)
        try:
            yield
        except BaseException:
            notes.seek(0)
            os.write(visible, notes.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(visible, 2)
            os.close(visible)


def import_tensorflow() -> None:
    """Import TensorFlow; its notes on how it was built are shown only when that fails.

    ``TF_CPP_MIN_LOG_LEVEL`` comes too late for them: they are written while the libraries load.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet_libraries():
        importlib.import_module("tensorflow")


def import_onnxruntime() -> ModuleType:
    """Import ONNX Runtime without its telemetry; ``ORT_DISABLE_TELEMETRY`` goes first where set."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    return importlib.import_module("onnxruntime")


def import_openvino() -> ModuleType:
    """Import OpenVINO without its telemetry: where the package for that is missing, it has none."""
    if "openvino" in sys.modules:
        return sys.modules["openvino"]
    # An import of what is None fails as one of what is not installed.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("openvino")
    finally:
        del sys.modules["openvino_telemetry"]
