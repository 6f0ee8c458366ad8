"""A link to cells on the page to review, in a browser."""

import pytest
from support.analysed_images import analysis_of, report_of
from support.browser import opened

from blood_cell_system.reports.batch_summary import BatchSummary, ImageOutcome
from blood_cell_system.reports.page.cell_links import links_to_cells, render_links
from blood_cell_system.reports.page.field_spool import FieldSpool
from blood_cell_system.reports.page.panel import make_panel, page_limits
from blood_cell_system.reports.page.review_page import write_review_pages
from blood_cell_system.reports.report import DiagnosticReport

pytestmark = pytest.mark.slow


@pytest.fixture
def links(tmp_path):
    outcomes = []
    spool = FieldSpool(tmp_path)
    for name in ("a", "b"):
        analysis = analysis_of()
        report = DiagnosticReport.from_json(report_of(analysis, name=f"{name}.png").to_json())
        labels = analysis.cells.label_image
        panel = make_panel(
            analysis.image, labels, report, page_limits(1), is_reviewable=True
        ).spooled(spool)
        outcomes.append(ImageOutcome(name=name, path=f"{name}.png", report=report, panel=panel))
    summary = BatchSummary(
        outcomes=tuple(outcomes), settings=report.settings, provenance=report.provenance
    )
    write_review_pages(summary, tmp_path)
    return links_to_cells(tmp_path, {"a": [2], "b": [1, 3]}, name="suggested")


def test_the_page_shows_the_cells_of_the_link_and_on_demand_all(links, tmp_path):
    place = tmp_path / "suggestions.html"
    place.write_text(
        render_links("Cells to look at next", ["a: 5 cells"], links, tmp_path), "utf-8"
    )
    with opened(place) as page:
        page.set_default_timeout(120_000)
        page.wait_for_url(lambda address: "review.html#suggested=" in address, wait_until="commit")
        page.wait_for_selector("body[data-ready=yes]")
        assert page.locator("#count").text_content() == "3 cells shown"
        assert page.locator("#state option:checked").text_content() == "Suggested (3)"
        assert page.locator(".cell-tile").count() == 3
        page.select_option("#state", "all")
        assert page.locator("#count").text_content() == "10 cells"


def test_a_link_to_cells_of_other_results_shows_all_and_says_so(links, tmp_path):
    with opened(tmp_path / "review.html") as page:
        page.set_default_timeout(120_000)
        page.wait_for_selector("body[data-ready=yes]")
        page.evaluate("location.hash = '#suggested=0000000000000000/0:1'")
        page.wait_for_selector("#said:not(:empty)", state="attached")
        assert page.locator("#count").text_content() == "10 cells"
        assert page.locator("#state option[value=listed]").count() == 0
        assert "other results" in page.locator("#said").text_content()
