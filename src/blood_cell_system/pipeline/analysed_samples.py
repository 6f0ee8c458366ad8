"""What was found in analysed images, as samples: a start for people who correct it."""

from collections.abc import Iterator

from scipy import ndimage

from blood_cell_system.annotation.outline import PixelOutline
from blood_cell_system.annotation.sample import Annotation, Origin, Sample
from blood_cell_system.boxes import Box
from blood_cell_system.pipeline.results_folder import ResultsFolder


def analysed_samples(results: ResultsFolder) -> Iterator[Sample]:
    """Give analysed images one at a time, with the cells that were found.

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
    found = zip(cells["cell_type"], cells["whole_box"].tolist(), places, strict=True)
    for label, (cell_type, box, place) in enumerate(found, start=1):
        outline = None
        if place is not None:
            offset = (place[1].start, place[0].start)
            outline = PixelOutline.from_pixels(cells.label_image[place] == label, offset=offset)
        annotations.append(
            Annotation(cell_type=cell_type, box=Box(*box), outline=outline, origin=Origin.PREDICTED)
        )
    return Sample(
        stem=name.replace("/", "_"),
        image_path=results.image_path(name, report),
        shape=cells.label_image.shape,
        cells=tuple(annotations),
    )
