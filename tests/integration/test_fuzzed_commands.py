"""A few cases of ``scripts/fuzz_commands.py``, which tries commands on damaged files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="cases run in forked processes")
def test_damaged_files_and_odd_options_are_told_in_words():
    # A process of its own: a fork of this one, with its threads, could wait for ever.
    words = [sys.executable, SCRIPTS / "fuzz_commands.py", "--count", "45", "--seed", "7"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-1000:]
