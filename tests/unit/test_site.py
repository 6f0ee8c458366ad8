"""The documentation site: its pages are there, and its links lead to pages."""

import re
from pathlib import Path

import pytest

pytest.importorskip("mkdocs", reason="needs the [docs] extra")

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site_pages():
    import importlib.util

    spec = importlib.util.spec_from_file_location("site_pages", ROOT / "scripts" / "site_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def navigation():
    text = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:\n")[2]
    return re.findall(r": (\S+\.md)$", text, re.M)


def test_every_page_of_the_navigation_is_there_and_every_page_is_in_it(site_pages):
    written = {path.name for path in (ROOT / "docs").glob("*.md")}
    generated = {*site_pages.ELSEWHERE.values(), "commands.md", *dict(site_pages.api_pages())}
    assert sorted(navigation()) == sorted(written | generated)


def test_every_command_is_on_its_page(site_pages):
    page = site_pages.commands_page()
    assert {"bloodcells analyze", "bloodcells train"} <= set(re.findall("^## (.+)$", page, re.M))
    assert "--cell-diameter" in page


@pytest.mark.parametrize(
    ("page", "link", "expected"),
    [
        ("index.md", "[a](docs/adding.md#x)", "[a](adding.md#x)"),
        ("index.md", "![a](docs/images/a.png)", "![a](images/a.png)"),
        ("adding.md", "[a](../CHANGELOG.md)", "[a](changes.md)"),
        ("adding.md", "[a](data_formats.md)", "[a](data_formats.md)"),
        ("model_card.md", "[a](CLASSIFIER_CARDS.md)", "[a](classifier_cards.md)"),
        ("index.md", "[a](LICENSE)", "a"),
        ("index.md", "[a](https://example.org/b)", "[a](https://example.org/b)"),
        ("index.md", "```\n[a](LICENSE)\n```", "```\n[a](LICENSE)\n```"),
    ],
)
def test_links_lead_to_pages(site_pages, page, link, expected):
    assert site_pages.relinked(link, page) == expected


def test_a_page_that_loads_something_from_elsewhere_is_refused(site_pages):
    class Page:
        class file:  # noqa: N801
            src_uri = "a.md"

    fine = '<a href="https://example.org">there</a>'
    assert site_pages.on_post_page(fine, page=Page) == fine
    with pytest.raises(Exception, match=r"a\.md: loads"):
        site_pages.on_post_page('<script src="https://example.org/a.js">', page=Page)
