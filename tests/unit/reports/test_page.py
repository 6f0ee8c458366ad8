"""The page of a batch: what stands in it, that nothing gets out of it, and how it looks."""

import base64
import csv
import dataclasses
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.analysed_images import CELLS, DEFOCUSED, analysis_of, report_of
from support.classified_cells import classified_report

from blood_cell_system.reports.batch_summary import BatchSummary, ImageOutcome
from blood_cell_system.reports.page.panel import PageLimits, make_panel, page_limits
from blood_cell_system.reports.page.render import histogram, render_page, render_report
from blood_cell_system.reports.report import DiagnosticReport, shown_name
from blood_cell_system.reports.text import rate_words
from blood_cell_system.taxonomy import BUILT_IN, CellType

EVIL = "<script>alert(1)</script>\"'&</title><!--"


def outcome_of(
    name="field", analysis=None, *, threshold=1.0, side_px=1280, path=None, draw_up=report_of
):
    analysis = analysis_of() if analysis is None else analysis
    drawn_up = draw_up(analysis, name=f"{name}.png", threshold=threshold)
    report = DiagnosticReport.from_json(drawn_up.to_json())
    limits = PageLimits(images=1, side_px=side_px, crops=20)
    panel = make_panel(analysis.image, analysis.cells.label_image, report, limits)
    return ImageOutcome(name=name, path=path or f"{name}.png", report=report, panel=panel)


def summary_of(*outcomes):
    report = report_of(threshold=1.0)
    return BatchSummary(outcomes=outcomes, settings=report.settings, provenance=report.provenance)


