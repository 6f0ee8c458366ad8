"""Smears in napari: the cells of an image layer, and the results of a folder.

napari reads ``napari.yaml`` beside this file, calls what it names, and makes layers of the tuples
that it gets: a label is a cell, and the table of features says what the cell is. Nothing here
imports napari.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from blood_cell_system.cells.table import Cells
from blood_cell_system.errors import ImageReadError, MissingDataError
from blood_cell_system.pipeline.image import analyze
from blood_cell_system.pipeline.results_folder import ResultsFolder

if TYPE_CHECKING:
    import napari.layers
    import napari.types

Layer = tuple[Any, dict[str, Any], str]
"""Data, what is known about them, and the kind of layer."""


def analyze_layer(
    image: "napari.layers.Image", pixel_size_um: float = 0.0
) -> "napari.types.LayerDataTuple":
    """Find, classify and count the cells of a layer.

    Parameters
    ----------
    image : napari.layers.Image
        RGB or RGBA of 8 bits.
    pixel_size_um : float
        Side of a pixel in micrometres; 0 where it is not known.

    Returns
    -------
    tuple
        A layer of labels, with the report and its warnings as metadata.

    Raises
    ------
    ImageReadError
        The layer is not RGB of 8 bits.
    """
    # Of a pyramid the whole image is the first level.
    pixels = np.asarray(image.data[0] if image.multiscale else image.data)
    if pixels.ndim != 3 or pixels.shape[2] not in (3, 4) or pixels.dtype != np.uint8:
        raise ImageReadError(
            f"{image.name}: a layer of shape {pixels.shape} and type {pixels.dtype}; expected RGB "
            "of 8 bits, (height, width, 3). Open the image as it came from the camera."
        )
    rgb = np.ascontiguousarray(pixels[:, :, :3])
    report = analyze(rgb, pixel_size_um=pixel_size_um or None)
    about = {"report": report.text, "warnings": report.warnings}
    labels, known, kind = _labels(report.cells, f"cells of {image.name}", about)
    return labels, known | {"scale": image.scale, "translate": image.translate}, kind


def get_reader(path: str | list[str]) -> Callable[[str], list[Layer]] | None:
    """Give the reader of a folder that ``bloodcells analyze`` has written; None for other paths."""
    if not isinstance(path, str) or not Path(path).is_dir():
        return None
    try:
        ResultsFolder(Path(path))
    except MissingDataError:
        return None
    return read_results


def read_results(path: str) -> list[Layer]:
    """Read the images of a results folder that are still there, and the cells of all of them.

    Raises
    ------
    DatasetError
        A report or a label image does not fit.
    MissingDataError
        There are no label images.
    """
    results = ResultsFolder(Path(path))
    layers: list[Layer] = []
    for name in results.names:
        report = results.report(name)
        title = f"cells of {name}"
        try:
            layers.append((results.image(name, report), {"name": name, "rgb": True}, "image"))
        except MissingDataError:
            title += " (the image is not where it was)"
        about = {"report": report.text, "warnings": report.warnings}
        layers.append(_labels(results.with_pixels(name, report), title, about))
    return layers


def _labels(cells: Cells, name: str, about: dict[str, Any]) -> Layer:
    # A feature belongs to the label that its "index" names.
    features = cells.to_dataframe().rename_axis("index").reset_index()
    known = {"name": name, "features": features, "metadata": about, "opacity": 0.5}
    return cells.label_image, known, "labels"
