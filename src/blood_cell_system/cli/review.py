"""``bloodcells review`` and what follows: suggest, agreement and apply-corrections."""

import secrets
import socket
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from blood_cell_system.cli.analyze import system_of
from blood_cell_system.cli.options import (
    MovedImages,
    OwnModels,
    OwnSegmenter,
    Results,
    Seed,
    argument,
    option,
    within,
)
from blood_cell_system.wording import counted

if TYPE_CHECKING:
    from blood_cell_system.pipeline.system import BloodCellAnalysisSystem
    from blood_cell_system.review.server import AnalyzeImage

_HOST: Final = "127.0.0.1"
_LEAST_TOKEN: Final = 16
"""Letters: a shorter one can be guessed."""


def review(
    *,
    results: Results,
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
    model: OwnSegmenter = None,
    models: OwnModels = None,
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


def suggest(
    *,
    results: Results,
    count: Annotated[
        int, option("--count N", "How many cells.", parser=within(int, 1, 10_000))
    ] = 50,
    cell_type: Annotated[
        list[str] | None,
        option("--cell-type TYPE...", "Their types.", default="all that were classified"),
    ] = None,
    corrections: Annotated[
        list[Path] | None,
        option("--corrections FILE...", "Corrections that are not in the log of the results."),
    ] = None,
    output_dir: Annotated[
        Path | None, option("-o --output-dir DIR", "Folder to write.", default="RESULTS")
    ] = None,
    seed: Seed = 0,
) -> int:
    """List the cells and fields whose review teaches a classifier most.

    Cells that the program is not sure of and that are unlike each other and unlike those that were
    reviewed; never more than 19 of a field.

    Examples
    --------
    bloodcells suggest results
    bloodcells suggest results --count 100 --cell-type WBC
    """
    from blood_cell_system.pipeline.results_folder import ResultsFolder
    from blood_cell_system.pipeline.suggestion import (
        SUGGESTIONS_STEM,
        write_suggestions,
    )
    from blood_cell_system.pipeline.suggestion import suggest as suggestions_of
    from blood_cell_system.reports.report import shown_name

    folder = ResultsFolder(results)
    found = suggestions_of(
        folder,
        count=count,
        cell_types=cell_type or (),
        corrections=corrections or (),
        seed=seed,
    )
    links = write_suggestions(found, folder, output_dir or results)
    for reason in found.failed:
        print(f"failed  {shown_name(reason)}")
    kinds = Counter(cell.cell_type for cell in found.cells)
    words = ", ".join(f"{number} {name}" for name, number in kinds.items())
    fields = len({cell.image for cell in found.cells})
    print(
        f"{counted(len(found.cells), 'cell')} to look at ({words or 'none'}) in "
        f"{counted(fields, 'field')}; {found.reviewed} were reviewed before"
    )
    for field in found.fields:
        print(
            f"Field to review to its end: {shown_name(field.image)}, {counted(field.cells, 'cell')}"
        )
    place = (output_dir or results) / SUGGESTIONS_STEM
    print(f"List: {shown_name(str(place))}.json, .csv")
    if links:
        print(f"Review them: {shown_name(str(place))}.html")
    elif found.cells:
        print("No page to review: analyse again with --resume, without --no-review-page")
    return 1 if found.failed else 0


def agreement(
    *,
    first: Annotated[Path, argument("A", "Corrections, or a folder of results with their log.")],
    second: Annotated[
        Path | None, argument("B", "Those of another person.", default="the program")
    ] = None,
    results: Annotated[
        Path | None,
        option(
            "--results DIR",
            "Results that both have corrected.",
            default="A or B, if one is a folder",
        ),
    ] = None,
    images: MovedImages = None,
    output_dir: Annotated[
        Path | None, option("-o --output-dir DIR", "Folder to write.", default="the results")
    ] = None,
) -> int:
    """Measure how far two people agree on the cells of the same results.

    Without B, a person is compared with the program. Cells count that both have judged: corrected,
    marked as reviewed, or in fields that were reviewed to their end.

    Examples
    --------
    bloodcells agreement ada.json bob.json --results results
    bloodcells agreement results
    """
    from blood_cell_system.corrections.correction_log import log_of
    from blood_cell_system.errors import SettingsError
    from blood_cell_system.pipeline.people_compared import (
        AGREEMENT_STEM,
        compare_people,
        write_agreement,
    )
    from blood_cell_system.pipeline.results_folder import ResultsFolder
    from blood_cell_system.reports.report import shown_name

    folder = results or next((one for one in (first, second) if one and one.is_dir()), None)
    if folder is None:
        raise SettingsError(
            "--results: missing; corrections refer to the cells of results. Name the folder that "
            "both have corrected."
        )
    files = [log_of(one) if one and one.is_dir() else one for one in (first, second)]
    opened = ResultsFolder(folder, images or [])
    found, shown = compare_people(opened, files[0] or first, files[1])
    place = output_dir or folder
    write_agreement(found, shown, opened, place)
    print(f"{shown_name(found.first)} and {shown_name(found.second)}")
    for question in found.questions:
        print(
            f"{question.name}: {counted(question.total, 'cell')}, the same answer "
            f"{question.observed}, kappa {question.kappa}"
        )
    print(f"They disagree on {counted(len(found.disagreements), 'cell')}")
    print(f"All of it: {shown_name(str(place / AGREEMENT_STEM))}.html, .json")
    return 0


def apply(
    *,
    results: Results,
    output_dir: Annotated[Path, option("-o --output-dir DIR", "New folder to write.")],
    corrections: Annotated[
        Path | None,
        option(
            "--corrections FILE",
            "What the page has exported.",
            default="what bloodcells review has saved in RESULTS",
        ),
    ] = None,
    images: MovedImages = None,
    trains: Annotated[
        bool,
        option(
            "--train",
            "Also fine-tune the built-in classifiers on the corrected cells, into DIR/models.",
        ),
    ] = False,
    seed: Seed = 0,
) -> int:
    """Write corrected results, and folders that train and train-classifier take as they are.

    Fields that were reviewed to their end are learned from as a whole, others only where a person
    acted.

    Examples
    --------
    bloodcells apply-corrections results -o corrected
    bloodcells apply-corrections results --corrections corrections.json -o corrected --train
    """
    from blood_cell_system.corrections.correction_log import log_of, read_corrections
    from blood_cell_system.errors import DatasetError, MissingDataError
    from blood_cell_system.folder_lock import locked_folder
    from blood_cell_system.pipeline.corrected_folders import apply_corrections
    from blood_cell_system.pipeline.results_folder import ResultsFolder

    folder = ResultsFolder(results, images or [])
    path = corrections or log_of(results)
    if not path.is_file():
        raise MissingDataError(
            f"{path}: there is no such file; expected corrections. Review the results with "
            "bloodcells review, or name what review.html has exported with --corrections."
        )
    with locked_folder(output_dir.parent, command="apply-corrections"):
        applied = apply_corrections(
            folder, read_corrections(path), output_dir, where=str(path), seed=seed
        )
    print(applied.to_text())
    if not trains:
        return 0
    trained = []
    from blood_cell_system.cli.train import fine_tune_classifier_of

    for kind, cells in applied.cell_folders.items():
        try:
            fine_tune_classifier_of(kind, cells, target=output_dir / "models", seed=seed)
            trained.append(kind)
        except DatasetError as error:
            print(f"{kind}: no classifier was trained. {error}")
    return 0 if trained else 1
