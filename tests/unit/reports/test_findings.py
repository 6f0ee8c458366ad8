import csv
import dataclasses
import io
import json
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.analysed_images import CELLS, analysis_of, report_of
from support.classified_cells import classified_report
from support.colour_classifiers import PROVEN, RBC_METADATA, WBC_METADATA
from support.drawn_cells import ellipse_box

from blood_cell_system.analysis.classification import unclassified
from blood_cell_system.cells.border_rule import BorderRule
from blood_cell_system.cells.table import Cells
from blood_cell_system.cells.unassessed import UNDECIDED, Reason
from blood_cell_system.metrics.intervals import wilson_interval
from blood_cell_system.reports import findings as findings_module
from blood_cell_system.reports.batch_summary import BatchSummary, ImageOutcome
from blood_cell_system.reports.findings import (
    NO_CLASSIFIER,
    Rate,
    Ratio,
    findings_in,
    of_types,
    rates_in,
    ratios_of,
    sum_findings,
)
from blood_cell_system.reports.image_files import (
    ABNORMAL_COLOUR,
    NONE_COLOUR,
    UNSURE_COLOUR,
    annotated_image,
    cells_to_csv,
)
from blood_cell_system.reports.page.render import render_page
from blood_cell_system.reports.report import (
    NONE_OF_THESE,
    NOT_ASSESSED,
    CellFlag,
    DiagnosticReport,
    certainty,
)
from blood_cell_system.reports.text import is_abnormal
from blood_cell_system.taxonomy import BUILT_IN, RBC, WBC, CellType, Condition, Subtype

REASONS = {NONE_OF_THESE: Reason.NOT_IN_DISTRIBUTION, NOT_ASSESSED: Reason.COVERED}
CONDITIONS = st.sampled_from((*RBC_METADATA.conditions, NONE_OF_THESE, NOT_ASSESSED))
RED_CELLS = st.lists(st.tuples(CONDITIONS, st.booleans()), max_size=40)


def table(cell_type, rows, metadata, taxonomy=BUILT_IN, further=()):
    """Counted cells of a type: the condition, the subtype and whether it is uncertain of each."""
    names = () if metadata is None else (*metadata.conditions, *metadata.subtypes)
    no_cells = Cells(
        label_image=np.zeros((0, 0), np.int32),
        taxonomy=taxonomy,
        validation=dict.fromkeys([*names, *further], PROVEN),
    )
    cells = no_cells.with_columns(
        cell_type=[cell_type for _ in rows],
        is_counted=[True for _ in rows],
        condition=[None if c == NOT_ASSESSED else c for c, _, _ in rows],
        is_known=np.array([c != NONE_OF_THESE for c, _, _ in rows], dtype=bool),
        subtype=[subtype for _, subtype, _ in rows],
        reason=[REASONS.get(c) for c, _, _ in rows],
        flags=[("uncertain",) if uncertain else () for _, _, uncertain in rows],
    )
    return cells.with_columns(**{f"{name}_prob": np.zeros(len(rows)) for name in names})


def red_of(cells):
    rows = [(condition, None, uncertain) for condition, uncertain in cells]
    return findings_in(table(RBC, rows, RBC_METADATA), BUILT_IN[RBC])


def red(*conditions):
    return red_of([(condition, False) for condition in conditions])


def white(metadata=WBC_METADATA, **counts):
    rows = [
        ("cancer_WBC", None, False) if name == "blast" else ("healthy_WBC", name, False)
        for name, count in counts.items()
        for _ in range(count)
    ]
    return findings_in(table(WBC, rows, metadata), BUILT_IN[WBC])


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
    assert rate.interval_95 == pytest.approx((0.0109, 0.0364), abs=1e-4)
    assert (found.none_of_these, found.cut_off) == (0, 50)


def test_blasts_belong_to_the_differential_and_erythroblasts_are_beside_it():
    found = white(neutrophil=60, lymphocyte=20, erythroblast=10, blast=20)
    rates = rates_of(found)
    assert (rates["neutrophil"].count, rates["neutrophil"].total) == (60, 100)
    assert (rates["erythroblast"].count, rates["erythroblast"].total) == (10, 110)
    assert (rates["cancer_WBC"].count, rates["cancer_WBC"].total) == (20, 110)
    assert rates["neutrophil"].share == pytest.approx(0.6)


