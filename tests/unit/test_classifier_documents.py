"""The page on training classifiers says what the program does."""

from pathlib import Path

from blood_cell_system.training.presets import CLASSIFIER_PRESETS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "classifier_training.md"


def test_the_table_of_presets_is_that_of_the_program():
    section = PAGE.read_text("utf-8").partition("## Presets\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert rows == [
        [
            name,
            *(
                str(getattr(settings, field))
                for field in ("d_reduced", "epochs", "cells_per_epoch", "batch_size", "patience")
            ),
        ]
        for name, settings in CLASSIFIER_PRESETS.items()
    ]
