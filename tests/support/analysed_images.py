"""Analyses and reports of drawn cells, without a network."""

import numpy as np
from support.colours import colour_image
from support.drawn_cells import ellipse_box, perfect_outputs
from support.prepared_cells import ColourRuntime

from blood_cell_system.analysis.image_analysis import ImageAnalysis
from blood_cell_system.analysis.quality import ImageQuality, QualityFinding, Severity
from blood_cell_system.analysis.scale import ScaleEstimate, ScaleSource
from blood_cell_system.analysis.segmentation import segment_image
from blood_cell_system.cells.border_rule import BorderRule
from blood_cell_system.cells.separation import separate_cells
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.reports.diagnosis import diagnose
from blood_cell_system.reports.report import Image, Provenance, ReportSettings
from blood_cell_system.taxonomy import PLATELET, RBC, WBC

SHAPE = (128, 192)

# A white cell, a red cell inside, one at the right border, one at the left, and a platelet.
CELLS = (
    ellipse_box(WBC, 100, 60, 60),
    ellipse_box(RBC, 40, 90, 40),
    ellipse_box(RBC, 185, 30, 40),
    ellipse_box(RBC, 4, 30, 40),
    # On the middle of a place of the heat map, where the peak of so small a cell is whole.
    ellipse_box(PLATELET, 162, 102, 16),
)

DEFOCUSED = QualityFinding(
    name="focus", severity=Severity.WARNING, value=0.2, message="Out of focus. Focus anew."
)
PROVENANCE = Provenance(software_version="1.2.3", model="m.onnx", model_sha256="cd" * 32)
FINE_LIGHT = QualityFinding(
    name="exposure", severity=Severity.OK, value=0.5, message="The light is right."
)


def analysis_of(cells=CELLS, *, shape=SHAPE, pixel_size_um=None, findings=(FINE_LIGHT,), rule=None):
    """What analysing an image of drawn cells gives, with a perfect network."""
    probabilities, centres, log_size, _ = perfect_outputs(cells, shape)
    cells = separate_cells(probabilities, centres, log_size)
    class_mask = probabilities.argmax(axis=2).astype(np.uint8)
    return ImageAnalysis(
        image=colour_image(class_mask),
        class_mask=class_mask,
        cells=_counted(cells, rule),
        field_mask=np.ones(shape, dtype=bool),
        scale=ScaleEstimate(
            red_cell_diameter_px=40.0,
            magnification_applied=2.5,
            source=ScaleSource.GIVEN,
            pixel_size_um=pixel_size_um,
        ),
        quality=ImageQuality(findings=tuple(findings), judged_share=1.0, is_smear=True),
        seconds=0.1,
    )


def _counted(cells, rule):
    is_left = cells["box"][:, 2] < cells.label_image.shape[1]
    return cells.with_columns(is_counted=is_left | (rule != BorderRule.TWO_SIDES))


def report_of(
    analysis=None,
    *,
    name="field.png",
    threshold=0.5,
    rule=BorderRule.COUNTED,
    provenance=PROVENANCE,
    **options,
):
    """The report of an analysis."""
    analysis = analysis_of(rule=rule) if analysis is None else analysis
    height, width = analysis.image.shape[:2]
    return diagnose(
        analysis,
        image=Image(file_name=name, width_px=width, height_px=height),
        settings=ReportSettings(
            confidence_threshold=threshold, uncertain_margin=0.1, border_rule=rule
        ),
        provenance=provenance.model_copy(update={"data_sha256": "ab" * 32}),
        **options,
    )


def analyze_by_colour(runtime, image, settings, stated=None):
    """Stand in for ``analyze_image``: a white image has no cells, each colour is a class."""
    found = segment_image(runtime, image)
    cells = separate_cells(found.class_probabilities, found.centres, found.log_size)
    return ImageAnalysis(
        image=image,
        class_mask=found.class_mask,
        cells=_counted(cells, settings.border_rule),
        field_mask=np.ones(image.shape[:2], dtype=bool),
        scale=ScaleEstimate(
            red_cell_diameter_px=settings.cell_diameter_px,
            magnification_applied=1.0,
            source=ScaleSource.GIVEN if settings.cell_diameter_px else ScaleSource.UNKNOWN,
            pixel_size_um=settings.pixel_size_um,
        ),
        quality=ImageQuality(findings=(FINE_LIGHT,), judged_share=1.0, is_smear=True),
        seconds=0.1,
    )


class SeeingRuntime(ColourRuntime):
    """Knows colours, has heads that see nothing, and counts how often it is asked."""

    def __init__(self):
        self.asked = 0

    def predict(self, batch):
        self.asked += 1
        outputs = super().predict(batch)
        size, height, width, _ = batch.shape
        return type(outputs)(
            class_probabilities=outputs.class_probabilities,
            centres=np.zeros((size, height // 4, width // 4, 3), np.float32),
            log_size=np.zeros((size, height // 4, width // 4, 2), np.float32),
        )


def write_smear_image(path, cells=CELLS, *, shape=SHAPE):
    """Write an image of drawn cells."""
    class_mask = perfect_outputs(cells, shape)[0].argmax(axis=2)
    write_image(path, colour_image(class_mask))
    return path


def to_version_3(value):
    """Change the JSON of a report into what version 0.3.0 wrote of the same image."""
    value["format_version"] = 3
    for part in (*value["cells"], *value["findings"].values()):
        part.pop("not_assessed", None)
    for cell in value["cells"]:
        for name in ("reason", "box", "possible_subtypes", "measures"):
            del cell[name]


def to_version_2(value):
    """Change the JSON of a report into what version 0.2.0 wrote of the same image."""
    to_version_3(value)
    findings = value.pop("findings")
    del value["taxonomy"]
    value |= {
        "format_version": 2,
        "picture": value.pop("image"),
        "rbc_findings": findings["RBC"],
        "wbc_findings": findings["WBC"],
    }
