import io
import logging
import socket
import sys
import webbrowser

import pytest
import uvicorn
from support.analysed_images import analysis_of, report_of
from support.corrected_cells import an_event
from support.review_server import review_server

from blood_cell_system.cli.main import main
from blood_cell_system.corrections.correction_log import log_of, read_corrections
from blood_cell_system.corrections.record import Action
from blood_cell_system.reports.image_files import write_image_files


@pytest.fixture
def results(tmp_path):
    write_image_files(tmp_path, "a", analysis_of(), report_of())
    (tmp_path / "review.html").write_text("<b>report</b>")
    return tmp_path


@pytest.fixture
def served(monkeypatch):
    """Configurations of the servers that were started; none listens for long."""
    found = []
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: found.append(self.config))
    return found


def test_the_page_and_the_corrections_are_served(results):
    with review_server(results) as server:
        event = an_event(Action.DELETE, [1])
        assert server.ask("POST", "/api/events", {"events": [event.to_json()]}) == (
            200,
            {"total": 1},
        )
        assert server.ask("GET", "/api/events", host="evil.example")[0] == 403
    assert read_corrections(log_of(results)).events == (event,)


def test_a_port_that_is_taken_is_reported(results, capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert main(["review", str(results), "--port", port]) == 1
    error = capsys.readouterr().err
    assert f"port {port} of 127.0.0.1 cannot be used: Address already in use" in error
    assert "--port" in error


def test_an_address_that_is_none_is_reported(results, capsys):
    assert main(["review", str(results), "--host", "no host"]) == 1
    assert "'no host' is no address" in capsys.readouterr().err


def test_a_folder_without_results_is_reported(tmp_path, capsys):
    assert main(["review", str(tmp_path)]) == 1
    assert "expected the folder that bloodcells analyze has written" in capsys.readouterr().err


def test_results_without_a_page_are_reported(results, capsys):
    (results / "review.html").unlink()
    assert main(["review", str(results)]) == 1
    assert "has no review.html" in capsys.readouterr().err


def test_results_that_another_server_shows_are_refused(results, capsys):
    with review_server(results):
        assert main(["review", str(results), "--port", "0"]) == 1
    assert "another run is writing into this folder" in capsys.readouterr().err


def test_results_that_cannot_be_written_to_name_another_place(results, tmp_path, capsys, served):
    log_of(results).parent.write_text("a file where the folder should be")
    assert main(["review", str(results), "--port", "0"]) == 1
    assert "cannot make this folder" in capsys.readouterr().err
    elsewhere = tmp_path / "mine" / "c.jsonl"
    assert main(["review", str(results), "--port", "0", "--corrections", str(elsewhere)]) == 0
    assert read_corrections(elsewhere).events == ()


def test_another_address_draws_a_token(results, capsys, served):
    assert main(["review", str(results), "--port", "0", "--host", "0.0.0.0"]) == 0
    assert "/?token=" in capsys.readouterr().out
    assert len(served[0].app.token) >= 16


def test_this_computer_needs_no_token(results, capsys, served):
    assert main(["review", str(results), "--port", "0"]) == 0
    assert "token" not in capsys.readouterr().out
    assert served[0].app.token is None


def test_a_short_token_is_refused(results, capsys):
    assert main(["review", str(results), "--token", "short"]) == 2
    assert "has 5 letters; expected 16 or more" in capsys.readouterr().err


def test_the_browser_is_opened_where_it_is_asked_for(results, served, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    assert main(["review", str(results), "--port", "0", "--open"]) == 0
    assert opened[0].startswith("http://127.0.0.1:")


def test_without_its_packages_the_command_names_them(results, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["review", str(results)]) == 1
    assert "pip install 'blood-cell-system[review]'" in capsys.readouterr().err


def test_handlers_of_other_libraries_stay_open(results, served):
    """Absl closes the stream of its handler, which may be the standard error of a test run."""
    handler = logging.StreamHandler(io.StringIO())
    handler.close = handler.stream.close
    assert main(["review", str(results), "--port", "0"]) == 0
    assert len(served) == 1
    assert not handler.stream.closed
