"""``bloodcells download``: public data sets by name, and files by address."""

import argparse
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from blood_cell_system.datasets.download import PublicDataSet


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command."""
    parser.add_argument(
        "name",
        nargs="?",
        metavar="NAME|ADDRESS",
        help="bccd, kaggle, lisc, allidb, or the https address of a file (default: list them)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="PATH",
        help="what the data set's folder, or the file, is to be called (default: its own name)",
    )
    parser.add_argument(
        "--accept-licence", action="store_true", help="do not ask: the licence was read"
    )
    parser.add_argument("--sha256", metavar="HEX", help="of an address: what the file must have")
    parser.add_argument(
        "--timeout", type=float, default=30.0, metavar="S", help="longest silence of a server"
    )


def run(options: argparse.Namespace) -> int:
    """Download, or list what there is."""
    from blood_cell_system.datasets.download import DATA_SETS, Way, data_set_named

    if options.name is None:
        for data_set in DATA_SETS.values():
            how = " (must be asked for)" if data_set.way is Way.ASK else ""
            print(f"{data_set.name}: {data_set.title}{how}\n  licence: {data_set.licence}")
        return 0
    if "://" in options.name:
        return _download_file(options)
    from blood_cell_system.datasets.download import download_data_set

    data_set = data_set_named(options.name)
    if data_set.way is not Way.ASK:
        _check_accepted(data_set, is_accepted=options.accept_licence)
    folder = download_data_set(data_set, options.output or Path(data_set.folder))
    print(f"{folder}: {data_set.title}\nplease cite: {data_set.citation}")
    print(f"next: {data_set.next_step.format(folder=folder)}")
    return 0


def _check_accepted(data_set: "PublicDataSet", *, is_accepted: bool) -> None:
    from blood_cell_system.errors import SettingsError

    print(f"{data_set.name}: {data_set.address}\nlicence: {data_set.licence}")
    if is_accepted:
        return
    if sys.stdin is not None and sys.stdin.isatty():
        is_accepted = input("Accept it? [yes/no] ").strip().lower() in ("y", "yes")
    if not is_accepted:
        raise SettingsError(
            f"{data_set.name}: its licence ({data_set.licence}) was not accepted, and nothing was "
            "downloaded. Read it, then add --accept-licence."
        )


def _download_file(options: argparse.Namespace) -> int:
    from blood_cell_system.datasets.download import fetch_file

    name = PurePosixPath(unquote(urlsplit(options.name).path)).name or "download"
    target = options.output or Path(name)
    path = fetch_file(
        options.name,
        target / name if target.is_dir() else target,
        sha256=options.sha256,
        timeout_seconds=options.timeout,
        tell=_Progress() if sys.stderr.isatty() else None,
    )
    print(f"{path}: {path.stat().st_size:,} bytes")
    return 0


class _Progress:
    """One line that says how much has arrived; a new one every percent."""

    def __init__(self) -> None:
        self._told = -1

    def __call__(self, here: int, total: int | None) -> None:
        step = here * 100 // total if total else here >> 20
        if step != self._told:
            self._told = step
            share = f"{step} %" if total else f"{step} MB"
            print(f"\r{share}", end="" if here != total else "\n", file=sys.stderr, flush=True)


__all__ = ["add_arguments", "run"]
