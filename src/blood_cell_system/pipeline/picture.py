"""One picture through the whole of it."""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

import blood_cell_system
from blood_cell_system.errors import SettingsError
from blood_cell_system.image_io import read_image
from blood_cell_system.inference.analysis import (
    AnalysisSettings,
    PictureAnalysis,
    analyze_picture,
)
from blood_cell_system.inference.runtimes import NetworkOutputs, Runtime
from blood_cell_system.pipeline.files import sha256_of
from blood_cell_system.pipeline.system import BloodCellAnalysisSystem
from blood_cell_system.reports.diagnosis import NO_CLASSIFIER, diagnose
from blood_cell_system.reports.diagnostic import (
    NOT_ASSESSED,
    DiagnosticReport,
    Findings,
    Picture,
    Provenance,
    ReportSettings,
)
from blood_cell_system.reports.picture_files import write_picture_files

CONFIDENCE_THRESHOLD: Final = 0.3
UNCERTAIN_MARGIN: Final = 0.1

_CLASSIFIER_UNUSED: Final = Findings(
    state=NOT_ASSESSED, reason="a classifier is loaded, but this version does not classify yet"
)
_NO_PLATELETS: Final = (
    "This model knows no platelets, so none are counted. Its cells were told apart by shape alone."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureResult:
    """What came of one picture.

    Parameters
    ----------
    analysis : PictureAnalysis
        Arrays and cells.
    report : DiagnosticReport
    """

    analysis: PictureAnalysis
    report: DiagnosticReport


class InferencePipeline:
    """From a picture to its report.

    Parameters
    ----------
    system : BloodCellAnalysisSystem
        Its segmenter is made ready with the first picture.
    confidence_threshold : float
        Cells of a lower confidence are flagged as uncertain, 0 to 1.
    uncertain_margin : float
        So are cells whose two most likely conditions are less than this apart, where a classifier
        gives conditions.
    settings : AnalysisSettings, optional
        Magnification, border rule, and how cells are told apart.

    Raises
    ------
    SettingsError
        Threshold or margin is not within 0..1.
    """

    def __init__(
        self,
        system: BloodCellAnalysisSystem,
        *,
        confidence_threshold: float = CONFIDENCE_THRESHOLD,
        uncertain_margin: float = UNCERTAIN_MARGIN,
        settings: AnalysisSettings | None = None,
    ) -> None:
        self.system = system
        self.settings = settings or AnalysisSettings()
        self.report_settings = ReportSettings(
            confidence_threshold=confidence_threshold,
            uncertain_margin=uncertain_margin,
            border_rule=self.settings.border_rule,
            cell_diameter_px=self.settings.cell_diameter_px,
            pixel_size_um=self.settings.pixel_size_um,
        )
        self._ready: tuple[_OneAtATime, Provenance] | None = None
        self._getting_ready = threading.Lock()

    def process_image(
        self,
        path: Path | str,
        *,
        save_visualization: bool = False,
        output_dir: Path | str | None = None,
    ) -> DiagnosticReport:
        """Analyse a picture, and write its files where a folder is named.

        Parameters
        ----------
        path : Path or str
        save_visualization : bool
            Whether the picture with its outlines is among the files.
        output_dir : Path or str, optional
            Nothing is written by default.

        Returns
        -------
        DiagnosticReport

        Raises
        ------
        MissingDataError
            There is no such picture, or no model.
        ImageReadError
            The picture cannot be read.
        OutputError
            A file cannot be written.
        SettingsError
            ``save_visualization`` without ``output_dir``.
        CheckpointError
            The model is no segmenter.
        """
        if save_visualization and output_dir is None:
            raise SettingsError(
                "save_visualization: received without output_dir; expected the folder to write to. "
                "Name it: process_image(path, save_visualization=True, output_dir='results')."
            )
        path = Path(path)
        result = self.analyze(path)
        if output_dir is not None:
            write_picture_files(
                Path(output_dir),
                path.stem,
                result.analysis,
                result.report,
                with_picture=save_visualization,
            )
        return result.report

    def analyze(self, path: Path) -> PictureResult:
        """Analyse a picture; nothing is written. Several threads may call this at once.

        Raises
        ------
        MissingDataError
            There is no such picture, or no model.
        ImageReadError
            The picture cannot be read.
        CheckpointError
            The model is no segmenter.
        """
        image = read_image(path)
        runtime, provenance = self._get_ready()
        analysis = analyze_picture(runtime, image, self.settings)
        height, width = image.shape[:2]
        report = diagnose(
            analysis,
            picture=Picture(
                file_name=path.name, width_px=width, height_px=height, sha256=sha256_of(path)
            ),
            settings=self.report_settings,
            provenance=provenance,
            rbc_findings=_findings(self.system.rbc_classifier),
            wbc_findings=_findings(self.system.wbc_classifier),
            further_warnings=() if runtime.has_heads else (_NO_PLATELETS,),
        )
        return PictureResult(analysis=analysis, report=report)

    @property
    def provenance(self) -> Provenance:
        """What reports are made with.

        Raises
        ------
        MissingDataError
            There is no model.
        CheckpointError
            The model is no segmenter.
        """
        return self._get_ready()[1]

    def _get_ready(self) -> tuple["_OneAtATime", Provenance]:
        with self._getting_ready:
            if self._ready is None or self._ready[0].model is not self.system.segmentation_model:
                runtime = self.system.segmentation_runtime()
                name, digest = self.system.model_identity()
                provenance = Provenance(
                    software_version=blood_cell_system.__version__,
                    model=name,
                    model_sha256=digest,
                )
                self._ready = (
                    _OneAtATime(runtime, self.system.segmentation_model),
                    provenance,
                )
            return self._ready


class _OneAtATime:
    """A runtime that threads share: a network keeps all cores busy by itself."""

    def __init__(self, runtime: Runtime, model: object) -> None:
        self.model = model
        self.input_shape = runtime.input_shape
        self.has_heads = True
        self._runtime = runtime
        self._lock = threading.Lock()

    def predict(self, batch: NDArray[np.float32]) -> NetworkOutputs:
        with self._lock:
            outputs = self._runtime.predict(batch)
        self.has_heads = outputs.centres is not None
        return outputs

    def __getattr__(self, name: str) -> Any:
        # What else a runtime knows of itself, such as the magnification of its training.
        return getattr(self._runtime, name)


def _findings(classifier: object) -> Findings:
    return NO_CLASSIFIER if classifier is None else _CLASSIFIER_UNUSED
