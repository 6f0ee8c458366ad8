"""From an image of a stained blood smear to outlined, classified, counted cells.

Research use only; not a medical device.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blood_cell_system.pipeline.image import InferencePipeline
    from blood_cell_system.pipeline.system import BloodCellAnalysisSystem
    from blood_cell_system.pipeline.training_pipeline import TrainingConfig, TrainingPipeline

__version__ = "0.2.0"
__all__ = [
    "BloodCellAnalysisSystem",
    "InferencePipeline",
    "TrainingConfig",
    "TrainingPipeline",
    "__version__",
]

_MODULES = {
    "BloodCellAnalysisSystem": "system",
    "InferencePipeline": "image",
    "TrainingConfig": "training_pipeline",
    "TrainingPipeline": "training_pipeline",
}


def __getattr__(name: str) -> Any:
    # Only when asked for: ``import blood_cell_system`` loads neither NumPy nor OpenCV.
    if name in _MODULES:
        return getattr(import_module(f"blood_cell_system.pipeline.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
