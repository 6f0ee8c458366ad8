"""The review page as it is written: its cells, its fields, and that nothing gets out of it."""

import dataclasses
import json
import re

import numpy as np
import pytest
from support.analysed_images import analysis_of, report_of
from support.classified_cells import classified_report

from blood_cell_system.corrections.record import Header
from blood_cell_system.reports.batch_summary import BatchSummary, ImageOutcome, Slide
from blood_cell_system.reports.page import review_page
from blood_cell_system.reports.page.field_spool import FieldSpool
from blood_cell_system.reports.page.panel import make_panel, page_limits
from blood_cell_system.reports.page.render import asset, digest_of, joined_script, render_page
from blood_cell_system.reports.page.review_page import results_header, write_review_pages
from blood_cell_system.reports.report import DiagnosticReport

EVIL = "<script>alert(1)</script>\"'&\n\u202e<!--"


def outcome_of(spool, name="field", *, draw_up=report_of, slide=None):
    analysis = analysis_of()
    report = DiagnosticReport.from_json(draw_up(analysis, name=f"{name}.png").to_json())
    labels = analysis.cells.label_image
    is_shown = spool is not None
    panel = make_panel(analysis.image, labels, report, page_limits(1), is_reviewable=is_shown)
    panel = panel.spooled(spool)
    return ImageOutcome(name=name, path=f"{name}.png", report=report, panel=panel, slide=slide)


def summary_of(*outcomes):
    report = report_of()
    return BatchSummary(outcomes=outcomes, settings=report.settings, provenance=report.provenance)


def data_in(page, name):
    html = page.read_text("utf-8", errors="surrogateescape")
    return json.loads(re.search(rf'id="{name}">(.*?)</script>', html, re.DOTALL)[1])


@pytest.fixture
def spool(tmp_path):
    return FieldSpool(tmp_path)


def test_a_page_has_every_cell_of_every_field(spool, tmp_path):
    summary = summary_of(outcome_of(spool, "a"), outcome_of(spool, "b"))
    [page] = write_review_pages(summary, tmp_path)
    cells, results = data_in(page, "cells"), data_in(page, "results")
    assert cells["field"] == [0] * 5 + [1] * 5
    assert cells["id"] == [*range(1, 6)] * 2
    assert [results["names"][i] for i in cells["type"][:5]] == list(
        summary.reports[0].cells["cell_type"]
    )
    boxes = np.array(cells["box"]).reshape(-1, 4)[:5]
    assert boxes.tolist() == summary.reports[0].cells["whole_box"].tolist()
    assert [field["name"] for field in results["fields"]] == ["a", "b"]
    assert page.read_text("utf-8").count('<script type="text/plain"') == 2


def test_classes_flags_and_certainty_are_those_of_the_report(spool, tmp_path):
    outcome = outcome_of(spool, draw_up=classified_report)
    [page] = write_review_pages(summary_of(outcome), tmp_path)
    cells, results = data_in(page, "cells"), data_in(page, "results")
    table = outcome.report.cells
    names = [None if i < 0 else results["names"][i] for i in cells["condition"]]
    known = [
        condition if is_known else "none of these"
        for condition, is_known in zip(table["condition"], table["is_known"], strict=True)
    ]
    assert names == known
    assert any(names)
    reasons = [None if i < 0 else results["reason_names"][i] for i in cells["reason"]]
    assert reasons == [None if one is None else one.value for one in table["reason"]]
    assert [bool(flags & 1) for flags in cells["flags"]] == [
        "uncertain" in flags for flags in table["flags"]
    ]


def test_corrections_of_a_page_name_its_results(spool, tmp_path):
    summary = summary_of(outcome_of(spool))
    [page] = write_review_pages(summary, tmp_path)
    header = Header.model_validate(data_in(page, "results")["header"])
    assert header == results_header(summary)
    header.check_is_of(results_header(summary), ["field"], where="corrections.json")


def test_names_from_outside_stay_text(spool, tmp_path):
    outcome = outcome_of(spool, EVIL, slide=Slide(name=EVIL, patient=EVIL))
    [page] = write_review_pages(summary_of(outcome), tmp_path)
    html = page.read_text("utf-8")
    assert "<script>alert" not in html
    assert "alert(1)</" not in html
    assert data_in(page, "results")["fields"][0]["name"] == EVIL
    shown = data_in(page, "results")["fields"][0]["shown"]
    assert "\n" not in shown
    assert "\u202e" not in shown


def test_the_policy_allows_the_own_script_and_style_alone(spool, tmp_path):
    [page] = write_review_pages(summary_of(outcome_of(spool)), tmp_path)
    html = page.read_text("utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1]
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)[1]
    script = re.search(r"<script>(.*?)</script>", html, re.DOTALL)[1]
    assert f"'{digest_of(style)}'" in policy
    assert f"'{digest_of(script)}'" in policy
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert not re.search(r"https?://(?!www\.w3\.org)", html)


def test_results_too_large_for_one_page_have_several(spool, tmp_path, monkeypatch):
    (tmp_path / "review_9.html").write_text("of a former run")
    (tmp_path / "review_notes.html").write_text("somebody's own")
    outcomes = [outcome_of(spool, name) for name in "abc"]
    monkeypatch.setattr(review_page, "_MAX_PAGE", 2 * outcomes[0].panel.review.size)
    pages = write_review_pages(summary_of(*outcomes), tmp_path)
    assert [page.name for page in pages] == ["review.html", "review_2.html"]
    assert [len(data_in(page, "results")["fields"]) for page in pages] == [2, 1]
    assert '<a href="review_2.html">fields 3–3</a>' in pages[0].read_text("utf-8")
    # One record for all: what is corrected on one page is known on the other.
    keys = {data_in(page, "results")["key"] for page in pages}
    assert len(keys) == 1
    assert sorted(path.name for path in tmp_path.glob("review*")) == [
        *("review.html", "review_2.html", "review_notes.html")
    ]


def test_without_pixels_there_is_no_page(tmp_path):
    (tmp_path / "review.html").write_text("of a former run")
    failed = ImageOutcome(name="bad", path="bad.png", reason="cut off")
    assert write_review_pages(summary_of(failed, outcome_of(None)), tmp_path) == ()
    assert not (tmp_path / "review.html").exists()


def test_the_report_links_to_the_review_where_there_is_one():
    summary = summary_of(dataclasses.replace(outcome_of(None)))
    assert 'href="review.html"' in render_page(summary, review="review.html")
    assert "review.html" not in render_page(summary)


def test_modules_are_joined_in_the_order_of_their_imports():
    script = joined_script("review/review.js")
    assert not re.search(r"^(import|export) ", script, re.MULTILINE)
    assert script.index("class PanZoom") < script.index("class FieldView")
    assert script.index("class FieldView") < script.index("new FieldView")


@pytest.mark.parametrize("page", ["page.js", "review/review.js"])
def test_joined_modules_have_no_name_in_common(page):
    names = re.findall(
        r"^(?:async )?(?:function|class|const|let) \*?(\w+)", joined_script(page), re.MULTILINE
    )
    assert len(names) > 10
    assert sorted(names) == sorted(set(names))


def test_a_module_says_what_it_is_about():
    for name in re.findall(r'"\./([\w.]+)"', asset("review/review.js")):
        assert asset(f"review/{name}").startswith("// ")
