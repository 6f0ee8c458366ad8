"""The review page in a browser: what keys do, what is kept, and what others take over."""

import json
import uuid

import cv2
import numpy as np
import pytest
from support.review_pages import Review, axe, browser, module, written_page

from blood_cell_system.corrections.record import Corrections, Event, Header
from blood_cell_system.corrections.replay import replay
from blood_cell_system.metrics.intervals import wilson_interval
from blood_cell_system.reports.batch_summary import Slide

__all__ = ["browser"]

pytestmark = pytest.mark.slow

EVIL = "<img src=x onerror=alert(1)>\"'\u202e & "


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return written_page(tmp_path_factory.mktemp("results"), "first", "second")


@pytest.fixture
def review(browser, results):
    opened = Review(browser, results[0])
    yield opened
    assert opened.complaints == []
    opened.context.close()


def read(value):
    """Corrections of an exported file, through the program's own reader."""
    events = tuple(Event.model_validate(event) for event in value.pop("events"))
    return Corrections(header=Header.model_validate(value), events=events)


def test_all_cells_are_there_by_class_without_an_error_or_a_request(review):
    assert review.page.inner_text("#count") == "200 cells"
    assert review.page.inner_text(".heading-row") == "White cells: lymphocyte 200 cells"
    assert set(review.labels()) == {"lymphocyte"}
    assert review.figures()["lymphocyte"] == ["200", "200", "100.0 % 98.1 % to 100.0 %"]


def test_only_tiles_in_sight_are_elements(review):
    assert 0 < len(review.labels()) < 110
    review.press("End")
    assert review.page.get_attribute("#grid", "aria-activedescendant") == "t199"
    assert review.page.is_visible("#t199")


