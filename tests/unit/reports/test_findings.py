import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.analysed_images import CELLS, analysis_of, report_of
from support.classified_cells import classified_report
from support.colour_classifiers import RBC_METADATA, WBC_METADATA
from support.drawn_cells import ellipse_box

from blood_cell_system.cells.border_rule import BorderRule
from blood_cell_system.reports.findings import (
    NO_CLASSIFIER,
    NONE_OF_THESE,
    NOT_ASSESSED,
    JudgedCell,
    find,
    findings_of_json,
    total_of,
)
from blood_cell_system.reports.image_files import (
    ABNORMAL_COLOUR,
    NONE_COLOUR,
    UNSURE_COLOUR,
    annotated_image,
    cells_to_csv,
)
from blood_cell_system.reports.report import CellFlag, findings_to_json
from blood_cell_system.taxonomy import RBC

CONDITIONS = st.sampled_from((*RBC_METADATA.conditions, NONE_OF_THESE, NOT_ASSESSED))
RED_CELLS = st.lists(
    st.builds(JudgedCell, condition=CONDITIONS, is_uncertain=st.booleans()), max_size=40
)


def red(*conditions):
    return find([JudgedCell(condition=name) for name in conditions], RBC_METADATA)


def white(**counts):
    return find(
        [
            JudgedCell(condition="healthy_WBC", wbc_type=name)
            if name != "blast"
            else JudgedCell(condition="cancer_WBC")
            for name, count in counts.items()
            for _ in range(count)
        ],
        WBC_METADATA,
    )


def rates_of(findings):
    return {rate.name: rate for rate in findings.rates}


def test_conditions_have_the_names_of_the_original_system():
    found = red("healthy_RBC", "malaria_RBC", "healthy_RBC")
    assert found.counts == {"healthy_RBC": 2, "malaria_RBC": 1, "sickle_RBC": 0}
    assert list(rates_of(found)) == ["healthy_RBC", "malaria_RBC", "sickle_RBC"]


def test_parasitaemia_is_the_share_of_assessed_red_cells_from_500_on():
    found = red(*["malaria_RBC"] * 10, *["healthy_RBC"] * 489, *[NONE_OF_THESE] * 50)
    assert rates_of(found)["malaria_RBC"].share is None
    found = red(*["malaria_RBC"] * 10, *["healthy_RBC"] * 490, *[NOT_ASSESSED] * 50)
    rate = rates_of(found)["malaria_RBC"]
    assert rate.share == pytest.approx(0.02)
    assert rate.interval == pytest.approx((0.0109, 0.0364), abs=1e-4)
    assert (found.none_of_these, found.cut_off) == (0, 50)


def test_blasts_belong_to_the_differential_and_erythroblasts_are_beside_it():
    found = white(neutrophil=60, lymphocyte=20, erythroblast=10, blast=20)
    rates = rates_of(found)
    assert (rates["neutrophil"].count, rates["neutrophil"].total) == (60, 100)
    assert (rates["erythroblast"].count, rates["erythroblast"].total) == (10, 110)
    assert (rates["cancer_WBC"].count, rates["cancer_WBC"].total) == (20, 110)
    assert rates["neutrophil"].share == pytest.approx(0.6)


def test_a_classifier_without_types_gives_no_differential():
    metadata = WBC_METADATA.replace(subtypes=())
    found = find([JudgedCell(condition="healthy_WBC")], metadata)
    assert list(rates_of(found)) == ["healthy_WBC", "cancer_WBC"]


def test_without_a_classifier_nothing_is_assessed():
    assert find([JudgedCell(condition=NOT_ASSESSED)], None) == NO_CLASSIFIER
    assert NO_CLASSIFIER.rates == ()


@given(RED_CELLS)
def test_every_cell_is_counted_once(cells):
    found = find(cells, RBC_METADATA)
    assert found.assessed + found.none_of_these + found.cut_off == len(cells)
    assert found.uncertain <= found.assessed


@given(RED_CELLS, RED_CELLS)
def test_the_findings_of_two_images_are_those_of_all_their_cells(first, second):
    total = total_of([find(first, RBC_METADATA), find(second, RBC_METADATA)])
    assert total == find([*first, *second], RBC_METADATA)


def test_images_that_were_not_assessed_add_nothing():
    found = red("healthy_RBC")
    assert total_of([NO_CLASSIFIER, found, NO_CLASSIFIER]) == found
    assert total_of([]) == NO_CLASSIFIER


def test_findings_come_back_from_a_report():
    found = white(neutrophil=3, blast=1)
    assert findings_of_json(findings_to_json(found)) == found


def test_cells_that_the_border_cuts_off_are_not_assessed():
    findings = classified_report().rbc_findings
    assert (findings.assessed, findings.cut_off) == (1, 2)
    assert findings.reason == "1 of 3 cells"


def test_cells_that_the_border_rule_leaves_out_count_nowhere():
    report = classified_report(analysis_of(rule=BorderRule.TWO_SIDES), rule=BorderRule.TWO_SIDES)
    assert (report.rbc_findings.assessed, report.rbc_findings.cut_off) == (1, 1)


def only_red(report):
    (cell,) = (cell for cell in report.cells if cell.cell_type == RBC)
    return cell


