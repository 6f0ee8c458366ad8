"""How the pages lie on a desktop, a phone and paper: nothing is cut off, nothing overlaps."""

import cv2
import numpy as np
import pytest
from support.analysed_images import analysis_of, report_of
from support.browser import opened
from support.classified_cells import classified_report

from blood_cell_system.reports.batch_summary import BatchSummary, ImageOutcome, Slide
from blood_cell_system.reports.figure_settings import FiguresSettings
from blood_cell_system.reports.page.panel import PageLimits, make_panel
from blood_cell_system.reports.page.render import render_page
from blood_cell_system.reports.report import DiagnosticReport

pytestmark = pytest.mark.slow

LONG = "a slide with a very long name that has to be broken somewhere_0123456789_0123456789"
MEDIA = [(1400, "screen"), (390, "screen"), (718, "print")]
"""Width in pixels of a desktop, a phone, and A4 paper without its margins."""
CUT_OFF = """() => [...document.querySelectorAll("main *")].filter((one) => {
  const box = one.getBoundingClientRect();
  return box.width && box.right > innerWidth + 1 && !one.closest(".scroll, nav");
}).map((one) => one.outerHTML.slice(0, 120))"""
OVERLAPPING = """() => {
  const names = "main > *, td, th, figure, .tile, .cell, .marks span";
  const isFlowing = (one) => !["absolute", "sticky"].includes(getComputedStyle(one).position);
  const boxes = [...document.querySelectorAll(names)]
    .map((one) => [one, one.getBoundingClientRect()])
    .filter(([one, box]) => box.width && box.height && isFlowing(one));
  const found = [];
  boxes.forEach(([one, a], at) => boxes.slice(at + 1).forEach(([other, b]) => {
    if (one.contains(other) || other.contains(one)) return;
    const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (across > 1.5 && down > 1.5) found.push([one, other].map((it) => it.outerHTML.slice(0, 60)));
  }));
  return found;
}"""


def outcome(name, slide=None):
    analysis = analysis_of(pixel_size_um=0.2)
    drawn_up = classified_report(analysis, name=f"{name}.png")
    report = DiagnosticReport.from_json(drawn_up.to_json())
    panel = make_panel(
        analysis.image,
        analysis.cells.label_image,
        report,
        PageLimits(images=1, side_px=1280, crops=20),
    )
    return ImageOutcome(name=name, path=f"{name}.png", report=report, panel=panel, slide=slide)


@pytest.fixture(scope="module")
def pages():
    """Pages of images, of a slide, and the index of slides, with figures of a single cell."""
    figures = FiguresSettings.model_validate(
        {
            "differential": {"min_cells": 1},
            "parasitaemia": {"min_cells": 1},
            "red_cell_size": {"min_cells": 2},
        }
    )
    report = report_of()
    slide = Slide(name=LONG, patient="P1")
    fields = (outcome("a", slide), outcome("b", slide))
    summary = BatchSummary(
        outcomes=fields,
        settings=report.settings,
        provenance=report.provenance,
        figures=figures,
    )
    (of_slide,) = summary.slides
    images = (outcome("a"), ImageOutcome(name="", path=LONG, reason=f"{LONG}: no image."))
    batch = BatchSummary(outcomes=images, settings=report.settings, provenance=report.provenance)
    return {
        "slide": render_page(summary.of_slide(of_slide), slide=of_slide),
        "index": render_page(summary),
        "images": render_page(batch),
    }


@pytest.mark.parametrize(("width", "media"), MEDIA)
@pytest.mark.parametrize("kind", ["slide", "index", "images"])
def test_nothing_on_a_page_is_cut_off_or_overlaps(tmp_path, pages, kind, width, media):
    path = tmp_path / f"{kind}.html"
    path.write_text(pages[kind], "utf-8")
    with opened(path, width=width, media=media) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width + 1
        assert page.evaluate(CUT_OFF) == []
        assert page.evaluate(OVERLAPPING) == []
        is_seen = media == "screen" and kind != "index"
        assert page.locator("nav").is_visible() == is_seen
        shown = cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_COLOR)
    assert shown.mean() > 200


def test_the_differential_is_drawn_as_one_bar_of_its_shares(tmp_path, pages):
    path = tmp_path / "slide.html"
    path.write_text(pages["slide"], "utf-8")
    with opened(path) as page:
        bar = page.locator("svg.differential").bounding_box()
        part = page.locator("svg.differential rect.lymphocyte").bounding_box()
        assert part == pytest.approx(bar, abs=4)
        assert page.locator(".swatch.lymphocyte").count() == 1
