import errno
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from support.corrected_cells import a_header, an_event, two_cells

from blood_cell_system.cells.table import Cells
from blood_cell_system.corrections.correction_log import (
    CorrectionsLog,
    log_of,
    read_corrections,
    write_corrections,
)
from blood_cell_system.corrections.record import Action, Corrections
from blood_cell_system.errors import CorrectionsError, MissingDataError, OutputError
from blood_cell_system.taxonomy import BUILT_IN


@pytest.fixture
def path(tmp_path):
    return log_of(tmp_path)


def test_what_was_appended_is_read_back(path):
    events = [an_event(Action.DELETE, [1]), an_event(Action.REVIEW_FIELD, note='a "note"\n<b>')]
    log = CorrectionsLog(path, a_header())
    log.append(events)
    log.close()
    assert read_corrections(path) == Corrections(header=a_header(), events=tuple(events))


def test_an_opened_log_has_the_events_of_before(path):
    first, second = an_event(Action.DELETE, [1]), an_event(Action.REVIEW_FIELD)
    for event in (first, second):
        log = CorrectionsLog(path, a_header())
        log.append([event])
        log.close()
    assert read_corrections(path).events == (first, second)


def test_a_file_of_corrections_is_read_back(tmp_path):
    corrections = Corrections(header=a_header(), events=(an_event(Action.DELETE, [1]),))
    write_corrections(tmp_path / "c.json", corrections)
    assert read_corrections(tmp_path / "c.json") == corrections


@pytest.mark.parametrize(
    "name", ['a "b"', "<script>alert(1)</script>", "two\nlines", "\u202eright", "no\udcfftext"]
)
def test_odd_names_of_images_are_read_back(path, name):
    event = an_event(Action.REVIEW_FIELD, image=name)
    log = CorrectionsLog(path, a_header(**{name: two_cells()}))
    log.append([event])
    log.close()
    assert read_corrections(path).events == (event,)


@pytest.mark.parametrize("cut", [1, 2, 30])
def test_a_torn_last_line_is_left_out_and_cut_off(path, cut):
    kept, torn = an_event(Action.DELETE, [1]), an_event(Action.REVIEW_FIELD)
    log = CorrectionsLog(path, a_header())
    log.append([kept, torn])
    log.close()
    path.write_bytes(path.read_bytes()[:-cut])
    # Only the line's end is missing if one byte is.
    expected = [kept, torn] if cut == 1 else [kept]
    assert list(read_corrections(path).events) == expected
    log = CorrectionsLog(path, a_header())
    again = an_event(Action.DELETE, [2])
    log.append([again])
    log.close()
    assert list(read_corrections(path).events) == [*expected, again]


def test_a_log_whose_header_was_torn_starts_anew(path):
    path.parent.mkdir()
    path.write_bytes(b'{"format": "blood-c')
    log = CorrectionsLog(path, a_header())
    log.append([an_event(Action.REVIEW_FIELD)])
    log.close()
    assert len(read_corrections(path).events) == 1


def test_an_event_that_was_sent_twice_is_one(path):
    event = an_event(Action.DELETE, [1])
    log = CorrectionsLog(path, a_header())
    log.append([event])
    log.append([event])
    log.close()
    assert read_corrections(path).events == (event,)


def test_images_that_came_later_are_in_the_header(path):
    CorrectionsLog(path, a_header()).close()
    more = a_header(a=two_cells(), b=two_cells())
    log = CorrectionsLog(path, more)
    log.append([an_event(Action.REVIEW_FIELD, image="b")])
    log.close()
    assert read_corrections(path).header == more


def test_a_full_disk_is_reported_and_leaves_the_log_whole(path, monkeypatch):
    kept = an_event(Action.DELETE, [1])
    log = CorrectionsLog(path, a_header())
    log.append([kept])
    real_write = os.write

    def full(file, data):
        real_write(file, data[:5])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OutputError, match=r"No space left on device\. Make room on the disk"):
        log.append([an_event(Action.REVIEW_FIELD)])
    monkeypatch.undo()
    later = an_event(Action.DELETE, [2])
    log.append([later])
    log.close()
    assert read_corrections(path).events == (kept, later)
    assert log.events == [kept, later]


