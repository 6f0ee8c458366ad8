"""How quickly the review page opens, filters and answers, with very many cells.

    bloodcells analyze smears/images -o results
    python benchmarks/review_speed.py results --images smears/images

The fields of the results are repeated, each time moved, until there are enough. Times are those of
the browser up to the next frame; "CPU" is what making a field costs an analysis.
"""

import argparse
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from playwright.sync_api import Page, sync_playwright

from blood_cell_system.pipeline.results_folder import ResultsFolder
from blood_cell_system.reports.batch_summary import BatchSummary, ImageOutcome
from blood_cell_system.reports.page.field_spool import FieldSpool
from blood_cell_system.reports.page.panel import make_panel, page_limits
from blood_cell_system.reports.page.review_page import write_review_pages

FRAME = "await new Promise((r) => requestAnimationFrame(() => setTimeout(r)));"
REPEATS = 7
PATIENCE_MS = 300_000


def write_page(results: ResultsFolder, folder: Path, fields: int) -> tuple[Path, int]:
    """Write a page of so many fields; gives it and the number of its cells."""
    spool, outcomes, seconds = FieldSpool(folder), [], 0.0
    read = []
    for name in results.names:
        report = results.report(name)
        read.append((report, results.with_pixels(name, report), results.image(name, report)))
    for number in range(fields):
        report, cells, image = read[number % len(read)]
        shift = 16 * (number // len(read))
        started = time.thread_time()
        panel = make_panel(
            np.roll(image, shift, axis=1),
            cells.label_image,
            report,
            page_limits(fields),
            is_reviewable=True,
        ).spooled(spool)
        seconds += time.thread_time() - started
        name = f"field_{number:03d}"
        outcomes.append(ImageOutcome(name=name, path=name, report=report, panel=panel))
    print(f"CPU a field: {1000 * seconds / fields:.1f} ms, with what index.html needs")
    report = read[0][0]
    summary = BatchSummary(
        outcomes=tuple(outcomes), settings=report.settings, provenance=report.provenance
    )
    pages = write_review_pages(summary, folder)
    return pages[0], sum(len(one.report.cells) for one in outcomes if one.report is not None)


def median_ms(page: Page, *actions: str) -> float:
    """Median milliseconds of some actions in turn, each up to the next frame."""
    times = []
    for number in range(REPEATS):
        action = actions[number % len(actions)]
        code = (
            f"const begun = performance.now(); {action}; {FRAME} return performance.now() - begun;"
        )
        times.append(page.evaluate(f"(async () => {{ {code} }})()"))
    return statistics.median(times)


def chosen(field: str, value: str) -> str:
    """Choose a value of a filter."""
    return (
        f"document.getElementById('{field}').value = '{value}';"
        f"document.getElementById('{field}').dispatchEvent(new Event('input'))"
    )


def pressed(key: str) -> str:
    """Press a key in the gallery."""
    event = f"new KeyboardEvent('keydown', {{ key: '{key}', bubbles: true }})"
    return f"document.getElementById('grid').dispatchEvent({event})"


def main() -> None:
    """Write such a page, and print what the browser takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--images", type=Path, action="append", default=[])
    parser.add_argument("--fields", type=int, default=500)
    parser.add_argument("--browser", default="/usr/bin/chromium")
    options = parser.parse_args()
    with TemporaryDirectory() as folder, sync_playwright() as driver:
        results = ResultsFolder(options.results, options.images)
        path, cells = write_page(results, Path(folder), options.fields)
        print(f"{options.fields} fields, {cells:,} cells, {path.stat().st_size / 1e6:.0f} MB")
        chromium = driver.chromium.launch(
            executable_path=options.browser, args=["--no-sandbox", "--disable-gpu"]
        )
        page = chromium.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(PATIENCE_MS)
        begun = time.perf_counter()
        page.goto(path.as_uri())
        page.wait_for_selector("body[data-ready=yes]")
        page.wait_for_selector(".cell-tile[data-drawn]")
        print(f"opens: {time.perf_counter() - begun:.2f} s")
        print(
            f"search: {median_ms(page, chosen('search', 'field_1'), chosen('search', '')):.0f} ms"
        )
        orders = (chosen("order", "diameter"), chosen("order", "certainty"))
        print(f"order: {median_ms(page, *orders):.0f} ms")
        states = (chosen("state", "open"), chosen("state", "all"))
        print(f"filter: {median_ms(page, *states):.0f} ms")
        print(f"class: {median_ms(page, pressed('1'), pressed('2')):.0f} ms")
        scroll = "document.getElementById('scroller').scrollTop += 150"
        print(f"scroll: {median_ms(page, scroll):.0f} ms a frame")
        chromium.close()


if __name__ == "__main__":
    main()
