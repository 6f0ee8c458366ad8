"""Classifications of drawn cells, and the reports of images with them."""

import dataclasses

import numpy as np
from support.analysed_images import analysis_of, report_of
from support.colour_classifiers import RBC_METADATA, WBC_METADATA

from blood_cell_system.analysis.classification import unclassified
from blood_cell_system.cells.unassessed import Reason
from blood_cell_system.reports.report import Provenance
from blood_cell_system.taxonomy import RBC, WBC

PROVENANCE = Provenance(
    software_version="1.2.3",
    model="m.onnx",
    model_sha256="cd" * 32,
    rbc_classifier="rbc_classifier.onnx",
    rbc_classifier_sha256="ef" * 32,
    wbc_classifier="wbc_classifier.onnx",
    wbc_classifier_sha256="ee" * 32,
)


ALL_PROVEN = {**RBC_METADATA.validation, **WBC_METADATA.validation}


def spread(names, likely, probability=0.9):
    """Probabilities by name, of which one is likely and the others share what is left."""
    rest = (1 - probability) / (len(names) - 1)
    return {name: probability if name == likely else rest for name in names}


def red_cell(
    condition="healthy_RBC", *, probability=0.9, is_known=True, possible=None, reason=None
):
    """Answers of a classifier about a red cell, by column."""
    return {
        "condition": condition,
        "in_distribution": 0.9 if is_known else 0.1,
        "is_known": is_known,
        "reason": reason if is_known else Reason.NOT_IN_DISTRIBUTION,
        "possible_conditions": (condition,) if possible is None else possible,
        **_probs(spread(RBC_METADATA.conditions, condition, probability)),
    }


def white_cell(condition="healthy_WBC", cell_type="lymphocyte", *, possible_types=None):
    """Answers of a classifier about a white cell, by column."""
    return {
        "condition": condition,
        "subtype": cell_type,
        "reason": None,
        "possible_conditions": (condition,),
        "possible_subtypes": (cell_type,) if possible_types is None else possible_types,
        **_probs(spread(WBC_METADATA.conditions, condition)),
        **_probs(spread(WBC_METADATA.subtypes, cell_type)),
    }


def _probs(probabilities):
    return {f"{name}_prob": value for name, value in probabilities.items()}


def classified_report(analysis=None, *, red=None, white=None, validation=None, **options):
    """The report of an image whose whole cells were all classified alike; all classes are proven
    by default."""
    analysis = classified_analysis(analysis, red=red, white=white, validation=validation)
    return report_of(analysis, **{"provenance": PROVENANCE} | options)


def classified_analysis(analysis=None, *, red=None, white=None, validation=None):
    """An image whose whole cells were all classified alike."""
    analysis = analysis_of() if analysis is None else analysis
    cells = analysis.cells
    columns = unclassified(len(cells), [RBC_METADATA, WBC_METADATA])
    columns["reason"][cells["touches_border"]] = Reason.CUT_OFF
    for cell_type, answers in (
        (RBC, red_cell(**(red or {}))),
        (WBC, white_cell(**(white or {}))),
    ):
        for row in np.flatnonzero(cells.is_type(cell_type) & ~cells["touches_border"]):
            for name, value in answers.items():
                columns[name][row] = value
    if validation is None:
        validation = ALL_PROVEN
    cells = dataclasses.replace(cells, validation=validation).with_columns(**columns)
    return dataclasses.replace(analysis, cells=cells)
