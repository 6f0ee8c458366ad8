"""Importing TensorFlow, and running it, without what its libraries write past Python's logging."""

import importlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


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
