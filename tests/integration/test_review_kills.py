"""No correction that was saved is lost, whenever the server is killed.

``REVIEW_KILLS=100 pytest tests/integration/test_review_kills.py`` kills it a hundred times.
"""

import os
import random
import threading
from http.client import HTTPException

import pytest
from support.analysed_images import analysis_of, report_of
from support.corrected_cells import an_event
from support.review_server import review_server

from blood_cell_system.corrections.correction_log import log_of, read_corrections
from blood_cell_system.corrections.record import Action
from blood_cell_system.reports.image_files import write_image_files

KILLS = int(os.environ.get("REVIEW_KILLS", "3"))


@pytest.mark.timeout(60 + 20 * KILLS)
def test_nothing_saved_is_lost_when_the_server_is_killed_at_random_moments(tmp_path):
    write_image_files(tmp_path, "a", analysis_of(), report_of())
    (tmp_path / "review.html").write_text("<b>report</b>")
    chance = random.Random(7)
    saved: list[str] = []
    for _ in range(KILLS):
        with review_server(tmp_path) as server:
            killing = threading.Timer(chance.uniform(0, 0.3), server.kill)
            try:
                while True:
                    event = an_event(Action.REVIEW_CELLS, [1])
                    body = {"events": [event.to_json()]}
                    status, _ = server.ask("POST", "/api/events", body)
                    assert status == 200
                    saved.append(event.id)
                    if killing.ident is None:
                        killing.start()
            except (OSError, HTTPException):
                pass
    kept = {event.id for event in read_corrections(log_of(tmp_path)).events}
    assert len(saved) >= KILLS
    assert set(saved) <= kept
