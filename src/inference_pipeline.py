"""The names that the training guide imports."""

from blood_cell_system.pipeline.batch import batch_process_images
from blood_cell_system.pipeline.image import InferencePipeline
from blood_cell_system.reports.report import DiagnosticReport

__all__ = ["DiagnosticReport", "InferencePipeline", "batch_process_images"]
