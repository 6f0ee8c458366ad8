"""Launcher of the guide's data step; the work is in blood_cell_system.cli.prepare."""

import sys

from blood_cell_system.cli.prepare import main

if __name__ == "__main__":
    sys.exit(main())