def test_a_classifier_without_types_gives_no_differential():
    metadata = WBC_METADATA.replace(subtypes=(), validation={"cancer_WBC": PROVEN})
    found = findings_in(table(WBC, [("healthy_WBC", None, False)], metadata), BUILT_IN[WBC])
    assert list(rates_of(found)) == ["healthy_WBC", "cancer_WBC"]


def test_without_a_classifier_nothing_is_assessed():
    found = report_of().findings[RBC]
    assert (found.state, found.counts, found.rates) == ("not assessed", {}, ())
    assert found.not_assessed == {Reason.NO_CLASSIFIER: 3}


@given(RED_CELLS)
def test_every_cell_is_counted_once(cells):
    found = red_of(cells)
    assert found.assessed + sum(found.not_assessed.values()) == len(cells)
    assert found.none_of_these + found.cut_off == sum(found.not_assessed.values())
    assert found.uncertain <= found.assessed


@given(RED_CELLS, RED_CELLS)
def test_the_findings_of_two_images_are_those_of_all_their_cells(first, second):
    total = sum_findings([red_of(first), red_of(second)])
    alone = red_of([*first, *second])
    rates = tuple(rate.model_copy(update={"images": 2}) for rate in alone.rates)
    assert total == alone.model_copy(update={"rates": rates})


def test_images_without_cells_add_nothing():
    found = red("healthy_RBC")
    assert sum_findings([NO_CLASSIFIER, found, NO_CLASSIFIER]) == found
    assert sum_findings([]) == NO_CLASSIFIER


def test_cells_without_a_classifier_are_summed_up_as_not_assessed():
    total = report_of().findings[RBC] + red("healthy_RBC")
    assert (total.state, total.reason) == ("assessed", "1 of 4 cells")
    assert total.not_assessed == {Reason.NO_CLASSIFIER: 3}


MANY = analysis_of([ellipse_box(RBC, 20 + 40 * i, 24, 30) for i in range(6)], shape=(64, 264))
FATES = st.lists(st.tuples(st.sampled_from([None, *Reason]), st.booleans()), min_size=6, max_size=6)


@given(FATES, st.booleans())
@settings(max_examples=25, deadline=None)
def test_the_sums_of_every_report_add_up(fates, has_classifier):
    """Assessed cells and those of each reason are all cells, in the table, in JSON and in words."""
    whys = np.array([why if has_classifier else Reason.NO_CLASSIFIER for why, _ in fates])
    columns = unclassified(6, [RBC_METADATA] if has_classifier else [])
    columns |= {
        "reason": whys,
        "condition": np.where(whys == None, "healthy_RBC", None),  # noqa: E711
        "is_known": whys != Reason.NOT_IN_DISTRIBUTION,
        "is_counted": [is_counted for _, is_counted in fates],
    }
    if has_classifier:
        was_seen = [why in (None, Reason.NOT_IN_DISTRIBUTION) for why in whys]
        for name in RBC_METADATA.conditions:
            columns[f"{name}_prob"][was_seen] = name == "healthy_RBC"
    proven = dataclasses.replace(MANY.cells, validation=RBC_METADATA.validation)
    cells = proven.with_columns(**columns)
    report = report_of(dataclasses.replace(MANY, cells=cells))
    value = json.loads(json.dumps(report.to_json(), sort_keys=True))
    assert DiagnosticReport.from_json(value).text == report.text
    counted = [why for why, is_counted in zip(whys, cells["is_counted"], strict=True) if is_counted]
    findings = value["findings"][RBC]
    assert findings["assessed"] == sum(findings["counts"].values()) == counted.count(None)
    assert findings["not_assessed"] == Counter(str(why) for why in counted if why)
    assert value["counts"][RBC] == counted.count(None) + sum(findings["not_assessed"].values())
    assert [cell["reason"] for cell in value["cells"]] == whys.tolist()
    sums = re.search(
        r"red cells: (\d+) = ([^:]*?) red cells without malaria or sickling \d",
        " ".join(report.text.split()),
    )
    assert (sums is not None) == (has_classifier and len(counted) > 0)
    if sums:
        parts = [int(number) for number in re.findall(r"\d+", sums[2])]
        assert int(sums[1]) == sum(parts) == len(counted)