def test_tiles_show_the_pixels_of_their_cell(review):
    review.page.wait_for_selector(".cell-tile[data-drawn]")
    shot = cv2.imdecode(
        np.frombuffer(review.page.locator("#t3 canvas").screenshot(), np.uint8), cv2.IMREAD_COLOR
    )
    height, width = shot.shape[:2]
    assert (
        np.ptp(shot[height // 2 - 8 : height // 2 + 8, width // 2].astype(int), axis=0).max() < 25
    )
    # The empty slide around it is far brighter.
    assert shot[2:6, 2:6].mean() > shot[height // 2, width // 2].mean() + 25


def test_a_digit_sets_the_class_and_the_figures_follow_at_once(review):
    review.press("1")
    assert review.labels()[0] == "neutrophil"
    figures = review.figures()
    assert figures["neutrophil"][:2] == ["0", "1"]
    assert figures["lymphocyte"][:2] == ["200", "199"]
    low, high = wilson_interval(199, 200)
    assert figures["lymphocyte"][2] == f"99.5 % {100 * low:.1f} % to {100 * high:.1f} %"
    assert "Reviewed by a person: 1 of 200 cells" in review.page.inner_text("#figures-words")
    assert review.page.get_attribute("#grid", "aria-activedescendant") == "t1"


def test_corrections_outlive_the_window(review):
    review.press("1", "Delete", " ")
    review.page.wait_for_timeout(200)
    assert review.page.inner_text("#kept") == "Saved in this browser"
    review.page.close()
    review.page = review.open()
    assert "3 of 200 cells, 2 changed" in review.page.inner_text("#figures-words")


def test_undo_and_redo_take_back_what_was_done_at_once(review):
    review.press("Shift+ArrowRight", "Shift+ArrowDown", "2")
    assert review.figures()["eosinophil"][1] != "0"
    many = review.figures()["eosinophil"][1]
    review.press("Delete", "z", "z")
    assert "eosinophil" not in review.figures()
    review.press("y")
    assert review.figures()["eosinophil"][1] == many
    review.press("Control+z")
    assert "eosinophil" not in review.figures()
    assert "none of them is reviewed" in review.page.inner_text("#figures-words")


def test_a_differential_of_100_cells_with_10_wrong_ones_takes_few_keys(review):
    review.page.fill("#search", "first")
    review.page.focus("#grid")
    wrong = {7, 12, 23, 31, 48, 55, 62, 79, 80, 96}
    keys = ["1" if place in wrong else "Space" for place in range(100)]
    review.press(*keys)
    assert len(keys) <= 150
    figures = review.figures()
    assert figures["neutrophil"][1] == "10"
    assert figures["lymphocyte"][1] == "190"
    assert "100 of 200 cells" in review.page.inner_text("#figures-words")


def test_every_class_can_be_set_by_its_name(review):
    review.press("m")
    review.page.keyboard.type("platel")
    review.press("Enter")
    assert review.figures()["Platelet"][:2] == ["0", "1"]
    assert review.page.evaluate("document.activeElement.id") == "grid"


def test_filters_search_and_order_choose_what_is_shown(review):
    review.press("1", "1", " ")
    review.page.select_option("#state", "changed")
    assert review.page.inner_text("#count") == "2 cells shown"
    review.page.select_option("#state", "open")
    assert review.page.inner_text("#count") == "197 cells shown"
    review.page.select_option("#state", "all")
    review.press("g")
    review.page.select_option("#group", label="White cells: neutrophil (2)")
    assert review.labels() == ["neutrophil", "neutrophil"]
    review.page.select_option("#group", "")
    review.page.fill("#search", "second lymph 17")
    assert review.page.inner_text("#count") == "1 cell shown"
    review.page.fill("#search", "second")
    review.page.select_option("#order", "-certainty")
    sure = [float(text.split(",")[0]) for text in review.page.locator(".more").all_inner_texts()]
    assert sure == sorted(sure, reverse=True)


def test_corrected_cells_stay_until_they_are_sorted_anew(review):
    review.press("1")
    assert review.page.inner_text(".heading-row") == "White cells: lymphocyte 200 cells"
    review.press("g")
    headings = review.page.locator(".heading-row").all_inner_texts()
    assert headings[0] == "White cells: neutrophil 1 cell"


def test_what_is_exported_is_read_and_gives_the_same_cells(review, results):
    review.page.fill("#by", EVIL)
    review.page.focus("#grid")
    review.press("1", "Delete", " ", "Shift+ArrowRight", "3", "z")
    corrections = read(review.exported())
    assert {event.by for event in corrections.events} == {EVIL.strip()}
    assert corrections.images <= ("first", "second")
    total = {}
    for outcome in results[1]:
        field = replay(corrections.of_image(outcome.name), outcome.report.cells)
        for cell in field.cells:
            total[cell.subtype] = total.get(cell.subtype, 0) + 1
    figures = review.figures()
    assert total == {name: int(figures[name][1]) for name in ("neutrophil", "lymphocyte")}


def test_an_exported_file_is_taken_over_once(browser, results, review, tmp_path):
    review.press("1", "1", "Delete")
    value = review.exported()
    other = Review(browser, results[0])
    for _ in range(2):
        assert other.import_file(value, tmp_path) == ""
        assert other.figures() == review.figures()
    other.context.close()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda _: "{", "not JSON"),
        (lambda _: {"events": []}, "no file of corrections"),
        (lambda value: value | {"version": 2}, "its version is 2"),
        (lambda value: value | {"taxonomy": {"cell_types": []}}, "other cell types"),
        (lambda value: value | {"images": {"first": "0" * 64}}, "corrects other results"),
        (lambda value: value | {"events": [{"action": "shout"}]}, "an event in it is damaged"),
    ],
    ids=["json", "format", "version", "types", "results", "event"],
)
def test_a_file_that_does_not_fit_is_refused(review, tmp_path, change, words):
    review.press("1")
    before = review.exported()
    complaint = review.import_file(change(json.loads(json.dumps(before))), tmp_path)
    assert words in complaint
    assert complaint.startswith("given.json: ")
    assert review.exported() == before


def test_a_browser_without_storage_says_so(browser, results):
    without = "Object.defineProperty(window, 'indexedDB', { get() { throw new Error('no'); } });"
    review = Review(browser, results[0], before=without)
    assert "Not saved: this browser keeps nothing" in review.page.inner_text("#kept")
    review.press("1")
    assert review.labels()[0] == "neutrophil"
    assert len(review.exported()["events"]) == 1
    assert review.complaints == []
    review.context.close()


