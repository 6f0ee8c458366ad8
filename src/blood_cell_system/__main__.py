"""``python -m blood_cell_system`` is ``bloodcells``."""

import sys

from blood_cell_system.cli.main import main

if __name__ == "__main__":
    sys.exit(main(program="python -m blood_cell_system"))
