"""Review pages of drawn fields, quickly made, and a browser that drives them."""

import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from support.analysed_images import analysis_of
from support.browser import launched
from support.classified_cells import classified_report

from blood_cell_system.reports.batch_summary import BatchSummary, ImageOutcome
from blood_cell_system.reports.page.field_spool import FieldSpool
from blood_cell_system.reports.page.panel import make_panel, page_limits
from blood_cell_system.reports.page.review_page import write_review_pages
from blood_cell_system.reports.report import DiagnosticReport

SHAPE = (480, 640)
COLUMNS, ROWS, RADIUS = 10, 10, 20
PATIENCE_MS = 200_000
NO_FILE_DIALOG = "window.showSaveFilePicker = undefined;"


def _drawn(generator):
    """A field of 100 discs, with its label image and the box of each."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    image = np.full((*SHAPE, 3), (225, 222, 228), np.uint8)
    labels, boxes = np.zeros(SHAPE, np.int32), []
    for number in range(COLUMNS * ROWS):
        row, column = divmod(number, COLUMNS)
        centre_x, centre_y = 32 + 64 * column, 24 + 48 * row
        is_cell = (x + 0.5 - centre_x) ** 2 + (y + 0.5 - centre_y) ** 2 < RADIUS**2
        labels[is_cell] = number + 1
        image[is_cell] = generator.integers(90, 190, 3)
        boxes.append((centre_x - RADIUS, centre_y - RADIUS, centre_x + RADIUS, centre_y + RADIUS))
    return image, labels, np.array(boxes, dtype=np.float64)


def field_of_discs(spool, name, *, cells=100, like="WBC", seed=0, slide=None):
    """The outcome of a field whose cells are all classified like the white or red one."""
    generator = np.random.default_rng(seed)
    image, labels, boxes = _drawn(generator)
    labels[labels > cells] = 0
    report = DiagnosticReport.from_json(
        classified_report(analysis_of(), name=f"{name}.png").to_json()
    )
    known = report.cells
    whole = np.flatnonzero(known.is_type(like) & ~known["touches_border"])
    table = known.select(np.repeat(whole[:1], cells).astype(np.intp)).with_columns(
        whole_box=boxes[:cells],
        box=boxes[:cells],
        centroid=boxes[:cells].reshape(-1, 2, 2).mean(axis=1),
        area=np.bincount(labels.ravel(), minlength=cells + 1)[1:],
        equivalent_diameter_area=np.full(cells, 2.0 * RADIUS),
        confidence=np.round(generator.uniform(0.3, 1, cells), 4),
    )
    shown = report.image.model_copy(update={"width_px": SHAPE[1], "height_px": SHAPE[0]})
    report = report.model_copy(update={"cells": table, "image": shown})
    panel = make_panel(image, labels, report, page_limits(1), is_reviewable=True).spooled(spool)
    return ImageOutcome(name=name, path=f"{name}.png", report=report, panel=panel, slide=slide)


def written_page(folder, *names, **options):
    """Write a page of fields of 100 white cells each; gives it and its outcomes."""
    folder.mkdir(parents=True, exist_ok=True)
    spool = FieldSpool(folder)
    outcomes = tuple(
        field_of_discs(spool, name, seed=seed, **options) for seed, name in enumerate(names)
    )
    report = outcomes[0].report
    summary = BatchSummary(
        outcomes=outcomes, settings=report.settings, provenance=report.provenance
    )
    return write_review_pages(summary, folder)[0], outcomes


@pytest.fixture(scope="module")
def browser():
    """One browser for all tests of a module."""
    with launched() as running:
        yield running


class Review:
    """A review page in a browser of its own, which keeps what it stores.

    Attributes
    ----------
    complaints : list of str
        Errors of the page, and what it asked of the network.
    """

    def __init__(self, browser, page: Path, *, size=(1400, 900), scheme="light", before=""):
        self.context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme
        )
        # Machines that test have other work too.
        self.context.set_default_timeout(PATIENCE_MS)
        self.context.add_init_script(NO_FILE_DIALOG + before)
        self.complaints: list[str] = []
        self.address = page.as_uri()
        self.page = self.open()

    def open(self):
        """Open the page in a further window of the same browser."""
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._heard)
        page.on("request", self._asked)
        page.goto(self.address)
        page.wait_for_selector("body[data-ready=yes]")
        page.focus("#grid")
        return page

    def _heard(self, message):
        if message.type == "error":
            self.complaints.append(message.text)

    def _asked(self, request):
        if not request.url.startswith(("file:", "data:", "blob:")):
            self.complaints.append(request.url)

    def press(self, *keys):
        """Press keys, one after the other."""
        for key in keys:
            self.page.keyboard.press(key)

    def labels(self):
        """Names under the tiles in sight, in their order."""
        return self.page.locator(".cell-tile .name").all_inner_texts()

    def figures(self):
        """The row of each class: program, now, share."""
        rows = self.page.locator("#figures-rows tr")
        return {
            row.get_attribute("data-name"): [
                " ".join(text.split()) for text in row.locator("td").all_inner_texts()
            ]
            for row in rows.all()
        }

    def exported(self, page=None):
        """What is saved as corrections.json."""
        page = page or self.page
        with page.expect_download() as download:
            page.click("#export")
        assert download.value.suggested_filename == "corrections.json"
        return json.loads(Path(download.value.path()).read_text("utf-8"))

    def import_file(self, value, folder):
        """Take a file of corrections over; gives what the page complains of."""
        path = folder / "given.json"
        path.write_text(value if isinstance(value, str) else json.dumps(value), "utf-8")
        self.page.set_input_files("#import-file", path)
        self.page.wait_for_timeout(200)
        return self.page.inner_text("#trouble")


@cache
def axe():
    """Source of axe-core, from npm's own cache or registry; None where there is no npm."""
    npm = shutil.which("npm")
    if npm is None:
        return None
    folder = Path.home() / ".cache" / "blood-cell-system-axe"
    script = folder / "node_modules" / "axe-core" / "axe.min.js"
    if not script.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--silent", "--no-save", "--prefix", str(folder), "axe-core@4"]
        subprocess.run(command, check=False, timeout=120, capture_output=True)
    return script.read_text("utf-8") if script.is_file() else None


def module(name):
    """A module of the page as an expression that gives what it exports."""
    from blood_cell_system.reports.page.render import asset, joined_script

    exports = re.findall(
        r"^export (?:async )?(?:function|class|const) (\w+)", asset(f"review/{name}"), re.MULTILINE
    )
    joined = joined_script(f"review/{name}").rstrip().removesuffix("}")
    return f"(() => {{ {joined} return {{ {', '.join(exports)} }}; }} }})()"