def test_a_full_storage_says_so_and_saves_when_there_is_room(browser, results):
    full = """
      const add = IDBObjectStore.prototype.add;
      window.isFull = true;
      IDBObjectStore.prototype.add = function (...values) {
        if (window.isFull) throw new DOMException('full', 'QuotaExceededError');
        return add.apply(this, values);
      };"""
    review = Review(browser, results[0], before=full)
    review.press("1")
    review.page.wait_for_selector("#kept.failed")
    assert "Not saved" in review.page.inner_text("#kept")
    review.page.evaluate("window.isFull = false")
    review.page.wait_for_selector("#kept:not(.failed)", timeout=10_000)
    second = review.open()
    assert "1 of 200 cells" in second.inner_text("#figures-words")
    review.context.close()


def test_two_windows_lose_nothing(review):
    second = review.open()
    review.page.bring_to_front()
    review.press("1")
    second.bring_to_front()
    second.evaluate("window.dispatchEvent(new Event('focus'))")
    second.wait_for_selector(".cell-tile.changed")
    second.focus("#grid")
    second.keyboard.press("ArrowRight")
    second.keyboard.press("2")
    review.page.bring_to_front()
    review.page.evaluate("window.dispatchEvent(new Event('focus'))")
    review.page.wait_for_selector("#figures-rows [data-name=eosinophil]")
    assert len(review.exported()["events"]) == 2


def test_names_from_outside_are_shown_as_text(browser, tmp_path):
    page, _ = written_page(tmp_path, EVIL, cells=4, slide=Slide(name=EVIL))
    review = Review(browser, page)
    assert review.complaints == []
    review.press("1", "Enter")
    assert "<img src=x onerror" in review.page.inner_text("#field-title")
    review.press("Escape")
    assert read(review.exported()).images == (EVIL,)
    review.context.close()


def open_field(review):
    review.press("Enter")
    review.page.wait_for_selector("#field[open] #outlines polygon")


def test_a_cell_opens_in_its_field_with_outlines(review):
    review.page.click("#t5")
    review.page.wait_for_selector("#field[open]")
    assert review.page.locator("#outlines polygon").count() == 100
    assert review.page.locator("#outlines polygon.chosen").count() == 1
    review.press("ArrowRight", "1")
    assert review.page.locator("#outlines polygon.changed").count() == 1
    review.press("Escape")
    assert review.page.evaluate("document.activeElement.id") == "grid"


def test_a_field_is_corrected_by_keys_alone(review, results):
    open_field(review)
    review.press("s", "ArrowRight", "Enter")
    assert review.page.locator("#outlines polygon").count() == 101
    review.press("d", *["ArrowDown"] * 4, "Enter")
    review.page.wait_for_timeout(300)
    assert review.page.locator("#outlines polygon").count() == 102
    review.press("1", "0")
    polygons = review.page.locator("#outlines polygon:not(.chosen)")
    polygons.nth(40).click()
    polygons.nth(41).click(modifiers=["Shift"])
    review.press("j", "f", "Escape")
    corrections = read(review.exported())
    [name] = corrections.images
    cells = next(one.report.cells for one in results[1] if one.name == name)
    field = replay(corrections.of_image(name), cells)
    assert field.is_reviewed
    assert len(field.removed) == 3
    assert all(cell.is_stated for cell in field.cells)
    # One split, one drawn, two merged: 100 + 1 + 1 - 1.
    assert len(field.cells) == 101
    assert review.figures()["WBC"][:2] == ["200", "201"]


def test_a_cell_that_was_drawn_has_a_tile_afterwards(review):
    open_field(review)
    review.press("d", "ArrowDown", "Enter")
    review.page.wait_for_selector("#outlines polygon.changed")
    review.press("Escape")
    # The tiles are laid out anew a frame later; the page's policy forbids to wait by a function.
    review.page.locator("#count", has_text="201 cells shown").wait_for()


