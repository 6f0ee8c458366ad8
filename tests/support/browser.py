"""Pages in Chromium, driven by playwright; tests that need them are skipped without it."""

import os
import shutil
from contextlib import contextmanager

import pytest

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)


@contextmanager
def launched():
    """Give a running browser."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("neither Chromium nor Chrome is on the PATH")
    # Chromium refuses to run as root with its sandbox.
    switches = ["--disable-gpu", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=switches)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(path, *, width=1400, height=900, media="screen"):
    """Give the page of a file in a window of that size, as the screen or a printer shows it."""
    with launched() as browser:
        page = browser.new_page(viewport={"width": width, "height": height})
        page.emulate_media(media=media)
        page.goto(path.as_uri())
        yield page
