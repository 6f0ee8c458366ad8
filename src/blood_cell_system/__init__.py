"""From an image of a stained blood smear to outlined, classified, counted cells.

Research use only; not a medical device.

Examples
--------
>>> import blood_cell_system as bcs
>>> report = bcs.analyze("smear.jpg")  # doctest: +SKIP
>>> print(report.text)  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blood_cell_system.analysis.image_analysis import AnalysisSettings
    from blood_cell_system.cells.border_rule import BorderRule
    from blood_cell_system.cells.table import Cells
    from blood_cell_system.datasets.prepared import PreparedDataset
    from blood_cell_system.errors import BloodCellError
    from blood_cell_system.imaging.image_file import read_image
    from blood_cell_system.pipeline.batch import batch_process_images
    from blood_cell_system.pipeline.image import InferencePipeline, analyze
    from blood_cell_system.pipeline.system import BloodCellAnalysisSystem
    from blood_cell_system.pipeline.training_pipeline import TrainingConfig, TrainingPipeline
    from blood_cell_system.reports.report import DiagnosticReport
    from blood_cell_system.taxonomy import Taxonomy

__version__ = "0.3.0"
__all__ = [
    "AnalysisSettings",
    "BloodCellAnalysisSystem",
    "BloodCellError",
    "BorderRule",
    "Cells",
    "DiagnosticReport",
    "InferencePipeline",
    "PreparedDataset",
    "Taxonomy",
    "TrainingConfig",
    "TrainingPipeline",
    "__version__",
    "analyze",
    "batch_process_images",
    "read_image",
]

# The same names as above: a test compares both.
_MODULES = {
    "AnalysisSettings": "analysis.image_analysis",
    "BloodCellAnalysisSystem": "pipeline.system",
    "BloodCellError": "errors",
    "BorderRule": "cells.border_rule",
    "Cells": "cells.table",
    "DiagnosticReport": "reports.report",
    "InferencePipeline": "pipeline.image",
    "PreparedDataset": "datasets.prepared",
    "Taxonomy": "taxonomy",
    "TrainingConfig": "pipeline.training_pipeline",
    "TrainingPipeline": "pipeline.training_pipeline",
    "analyze": "pipeline.image",
    "batch_process_images": "pipeline.batch",
    "read_image": "imaging.image_file",
}


def __getattr__(name: str) -> Any:
    # Imported on first use: ``import blood_cell_system`` loads neither NumPy nor OpenCV.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