def test_an_outline_is_changed_by_keys(review):
    open_field(review)
    before = review.page.get_attribute("#outlines polygon.chosen", "points").split()
    review.press("e", "]", "ArrowRight", "ArrowRight", "Enter")
    after = review.page.get_attribute("#outlines polygon.chosen", "points").split()
    assert [first == second for first, second in zip(before, after, strict=True)].count(False) == 1
    review.press("Escape")
    [event] = read(review.exported()).events
    assert event.action == "set_outline"
    assert len(event.value.polygon) == len(after)


def test_a_corner_of_an_outline_is_dragged(review):
    open_field(review)
    review.press("e")
    corner = review.page.locator("#draft .corner").nth(3)
    box = corner.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    review.page.mouse.move(x, y)
    review.page.mouse.down()
    review.page.mouse.move(x + 30, y + 30, steps=3)
    review.page.mouse.up()
    review.press("Enter")
    assert review.page.locator("#outlines polygon.changed").count() == 1


def test_a_click_on_a_missed_cell_outlines_its_stain(browser):
    page = browser.new_page()
    truth = np.zeros((120, 160), np.uint8)
    cv2.ellipse(truth, (80, 60), (30, 22), 20, 0, 360, 1, -1)
    cv2.circle(truth, (76, 60), 8, 0, -1)  # Pallor.
    pixels = np.full((120, 160, 4), 230, np.uint8)
    pixels[truth == 1] = (190, 120, 150, 255)
    outline = page.evaluate(
        f"""([data, width, height, at]) => {{
            const {{ proposedOutline }} = {module("outline_proposal.js")};
            const image = {{ data: Uint8ClampedArray.from(data), width, height }};
            const pixels = {{ data: image, left: 0, top: 0, scale: 1 }};
            return proposedOutline(pixels, at, (x, y) => x > 105);
        }}""",
        [pixels.ravel().tolist(), 160, 120, [76, 60]],
    )
    drawn = np.zeros_like(truth)
    cv2.fillPoly(drawn, [np.round(np.array(outline) - 0.5).astype(np.int32)], 1)
    whole = truth.copy()
    cv2.circle(whole, (76, 60), 8, 1, -1)
    whole[:, 105:] = 0
    assert (drawn & whole).sum() / (drawn | whole).sum() > 0.93
    page.close()


def events_at_random(generator, cells, count):
    """Events of one image, some of cells that are gone, some that undo others."""
    events, ids = [], list(range(1, cells + 1))
    for number in range(count):
        action = generator.choice(
            ["set_class", "delete", "draw", "split", "merge", "review_cells", "undo", "set_outline"]
        )
        event = {
            "id": str(uuid.UUID(int=int(generator.integers(2**63)))),
            "at": f"2026-01-01T00:00:{number % 60:02d}Z",
            "by": "Ada",
            "image": "first",
            "action": str(action),
            "cells": [],
            "value": {},
        }
        some = [ids[i] for i in generator.choice(len(ids), 3, replace=False)]
        square = [[5, 5], [15, 5], [15, 15], [5, 15]]
        kind = {"cell_type": "WBC", "subtype": str(generator.choice(["monocyte", "basophil"]))}
        if action in ("set_class", "delete", "review_cells", "merge"):
            event["cells"] = some
        if action in ("split", "set_outline"):
            event["cells"] = some[:1]
        event["value"] = {
            "set_class": kind,
            "draw": kind | {"polygon": square},
            "set_outline": {"polygon": square},
            "split": {"points": [[30, 20], [34, 28]]},
            "undo": {"event": events[int(generator.integers(len(events)))]["id"]} if events else {},
        }.get(str(action), {})
        if action == "undo" and not events:
            continue
        ids += [event["id"]] * (action in ("draw", "merge"))
        ids += [f"{event['id']}/{part}" for part in (1, 2)] * (action == "split")
        events.append(event)
    return events


