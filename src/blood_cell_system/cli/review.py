"""``bloodcells review``: look at results in a browser, and correct them."""

import secrets
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from blood_cell_system.cli.analyze import system_of
from blood_cell_system.cli.options import MovedImages, argument, option, within

if TYPE_CHECKING:
    from blood_cell_system.pipeline.system import BloodCellAnalysisSystem
    from blood_cell_system.review.server import AnalyzeImage

_HOST: Final = "127.0.0.1"
_LEAST_TOKEN: Final = 16
"""Letters: a shorter one can be guessed."""


def review(
    *,
    results: Annotated[Path, argument("RESULTS", "Folder that analyze has written.")],
    port: Annotated[
        int, option("--port N", "0 for any that is free.", parser=within(int, 0, 65535))
    ] = 8765,
    host: Annotated[
        str,
        option("--host NAME", "Address to listen on; another than this computer needs a token."),
    ] = _HOST,
    token: Annotated[
        str | None,
        option("--token TEXT", "Who opens the page must name it.", default="drawn, with --host"),
    ] = None,
    opens: Annotated[bool, option("--open", "Open the page in the browser.")] = False,
    corrections: Annotated[
        Path | None,
        option(
            "--corrections FILE",
            "Where corrections are saved, for results that cannot be written to.",
            default="in RESULTS",
        ),
    ] = None,
    images: MovedImages = None,
    model: Annotated[
        Path | None,
        option("--model FILE", "Segmenter that outlines missed cells.", default="built-in"),
    ] = None,
    models: Annotated[
        Path | None, option("--models DIR", "Folder with models of your own.")
    ] = None,
) -> int:
    """Show results in a browser, and save each correction at once beside them.

    The same server analyses images: POST /analyze, described at /docs. Ctrl-C ends it.

    Examples
    --------
    bloodcells review results --open
    bloodcells review results --host 0.0.0.0 --token a-long-word-of-your-own
    """
    import uvicorn

    from blood_cell_system.corrections.correction_log import log_of
    from blood_cell_system.errors import MissingDataError
    from blood_cell_system.folder_lock import locked_folder
    from blood_cell_system.pipeline.results_folder import ResultsFolder
    from blood_cell_system.reports.page.review_page import REVIEW_NAME
    from blood_cell_system.review.guard import LOCAL_NAMES, TOKEN_PARAMETER, Guard
    from blood_cell_system.review.review_session import ReviewSession
    from blood_cell_system.review.server import AnalysisLimits, create_app

    folder = ResultsFolder(results, images or [])
    if not (results / REVIEW_NAME).is_file():
        raise MissingDataError(
            f"{results}: has no {REVIEW_NAME}; expected the page that bloodcells analyze writes. "
            "Analyse the images again with --resume, and with review among --write."
        )
    if token is not None and len(token) < _LEAST_TOKEN:
        raise typer.BadParameter(
            f"--token: has {len(token)} letters; expected {_LEAST_TOKEN} or more."
        )
    if token is None and host not in LOCAL_NAMES:
        token = secrets.token_urlsafe(24)
    log = corrections or log_of(results)
    system = system_of(model, models)
    limits = AnalysisLimits()
    # The address first: what is taken must not cost anybody a wait.
    with _listening(host, port) as listener, locked_folder(log.parent, command="review"):
        bound = listener.getsockname()[1]
        session = ReviewSession(folder, log, segmenter=system.segmentation_runtime)
        try:
            app = Guard(
                create_app(session, _analyzer(system), limits=limits),
                host=host,
                port=bound,
                token=token,
                limits={"/analyze": limits.max_bytes},
            )
            name = f"[{host}]" if ":" in host else host
            address = f"http://{name}:{bound}/" + (f"?{TOKEN_PARAMETER}={token}" if token else "")
            print(f"Review at {address}")
            print(f"Corrections are saved in {log}")
            sys.stdout.flush()
            if opens:
                import webbrowser

                webbrowser.open(address)
            # Its own configuration of logging closes the handlers of others, absl's stream too.
            config = uvicorn.Config(
                app, log_config=None, log_level="warning", access_log=False, server_header=False
            )
            uvicorn.Server(config).run(sockets=[listener])
        finally:
            session.close()
    return 0


def _listening(host: str, port: int) -> socket.socket:
    """Take an address.

    Raises
    ------
    SettingsError
        Another program has it, or this computer does not.
    """
    from blood_cell_system.errors import SettingsError, system_words

    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise SettingsError(
            f"--host: {host!r} is no address ({error.strerror}). Leave it out for this computer."
        ) from error
    try:
        if sys.platform != "win32":
            # Else a server that was stopped keeps its port for a minute.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        remedy = "Choose another with --port, or 0 for any that is free."
        raise SettingsError(
            f"port {port} of {host} cannot be used: {system_words(error, remedy=remedy)}"
        ) from error
    return listener


def _analyzer(system: "BloodCellAnalysisSystem") -> "AnalyzeImage":
    """Make what ``POST /analyze`` runs."""
    from blood_cell_system.analysis.image_analysis import AnalysisSettings
    from blood_cell_system.pipeline.image import InferencePipeline
    from blood_cell_system.reports.report import DiagnosticReport

    def analyze_image(
        data: bytes, name: str, pixel_size_um: float | None, cell_diameter_px: float | None
    ) -> DiagnosticReport:
        settings = AnalysisSettings(pixel_size_um=pixel_size_um, cell_diameter_px=cell_diameter_px)
        # The name alone: nothing of this computer is read by it.
        path = Path(name.replace("\0", "").rpartition("/")[2] or "image")
        return InferencePipeline(system, settings=settings).analyze(path, data=data).report

    return analyze_image
