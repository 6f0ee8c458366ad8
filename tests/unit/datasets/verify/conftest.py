from pathlib import Path

import pytest
from support.labelled_smears import write_sound_folder


@pytest.fixture
def root(tmp_path) -> Path:
    return write_sound_folder(tmp_path / "data")
