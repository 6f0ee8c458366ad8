"""Launcher of the guide's training and test steps; the work is in blood_cell_system.cli."""

import sys

from blood_cell_system.cli.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], program="train_segmentation.py", commands=("train", "test")))