ONE_RED = analysis_of([CELLS[1]])


def test_what_is_none_of_the_classes_is_flagged_and_has_no_condition():
    report = classified_report(ONE_RED, red={"is_known": False}, threshold=0.0)
    cell = only_red(report)
    assert cell.condition == NONE_OF_THESE
    assert cell.flags == (CellFlag.NONE_OF_THESE,)
    assert not cell.is_abnormal
    assert report.rbc_findings.none_of_these == 1


@pytest.mark.parametrize(
    ("red", "is_uncertain"),
    [
        ({}, False),
        ({"probability": 0.39}, True),
        ({"possible": ("healthy_RBC", "sickle_RBC")}, True),
        ({"possible": ()}, True),
    ],
    ids=["sure", "close", "two possible", "none possible"],
)
def test_an_open_condition_makes_a_cell_uncertain(red, is_uncertain):
    report = classified_report(ONE_RED, red=red, threshold=0.0)
    assert only_red(report).is_uncertain == is_uncertain
    assert report.rbc_findings.uncertain == is_uncertain


def test_a_condition_below_the_threshold_makes_a_cell_uncertain():
    confidence = only_red(report_of(ONE_RED)).confidence
    report = classified_report(ONE_RED, red={"probability": 0.6}, threshold=0.7)
    assert confidence > 0.7
    assert only_red(report).is_uncertain
    assert only_red(report).certainty == pytest.approx(0.6)


def test_an_open_type_makes_a_white_cell_uncertain_but_not_a_blast():
    analysis = analysis_of([CELLS[0]])
    open_type = {"possible_types": ("lymphocyte", "monocyte")}
    assert classified_report(analysis, white=open_type, threshold=0.0).wbc_findings.uncertain == 1
    blast = classified_report(
        analysis, white=open_type | {"condition": "cancer_WBC"}, threshold=0.0
    )
    assert blast.wbc_findings.uncertain == 0
    assert blast.cells[0].wbc_type is None


def test_the_text_tells_counts_and_what_is_lacking():
    words = " ".join(classified_report(red={"condition": "sickle_RBC"}).to_summary_text().split())
    assert "red cells: assessed (1 of 3 cells)" in words
    assert "healthy_RBC 0, malaria_RBC 0, sickle_RBC 1" in words
    assert "2 cut off, covered or too small" in words
    assert "shares of healthy_RBC, malaria_RBC, sickle_RBC: too few cells to say (1; at" in words
    assert "rbc_classifier.onnx, SHA-256 efef" in words


def test_the_lines_of_findings_fit_into_88_places():
    assert max(map(len, classified_report().to_summary_text().splitlines())) <= 88


def test_the_table_has_a_column_a_class():
    text = cells_to_csv(classified_report(red={"condition": "malaria_RBC"}).to_json()["cells"])
    rows = list(csv.DictReader(io.StringIO(text)))
    red_row = next(row for row in rows if row["p_malaria_RBC"])
    assert (red_row["condition"], red_row["p_malaria_RBC"]) == ("malaria_RBC", "0.9")
    assert red_row["p_lymphocyte"] == ""
    white_row = next(row for row in rows if row["cell_type"] == "WBC")
    assert (white_row["wbc_type"], white_row["p_lymphocyte"]) == ("lymphocyte", "0.9")


@pytest.mark.parametrize(
    ("red", "colour"),
    [
        ({"condition": "malaria_RBC"}, ABNORMAL_COLOUR),
        ({"possible": ()}, UNSURE_COLOUR),
        ({"is_known": False}, NONE_COLOUR),
        ({}, None),
    ],
)
def test_cells_that_want_a_look_are_boxed(red, colour):
    analysis = analysis_of([ellipse_box(RBC, 90, 64, 60)])
    plain = annotated_image(analysis, report_of(analysis, threshold=0.0).cells)
    drawn = annotated_image(analysis, classified_report(analysis, red=red, threshold=0.0).cells)
    changed = (drawn != plain).any(axis=2)
    assert changed.any() == (colour is not None)
    if colour is not None:
        assert (drawn[changed] == colour).all(axis=1).mean() > 0.5
        rows, columns = np.nonzero(changed)
        assert (rows.min(), columns.min()) == pytest.approx((34, 60), abs=1)


def test_a_name_at_the_edge_of_the_image_is_cut():
    analysis = analysis_of([ellipse_box(RBC, 30, 30, 50)], shape=(56, 56))
    report = classified_report(analysis, red={"condition": "malaria_RBC"})
    assert annotated_image(analysis, report.cells).shape == (56, 56, 3)


@pytest.mark.parametrize(("diameter", "reach"), [(20, 1.4), (30, 1.4), (60, 1.1)])
def test_a_name_hardly_reaches_beyond_its_cell(diameter, reach):
    analysis = analysis_of([ellipse_box(RBC, 40, 64, diameter)])
    plain = annotated_image(analysis, report_of(analysis, threshold=0.0).cells)
    report = classified_report(analysis, red={"condition": "malaria_RBC"}, threshold=0.0)
    changed = (annotated_image(analysis, report.cells) != plain).any(axis=2)
    columns = np.flatnonzero(changed.any(axis=0))
    assert columns[-1] - columns[0] <= reach * diameter