class Page(HTMLParser):
    """Elements, their attributes and the words of a page."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.words, self.scripts = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        is_script = self.elements and self.elements[-1][0] in ("script", "style")
        (self.scripts if is_script else self.words).append(data)

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def images_in(html):
    return json.loads(re.search(r'id="images">(.*?)</script>', html, re.S)[1])


def test_counts_and_images_are_in_the_page():
    page = Page(render_page(summary_of(outcome_of("a"), outcome_of("b"))))
    words = " ".join(" ".join(page.words).split())
    assert "2 images analysed" in words
    assert "6 red cells" in words
    assert "Research use only; not a medical device." in words
    sources = [image["src"] for image in page.of("img")]
    # Two images and their five uncertain cells each.
    assert len(sources) == 12
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)


def test_a_failed_image_is_a_row_with_its_reason():
    failed = ImageOutcome(name="bad", path="bad.png", reason="cut off")
    page = Page(render_page(summary_of(outcome_of(), failed)))
    words = " ".join(page.words)
    assert "1 failed" in words
    assert "cut off" in words


def test_a_page_of_failures_alone_is_a_page():
    failed = ImageOutcome(name="", path="x", reason="gone")
    words = " ".join(Page(render_page(summary_of(failed))).words)
    assert "No whole cell was found." in words
    assert "No cell is uncertain." in words


def test_what_is_no_smear_is_left_out_of_sums_sizes_and_gallery():
    analysis = analysis_of()
    quality = dataclasses.replace(analysis.quality, is_smear=False)
    cat = outcome_of("cat", dataclasses.replace(analysis, quality=quality))
    summary = summary_of(outcome_of(), cat)
    page = Page(render_page(summary))
    words = " ".join(" ".join(page.words).split())
    assert "1 image does not look like a blood smear" in words
    assert "3 red cells" in words
    assert {b["data-image"] for b in page.of("button") if "data-cell" in b} == {"0"}
    assert summary.to_json()["left_out_of_sums"] == 1


def test_many_warnings_are_folded_up():
    third = dataclasses.replace(DEFOCUSED, message="Too dark.")
    outcome = outcome_of(analysis=analysis_of(findings=[DEFOCUSED, third]))
    page = Page(render_page(summary_of(outcome)))
    assert len(page.of("details")) == 1
    assert "1 more" in page.words


def test_warnings_stand_in_the_row():
    warned = outcome_of(analysis=analysis_of(findings=[DEFOCUSED]))
    assert DEFOCUSED.message in " ".join(Page(render_page(summary_of(warned))).words)


def test_nothing_is_fetched_from_anywhere():
    html = render_page(summary_of(outcome_of()))
    page = Page(html)
    assert not page.of("link")
    assert all("src" not in script for script in page.of("script"))
    assert not re.findall(r"(?:https?:)?//(?!www\.w3\.org/2000/svg)[a-z]", html.split("base64")[0])
    assert "@import" not in html
    assert "url(" not in html
    policy = page.of("meta")[1]["content"]
    assert policy.startswith("default-src 'none'")


@pytest.mark.parametrize("name", [EVIL, "-rf", "a b", "Größe", "javascript:alert(1)", "x\udcff"])
def test_names_cannot_become_anything_but_names(name):
    plain = Page(render_page(summary_of(outcome_of("plain"))))
    html = render_page(summary_of(outcome_of(name, path=name)))
    page = Page(html)
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in plain.elements]
    for link in page.of("a"):
        assert re.fullmatch(r"#[a-z-]+|\./[\w./%~-]+_annotated\.png", link["href"])
    assert images_in(html)[0]["name"] == shown_name(name)


def test_reasons_and_warnings_cannot_become_elements():
    failed = ImageOutcome(name="n", path="n", reason=EVIL)
    page = Page(render_page(summary_of(failed)))
    assert EVIL in " ".join(page.words)
    assert len(page.of("script")) == 2


def links_in(html):
    """Links of a page that lead away from it."""
    return [link for link in Page(html).of("a") if not link["href"].startswith("#")]


def test_a_link_leads_to_the_image_in_its_folder():
    (link,) = links_in(render_page(summary_of(outcome_of("slide 1/ä"))))
    assert link["href"] == "./slide%201/%C3%A4_annotated.png"


def test_outlines_are_those_of_the_cells():
    analysis = analysis_of()
    (image,) = images_in(render_page(summary_of(outcome_of(analysis=analysis))))
    assert (image["width"], image["height"]) == (192, 128)
    cells = analysis.cells
    for row, outline in enumerate(image["outlines"]):
        corners = np.array([pair.split(",") for pair in outline.split()], dtype=float)
        width = cells["box"][row, 2] - cells["box"][row, 0]
        assert corners.mean(axis=0) == pytest.approx(cells["centroid"][row], abs=0.3 * width)
    assert len(image["outlines"]) == len(cells)
    assert image["cells"]["id"] == [1, 2, 3, 4, 5]


def test_the_least_certain_cells_come_first_in_the_gallery():
    page = Page(render_page(summary_of(outcome_of("a"), outcome_of("b"))))
    chosen = [button for button in page.of("button") if "data-cell" in button]
    confidence = analysis_of().cells["confidence"]
    shown = [confidence[int(button["data-cell"]) - 1] for button in chosen]
    assert np.diff(shown).min() > -1e-4
    assert len(shown) == 10


def test_images_are_scaled_down_to_the_page():
    panel = outcome_of(side_px=96).panel
    decoded = cv2.imdecode(np.frombuffer(panel.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape == (64, 96, 3)
    assert (panel.width_px, panel.height_px) == (192, 128)


def test_a_page_of_very_many_images_links_to_them():
    html = render_page(summary_of(outcome_of(side_px=0)))
    assert images_in(html) == [None]
    assert [link["href"] for link in links_in(html)] == ["./field_annotated.png"]
    assert page_limits(10**6).side_px == 0


@given(st.integers(1, 1000))
def test_the_embedded_images_stay_within_some_50_megabytes(count):
    limits = page_limits(count)
    # A smear of 4:3 takes about an eighth of a byte a pixel at this quality, base64 a third more.
    assert count * limits.side_px**2 * 0.75 * 0.125 * 4 / 3 < 50e6


def test_a_crop_at_the_border_has_its_cell_in_the_middle():
    crops = outcome_of(analysis=analysis_of([CELLS[3]])).panel.crops
    (crop,) = crops
    decoded = cv2.imdecode(np.frombuffer(crop.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape == (112, 112, 3)
    # Blue, green, red: the cell is red.
    assert decoded[56, 56, 2] > decoded[56, 56, 0] + 80


@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=50))
def test_a_histogram_holds_every_value(values):
    drawn = histogram(values, unit="px")
    assert sum(drawn.counts) == len(values)
    assert drawn.edges[0] <= min(values) * (1 + 1e-9)
    assert max(values) * (1 - 1e-9) <= drawn.edges[-1]
    assert sum(int(re.search(r"px: (\d+) cell", one)[1]) for one in drawn.labels) == len(values)


def test_a_histogram_marks_the_median_and_reaches_as_far_as_the_limits():
    drawn = histogram([1.0, 2.0, 4.0], unit="µm", limits=[(9.0, "macrocytes above")])
    assert [mark.words for mark in drawn.marks] == ["median 2.0 µm", "macrocytes above 9.0 µm"]
    assert [mark.is_limit for mark in drawn.marks] == [False, True]
    assert drawn.edges[-1] >= 9


def test_sizes_are_in_micrometres_only_where_all_images_have_them():
    known, unknown = outcome_of(analysis=analysis_of(pixel_size_um=0.2)), outcome_of("b")
    assert " µm: " in render_page(summary_of(known))
    assert " px: " in render_page(summary_of(known, unknown))
    assert "comparable between images of one magnification" in render_page(summary_of(unknown))


def test_findings_of_all_smears_are_summed_up():
    def sick(analysis, **options):
        return classified_report(analysis, red={"condition": "malaria_RBC"}, **options)

    outcomes = [outcome_of("a", draw_up=sick), outcome_of("b", draw_up=classified_report)]
    summary = summary_of(*outcomes, outcome_of("c"))
    page = Page(render_page(summary))
    words = " ".join(" ".join(page.words).split())
    assert "Parasitaemia (red cells with malaria parasites) 1 of 2" in words
    assert "9 = 2 assessed + 3 without a classifier + 4 cut off; 2 of the assessed" in words
    assert "Lymphocytes among white cells 2 of 2" in words
    assert summary.to_json()["findings"]["RBC"]["counts"]["malaria_RBC"] == 1
    rows = list(csv.DictReader(io.StringIO(summary.to_csv())))
    assert [row["malaria_RBC"] for row in rows] == ["1", "0", ""]
    assert [row["lymphocyte"] for row in rows] == ["1", "1", ""]


def test_of_a_type_without_cells_no_rows_of_zeros_are_shown():
    html = render_page(
        summary_of(outcome_of("a", analysis_of([CELLS[0]]), draw_up=classified_report))
    )
    assert "Red cells: there are none to assess." in html
    assert "parasitaemia" not in html.lower()


def test_a_share_of_cells_enough_is_drawn_with_its_interval():
    report = classified_report(red={"condition": "sickle_RBC"})
    findings = report.findings["RBC"]
    rates = tuple(
        rate.model_copy(update={"count": 600 * (rate.name == "sickle_RBC"), "total": 600})
        for rate in findings.rates
    )
    findings = {"RBC": findings.model_copy(update={"rates": rates})}
    html = render_page(
        summary_of(
            ImageOutcome(
                name="a", path="a", report=report.model_copy(update={"findings": findings})
            )
        )
    )
    assert "<b>100.0 %</b>" in html
    assert '<rect width="100.00"' in html
    assert '<tr class="ill"><td>Sickle cells among red cells</td><td>600 of 600</td>' in html


def test_findings_without_a_classifier_are_told_as_such():
    words = " ".join(Page(render_page(summary_of(outcome_of()))).words)
    assert "Red cells: not assessed (no classifier is loaded)." in words


def test_a_classified_cell_has_its_condition_in_the_page():
    def sick(analysis, **options):
        return classified_report(analysis, white={"condition": "cancer_WBC"}, **options)

    (image,) = images_in(render_page(summary_of(outcome_of(draw_up=sick))))
    cells = image["cells"]
    rows = zip(cells["type"], cells["condition"], cells["abnormal"], strict=True)
    assert {row for row in rows if row[1]} == {
        ("WBC", "leukaemia-suspect 0.90", True),
        ("RBC", "healthy 0.90", False),
        ("RBC", "cut off", False),
    }
    assert set(cells["reason"]) == {"", "cut off", "without a classifier"}


def test_a_report_shows_itself_in_a_notebook():
    html = classified_report(red={"condition": "malaria_RBC"}, name=EVIL)._repr_html_()
    page = Page(html)
    words = " ".join(" ".join(page.words).split())
    assert not {"script", "style", "img", "link", "a"} & {tag for tag, _ in page.elements}
    assert EVIL in words
    assert "Research use only; not a medical device." in words
    assert "Parasitaemia (red cells with malaria parasites) 1 of 1" in words


def test_text_and_page_say_the_same_of_a_share():
    report = classified_report()
    words = str(rate_words(report.rates[0]))
    assert words in " ".join(report.text.split())
    shown = " ".join(" ".join(Page(render_report(report)).words).split())
    assert words[0].upper() + words[1:] in shown.replace(" (", " (")


def test_a_type_of_a_laboratory_has_its_colour_in_the_page():
    own = BUILT_IN.extended([CellType(name="2+Clump", display_name="clumps", colour=(1, 2, 3))])
    analysis = analysis_of()
    cells = dataclasses.replace(analysis.cells, taxonomy=own)
    html = render_page(summary_of(outcome_of("a", dataclasses.replace(analysis, cells=cells))))
    assert '.tile[class~="2+Clump"] { border-top-color: rgb(1, 2, 3); }' in html
    style = re.search(r"<style>(.*?)</style>", html, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in html


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SWITCHES = [
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--virtual-time-budget=3000",
]


def in_chromium(folder, *arguments):
    # Chromium refuses to run as root with its sandbox.
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    profile = f"--user-data-dir={folder / 'profile'}"
    done = subprocess.run(
        [CHROMIUM, *SWITCHES, *sandbox, profile, *arguments],
        check=True,
        capture_output=True,
        encoding="utf-8",
        timeout=90,
    )
    return done.stdout


def screenshot(page, target, size, *, fragment="", switches=()):
    window = f"--window-size={size[0]},{size[1]}"
    address = page.as_uri() + fragment
    in_chromium(target.parent, *switches, window, f"--screenshot={target}", address)
    return cv2.imread(str(target))


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_the_page_looks_as_it_should_in_a_browser(tmp_path):
    names = ["one", EVIL.replace("/", ""), "three"]
    page = tmp_path / "index.html"
    page.write_text(render_page(summary_of(*(outcome_of(name) for name in names))), "utf-8")
    light = screenshot(page, tmp_path / "light.png", (1200, 900))
    assert light.mean() > 200
    # The tops of the tiles: vermilion, blue, green.
    for colour in ((0, 94, 213), (200, 90, 0), (74, 145, 20)):
        assert (np.abs(light.astype(int) - colour).max(axis=2) < 12).sum() > 200
    dark = screenshot(
        page,
        tmp_path / "dark.png",
        (1200, 900),
        switches=["--blink-settings=preferredColorScheme=0"],
    )
    assert dark.mean() < 90
    viewer = screenshot(page, tmp_path / "viewer.png", (1000, 700), fragment="#1")
    # The script ran: black surroundings, and the drawn white cell large in the middle.
    assert viewer[350, 5].max() < 40
    assert (np.abs(viewer.astype(int) - (220, 60, 60)).max(axis=2) < 30).sum() > 20_000


PROBE = """<script>
const seen = {};
const rows = () => [...document.querySelectorAll("tbody tr")];
const column = (n) => rows().map((row) => row.cells[n].dataset.value);
const click = (id) => document.getElementById(id).click();
const headings = document.querySelectorAll("th button");
headings[2].click(); seen.down = column(2);
headings[2].click(); seen.up = column(2);
headings[0].click(); seen.names = column(0);
document.querySelectorAll("button.open")[0].click();
seen.title = document.getElementById("title").textContent;
seen.polygons = stage.querySelectorAll("polygon").length;
const width = () => Number(stage.firstChild.getAttribute("viewBox").split(" ")[2]);
seen.whole = width(); click("larger"); seen.larger = width(); click("fit"); seen.fit = width();
click("outlined"); seen.outlines = stage.querySelector("#outlines").getAttribute("visibility");
click("next"); seen.next = document.getElementById("title").textContent;
seen.address = location.hash;
click("close"); seen.open = viewer.open;
document.querySelector("button.cell").click(); seen.crop = details.textContent;
seen.cell = location.hash;
click("unsure"); seen.unsure = location.hash; click("close"); seen.closed = location.hash;
search.value = "C 10"; search.dispatchEvent(new Event("input"));
seen.found = rows().filter((row) => !row.hidden).map((row) => row.cells[0].dataset.value);
seen.counted = document.getElementById("found").textContent;
search.value = ""; search.dispatchEvent(new Event("input"));
document.querySelectorAll("button.open")[1].click();
seen.groups = [...document.getElementById("filter").options].map((one) => one.value);
filter.value = "Class: Platelet"; filter.dispatchEvent(new Event("change"));
seen.listed = document.getElementById("listed").children.length;
const isHidden = () => document.getElementById("legend").hidden;
seen.legend = [isHidden()]; click("help"); seen.legend.push(isHidden());
document.documentElement.dataset.seen = JSON.stringify(seen);
</script></body>"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_the_page_sorts_enlarges_and_toggles(tmp_path):
    outcomes = [outcome_of("b"), outcome_of("a", analysis_of(CELLS[2:])), outcome_of("c 10")]
    html = render_page(summary_of(*outcomes, outcome_of("c 9", analysis_of(CELLS[:1]))))
    html = re.sub(r"<meta http-equiv.*?>", "", html).replace("</body>", PROBE)
    (tmp_path / "index.html").write_text(html, "utf-8")
    dumped = in_chromium(tmp_path, "--dump-dom", (tmp_path / "index.html").as_uri())
    seen = json.loads(Page(dumped).of("html")[0]["data-seen"])
    assert seen == {
        "down": ["3", "3", "2", "0"],
        "up": ["0", "2", "3", "3"],
        "names": ["a", "b", "c 9", "c 10"],
        "title": "a",
        "polygons": 3,
        "whole": 192,
        "larger": pytest.approx(192 / 1.4),
        "fit": 192,
        "outlines": "hidden",
        "next": "b",
        "address": "#1",
        "open": False,
        "crop": seen["crop"],
        "cell": seen["cell"],
        "unsure": seen["unsure"],
        "closed": "",
        "found": ["c 10"],
        "counted": "1 of 4",
        "groups": seen["groups"],
        "listed": 1,
        "legend": [True, False],
    }
    assert "not sure" in seen["crop"]
    assert re.fullmatch(r"#\d\.\d", seen["cell"])
    assert re.fullmatch(r"#\d\.\d", seen["unsure"])
    assert seen["unsure"] != seen["cell"]
    assert {"All cells", "Type: RBC", "Class: Platelet"} <= set(seen["groups"])
