"""A data set by its name, cloned or taken from Kaggle: the folder is whole, or not there."""

import importlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from blood_cell_system.atomic_files import make_folder
from blood_cell_system.datasets.download.catalogue import PublicDataSet, Way
from blood_cell_system.errors import DownloadError, OutputError

# git gives up by itself when this little arrives for this long.
_SLOW: Final = ("-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=60")


def download_data_set(data_set: PublicDataSet, target: Path) -> Path:
    """Download a data set.

    Parameters
    ----------
    data_set : PublicDataSet
    target : Path
        Folder that it becomes; must not be there, or be empty.

    Returns
    -------
    Path
        The target.

    Raises
    ------
    OutputError
        The target holds something already, or the place cannot be written to.
    DownloadError
        The data set must be asked for, a program or a token is missing, or the network fails.
    """
    if data_set.way is Way.ASK:
        raise DownloadError(
            f"{data_set.name}: its owners give it to whom they know. Ask for it at "
            f"{data_set.address}, unpack it as {data_set.folder}, then: "
            f"{data_set.next_step.format(folder=data_set.folder)}"
        )
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise OutputError(
            f"{target}: there is something of that name already; expected a free place. Go on with "
            f"it ({data_set.next_step.format(folder=target)}), move it away, or choose another "
            "--output."
        )
    get = clone if data_set.way is Way.GIT else from_kaggle
    return _whole_or_not(target, lambda folder: get(data_set.address, folder))


def _whole_or_not(target: Path, fill: Callable[[Path], None]) -> Path:
    make_folder(target.parent)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as temporary:
        folder = Path(temporary) / target.name
        fill(folder)
        try:
            folder.rename(target)
        except OSError as error:
            raise OutputError(
                f"{target}: cannot put the data set there ({error.strerror or error}). Choose "
                "another --output."
            ) from error
    return target


def clone(address: str, folder: Path) -> None:
    """Clone the newest state of a git repository.

    Raises
    ------
    DownloadError
        There is no git, no such repository, or no network.
    """
    program = shutil.which("git")
    if program is None:
        raise DownloadError(
            f"{address}: git is not installed. Install it, or download the repository as a zip "
            "file from its page: prepare reads that as well."
        )
    # Without a terminal to ask for passwords: a repository that wants one is not public.
    environment = os.environ | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    words = [program, *_SLOW, "clone", "--quiet", "--depth", "1", "--", address, str(folder)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith(("fatal", "error"))]
        raise DownloadError(
            f"{address}: git could not clone it ({'; '.join(lines) or done.stderr.strip()}). Check "
            "the network and run the same again."
        )


def from_kaggle(handle: str, folder: Path) -> None:
    """Copy a data set of Kaggle's.

    Raises
    ------
    DownloadError
        The package is not installed, Kaggle asks for a token, or there is no network.
    """
    try:
        kagglehub: Any = importlib.import_module("kagglehub")
    except ModuleNotFoundError as error:
        raise DownloadError(
            f"{handle}: downloading from Kaggle needs the package kagglehub. In the folder of this "
            "project: pip install '.[download]'. Or download the zip file at "
            f"https://www.kaggle.com/datasets/{handle}: prepare reads it as it is."
        ) from error
    try:
        fetched = Path(kagglehub.dataset_download(handle))
    except Exception as error:
        # Of its own and of its network library's many kinds; what helps depends on the answer.
        raise DownloadError(f"{handle}: {_what_kaggle_says(error, handle)}") from error
    shutil.copytree(fetched, folder)


def _what_kaggle_says(error: Exception, handle: str) -> str:
    page = f"https://www.kaggle.com/datasets/{handle}"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403) or "auth" in type(error).__name__.lower():
        return (
            "Kaggle asks who you are. Make a token on kaggle.com/settings (Create New Token), put "
            "kaggle.json into ~/.kaggle/, accept the data set's terms on its page if it has any "
            f"({page}), and run the same again."
        )
    if status == 404:
        return f"Kaggle has no such data set. Look at {page}."
    return (
        f"not downloaded ({type(error).__name__}: {error}). Check the network and run the same "
        f"again, or download the zip file at {page}: prepare reads it as it is."
    )
