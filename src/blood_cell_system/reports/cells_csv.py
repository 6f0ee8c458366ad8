"""The cells of a picture as a table."""

import csv
import io
from collections.abc import Sequence
from typing import Any, Final

from blood_cell_system.classes import RBC_CONDITIONS, WBC_CONDITIONS, WBC_TYPES

CELL_COLUMNS: Final = (
    "cell_id",
    "cell_type",
    "x_min",
    "y_min",
    "x_max",
    "y_max",
    "centroid_x",
    "centroid_y",
    "area_px",
    "equivalent_diameter_px",
    "equivalent_diameter_um",
    "circularity",
    "touching_border",
    "condition",
    "wbc_type",
    "confidence",
    "known",
    *(f"p_{name}" for name in (*RBC_CONDITIONS, *WBC_CONDITIONS, *WBC_TYPES)),
    "flags",
)


def cells_to_csv(cells: Sequence[dict[str, Any]]) -> str:
    """Lay cells out as comma-separated values.

    Parameters
    ----------
    cells : sequence of dict
        As the report's JSON has them.

    Returns
    -------
    str
        A row a cell; flags parted by blanks, truth as 0 and 1, empty where there is no value.
    """
    rows = []
    for cell in cells:
        x_min, y_min, x_max, y_max = cell["bbox"]
        centroid_x, centroid_y = cell["centroid"]
        rows.append(
            cell
            | {"x_min": x_min, "y_min": y_min, "x_max": x_max, "y_max": y_max}
            | {"centroid_x": centroid_x, "centroid_y": centroid_y}
            | {f"p_{name}": value for name, value in cell["probabilities"].items()}
            | {f"p_{name}": value for name, value in cell["type_probabilities"].items()}
            | {"touching_border": int(cell["touching_border"]), "flags": " ".join(cell["flags"])}
        )
    return table_to_csv(CELL_COLUMNS, rows)


def table_to_csv(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> str:
    """Write rows with a heading; other keys are left out, None is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
