"""One image through the whole of it."""

import hashlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

import blood_cell_system
from blood_cell_system.analysis.classification import ClassificationSettings, classify_analysis
from blood_cell_system.analysis.execution import Execution
from blood_cell_system.analysis.image_analysis import (
    AnalysisSettings,
    ImageAnalysis,
    analyze_field,
    analyze_image,
)
from blood_cell_system.analysis.quality import warning
from blood_cell_system.analysis.trained_models import (
    ClassifierRuntime,
    Runtime,
    has_instance_head,
    one_at_a_time,
    training_diameter_of,
)
from blood_cell_system.cells.border_rule import BorderRule
from blood_cell_system.datasets.duplicates.field_features import field_hash
from blood_cell_system.errors import SettingsError
from blood_cell_system.imaging.damage import damage_of, damage_words
from blood_cell_system.imaging.image_file import check_rgb, count_pages, read_file_bytes, read_image
from blood_cell_system.imaging.pixel_size import PixelSize, read_pixel_size
from blood_cell_system.model_metadata import TRAINING_DIAMETER_PX
from blood_cell_system.pipeline.system import BloodCellAnalysisSystem
from blood_cell_system.reports.diagnosis import diagnose
from blood_cell_system.reports.image_files import ALL_PARTS, Part, write_image_files
from blood_cell_system.reports.report import (
    CONFIDENCE_THRESHOLD,
    UNCERTAIN_MARGIN,
    DiagnosticReport,
    Image,
    Provenance,
    ReportSettings,
)
from blood_cell_system.wording import counted

if TYPE_CHECKING:
    from blood_cell_system.pipeline.scan_fields import PlannedScan, ScanField
    from blood_cell_system.pipeline.scan_plan import ScanSettings

