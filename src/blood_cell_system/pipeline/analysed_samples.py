"""What was found in analysed images, as samples: a start for people who correct it."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from scipy import ndimage

from blood_cell_system.annotation.outline import PixelOutline
from blood_cell_system.annotation.sample import Annotation, CellFacts, Origin, Sample
from blood_cell_system.boxes import Box
from blood_cell_system.cells.measures import measured_columns
from blood_cell_system.cells.table import COLUMNS, Cells
from blood_cell_system.pipeline.results_folder import ResultsFolder
from blood_cell_system.reports.report import NOT_ASSESSED, condition_of


def analysed_samples(results: ResultsFolder) -> Iterator[Sample]:
    """Give analysed images one at a time, with the cells that were found.

    One that was not taken for a smear has no cells to say: nobody looked for them.

    Yields
    ------
    Sample

    Raises
    ------
    MissingDataError
        An image is not found.
    DatasetError
        A report cannot be read, or does not fit its label image.
    ImageReadError
        A label image is damaged.
    """
    for name in results.names:
        yield _sample(results, name)


def _sample(results: ResultsFolder, name: str) -> Sample:
    report = results.report(name)
    cells = results.with_pixels(name, report)
    annotations = []
    places = ndimage.find_objects(cells.label_image, max_label=len(cells))
    found = zip(cells["cell_type"], cells["whole_box"].tolist(), places, _facts(cells), strict=True)
    for label, (cell_type, box, place, facts) in enumerate(found, start=1):
        outline = None
        if place is not None:
            offset = (place[1].start, place[0].start)
            outline = PixelOutline.from_pixels(cells.label_image[place] == label, offset=offset)
        annotations.append(
            Annotation(
                cell_type=cell_type,
                box=Box(*box),
                outline=outline,
                origin=Origin.PREDICTED,
                facts=facts,
            )
        )
    is_searched = report.quality.is_smear or annotations
    return Sample(
        stem=name.replace("/", "_"),
        image_path=results.image_path(name, report),
        shape=cells.label_image.shape,
        cells=tuple(annotations) if is_searched else None,
    )


def _facts(cells: Cells) -> list[CellFacts]:
    """Give classes, confidence and measures of each cell."""
    columns = cells.flat()
    measured = [
        name
        for column in (*measured_columns(), COLUMNS["equivalent_diameter_um"])
        for name in column.flat_names
        if column.name not in _PLACES and name in columns
    ]
    return [
        CellFacts(
            condition=None if (name := condition_of(cells, row)) == NOT_ASSESSED else name,
            subtype=cells["subtype"][row],
            confidence=float(cells["confidence"][row]),
            measures={
                name: float(columns[name][row])
                for name in measured
                if not np.isnan(columns[name][row])
            },
        )
        for row in range(len(cells))
    ]


_PLACES: Final = ("box", "centroid")
"""Columns that the outline says."""