def test_cells_that_the_border_cuts_off_are_not_assessed():
    findings = classified_report().findings["RBC"]
    assert (findings.assessed, findings.cut_off) == (1, 2)
    assert findings.reason == "1 of 3 cells"


def test_cells_that_the_border_rule_leaves_out_count_nowhere():
    report = classified_report(analysis_of(rule=BorderRule.TWO_SIDES), rule=BorderRule.TWO_SIDES)
    assert (report.findings["RBC"].assessed, report.findings["RBC"].cut_off) == (1, 1)


def only_red(report):
    (cell,) = (cell for cell in report.to_json()["cells"] if cell["cell_type"] == RBC)
    return cell


ONE_RED = analysis_of([CELLS[1]])


def test_what_is_none_of_the_classes_is_flagged_and_has_no_condition():
    report = classified_report(ONE_RED, red={"is_known": False}, threshold=0.0)
    cell = only_red(report)
    assert cell["condition"] == NONE_OF_THESE
    assert cell["flags"] == (CellFlag.NONE_OF_THESE,)
    assert is_abnormal(report.cells) == [False]
    assert report.findings["RBC"].none_of_these == 1


MAYBE_SICK = {"condition": "malaria_RBC", "probability": 0.7, "reason": Reason.UNDECIDED}


def test_an_undecided_cell_counts_neither_as_sick_nor_as_healthy():
    found = classified_report(ONE_RED, red=MAYBE_SICK, threshold=0.0).findings["RBC"]
    assert (found.assessed, found.counts["malaria_RBC"], found.counts["healthy_RBC"]) == (0, 0, 0)
    assert found.not_assessed == {Reason.UNDECIDED: 1}
    assert found.suspected == {"malaria_RBC": 1}
    assert (found + found).suspected == {"malaria_RBC": 2}
    assert not any(rate.total for rate in found.rates)


def test_an_undecided_cell_is_to_be_looked_at():
    report = classified_report(ONE_RED, red=MAYBE_SICK, threshold=0.0)
    cell = only_red(report)
    assert (cell["condition"], cell["flags"]) == (UNDECIDED, (CellFlag.UNCERTAIN,))
    assert is_abnormal(report.cells) == [False]
    words = " ".join(report.to_summary_text().split())
    assert "red cells: 1 = 0 assessed + 1 undecided" in words
    assert "look at them: red cells with malaria parasites 1" in words
    assert "1 (malaria?, 0.70)" in words


def test_a_report_with_undecided_cells_is_read_back():
    report = classified_report(ONE_RED, red=MAYBE_SICK, threshold=0.0)
    again = DiagnosticReport.from_json(json.loads(json.dumps(report.to_json())))
    assert again.to_json() == report.to_json()


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
    assert ("uncertain" in only_red(report)["flags"]) == is_uncertain
    assert report.findings["RBC"].uncertain == is_uncertain


def test_a_condition_below_the_threshold_makes_a_cell_uncertain():
    confidence = only_red(report_of(ONE_RED))["confidence"]
    report = classified_report(ONE_RED, red={"probability": 0.6}, threshold=0.7)
    assert confidence > 0.7
    assert report.uncertain_cells == (1,)
    assert certainty(report.cells) == pytest.approx(0.6)


def test_an_open_type_makes_a_white_cell_uncertain_but_not_a_blast():
    analysis = analysis_of([CELLS[0]])
    open_type = {"possible_types": ("lymphocyte", "monocyte")}
    assert (
        classified_report(analysis, white=open_type, threshold=0.0).findings["WBC"].uncertain == 1
    )
    blast = classified_report(
        analysis, white=open_type | {"condition": "cancer_WBC"}, threshold=0.0
    )
    assert blast.findings["WBC"].uncertain == 0
    assert blast.to_json()["cells"][0]["wbc_type"] is None


def test_the_text_tells_counts_and_what_is_lacking():
    words = " ".join(classified_report(red={"condition": "sickle_RBC"}).to_summary_text().split())
    assert "red cells: 3 = 1 assessed + 2 cut off" in words
    assert "or sickling 0, red cells with malaria parasites 0, sickle cells 1" in words
    named = (
        "red cells without malaria or sickling, parasitaemia (red cells with malaria parasites), "
        "sickle cells"
    )
    assert f"shares of {named}: too few cells to say (1; at least 500" in words
    assert "rbc_classifier.onnx, SHA-256 efef" in words


