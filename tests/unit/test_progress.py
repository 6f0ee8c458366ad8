import io
import logging

import pytest

from blood_cell_system.parallel import with_progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_items_pass_through_in_their_order():
    assert list(with_progress(iter("abc"), total=3, description="x")) == ["a", "b", "c"]


def test_a_log_is_told_the_end_only(capsys):
    list(with_progress(range(500), total=500, description="images"))
    shown = capsys.readouterr()
    assert shown.err == "images: 500 done\n"
    assert shown.out == ""


def test_brackets_of_a_description_are_shown(capsys):
    list(with_progress([1], total=1, description="a [red] " + "b" * 90))
    assert capsys.readouterr().err == "a [red] " + "b" * 90 + ": 1 done\n"


def test_a_terminal_sees_a_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    list(with_progress(range(3), total=3, description="images"))
    assert "images" in terminal.getvalue()
    assert "3/3" in terminal.getvalue()


def test_work_that_fails_is_not_called_done(capsys):
    def items():
        yield 1
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        list(with_progress(items(), total=2, description="images"))
    assert "done" not in capsys.readouterr().err


def test_nothing_is_shown_where_quiet_is_wanted(capsys, caplog):
    with caplog.at_level(logging.WARNING, "blood_cell_system"):
        assert list(with_progress("abc", total=3, description="images")) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""
