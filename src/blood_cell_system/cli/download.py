"""``bloodcells download``: public data sets by name, and files by address."""

import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated
from urllib.parse import unquote, urlsplit

from blood_cell_system.cli.options import argument, option
from blood_cell_system.errors import SettingsError

if TYPE_CHECKING:
    from blood_cell_system.datasets.public_datasets import PublicDataSet


def download(
    *,
    name: Annotated[
        str | None,
        argument(
            "NAME|ADDRESS",
            "bccd, kaggle, lisc, allidb, or the https address of a file.",
            default="list them",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        option(
            "-o --output PATH",
            "What the data set's folder, or the file, is to be called.",
            default="its own name",
        ),
    ] = None,
    accept_licence: Annotated[
        bool, option("--accept-licence", "Do not ask: the licence was read.")
    ] = False,
    sha256: Annotated[
        str | None, option("--sha256 HEX", "For an address: what the file must have.")
    ] = None,
    timeout: Annotated[float, option("--timeout S", "Longest silence of a server.")] = 30.0,
) -> int:
    """Get a public data set, after its licence was accepted.

    Examples
    --------
    bloodcells download
    bloodcells download bccd --accept-licence
    """
    from blood_cell_system.datasets.public_datasets import (
        Way,
        data_set_named,
        data_sets,
        download_data_set,
    )

    if name is None:
        for data_set in data_sets().values():
            how = " (must be asked for)" if data_set.way is Way.ASK else ""
            print(f"{data_set.name}: {data_set.title}{how}\n  licence: {data_set.licence}")
        return 0
    if "://" in name:
        return _download_file(name, output, sha256=sha256, timeout=timeout)
    data_set = data_set_named(name)
    if data_set.way is not Way.ASK:
        _check_accepted(data_set, is_accepted=accept_licence)
    folder = download_data_set(data_set, output or Path(data_set.folder))
    print(f"{folder}: {data_set.title}\nplease cite: {data_set.citation}")
    print(f"next: {data_set.next_step.format(folder=folder)}")
    return 0


def _check_accepted(data_set: "PublicDataSet", *, is_accepted: bool) -> None:
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


def _download_file(address: str, output: Path | None, *, sha256: str | None, timeout: float) -> int:
    from blood_cell_system.datasets.public_datasets import fetch_file

    name = PurePosixPath(unquote(urlsplit(address).path)).name or "download"
    target = output or Path(name)
    path = fetch_file(
        address,
        target / name if target.is_dir() else target,
        sha256=sha256,
        timeout_seconds=timeout,
        report=_Progress() if sys.stderr.isatty() else None,
    )
    print(f"{path}: {path.stat().st_size:,} bytes")
    return 0


class _Progress:
    """One line that shows how much has arrived; a new one every percent."""

    def __init__(self) -> None:
        self._shown = -1

    def __call__(self, here: int, total: int | None) -> None:
        step = here * 100 // total if total else here >> 20
        if step != self._shown:
            self._shown = step
            share = f"{step} %" if total else f"{step} MB"
            # Made to be drawn over, unlike what is printed.
            raw = getattr(sys.stderr, "write_raw", sys.stderr.write)
            raw(f"\r{share}" + ("\n" if here == total else ""))
            sys.stderr.flush()
