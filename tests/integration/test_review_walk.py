"""The walk of docs/review.md: drawn smears, corrections, a better model; each step a command."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.corrected_cells import an_event
from support.review_server import review_server

from blood_cell_system.cli.main import main
from blood_cell_system.corrections.record import Action, Event
from blood_cell_system.datasets.synthetic import SmearSettings, draw_smear
from blood_cell_system.pipeline.results_folder import ResultsFolder
from blood_cell_system.seeding import generator_for

PAGE = Path(__file__).parents[2] / "docs" / "review.md"
HELD_OUT = 10
"""Smears, the last ones, that nobody corrects: the model is measured on them."""


def commands() -> list[list[str]]:
    text = PAGE.read_text("utf-8").partition("## Thirty smears")[2]
    block = re.search(r"```bash\n(.*?)```", text, re.DOTALL)
    return [shlex.split(line)[1:] for line in block[1].strip().splitlines()]


def red_cells(results: ResultsFolder, name: str) -> Iterator[tuple[int, str | None, str]]:
    """Give the id, the condition that was found and the true one of each assessed red cell."""
    cells = results.with_pixels(name, results.report(name))
    settings = SmearSettings(malaria_share=0.15)
    smear = draw_smear(settings, generator_for(0, "smear", int(name.rsplit("_", 1)[1])))
    for row in np.flatnonzero(cells.is_type("RBC") & ~cells["touches_border"]):
        labels = smear.label_image[cells.label_image == row + 1]
        true = smear.kinds[np.bincount(labels).argmax() - 1]
        if labels.any() and true.endswith("_RBC") and cells["condition"][row] is not None:
            found = cells["condition"][row] if cells["is_known"][row] else None
            yield int(row) + 1, found, true


def corrections(results: ResultsFolder, names: tuple[str, ...]) -> Iterator[Event]:
    for name in names:
        for cell, found, true in red_cells(results, name):
            if found != true:
                yield an_event(
                    Action.SET_CLASS, [cell], image=name, cell_type="RBC", condition=true
                )
        yield an_event(Action.REVIEW_FIELD, image=name)


def mean_recall(results: ResultsFolder, names: tuple[str, ...]) -> float:
    """Mean over the conditions: six of seven red cells are healthy, and would outvote the rest."""
    right: dict[str, list[bool]] = {}
    for name in names:
        for _, found, true in red_cells(results, name):
            right.setdefault(true, []).append(found == true)
    return float(np.mean([np.mean(of) for of in right.values()]))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_forty_corrections_make_the_model_better(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    draw, analyze, review, apply, again = commands()
    assert review[0] == "review"
    assert main(draw) == 0
    assert main(analyze) == 0
    results = ResultsFolder(Path("results"))
    events = list(corrections(results, results.names[:-HELD_OUT]))
    assert 30 <= sum(event.action is Action.SET_CLASS for event in events) <= 60
    with review_server(Path("results")) as server:
        body = {"events": [event.to_json() for event in events]}
        assert server.ask("POST", "/api/events", body) == (200, {"total": len(events)})
    capsys.readouterr()
    assert main(apply) == 0
    assert re.search(r"condition of \d+ cells on \d+ held-out slides", capsys.readouterr().out)
    assert main(again) == 0
    held_out = results.names[-HELD_OUT:]
    before, after = (mean_recall(r, held_out) for r in (results, ResultsFolder(Path("again"))))
    assert after > before
