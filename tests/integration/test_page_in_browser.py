"""The page of an analysed smear in a browser: no error, nothing asked of the network."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.odd_scenes import field_of_cells

from blood_cell_system.cli.main import main
from blood_cell_system.imaging.image_file import write_image

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
CHROMIUM = CHROMIUM or shutil.which("google-chrome")
SWITCHES = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--virtual-time-budget=2000",
    "--enable-logging=stderr",
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="neither Chromium nor Chrome is on the PATH"),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("analysed")
    for number in range(3):
        image = field_of_cells(40, shape=(240, 320), seed=number)
        write_image(folder / "in" / f"field {number}.png", image)
    assert main(["analyze", str(folder / "in"), "--output-dir", str(folder / "out")]) == 0
    return folder / "out" / "index.html"


class Visit:
    """A page as a browser sees it.

    Attributes
    ----------
    complaints : list of str
        What the page wrote to the console, refused loads among it.
    addresses : set of str
        Everything that the page asked of the network.
    screen : ndarray
        BGR.
    """

    def __init__(self, page: Path, folder: Path, *, size=(1200, 900), fragment=""):
        log, image = folder / "net.json", folder / "screen.png"
        # Chromium refuses to run as root with its sandbox.
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        done = subprocess.run(
            [
                CHROMIUM,
                *SWITCHES,
                *sandbox,
                f"--user-data-dir={folder / 'profile'}",
                f"--log-net-log={log}",
                f"--window-size={size[0]},{size[1]}",
                f"--screenshot={image}",
                page.as_uri() + fragment,
            ],
            check=True,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
        )
        self.complaints = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
        # The browser has requests of its own; those of the page are on a file's behalf.
        self.addresses = {
            address
            for event in log.read_text("utf-8").splitlines()
            if '"network_isolation_key":"file://' in event
            for address in re.findall(r'"url":"((?:https?|wss?)://[^"]*)"', event)
        }
        self.screen = cv2.imread(str(image))


def test_the_page_asks_the_network_for_nothing_and_has_no_error(page, tmp_path):
    visit = Visit(page, tmp_path, fragment="#0")
    assert visit.complaints == []
    assert visit.addresses == set()


def test_a_page_that_did_would_be_noticed(tmp_path):
    page = tmp_path / "index.html"
    page.write_text("<img src='http://127.0.0.1:9/a.png'><script>nothing()</script>")
    visit = Visit(page, tmp_path)
    assert any("nothing is not defined" in line for line in visit.complaints)
    assert visit.addresses == {"http://127.0.0.1:9/a.png"}


@pytest.mark.parametrize("size", [(1200, 900), (500, 900)], ids=["desktop", "phone"])
def test_the_page_of_a_smear_fits_its_window(page, tmp_path, size):
    visit = Visit(page, tmp_path, size=size)
    assert visit.screen.shape == (size[1], size[0], 3)
    # Words and tiles on a light ground, none of them cut off by the right border.
    assert visit.screen.mean() > 200
    assert np.ptp(visit.screen[:, -3:].astype(int), axis=0).max() < 30


def test_the_viewer_shows_the_smear_that_the_address_names(page, tmp_path):
    visit = Visit(page, tmp_path, fragment="#1")
    assert visit.screen[450, 3].max() < 60
    assert (visit.screen[200:700, 300:900].max(axis=2) > 150).mean() > 0.3


def test_every_row_of_the_table_is_an_analysed_image(page):
    summary = json.loads((page.parent / "batch_summary.json").read_text("utf-8"))
    assert len(summary["images"]) == 3
    assert page.read_text("utf-8").count("<tbody>") >= 1
