"""The collections that the classifiers learned from, as they are."""

import os
import runpy
from pathlib import Path

import pytest

from blood_cell_system.annotation.splits import Split
from blood_cell_system.model_metadata import ClassifierKind
from blood_cell_system.pipeline.cell_crops.recipes import tasks_of_recipe

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.bccd,
    pytest.mark.slow,
    pytest.mark.skipif(
        "BLOOD_CELL_DATA" not in os.environ, reason="BLOOD_CELL_DATA names no folder of data"
    ),
]


@pytest.fixture(scope="module")
def data():
    return Path(os.environ["BLOOD_CELL_DATA"])


@pytest.mark.parametrize(("kind", "sources"), [("rbc", 12), ("wbc", 9)])
def test_every_image_of_a_recipe_can_be_read_and_has_a_split(data, kind, sources):
    tasks, failed, _ = tasks_of_recipe(ClassifierKind(kind), data)
    assert failed == []
    assert len({task.source for task in tasks}) == sources
    assert {task.field.split for task in tasks} == set(Split)
    splits = {}
    for task in tasks:
        splits.setdefault((task.source, task.field.block), set()).add(task.field.split)
    assert all(len(found) == 1 for found in splits.values())


def test_the_page_lists_what_is_held_out(data, tmp_path):
    script = runpy.run_path(str(ROOT / "scripts" / "held_out_blocks.py"))
    assert script["main"]([str(data), str(tmp_path / "page.md")]) == 0
    page = (ROOT / "docs" / "held_out_blocks.md").read_text()
    assert (tmp_path / "page.md").read_text() == page
