"""The review of one folder of results: events come in, are checked, and are saved at once."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from blood_cell_system.analysis.outline_proposal import ProposedOutline, propose_outline
from blood_cell_system.analysis.trained_models import Runtime, one_at_a_time, training_diameter_of
from blood_cell_system.boxes import Box
from blood_cell_system.cells.table import Cells
from blood_cell_system.corrections.correction_log import CorrectionsLog
from blood_cell_system.corrections.record import Corrections, Event, cells_digest
from blood_cell_system.corrections.replay import check_events, replay
from blood_cell_system.errors import CorrectionsError
from blood_cell_system.model_metadata import TRAINING_DIAMETER_PX
from blood_cell_system.pipeline.results_folder import ResultsFolder
from blood_cell_system.reports.report import DiagnosticReport

_KEPT_REPORTS: Final = 32
"""Reports in memory; one of a thousand cells has some 3 MB."""


class ReviewSession:
    """Corrections of a folder of results. Several threads may call its methods at once.

    Parameters
    ----------
    log : Path
        File of the corrections.
    segmenter : callable
        Gives the network that outlines cells; called with the first outline.

    Raises
    ------
    CorrectionsError
        The log is damaged, or of other results.
    OutputError
        It cannot be written to.
    """

    def __init__(
        self, results: ResultsFolder, log: Path, *, segmenter: Callable[[], Runtime]
    ) -> None:
        self.results = results
        self._log = CorrectionsLog(log, results.header)
        self._events = {event.id: event for event in self._log.events}
        self._segmenter = segmenter
        self._network: Runtime | None = None
        self._reports: dict[str, tuple[tuple[int, int], DiagnosticReport]] = {}
        self._writing = threading.Lock()
        self._reading = threading.Lock()
        self._starting = threading.Lock()

    @property
    def corrections(self) -> Corrections:
        """All that was saved."""
        with self._writing:
            return self._log.corrections

    def add(self, events: Sequence[Event]) -> int:
        """Save events, all or none; gives how many there are now.

        Those that were saved before, as a window that got no answer sends them again, are left out.

        Raises
        ------
        CorrectionsError
            They do not fit to the results, or to the events before them.
        OutputError
            They cannot be saved.
        """
        with self._writing:
            new = []
            for event in events:
                if self._events.get(event.id, event) != event:
                    raise CorrectionsError(
                        f"event {event.id}: another event has this id; expected one of its own."
                    )
                if event.id not in self._events:
                    new.append(event)
            saved = self._log.corrections
            for name in dict.fromkeys(event.image for event in new):
                of_image = [event for event in new if event.image == name]
                check_events([*saved.of_image(name), *of_image], self._cells(name))
            if new:
                self._log.append(new)
            self._events |= {event.id: event for event in new}
            return len(self._log.events)

    def propose(self, name: str, place: Box | tuple[float, float]) -> ProposedOutline | None:
        """Outline a cell that the program missed; None where the network sees none either.

        Raises
        ------
        CorrectionsError
            There are no such results.
        MissingDataError, ImageReadError
            The image has gone, or cannot be read.
        """
        self._cells(name)
        report = self._report(name)
        cells = self.results.with_pixels(name, report)
        now = replay(self.corrections.of_image(name), cells)
        with self._starting:
            if self._network is None:
                self._network = one_at_a_time(self._segmenter())
        training_diameter = training_diameter_of(self._network) or TRAINING_DIAMETER_PX
        return propose_outline(
            self._network,
            self.results.image(name, report),
            place,
            diameter_px=training_diameter / report.scale.magnification_applied,
            taken=now.label_image > 0,
        )

    def close(self) -> None:
        """Close the log."""
        self._log.close()

    def _cells(self, name: str) -> Cells:
        if name not in self._log.header.images:
            raise CorrectionsError(
                f"{name!r}: there are no results of this image; expected one of "
                f"{len(self._log.header.images)} that were there when the review began. Start "
                "bloodcells review again if they came later."
            )
        cells = self._report(name).cells
        if cells_digest(cells) != self._log.header.images[name]:
            raise CorrectionsError(
                f"{name!r}: the image was analysed again since the review began, and its cells "
                "are others. Start bloodcells review again."
            )
        return cells

    def _report(self, name: str) -> DiagnosticReport:
        with self._reading:
            file = self.results.report_path(name).stat()
            version = file.st_mtime_ns, file.st_size
            kept = self._reports.pop(name, None)
            if kept is None or kept[0] != version:
                kept = version, self.results.report(name)
            self._reports[name] = kept
            while len(self._reports) > _KEPT_REPORTS:
                self._reports.pop(next(iter(self._reports)))
            return kept[1]