def test_the_lines_of_findings_fit_into_88_places():
    assert max(map(len, classified_report().to_summary_text().splitlines())) <= 88


def test_the_table_has_a_column_a_class():
    report = classified_report(red={"condition": "malaria_RBC"})
    text = cells_to_csv(report.to_json()["cells"], report.cells.taxonomy)
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
        (MAYBE_SICK, UNSURE_COLOUR),
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


# Shares and intervals


@pytest.mark.parametrize(("total", "share"), [(99, None), (100, 0.5)])
def test_a_share_of_too_few_cells_is_not_reported(total, share):
    rate = Rate(name="r", label="r", count=total // 2, total=total)
    assert rate.is_enough == (share is not None)
    assert rate.share == share
    assert rate.interval_95 == wilson_interval(total // 2, total)


def test_without_a_cell_there_is_no_interval():
    assert Rate(name="r", label="r", count=0, total=0).interval_95 is None


# The registry


def test_a_finding_is_one_row_and_appears_everywhere(monkeypatch):
    small = Ratio(
        name="small_RBC",
        label="red cells narrower than 35 px",
        of=lambda cells: cells["equivalent_diameter_area"] < 35,
        among=of_types(RBC),
        min_cells=1,
        source="A test.",
    )
    monkeypatch.setattr(findings_module, "RATIOS", (*findings_module.RATIOS, small))
    report = report_of(analysis_of([CELLS[1], ellipse_box(RBC, 150, 60, 30)]))
    rate = next(rate for rate in report.to_json()["rates"] if rate["name"] == "small_RBC")
    assert (rate["count"], rate["total"], rate["share"]) == (1, 2, 0.5)
    words = "red cells narrower than 35 px: 50 % (1 of 2; 95 %: 9 % to 91 %;"
    assert words in " ".join(report.text.split())
    outcomes = tuple(ImageOutcome(name=n, path=n, report=report) for n in ("a", "b"))
    summary = BatchSummary(
        outcomes=outcomes, settings=report.settings, provenance=report.provenance
    )
    assert [(r.count, r.total) for r in summary.rates if r.name == "small_RBC"] == [(2, 4)]
    assert "Red cells narrower than 35 px: <b>50 %</b> (2 of 4;" in render_page(summary)
    rows = list(csv.DictReader(io.StringIO(summary.to_csv())))
    assert [(row["small_RBC"], row["small_RBC_total"]) for row in rows] == [("1", "2")] * 2


def test_every_finding_has_a_name_of_its_own_and_a_source():
    ratios = ratios_of(BUILT_IN)
    assert len({ratio.name for ratio in ratios}) == len(ratios)
    assert all(ratio.source and ratio.label for ratio in ratios)
    assert [ratio.name for ratio in ratios if ratio.cell_type is None] == [
        "wbc_of_rbc_and_wbc",
        "platelets_of_rbc_and_platelets",
    ]


def test_the_classes_of_a_laboratory_have_findings_without_code():
    crystal = CellType(
        name="Retic",
        display_name="reticulocytes",
        colour=(9, 9, 9),
        rate_among=RBC,
        min_cells=2,
        conditions=(
            Condition(name="young", display_name="young reticulocytes"),
            Condition(name="old", display_name="old ones", is_healthy=True),
        ),
        subtypes=(Subtype(name="type_1", display_name="type 1"),),
    )
    own = BUILT_IN.extended([crystal])
    rows = [("young", "type_1", False), ("old", None, False)]
    cells = table("Retic", rows, None, own, further=("young", "type_1")).with_columns(
        young_prob=[0.9, 0.2], old_prob=[0.1, 0.8], type_1_prob=[1.0, 1.0]
    )
    found = {rate.name: rate for rate in findings_in(cells, crystal).rates}
    assert found["young"].label == "young reticulocytes"
    assert found["old"].label == "old ones among reticulocytes"
    assert (found["young"].share, found["type_1"].count) == (0.5, 1)
    (rate,) = (rate for rate in rates_in(cells) if rate.name == "retic_of_rbc_and_retic")
    assert (rate.count, rate.total) == (2, 2)
    assert is_abnormal(cells) == [True, False]
