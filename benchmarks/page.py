"""How fast the page of many images opens in Chromium.

    python benchmarks/page.py [--images 500] [--runs 3]

Ten drawn smears are analysed and stand for all images, under names of their own. Seconds are
medians, from the request to the first image that is drawn after the page is complete, and from a
click on an image to its outlines. Needs playwright and Chromium.
"""

import argparse
import statistics
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from playwright.sync_api import sync_playwright

from blood_cell_system.datasets.synthetic import SmearSettings, draw_smear
from blood_cell_system.pipeline.image import InferencePipeline
from blood_cell_system.pipeline.system import BloodCellAnalysisSystem
from blood_cell_system.reports.batch_summary import BatchSummary, ImageOutcome
from blood_cell_system.reports.page.panel import make_panel, page_limits
from blood_cell_system.reports.page.render import render_page
from blood_cell_system.reports.report import DiagnosticReport

DRAWN = 10
OPENED = """() => new Promise((done) => {
  requestAnimationFrame(() => setTimeout(() => done(performance.now())));
})"""
ENLARGED = """() => new Promise((done) => {
  const started = performance.now();
  document.querySelectorAll("button.open")[7].click();
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - started)));
})"""


def main() -> None:
    """Analyse, write the page, open it; print a line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    options = parser.parse_args()
    html, cells = page_of(options.images)
    opened, enlarged = [], []
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "index.html"
        path.write_text(html, "utf-8")
        for _ in range(options.runs):
            browser = playwright.chromium.launch(executable_path=options.chromium)
            page = browser.new_page(viewport={"width": 1400, "height": 900})
            page.goto(path.as_uri())
            opened.append(page.evaluate(OPENED) / 1000)
            enlarged.append(page.evaluate(ENLARGED) / 1000)
            browser.close()
    print(
        f"{options.images} images, {cells} cells, {len(html) / 1e6:.0f} MB: opens in "
        f"{statistics.median(opened):.1f} s, enlarges in {statistics.median(enlarged):.2f} s"
    )


def page_of(images: int) -> tuple[str, int]:
    """Lay a page of so many images out; give it and the number of its cells."""
    pipeline = InferencePipeline(BloodCellAnalysisSystem())
    limits, outcomes = page_limits(images), []
    for seed in range(DRAWN):
        result = pipeline.analyze_array(
            draw_smear(SmearSettings(shape=(960, 1280)), np.random.default_rng(seed)).image
        )
        report = DiagnosticReport.from_json(result.report.to_json())
        panel = make_panel(result.analysis.image, result.analysis.cells.label_image, report, limits)
        outcomes.append(ImageOutcome(name="", path="", report=report, panel=panel))
    names = [f"field_{number:05d}" for number in range(images)]
    repeated = [
        replace(outcomes[number % DRAWN], name=name, path=f"{name}.png")
        for number, name in enumerate(names)
    ]
    summary = BatchSummary(
        outcomes=tuple(repeated),
        settings=outcomes[0].report.settings,
        provenance=outcomes[0].report.provenance,
    )
    return render_page(summary), sum(len(one.report.cells) for one in repeated)


if __name__ == "__main__":
    main()
