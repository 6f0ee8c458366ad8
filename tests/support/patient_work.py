"""Work for a helper process that never ends by itself."""

import os
import time
from pathlib import Path


def note_process_and_wait(folder: str) -> None:
    (Path(folder) / f"{os.getpid()}.pid").touch()
    time.sleep(60)