_NO_LIMIT: Final = 10**9
_HOLE: Final = (
    "{tiles} of the file in this field cannot be decoded: what is there is missing, and the cells "
    "around it are cut off. Copy the file again from its source."
)
_NO_HEADS: Final = (
    "This model knows no platelets, so none are counted. It separates cells by shape alone."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageResult:
    """What came of one image.

    Parameters
    ----------
    analysis : ImageAnalysis
        Arrays and cells.
    report : DiagnosticReport
    """

    analysis: ImageAnalysis
    report: DiagnosticReport


class InferencePipeline:
    """From an image to its report.

    Parameters
    ----------
    system : BloodCellAnalysisSystem
        Its segmenter is made ready with the first image.
    confidence_threshold : float
        Cells of a lower confidence are flagged as uncertain, 0 to 1.
    uncertain_margin : float
        So are cells whose two most likely conditions are less than this apart, where a classifier
        gives conditions.
    settings : AnalysisSettings, optional
        Magnification, border rule, and how cells are separated.
    classification : ClassificationSettings, optional
        On how many views of a cell its classification rests.
    is_classifying : bool
        Whether cells are classified, where the system or this package has classifiers.
    counts_unproven : bool
        Whether reports count classes that were not proven in laboratories never seen, as for images
        of the laboratory that a classifier learned from.

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
        classification: ClassificationSettings | None = None,
        is_classifying: bool = True,
        counts_unproven: bool = False,
    ) -> None:
        self.system = system
        self.classification = classification or ClassificationSettings()
        self.is_classifying = is_classifying
        self.settings = settings or AnalysisSettings()
        self.report_settings = ReportSettings(
            confidence_threshold=confidence_threshold,
            uncertain_margin=uncertain_margin,
            border_rule=self.settings.border_rule,
            cell_diameter_px=self.settings.cell_diameter_px,
            pixel_size_um=self.settings.pixel_size_um,
            classifier_views=self.classification.views,
            counts_unproven=counts_unproven,
        )
        self._ready: _Ready | None = None
        self._getting_ready = threading.Lock()

    def process_image(
        self,
        path: Path | str,
        *,
        save_visualization: bool = False,
        output_dir: Path | str | None = None,
    ) -> DiagnosticReport:
        """Analyse an image, and write its files where a folder is named.

        Parameters
        ----------
        path : Path or str
        save_visualization : bool
            Whether the image with its outlines is among the files.
        output_dir : Path or str, optional
            Nothing is written by default.

        Raises
        ------
        MissingDataError
            There is no such image, or no model.
        ImageReadError
            The image cannot be read.
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
            write_image_files(
                Path(output_dir),
                path.stem,
                result.analysis,
                result.report,
                parts=ALL_PARTS if save_visualization else ALL_PARTS - {Part.OVERLAY},
            )
        return result.report

    def analyze(self, path: Path, *, data: bytes | None = None) -> ImageResult:
        """Analyse an image; nothing is written. Several threads may call this at once.

        Parameters
        ----------
        data : bytes, optional
            What the file holds, where it has been read.

        Raises
        ------
        MissingDataError
            There is no such image, or no model.
        ImageReadError
            The image cannot be read.
        CheckpointError
            The model is no segmenter.
        """
        # Read once: another file may take its place meanwhile, and the hash vouches for the pixels.
        data = read_file_bytes(path) if data is None else data
        return self._analyze(
            read_image(path, data=data),
            file_name=path.name,
            sha256=hashlib.sha256(data).hexdigest(),
            warnings=_warnings_of_pages(path, data),
            stated=read_pixel_size(path, data=data),
            damage=damage_of(path, data),
        )

    def analyze_array(self, image: NDArray[np.uint8], *, name: str = "array") -> ImageResult:
        """Analyse an image in memory; nothing is written. Several threads may call this at once.

        Parameters
        ----------
        image : ndarray of shape (height, width, 3), dtype uint8
            RGB.
        name : str
            Stands for the file name in the report.

        Raises
        ------
        ImageReadError
            The array is no RGB image, or has no pixels.
        MissingDataError
            There is no model.
        CheckpointError
            The model is no segmenter.
        """
        check_rgb(image)
        digest = _digest(image)
        return self._analyze(image, file_name=name, sha256=digest, warnings=())

    def plan_scans(
        self, path: Path, name: str, settings: "ScanSettings", *, jobs: int
    ) -> "Iterator[PlannedScan]":
        """Plan what is analysed of a scan, as ``plan_scans`` of ``scan_plan`` says it."""
        # Here, not above: most images are no scans, and planning takes time to load.
        from blood_cell_system.pipeline.scan_plan import plan_scans

        return plan_scans(
            path,
            name,
            settings,
            self.settings,
            training_diameter_px=training_diameter_of(self.system.segmentation_runtime())
            or TRAINING_DIAMETER_PX,
            jobs=jobs,
        )

    def analyze_field(self, field: "ScanField") -> ImageResult:
        """Analyse a field of a scan; nothing is written. Several threads may call this at once.

        Raises
        ------
        ImageReadError
            The scan cannot be read any more.
        """
        pixels = field.read_around()
        frame = field.frame
        count = len(frame.holes)
        tiles = counted(count, "tile")
        warnings = (_HOLE.format(tiles=tiles),) if count else ()
        return self._analyze(
            pixels,
            file_name=field.scan.path.name,
            sha256=field.digest,
            warnings=warnings,
            field=field,
        )

    def _analyze(
        self,
        image: NDArray[np.uint8],
        *,
        file_name: str,
        sha256: str,
        warnings: tuple[str, ...],
        stated: PixelSize | None = None,
        damage: str | None = None,
        field: "ScanField | None" = None,
    ) -> ImageResult:
        ready = self._get_ready()
        if field is not None:
            # In one piece: its size was chosen to fit into the memory.
            tiles = replace(self.settings.tiles, network_whole_px=image.shape[0] * _NO_LIMIT)
            settings = replace(self.settings, tiles=tiles)
            found = analyze_field(ready.segmenter, image, field.frame, settings)
            image = found.image
        else:
            found = analyze_image(ready.segmenter, image, self.settings, stated)
        if damage is not None:
            fault = warning("file", None, damage_words(damage))
            quality = replace(found.quality, findings=(*found.quality.findings, fault))
            found = replace(found, quality=quality)
        classifiers = tuple(ready.classifiers.values())
        cells = classify_analysis(found, classifiers, self.classification)
        analysis = replace(found, cells=cells)
        height, width = image.shape[:2]
        report = diagnose(
            analysis,
            image=Image(
                file_name=file_name,
                width_px=width,
                height_px=height,
                place=None if field is None else field.place,
            ),
            settings=self.report_settings,
            provenance=ready.provenance.model_copy(
                update={
                    "data_sha256": sha256,
                    "pixels_sha256": _digest(image),
                    "field_hash": field_hash(image),
                }
            ),
            further_warnings=(
                *warnings,
                *(() if has_instance_head(ready.segmenter) else (_NO_HEADS,)),
            ),
        )
        return ImageResult(analysis=analysis, report=report)

    @property
    def device(self) -> str:
        """On what the networks run, such as ``cpu``."""
        return self.system.execution.device if self.system.execution else "cpu"

    def recipe(self, *, threads: int | None = None) -> "PipelineRecipe | None":
        """Say what this pipeline is made of, so that another process can make the same.

        None where a model is in memory alone, or runs in Keras.

        Parameters
        ----------
        threads : int, optional
            How many threads a network may use there; by default as here.
        """
        files = self.system.model_files()
        if files is None:
            return None
        execution = self.system.execution or Execution()
        return PipelineRecipe(
            models=tuple(files.items()),
            execution=replace(execution, threads=threads or execution.threads),
            settings=self.settings,
            classification=self.classification,
            report_settings=self.report_settings,
            is_classifying=self.is_classifying,
        )

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
        return self._get_ready().provenance

    def _get_ready(self) -> "_Ready":
        with self._getting_ready:
            models = self.system.models
            if self._ready is None or not _are_same(self._ready.models, models):
                self._ready = self._made_ready()
            return self._ready

    def _made_ready(self) -> "_Ready":
        runtime = self.system.segmentation_runtime()
        name, digest = self.system.model_identity()
        classifiers = self.system.ready_classifiers() if self.is_classifying else {}
        red, white = classifiers.get("rbc"), classifiers.get("wbc")
        return _Ready(
            models=self.system.models,
            segmenter=one_at_a_time(runtime),
            classifiers={kind: one_at_a_time(ready.runtime) for kind, ready in classifiers.items()},
            provenance=Provenance(
                software_version=blood_cell_system.__version__,
                model=name,
                model_sha256=digest,
                runs_in=self.system.runs_in,
                rbc_classifier=red.name if red else None,
                rbc_classifier_sha256=red.sha256 if red else None,
                wbc_classifier=white.name if white else None,
                wbc_classifier_sha256=white.sha256 if white else None,
                other_classifiers={
                    one.name: one.sha256
                    for kind, one in classifiers.items()
                    if kind not in ("rbc", "wbc")
                },
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineRecipe:
    """What a pipeline is made of; it can be pickled.

    Parameters
    ----------
    models : tuple of (str or None, Path or None)
        Files of models by kind, None for the segmenter; no path for one that comes with this
        package.
    """

    models: tuple[tuple[str | None, Path | None], ...]
    execution: Execution
    settings: AnalysisSettings
    classification: ClassificationSettings
    report_settings: ReportSettings
    is_classifying: bool


@lru_cache(maxsize=1)
def pipeline_of(recipe: PipelineRecipe) -> InferencePipeline:
    """Make a pipeline, the same again for the same recipe.

    Raises
    ------
    MissingDataError
        A model is not there.
    CheckpointError
        It is damaged, or does not fit its place.
    """
    system = BloodCellAnalysisSystem.of_files(dict(recipe.models), execution=recipe.execution)
    return InferencePipeline(
        system,
        confidence_threshold=recipe.report_settings.confidence_threshold,
        uncertain_margin=recipe.report_settings.uncertain_margin,
        settings=recipe.settings,
        classification=recipe.classification,
        is_classifying=recipe.is_classifying,
        counts_unproven=recipe.report_settings.counts_unproven,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """Everything that an image is run through, and the models that it was made of."""

    models: tuple[object, ...]
    segmenter: Runtime
    classifiers: Mapping[str, ClassifierRuntime]
    provenance: Provenance


def _digest(image: NDArray[np.uint8]) -> str:
    return hashlib.sha256(np.ascontiguousarray(image).data).hexdigest()


def _warnings_of_pages(path: Path, data: bytes) -> tuple[str, ...]:
    pages = count_pages(path, data=data)
    if pages == 1:
        return ()
    return (
        f"The file holds {pages} images, of which the first alone was analysed. Save each as a "
        "file of its own.",
    )


def _are_same(first: tuple[object, ...], second: tuple[object, ...]) -> bool:
    return len(first) == len(second) and all(
        one is other for one, other in zip(first, second, strict=True)
    )


def analyze(
    image: Path | str | NDArray[np.uint8],
    *,
    cell_diameter_px: float | None = None,
    pixel_size_um: float | None = None,
    border_rule: BorderRule = BorderRule.COUNTED,
    confidence_threshold: float = CONFIDENCE_THRESHOLD,
    is_classifying: bool = True,
    system: BloodCellAnalysisSystem | None = None,
) -> DiagnosticReport:
    """Find, classify and count the cells of one image.

    The models load once; further calls use them again. Several threads may call this at once.

    Parameters
    ----------
    image : Path, str or ndarray of shape (height, width, 3), dtype uint8
        A file, or RGB pixels.
    cell_diameter_px : float, optional
        Diameter of a red cell in the image, in pixels; estimated by default.
    pixel_size_um : float, optional
        Side of a pixel in micrometres; by default what the file states, if it does.
    border_rule : BorderRule
        Which of the cells at the border count.
    confidence_threshold : float
        Cells of a lower confidence are flagged as uncertain, 0 to 1.
    is_classifying : bool
        Whether cells are classified.
    system : BloodCellAnalysisSystem, optional
        Models of your own; by default those of this package.

    Raises
    ------
    MissingDataError
        There is no such file, or no model.
    ImageReadError
        The file cannot be read, or the array is no RGB image.
    SettingsError
        A size is not positive, or the threshold is not within 0..1.
    CheckpointError
        A model does not fit its place.

    Examples
    --------
    >>> import blood_cell_system as bcs
    >>> report = bcs.analyze("smear.jpg", pixel_size_um=0.1)  # doctest: +SKIP
    """
    settings = AnalysisSettings(
        cell_diameter_px=cell_diameter_px, pixel_size_um=pixel_size_um, border_rule=border_rule
    )
    pipeline = InferencePipeline(
        system or _bundled_system(),
        settings=settings,
        confidence_threshold=confidence_threshold,
        is_classifying=is_classifying,
    )
    with _loading:
        pipeline._get_ready()
    if isinstance(image, np.ndarray):
        return pipeline.analyze_array(image).report
    return pipeline.analyze(Path(image)).report


# Of two threads that ask first, one loads the models and the other waits.
_loading: Final = threading.Lock()


@cache
def _bundled_system() -> BloodCellAnalysisSystem:
    return BloodCellAnalysisSystem()
