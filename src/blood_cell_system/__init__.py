"""From a picture of a stained blood smear to outlined, classified, counted cells.

Research use only; not a medical device.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blood_cell_system.pipeline.system import BloodCellAnalysisSystem

__version__ = "0.1.0"
__all__ = ["BloodCellAnalysisSystem", "__version__"]


def __getattr__(name: str) -> Any:
    # Only when asked for: ``import blood_cell_system`` loads neither NumPy nor OpenCV.
    if name == "BloodCellAnalysisSystem":
        from blood_cell_system.pipeline.system import BloodCellAnalysisSystem

        return BloodCellAnalysisSystem
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
