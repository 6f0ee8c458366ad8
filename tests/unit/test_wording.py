import re
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[2] / "src" / "blood_cell_system"


def test_no_message_gives_a_computed_number_of_the_things_that_are_counted_most():
    # One of them would read "1 cells": ``counted`` gives a number with its noun.
    wrong = [
        f"{file.name}: {found}"
        for file in SOURCES.rglob("*.py")
        for found in re.findall(
            r"(?!\{count\} files)\{(?:len\([^{}]*\)|[\w.]*count)(?::,)?\} "
            r"(?:cells|images|boxes|files|fields)\b",
            file.read_text("utf-8"),
        )
    ]
    assert wrong == []
