"""Pages of the documentation site that are not files of docs/, and links that lead out of it.

MkDocs calls the functions named ``on_…``; see ``hooks`` in mkdocs.yml.
"""

import os
import posixpath
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "blood_cell_system"
WEIGHTS = "src/blood_cell_system/weights"

ELSEWHERE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changes.md",
    "CONTRIBUTING.md": "contributing.md",
    f"{WEIGHTS}/MODEL_CARD.md": "model_card.md",
    f"{WEIGHTS}/CLASSIFIER_CARDS.md": "classifier_cards.md",
    "commercial_weights/MODEL_CARD.md": "commercial_cards.md",
}
"""Files of the repository that are pages too, and the names of the pages."""

_SOURCES = {page: source for source, page in ELSEWHERE.items()}
_LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
_LOADED = re.compile(r"<(?:script|img|iframe)\b[^>]*\bsrc=\"https?:|<link\b[^>]*\bhref=\"https?:")


def generated_pages() -> dict[str, str]:
    """Every page that is not a file of docs/: its name and its Markdown."""
    pages = {page: (ROOT / source).read_text("utf-8") for source, page in ELSEWHERE.items()}
    return pages | dict(api_pages()) | {"commands.md": commands_page()}


def api_pages() -> Iterator[tuple[str, str]]:
    """A page of the top-level names, one for each room, one for the modules beside the rooms."""
    yield "api/index.md", _page(_TOP_LEVEL, ["| Name | |\n|---|---|\n" + _names()])
    for room in sorted(path.parent for path in PACKAGE.glob("*/__init__.py")):
        if room.name != "cli":
            yield f"api/{room.name}.md", _page(room.name, map(_directive, _modules(room)))
    base = sorted(path for path in PACKAGE.glob("*.py") if not path.name.startswith("_"))
    yield "api/base.md", _page("Base modules", map(_directive, base))


_TOP_LEVEL = """Top-level names

```python
import blood_cell_system as bcs

report = bcs.analyze("smear.jpg")
```

The import loads neither NumPy nor OpenCV: each name is imported on first use."""


def _names() -> str:
    import blood_cell_system as bcs

    rows = []
    for name, module in sorted(bcs._MODULES.items()):
        summary = getattr(bcs, name).__doc__.strip().splitlines()[0]
        rows.append(f"| [`bcs.{name}`][blood_cell_system.{module}.{name}] | {summary} |")
    return "\n".join(rows)


def _modules(room: Path) -> list[Path]:
    return sorted(path for path in room.rglob("*.py") if not path.name.startswith("_"))


def _directive(module: Path) -> str:
    return f"::: {'.'.join(module.relative_to(PACKAGE.parent).with_suffix('').parts)}"


def _page(title: str, parts: Any) -> str:
    return "\n\n".join([f"# {title}", *parts]) + "\n"


def commands_page() -> str:
    """The help of every command, as the command prints it."""
    from blood_cell_system.cli.main import COMMANDS

    parts = ["# Commands", f"```text\n{_help()}\n```"]
    for name in (command.name for command in COMMANDS):
        parts += [f"## bloodcells {name}", f"```text\n{_help(name)}\n```"]
    return "\n\n".join(parts) + "\n"


def _help(*command: str) -> str:
    code = "import sys; from blood_cell_system.cli.main import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, *command, "--help"],
        env=os.environ | {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    return done.stdout.replace("usage: -c", "usage: bloodcells").strip()


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages."""
    for name, text in generated_pages().items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Turn links between files of the repository into links between pages."""
    return relinked(markdown, page.file.src_uri)


def relinked(markdown: str, page: str) -> str:
    """Text with its links as the site needs them; files that are no page lose their link."""
    source = _SOURCES.get(page, f"docs/{page}")

    def replaced(match: re.Match[str]) -> str:
        text, target = match.groups()
        name, _, anchor = target.partition("#")
        if "://" in target or not name:
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), name))
        if path in ELSEWHERE:
            linked = ELSEWHERE[path]
        elif path.startswith("docs/") and not path.endswith((".py", ".json")):
            linked = path.removeprefix("docs/")
        else:
            return text
        where = posixpath.relpath(linked, posixpath.dirname(page) or ".")
        return f"[{text}]({where}{'#' if anchor else ''}{anchor})"

    parts = re.split(r"(^```.*?^```)", markdown, flags=re.M | re.S)
    return "".join(part if part.startswith("```") else _LINK.sub(replaced, part) for part in parts)


def on_post_page(output: str, *, page: Any, **_: Any) -> str:
    """Refuse a page that loads something from elsewhere: the site has to work offline."""
    loaded = _LOADED.search(output)
    if loaded:
        raise PluginError(f"{page.file.src_uri}: loads {loaded[0]} from elsewhere.")
    return output