@pytest.mark.parametrize("seed", range(8))
def test_the_page_applies_events_as_the_program_does(browser, results, seed):
    cells = results[1][0].report.cells
    events = events_at_random(np.random.default_rng(seed), 12, 60)
    page = browser.new_page()
    found = page.evaluate(
        f"""([cells, events]) => {{
            const {{ replay }} = {module("corrections.js")};
            const outline = [[30, 20], [34, 20], [34, 28], [30, 28]];
            const state = replay(cells, events, {{
                outlinesOf: () => [outline], newCell: () => ({{ unitsPerPixel: 1 }}) }});
            return [...state.cells.values()].filter((cell) => !cell.isGone)
                .map(({{ id, type, subtype }}) => [String(id), type, subtype]);
        }}""",
        [
            [
                {"id": i + 1, "type": "WBC", "condition": None, "subtype": "lymphocyte"}
                for i in range(len(cells))
            ],
            events,
        ],
    )
    expected = replay([Event.model_validate(event) for event in events], cells).cells
    assert sorted(found) == sorted([str(c.id), c.cell_type, c.subtype] for c in expected)
    page.close()


def test_intervals_are_those_of_the_program(browser):
    page = browser.new_page()
    for count, total in ((0, 10), (3, 18), (200, 200), (57, 4000)):
        found = page.evaluate(f"{module('shares.js')}.wilson({count}, {total})")
        assert found == pytest.approx(wilson_interval(count, total), abs=1e-9)
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1400, 900), (390, 800)], ids=["desktop", "phone"])
def test_the_page_fits_its_window_and_follows_the_colour_scheme(browser, results, size, scheme):
    review = Review(browser, results[0], size=size, scheme=scheme)
    width = review.page.evaluate("document.documentElement.scrollWidth")
    assert width <= size[0]
    shot = cv2.imdecode(np.frombuffer(review.page.screenshot(), np.uint8), cv2.IMREAD_COLOR)
    assert (shot[:60].mean() > 128) == (scheme == "light")
    open_field(review)
    assert review.page.evaluate("document.documentElement.scrollWidth") <= size[0]
    for button in ("#close-field", "#confirm-cells", "#choices button >> nth=0"):
        assert review.page.is_visible(button)
    review.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("place", ["gallery", "field", "help", "menu"])
def test_axe_finds_nothing_serious(browser, results, scheme, place):
    source = axe()
    if source is None:
        pytest.skip("axe-core cannot be installed: npm is missing or has no registry")
    review = Review(browser, results[0], scheme=scheme)
    review.press("1", {"gallery": "x", "field": "Enter", "help": "?", "menu": "m"}[place])
    review.page.wait_for_timeout(300)
    session = review.context.new_cdp_session(review.page)
    # Past the policy of the page, which forbids foreign scripts.
    found = session.send(
        "Runtime.evaluate",
        {
            "expression": source + ";axe.run().then((found) => JSON.stringify(found.violations))",
            "awaitPromise": True,
            "returnByValue": True,
        },
    )
    violations = [
        f"{one['id']}: {one['nodes'][0]['html'][:120]}"
        for one in json.loads(found["result"]["value"])
        if one["impact"] in ("serious", "critical")
    ]
    assert violations == []
    review.context.close()


def test_every_button_has_a_name_and_can_be_reached(review):
    names = review.page.evaluate(
        """[...document.querySelectorAll('button, input:not([hidden]), select')].map((one) =>
            (one.ariaLabel || one.labels?.[0]?.textContent || one.textContent).trim())"""
    )
    assert all(names)
    seen = set()
    for _ in range(40):
        review.press("Tab")
        seen.add(
            review.page.evaluate("document.activeElement.id || document.activeElement.tagName")
        )
    assert {"export", "import", "by", "open-help", "search", "order", "grid"} <= seen


def test_a_page_that_reached_out_would_be_noticed(browser, tmp_path):
    page = tmp_path / "review.html"
    page.write_text(
        "<body data-ready=yes><div id=grid tabindex=0></div><img src='http://127.0.0.1:9/a.png'>"
    )
    review = Review(browser, page)
    assert any("127.0.0.1:9" in one for one in review.complaints)
    review.context.close()
