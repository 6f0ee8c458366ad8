"""The review page as ``bloodcells review`` serves it: saved at once, and nothing lost."""

import time

import pytest
from support.review_pages import PATIENCE_MS, browser, written_page
from support.review_server import review_server

from blood_cell_system.corrections.correction_log import log_of, read_corrections
from blood_cell_system.corrections.record import Action
from blood_cell_system.reports.image_files import write_report

__all__ = ["browser"]

pytestmark = pytest.mark.slow


@pytest.fixture
def results(tmp_path):
    _, outcomes = written_page(tmp_path, "first")
    for outcome in outcomes:
        write_report(tmp_path, outcome.name, outcome.report)
    return tmp_path


@pytest.fixture
def context(browser):
    opened = browser.new_context()
    opened.set_default_timeout(PATIENCE_MS)
    yield opened
    opened.close()


def window(context, server, complaints=None):
    page = context.new_page()
    if complaints is not None:
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: said.type == "error" and complaints.append(said.text))
    page.goto(f"http://127.0.0.1:{server.port}/")
    page.wait_for_selector("body[data-ready=yes]")
    page.focus("#grid")
    return page


def saved(results, count):
    """Events of the log, as soon as there are so many."""
    until = time.monotonic() + PATIENCE_MS / 1000
    while len(events := read_corrections(log_of(results)).events) < count:
        assert time.monotonic() < until, events
        time.sleep(0.1)
    return events


def test_each_key_is_on_the_disk_at_once_and_in_a_second_window(context, results):
    complaints = []
    with review_server(results) as server:
        page = window(context, server, complaints)
        for key in ("1", "Delete", " "):
            page.keyboard.press(key)
        actions = [event.action for event in saved(results, 3)]
        assert actions == [Action.SET_CLASS, Action.DELETE, Action.REVIEW_CELLS]
        assert page.inner_text("#kept") == "Saved beside the results"
        other = window(context, server)
        assert "3 of 100 cells" in other.inner_text("#figures-words")
    assert complaints == []


def test_a_server_killed_in_mid_work_loses_nothing_and_goes_on(context, results):
    with review_server(results) as server:
        page = window(context, server)
        page.keyboard.press("1")
        saved(results, 1)
        server.kill()
        page.keyboard.press("Delete")
        page.wait_for_selector("#kept.failed")
    with review_server(results, "--port", str(server.port)) as server:
        # What could not be saved goes with the next one.
        page.keyboard.press(" ")
        actions = [event.action for event in saved(results, 3)]
        assert actions == [Action.SET_CLASS, Action.DELETE, Action.REVIEW_CELLS]
        page.reload()
        page.wait_for_selector("body[data-ready=yes]")
        assert "3 of 100 cells" in page.inner_text("#figures-words")
