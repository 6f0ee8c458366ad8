import errno
import json
import os
import threading
import time
from urllib.parse import quote

import numpy as np
import pytest
from starlette.testclient import TestClient
from support.analysed_images import analysis_of, report_of, write_smear_image
from support.colour_runtime import ColourRuntime
from support.corrected_cells import an_event

from blood_cell_system.corrections.correction_log import log_of, read_corrections
from blood_cell_system.corrections.record import Action
from blood_cell_system.errors import ImageReadError
from blood_cell_system.pipeline.model_slots import sha256_of
from blood_cell_system.pipeline.results_folder import ResultsFolder
from blood_cell_system.reports.image_files import write_image_files
from blood_cell_system.review.review_session import ReviewSession
from blood_cell_system.review.server import AnalysisLimits, create_app

PAGE = '<meta http-equiv="Content-Security-Policy" content="default-src data:"><b>report</b>'
ODD = "<script>alert(1)</script> \"q\" 'q' \u202eright"


def write_results(folder, *names):
    image = write_smear_image(folder / "smears" / "field.png")
    provenance = report_of().provenance.model_copy(update={"data_sha256": sha256_of(image)})
    for name in names:
        report = report_of(name="field.png").model_copy(update={"provenance": provenance})
        write_image_files(folder / "results", name, analysis_of(), report)
    (folder / "results" / "review.html").write_text(PAGE)
    return ResultsFolder(folder / "results", [folder / "smears"])


@pytest.fixture
def results(tmp_path):
    return write_results(tmp_path, "a", ODD)


@pytest.fixture
def session(results):
    session = ReviewSession(results, log_of(results.path), segmenter=ColourRuntime)
    yield session
    session.close()


def analyze_image(data, name, pixel_size_um, cell_diameter_px):
    if not data:
        raise ImageReadError(f"{name}: the file is empty (0 bytes).")
    return report_of(name=name)


def client_of(session, *, analyze=analyze_image, seconds=60.0):
    app = create_app(session, analyze, limits=AnalysisLimits(seconds=seconds))
    return TestClient(app, base_url="http://127.0.0.1:8765", raise_server_exceptions=False)


@pytest.fixture
def client(session):
    return client_of(session)


def post(client, *events):
    return client.post("/api/events", json={"events": [event.to_json() for event in events]})


def test_an_event_is_on_the_disk_when_the_server_answers(client, results):
    event = an_event(Action.DELETE, [1])
    assert post(client, event).json() == {"total": 1}
    assert read_corrections(log_of(results.path)).events == (event,)


def test_a_second_window_gets_the_events_that_it_does_not_know(client):
    first, second = an_event(Action.DELETE, [1]), an_event(Action.REVIEW_FIELD, image=ODD)
    post(client, first)
    post(client, second)
    answer = client.get("/api/events?after=1").json()
    assert answer["total"] == 2
    assert answer["events"] == [json.loads(json.dumps(second.to_json()))]
    assert set(answer["header"]["images"]) == {"a", ODD}


def test_an_event_that_is_sent_again_is_saved_once(client):
    event = an_event(Action.DELETE, [1])
    post(client, event)
    assert post(client, event).json() == {"total": 1}


