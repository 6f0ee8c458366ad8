"""Datasets of results, written without a cluster."""

import json

from support.classified_cells import PROVENANCE, classified_report

from blood_cell_system.cluster.results_dataset import DatasetRecord, ResultsDataset, image_row
from blood_cell_system.cluster.storage import Storage
from blood_cell_system.reports.batch_summary import ImageOutcome, Slide
from blood_cell_system.reports.report import DiagnosticReport, classes_in


def outcome_of(name, report=None, slide=None, patient=None):
    """An image as a batch has it: its report was written and read again."""
    report = classified_report() if report is None else report
    again = DiagnosticReport.from_json(json.loads(json.dumps(report.to_json())))
    slide = None if slide is None else Slide(name=slide, patient=patient)
    return ImageOutcome(name=name, path=f"/images/{name}.png", report=again, slide=slide)


def failed(name, slide=None):
    """An image that failed."""
    slide = None if slide is None else Slide(name=slide)
    return ImageOutcome(name=name, path=f"/images/{name}.png", reason="damaged", slide=slide)


def record_of(report=None, **changes):
    """What the drawn reports have in common."""
    report = classified_report() if report is None else report
    conditions, subtypes = classes_in(report.cells)
    record = DatasetRecord(
        provenance=PROVENANCE,
        settings=report.settings,
        has_slides=True,
        taxonomy=report.taxonomy,
        classes=(*conditions, *subtypes),
        validation=report.validation,
    )
    return record.model_copy(update=changes)


def written(place, batches, record=None):
    """A dataset of batches by key."""
    record = record or record_of()
    dataset = ResultsDataset.started(Storage(str(place)), record)
    for key, outcomes in batches.items():
        cells = dataset.write_cells(key, outcomes)
        dataset.commit(key, [image_row(one, record) for one in outcomes], cells)
    return dataset
