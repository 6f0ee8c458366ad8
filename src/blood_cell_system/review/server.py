"""The server of ``bloodcells review``: the page of results, their corrections, and ``/analyze``."""

import asyncio
import html
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import FastAPI, Query, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

import blood_cell_system
from blood_cell_system.boxes import Box
from blood_cell_system.corrections.record import Event, ImageName, Point
from blood_cell_system.errors import (
    BloodCellError,
    CorrectionsError,
    ImageReadError,
    MissingDataError,
    OutOfRangeError,
    OutputError,
    value_words,
)
from blood_cell_system.reports.page.review_page import REVIEW_NAME
from blood_cell_system.reports.report import DISCLAIMER, DiagnosticReport, report_schema
from blood_cell_system.review.guard import NO_CONTENT, policy_of_page
from blood_cell_system.review.review_session import ReviewSession

_SERVED: Final = {
    ".html": "text/html",
    ".png": "image/png",
    ".tif": "image/tiff",
    ".json": "application/json",
    ".csv": "text/csv",
    ".txt": "text/plain",
}
"""Endings of the files of results, and what a browser is told that they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisLimits:
    """What ``POST /analyze`` takes.

    Parameters
    ----------
    max_bytes : int
        Of an image's file.
    seconds : float
        That an image may take, waiting for those before it included.
    """

    max_bytes: int = 100_000_000
    seconds: float = 300.0


AnalyzeImage = Callable[[bytes, str, float | None, float | None], DiagnosticReport]
"""Analyses an image: what its file holds, its name, the size of a pixel and the diameter of a red
cell, where they are known."""


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class EventBatch(_Body):
    """Events to save."""

    events: Annotated[tuple[Event, ...], Field(max_length=10_000)]


class Saved(_Body):
    """How many events are saved in all."""

    total: int


class Place(_Body):
    """Where a cell was missed: a box around it, or a point in it."""

    image: ImageName
    box: Annotated[
        tuple[float, float, float, float] | None,
        Field(description="x_min, y_min, x_max, y_max in pixels"),
    ] = None
    point: Point | None = None


class Proposal(_Body):
    """An outline; null where the network sees no cell."""

    polygon: tuple[tuple[float, float], ...] | None
    cell_type: str | None = None


_STATUS: Final[Mapping[type[BloodCellError], int]] = {
    CorrectionsError: 409,
    OutputError: 507,
    ImageReadError: 422,
    OutOfRangeError: 422,
    MissingDataError: 404,
}


def create_app(
    session: ReviewSession, analyze_image: AnalyzeImage, *, limits: AnalysisLimits
) -> FastAPI:
    """Make the server of a review; ``Guard`` decides who may ask it."""
    app = FastAPI(
        title="bloodcells review",
        version=blood_cell_system.__version__,
        description=DISCLAIMER,
        docs_url=None,
        redoc_url=None,
    )
    app.add_exception_handler(BloodCellError, _refuse)
    app.add_exception_handler(RequestValidationError, _not_understood)
    _add_corrections(app, session)
    _add_analysis(app, analyze_image, limits)
    _add_pages(app, session.results.path)
    return app


def _add_corrections(app: FastAPI, session: ReviewSession) -> None:
    @app.get("/api/events", summary="What was corrected, by all windows")
    def events(after: Annotated[int, Query(ge=0, description="how many you know")] = 0) -> Response:
        corrections = session.corrections
        new = [event.to_json() for event in corrections.events[after:]]
        return _json(
            {
                "header": corrections.header.model_dump(),
                "total": len(corrections.events),
                "events": new,
            }
        )

    @app.post("/api/events", summary="Save corrections; when it answers they are on the disk")
    def save(batch: EventBatch) -> Saved:
        return Saved(total=session.add(batch.events))

    @app.post("/api/propose", summary="Outline a cell that was missed")
    def propose(place: Place) -> Proposal:
        if place.box is not None:
            found = session.propose(place.image, Box(*place.box))
        elif place.point is not None:
            found = session.propose(place.image, place.point)
        else:
            raise CorrectionsError("neither a box nor a point; expected one of them.")
        if found is None:
            return Proposal(polygon=None)
        return Proposal(polygon=found.polygon, cell_type=found.cell_type)


def _add_analysis(app: FastAPI, analyze_image: AnalyzeImage, limits: AnalysisLimits) -> None:
    one_image = threading.Lock()

    def analyzed(*image: Any) -> DiagnosticReport:
        # One after the other: an image of 100 megapixels takes gigabytes.
        with one_image:
            return analyze_image(*image)

    body = {"content": {"application/octet-stream": {"schema": {"type": "string"}}}}
    body["content"]["application/octet-stream"]["schema"]["format"] = "binary"

    @app.post(
        "/analyze",
        summary="Analyse an image; the body is its file",
        description="Gives the report as analyze writes it; report_schema.json describes it.",
        openapi_extra={"requestBody": {"required": True, **body}},
        responses={
            413: {"description": "larger than is taken"},
            422: {"description": "no image, or damaged"},
            504: {"description": "not ready in time"},
        },
    )
    async def analyze(
        request: Request,
        name: Annotated[str, Query(max_length=255, description="of the file")] = "image",
        pixel_size_um: Annotated[float | None, Query(gt=0)] = None,
        cell_diameter_px: Annotated[float | None, Query(gt=0)] = None,
    ) -> Response:
        image = await request.body()
        work = run_in_threadpool(analyzed, image, name, pixel_size_um, cell_diameter_px)
        try:
            report = await asyncio.wait_for(work, limits.seconds)
        except TimeoutError:
            words = f"{name}: not ready after {limits.seconds:g} seconds. Send a smaller image."
            return _json({"detail": words}, status=504)
        return _json(report.to_json())


def _add_pages(app: FastAPI, results: Path) -> None:
    @app.get("/report_schema.json", include_in_schema=False)
    def schema() -> Response:
        return _json(report_schema())

    @app.get("/docs", include_in_schema=False)
    def docs() -> Response:
        return Response(_docs_page(app.openapi()), media_type="text/html")

    @app.get("/", include_in_schema=False)
    def page() -> Response:
        return _file(results, REVIEW_NAME)

    @app.get("/{path:path}", include_in_schema=False)
    def file(path: str) -> Response:
        return _file(results, path)


def _file(results: Path, path: str) -> Response:
    """Give a file of the results; nothing outside of them, by links either."""
    root = results.resolve()
    try:
        wanted = (root / path).resolve()
        is_ours = wanted.is_relative_to(root) and wanted.is_file()
    except (OSError, ValueError):
        is_ours = False
    kind = _SERVED.get(Path(path).suffix.lower())
    is_hidden = any(part.startswith(".") for part in Path(path).parts)
    if not is_ours or kind is None or is_hidden:
        return _json({"detail": "There is no such file among the results."}, status=404)
    policy = policy_of_page(_start_of(wanted)) if kind == "text/html" else NO_CONTENT
    return FileResponse(wanted, media_type=kind, headers={"content-security-policy": policy})


def _start_of(page: Path) -> bytes:
    with page.open("rb") as file:
        return file.read(20_000)


def _docs_page(schema: Mapping[str, Any]) -> str:
    """Lay the requests out as a page without scripts; the schema has everything."""
    rows = [
        f"<h2><code>{method.upper()} {html.escape(path)}</code></h2>"
        f"<p>{html.escape(entry.get('summary', ''))}. {html.escape(entry.get('description', ''))}"
        f"</p><ul>{''.join(_parameter(one) for one in entry.get('parameters', ()))}</ul>"
        for path, entries in schema["paths"].items()
        for method, entry in entries.items()
    ]
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Requests</title></head>'
        f"<body><h1>Requests</h1><p>{html.escape(DISCLAIMER)}</p>{''.join(rows)}"
        '<p>All of it: <a href="openapi.json">openapi.json</a></p></body></html>'
    )


def _parameter(value: Mapping[str, Any]) -> str:
    words = value.get("description", "")
    return f"<li><code>{html.escape(value['name'])}</code> {html.escape(words)}</li>"


def _json(value: Any, *, status: int = 200) -> Response:
    # Names that are not UTF-8 are escaped, and numbers that are not finite are null.
    return _AsciiResponse(jsonable_encoder(value), status_code=status)


class _AsciiResponse(JSONResponse):
    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def _refuse(_request: Request, error: Exception) -> Response:
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 422)
    return _json({"detail": str(error)}, status=status)


def _not_understood(_request: Request, error: Exception) -> Response:
    return _json({"detail": f"The request is not understood: {value_words(error)}."}, status=422)
