"""Classifications of drawn cells, and the reports of images with them."""

from support.analysed_images import analysis_of, report_of
from support.colour_classifiers import RBC_METADATA, WBC_METADATA

from blood_cell_system.analysis.classification import CellClassification
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


def spread(names, likely, probability=0.9):
    """Probabilities by name, of which one is likely and the others share what is left."""
    rest = (1 - probability) / (len(names) - 1)
    return {name: probability if name == likely else rest for name in names}


def red_cell(condition="healthy_RBC", *, probability=0.9, is_known=True, possible=None):
    """Classification of a red cell."""
    return CellClassification(
        condition=condition,
        probabilities=spread(RBC_METADATA.conditions, condition, probability),
        known=0.9 if is_known else 0.1,
        is_known=is_known,
        possible_conditions=(condition,) if possible is None else possible,
    )


def white_cell(condition="healthy_WBC", cell_type="lymphocyte", *, possible_types=None):
    """Classification of a white cell."""
    return CellClassification(
        condition=condition,
        probabilities=spread(WBC_METADATA.conditions, condition),
        cell_type=cell_type,
        type_probabilities=spread(WBC_METADATA.subtypes, cell_type),
        possible_conditions=(condition,),
        possible_types=(cell_type,) if possible_types is None else possible_types,
    )


def classified_report(analysis=None, *, red=None, white=None, **options):
    """The report of an image whose whole cells were all classified alike."""
    analysis = analysis_of() if analysis is None else analysis
    judged = {
        RBC: red_cell(**(red or {})),
        WBC: white_cell(**(white or {})),
    }
    return report_of(
        analysis,
        classifications={
            label: judged[cell_type]
            for label, cell_type, touches in zip(
                analysis.cells.ids.tolist(),
                analysis.cells["cell_type"],
                analysis.cells["touches_border"],
                strict=True,
            )
            if cell_type in judged and not touches
        },
        rbc_facts=RBC_METADATA,
        wbc_facts=WBC_METADATA,
        **{"provenance": PROVENANCE} | options,
    )
