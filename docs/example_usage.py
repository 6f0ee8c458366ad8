"""The examples are in example_usage.py beside the README; this runs them."""

import runpy
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[1] / "example_usage.py"

if __name__ == "__main__":
    runpy.run_path(str(EXAMPLES), run_name="__main__")