def test_events_of_many_windows_at_once_are_all_saved(client, results):
    events = [an_event(Action.REVIEW_CELLS, [1], by=f"person {i}") for i in range(24)]
    threads = [threading.Thread(target=post, args=(client, event)) for event in events]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    saved = read_corrections(log_of(results.path)).events
    assert {event.id for event in saved} == {event.id for event in events}


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (an_event(Action.DELETE, [99]), "names cell 99, which there is not"),
        (an_event(Action.SET_CLASS, [1], cell_type="Hobgoblin"), "'Hobgoblin' is no cell type"),
        (an_event(Action.REVIEW_FIELD, image="b"), "'b': there are no results of this image"),
        (an_event(Action.REVIEW_FIELD, image="../a"), "there are no results of this image"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_saved(client, event, words):
    answer = post(client, an_event(Action.REVIEW_FIELD), event)
    assert answer.status_code == 409
    assert words in answer.json()["detail"]
    assert client.get("/api/events").json()["total"] == 0


def test_another_event_with_the_id_of_one_is_refused(client):
    event = an_event(Action.DELETE, [1])
    post(client, event)
    answer = post(client, event.model_copy(update={"by": "Eve"}))
    assert answer.status_code == 409
    assert "another event has this id" in answer.json()["detail"]


def test_a_body_that_is_no_event_is_refused_in_words(client):
    answer = client.post("/api/events", json={"events": [{"id": 3}]})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("The request is not understood: body.events.0.id")


def test_results_that_were_made_anew_are_refused(client, results):
    report = report_of()
    fewer = report.cells.select(np.array([0, 1]))
    path = results.report_path("a")
    path.write_text(json.dumps(report.model_copy(update={"cells": fewer}).to_json()))
    answer = post(client, an_event(Action.DELETE, [1]))
    assert answer.status_code == 409
    assert "analysed again since the review began" in answer.json()["detail"]


def test_a_full_disk_is_said_and_the_next_event_is_saved(client, results, monkeypatch):
    def full(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        answer = post(client, an_event(Action.DELETE, [1]))
    assert answer.status_code == 507
    assert "No space left on device" in answer.json()["detail"]
    event = an_event(Action.DELETE, [2])
    assert post(client, event).json() == {"total": 1}
    assert read_corrections(log_of(results.path)).events == (event,)


def test_results_that_moved_keep_their_corrections(client, session, results, tmp_path):
    event = an_event(Action.DELETE, [1])
    post(client, event)
    session.close()
    moved = results.path.rename(tmp_path / "elsewhere")
    again = ReviewSession(ResultsFolder(moved), log_of(moved), segmenter=ColourRuntime)
    assert again.corrections.events == (event,)
    session._log = again._log


def test_a_deleted_cell_is_outlined_where_somebody_points(client, session):
    report = session.results.report("a")
    x, y = report.cells["centroid"][0]
    assert client.post("/api/propose", json={"image": "a", "point": [x, y]}).json() == {
        "polygon": None,
        "cell_type": None,
    }
    post(client, an_event(Action.DELETE, [1]))
    answer = client.post("/api/propose", json={"image": "a", "point": [x, y], "box": None}).json()
    corners = np.array(answer["polygon"])
    assert np.abs(corners.mean(axis=0) - (x, y)).max() < 6


def test_a_proposal_needs_a_place_and_an_image(client):
    assert client.post("/api/propose", json={"image": "a"}).status_code == 409
    answer = client.post("/api/propose", json={"image": "../b", "point": [1, 1]})
    assert "there are no results of this image" in answer.json()["detail"]


def test_the_page_comes_with_its_own_policy(client):
    answer = client.get("/")
    assert answer.text == PAGE
    assert answer.headers["content-security-policy"] == "default-src data:; frame-ancestors 'none'"


def test_files_of_the_results_are_given_under_their_names(client):
    assert client.get("/a_report.json").json()["format_version"] == 4
    odd = client.get(f"/{quote(f'{ODD}_mask.png')}")
    assert odd.headers["content-type"] == "image/png"


@pytest.mark.parametrize(
    "path",
    [
        "/../smears/field.png",
        "/%2e%2e/smears/field.png",
        "/..%2fsmears%2ffield.png",
        "//etc/passwd",
        "/link.png",
        "/corrections/.bloodcells.lock",
        "/corrections/corrections.jsonl",
        "/no_such.png",
        "/a%00.png",
        "/results",
    ],
)
def test_nothing_else_is_given(client, results, path):
    (results.path / "link.png").symlink_to(results.path.parent / "smears" / "field.png")
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json() == {"detail": "There is no such file among the results."}


def test_an_image_that_is_sent_comes_back_as_its_report(client):
    answer = client.post("/analyze?name=smear.png", content=b"png")
    assert answer.json() == json.loads(json.dumps(report_of(name="smear.png").to_json()))


def test_what_is_no_image_is_refused_in_words(client):
    answer = client.post("/analyze", content=b"")
    assert answer.status_code == 422
    assert answer.json() == {"detail": "image: the file is empty (0 bytes)."}


def test_an_image_that_takes_too_long_is_given_up(session):
    client = client_of(session, analyze=lambda *_: time.sleep(0.5), seconds=0.05)
    answer = client.post("/analyze?name=slow.png", content=b"png")
    assert answer.status_code == 504
    assert answer.json()["detail"].startswith("slow.png: not ready after 0.05 seconds")


def test_requests_are_described(client):
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths) == {"/api/events", "/api/propose", "/analyze"}
    page = client.get("/docs").text
    assert all(path in page for path in paths)
    assert "properties" in client.get("/report_schema.json").json()