def test_a_folder_that_cannot_be_written_to_is_reported(path, monkeypatch):
    def refuse(*_args, **_options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(OutputError, match=r"cannot be saved: Permission denied.*--corrections"):
        CorrectionsLog(path, a_header())


def test_a_log_of_cells_that_have_changed_is_refused(path):
    log = CorrectionsLog(path, a_header())
    log.append([an_event(Action.DELETE, [1])])
    log.close()
    others = two_cells().select(two_cells().is_type("RBC"))
    with pytest.raises(CorrectionsError, match="the cells of 'a' are not those that were"):
        CorrectionsLog(path, a_header(a=others))


def test_corrections_of_an_image_without_results_are_refused():
    with pytest.raises(CorrectionsError, match="corrections of 'b', of which there are no results"):
        a_header().check_is_of(a_header(), ["b"], where="c.json")


def test_corrections_with_other_cell_types_are_refused():
    own = BUILT_IN.with_classes_of(BUILT_IN["RBC"]).extended([BUILT_IN["WBC"]])
    smaller = type(own)(own.cell_types[:2])
    other = a_header().model_copy(update={"taxonomy": smaller.to_dict()})
    with pytest.raises(CorrectionsError, match="made with other cell types"):
        other.check_is_of(a_header(), ["a"], where="c.json")


def test_a_file_that_is_not_there_is_reported(tmp_path):
    with pytest.raises(MissingDataError, match="there is no such file"):
        read_corrections(tmp_path / "c.json")


def _file(**changes):
    event = an_event(Action.DELETE, [1])
    return Corrections(header=a_header(), events=(event,)).to_json() | changes


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON, or cut off"),
        ("[]", "no corrections; expected a JSON object whose format"),
        ('{"format": "other"}', "no corrections; expected"),
        (json.dumps(_file(version=2)), "corrections of version 2; expected 1"),
        (json.dumps(_file(events={})), "events: expected a list"),
        (json.dumps(_file(models=3)), "models: Input should be a valid dictionary"),
        (json.dumps(_file(taxonomy={"cell_types": 3})), "no list 'cell_types'"),
        (json.dumps(_file(events=[{"id": 3}])), "events.0: id: Input should be a valid string"),
        ("\n", "not JSON, or cut off"),
        ("{}\n{}\n", "no header of corrections"),
        ("ÿ", "not JSON in UTF-8"),
    ],
)
def test_a_damaged_file_is_reported_with_the_place(tmp_path, text, words):
    path = tmp_path / "c.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(CorrectionsError, match=words) as caught:
        read_corrections(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"id": "no uuid"}, "badly formed hexadecimal UUID"),
        ({"at": "2026-05-01T12:30:00"}, "expected a time with its zone"),
        ({"at": "yesterday"}, "Invalid isoformat"),
        ({"by": ""}, "by: String should have at least 1 character"),
        ({"image": 3}, "image: expected text"),
        ({"action": "paint"}, "action: Input should be"),
        ({"cells": []}, "delete with 0 cells; expected 1 or more"),
        ({"cells": [1, 1]}, "delete names a cell twice"),
        ({"cells": [0]}, "cells.0"),
        ({"value": {"polygon": [[0, 0], [1, 1], [2, 2]]}}, "delete with polygon, which it does"),
        ({"action": "set_class"}, "set_class without cell_type"),
        ({"value": {"colour": "red"}}, "value.colour: Extra inputs"),
    ],
)
def test_an_event_edited_by_hand_is_reported_with_the_fault(tmp_path, changes, words):
    value = _file()
    value["events"][0] |= changes
    path = tmp_path / "c.json"
    path.write_text(json.dumps(value))
    with pytest.raises(CorrectionsError, match=words):
        read_corrections(path)


def test_two_events_of_one_id_are_reported(tmp_path):
    value = _file()
    value["events"].append(value["events"][0] | {"by": "Eve"})
    path = tmp_path / "c.json"
    path.write_text(json.dumps(value))
    with pytest.raises(CorrectionsError, match="another event has its id"):
        read_corrections(path)


_WRITER = """
import sys
from pathlib import Path
from blood_cell_system.corrections.correction_log import CorrectionsLog
from blood_cell_system.corrections.record import Action
from support.corrected_cells import a_header
from blood_cell_system.corrections.record import Event
from uuid import uuid4

log = CorrectionsLog(Path(sys.argv[1]), a_header())
while True:
    event = Event(id=str(uuid4()), at="2026-05-01T12:30:00Z", by="Ada", image="a",
                  action=Action.REVIEW_FIELD)
    log.append([event])
    print(event.id, flush=True)
"""


def killed_writer(path, seconds):
    """Let a process append until it is killed; gives the ids of the events that it has saved."""
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        first = process.stdout.readline()
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().splitlines(keepends=True)
    return [line.strip() for line in (first, *rest) if line.endswith("\n")]


def test_nothing_that_was_saved_is_lost_when_the_process_is_killed(path):
    saved = []
    for seconds in (0, 0.013, 0.031):
        saved += killed_writer(path, seconds)
    read = [event.id for event in read_corrections(path).events]
    assert len(saved) >= 3
    assert set(saved) <= set(read)


def test_a_table_without_cells_has_a_hash():
    assert len(a_header(a=Cells.empty((4, 4))).images["a"]) == 64
