import csv
import dataclasses
import io
import json

import numpy as np
import pytest
from support.analysed_images import CELLS, analysis_of
from support.classified_cells import ALL_PROVEN, classified_analysis, classified_report
from support.colour_classifiers import PROVEN, WBC_METADATA, ChosenClassifier
from support.drawn_cells import ellipse_box

from blood_cell_system.analysis.classification import ClassificationSettings, classify_analysis
from blood_cell_system.analysis.quality import assess
from blood_cell_system.analysis.survey import survey
from blood_cell_system.cells.border_rule import BorderRule
from blood_cell_system.cells.unassessed import Reason
from blood_cell_system.model_metadata import UnseenSource, Validation
from blood_cell_system.reports.claims import Proof, Verdict, cells_for, half_width_for
from blood_cell_system.reports.diagnosis import reported_cells
from blood_cell_system.reports.findings import Rate, findings_in
from blood_cell_system.reports.image_files import annotated_image, cells_to_csv
from blood_cell_system.reports.page.render import render_report
from blood_cell_system.reports.report import CellFlag, DiagnosticReport, ReportSettings
from blood_cell_system.reports.text import is_abnormal, name_of, percent, rate_words
from blood_cell_system.taxonomy import WBC

BLASTS_AT_CHANCE = {
    **ALL_PROVEN,
    "cancer_WBC": Validation(
        sources=tuple(
            UnseenSource(source=str(n), auroc=value) for n, value in enumerate((0.36, 0.6))
        )
    ),
}
MEASURED = Validation(
    sources=tuple(
        UnseenSource(
            source=name,
            auroc=0.97,
            positives=400,
            negatives=4000,
            sensitivity=0.8,
            false_alarm_rate=0.01,
        )
        for name in ("a", "b", "c")
    )
)
ONE_WHITE = analysis_of([CELLS[0]])


def of_blasts(validation=BLASTS_AT_CHANCE):
    return classified_report(
        ONE_WHITE, white={"condition": "cancer_WBC"}, validation=validation, threshold=0.0
    )


def rate(count, total=1000, *, validation=MEASURED, **fields):
    fields = {"name": "malaria_RBC", "label": "malaria", "min_total": 500, **fields}
    return Rate(count=count, total=total, proof=Proof.of(validation), **fields)


# What is not validated


def test_the_score_of_an_unproven_condition_stays_in_the_table_of_cells():
    report = of_blasts()
    text = cells_to_csv(report.to_json()["cells"], report.cells.taxonomy)
    (row,) = csv.DictReader(io.StringIO(text))
    assert (row["condition"], row["p_cancer_WBC"]) == ("cancer_WBC", "0.9")
    assert row["flags"] == "uncertain not_validated"


def test_an_unproven_condition_has_no_count_and_no_share():
    value = of_blasts().to_json()["findings"]["WBC"]
    assert value["counts"] == {}
    assert value["assessed"] == 1
    assert not {"cancer_WBC", "healthy_WBC"} & {one["name"] for one in value["rates"]}


def test_an_unproven_condition_is_told_in_one_line_with_its_figures():
    words = " ".join(of_blasts().text.split())
    assert (
        "not validated outside its laboratory, so not counted: leukaemia-suspect (blast-like) "
        "cells (AUROC 0.36 to 0.60 in 2 laboratories never seen)" in words
    )


def test_a_condition_that_nobody_measured_elsewhere_is_counted_and_says_so():
    report = of_blasts({name: found for name, found in ALL_PROVEN.items() if name != "cancer_WBC"})
    found = report.findings["WBC"]
    assert found.not_validated == {}
    assert found.counts["cancer_WBC"] == 1
    (blasts,) = (one for one in found.rates if one.name == "cancer_WBC")
    assert blasts.proof.words == "not measured outside its laboratory"


def test_health_claims_nothing_of_its_own():
    report = classified_report(validation={})
    rates = {one.name: one for one in report.findings["RBC"].rates}
    assert rates["healthy_RBC"].proof is None
    assert rates["malaria_RBC"].proof.words == "not measured outside its laboratory"


def test_an_unproven_condition_alarms_nobody():
    report = of_blasts()
    assert is_abnormal(report.cells) == [False]
    plain = classified_report(ONE_WHITE, threshold=0.0).cells
    plain = plain.with_columns(flags=[(CellFlag.UNCERTAIN,)])
    drawn = [annotated_image(ONE_WHITE, cells) for cells in (report.cells, plain)]
    assert (drawn[0] == drawn[1]).all()
    assert "leukaemia" not in name_of(report.cells, 0)


def test_a_cell_of_an_unproven_condition_keeps_its_type():
    assert of_blasts().cells["subtype"].tolist() == ["lymphocyte"]
    assert of_blasts(ALL_PROVEN).cells["subtype"].tolist() == [None]


def test_the_type_of_what_may_be_a_blast_is_not_sure_and_the_differential_says_so():
    report = of_blasts()
    assert report.cells["flags"].tolist() == [(CellFlag.UNCERTAIN, CellFlag.NOT_VALIDATED)]
    found = report.findings[WBC]
    (lymphocytes,) = (one for one in found.rates if one.name == "lymphocyte")
    assert (lymphocytes.count, lymphocytes.uncertain, found.maybe_blasts) == (1, 1, 1)
    assert "1 cell of the differential may be blasts" in " ".join(report.text.split())
    assert (found + found).maybe_blasts == 2
    healthy = classified_report(ONE_WHITE, validation=BLASTS_AT_CHANCE, threshold=0.0)
    assert healthy.findings[WBC].maybe_blasts == 0
    assert "may be blasts" not in healthy.text


def test_of_a_grey_image_nothing_is_claimed():
    grey = dataclasses.replace(
        ONE_WHITE, image=np.repeat(ONE_WHITE.image.mean(axis=2, keepdims=True), 3, 2).astype("u1")
    )
    quality = assess(survey(grey.image), scale=grey.scale, vote=None, judged_share=1.0)
    grey = dataclasses.replace(grey, quality=quality)
    classifier = ChosenClassifier(WBC_METADATA, (1, 0))
    cells = classify_analysis(grey, [classifier])
    assert cells["reason"].tolist() == [Reason.NO_COLOUR]
    assert classifier.seen == []
    found = findings_in(cells.with_columns(flags=[()]), cells.taxonomy[WBC])
    assert (found.state, found.counts, found.rates) == ("not assessed", {}, ())
    assert (found + found).reason == found.reason
    assert "no colour" in found.reason


def test_an_unproven_condition_that_is_open_makes_no_cell_uncertain():
    open_condition = {"possible": (), "probability": 0.4}
    doubtful = classified_report(analysis_of([CELLS[1]]), red=open_condition, threshold=0.0)
    unproven = classified_report(
        analysis_of([CELLS[1]]),
        red=open_condition,
        threshold=0.0,
        validation=dict.fromkeys(("malaria_RBC", "sickle_RBC"), BLASTS_AT_CHANCE["cancer_WBC"]),
    )
    assert len(doubtful.uncertain_cells) == 1
    assert unproven.uncertain_cells == ()


def test_one_proven_condition_is_counted_beside_one_that_is_not():
    proven = {**ALL_PROVEN, "sickle_RBC": BLASTS_AT_CHANCE["cancer_WBC"]}
    found = classified_report(red={"condition": "malaria_RBC"}, validation=proven).findings["RBC"]
    assert found.counts == {"malaria_RBC": 1}
    assert [one.name for one in found.rates] == ["malaria_RBC"]
    assert list(found.not_validated) == ["sickle_RBC"]


def test_what_is_not_proven_is_counted_where_that_was_asked_for():
    settings = ReportSettings(
        confidence_threshold=0.0,
        uncertain_margin=0.1,
        border_rule=BorderRule.COUNTED,
        counts_unproven=True,
    )
    analysis = classified_analysis(
        ONE_WHITE, white={"condition": "cancer_WBC"}, validation=BLASTS_AT_CHANCE
    )
    cells = reported_cells(analysis, settings)
    found = findings_in(cells, cells.taxonomy[WBC])
    assert found.counts == {"healthy_WBC": 0, "cancer_WBC": 1}
    assert cells["flags"].tolist() == [()]
    (blasts,) = (one for one in found.rates if one.name == "cancer_WBC")
    words = "counted though not validated outside its laboratory; in 2 laboratories never seen: "
    assert blasts.proof.words.startswith(f"{words}AUROC 0.48, worst")


def test_a_differential_is_whole_and_each_type_says_how_far_it_was_proven():
    unproven = {**ALL_PROVEN, "basophil": BLASTS_AT_CHANCE["cancer_WBC"]}
    found = classified_report(validation=unproven).findings["WBC"]
    assert (found.types["basophil"], found.types["lymphocyte"]) == (0, 1)
    words = {one.name: one.proof.words for one in found.rates}
    assert words["basophil"].startswith("counted though not validated outside its laboratory; in 2")
    assert words["lymphocyte"].startswith("proven in")


def test_claims_come_back_with_the_report():
    report = of_blasts()
    again = DiagnosticReport.from_json(json.loads(json.dumps(report.to_json())))
    assert again.text == report.text
    assert again.cells.validation == BLASTS_AT_CHANCE
    assert CellFlag.NOT_VALIDATED in again.cells["flags"][0]


def test_cells_carry_what_the_model_file_says_of_its_classes():
    @dataclasses.dataclass
    class Classifier:
        metadata = WBC_METADATA.replace(validation={"cancer_WBC": PROVEN})
        input_side = (130, 130)

    nothing = analysis_of([])
    assert classify_analysis(nothing, [], ClassificationSettings()).validation == {}
    found = classify_analysis(nothing, [Classifier()], ClassificationSettings())
    assert found.validation == {"cancer_WBC": PROVEN}


# What a share amounts to


def test_each_finding_says_on_how_many_laboratories_it_was_proven():
    words = "proven in 3 laboratories never seen: AUROC 0.97, false alarms 1 %"
    assert words in str(rate_words(rate(300)))
    unknown = rate(300, validation=PROVEN)
    words = "in 2 laboratories never seen: AUROC 0.94, worst 0.91, false alarms not measured"
    assert words in str(rate_words(unknown))


@pytest.mark.parametrize(
    ("count", "uncertain", "verdict"),
    [
        (0, 0, Verdict.NONE),
        (12, 0, Verdict.FALSE_ALARMS),
        (400, 0, Verdict.FOUND),
        (400, 200, Verdict.FOUND),
        (400, 201, Verdict.UNCERTAIN),
    ],
)
def test_a_share_is_a_finding_where_neither_doubt_nor_false_alarms_explain_it(
    count, uncertain, verdict
):
    assert rate(count, uncertain=uncertain).verdict == verdict


def test_a_share_of_too_few_cells_is_none():
    assert rate(400, total=499).verdict == Verdict.TOO_FEW


def test_a_share_within_false_alarms_is_told_as_such():
    words = str(rate_words(rate(12)))
    assert (
        "within false alarms, not distinguishable from none (12 of 1,000; 95 %: 0.0 % to" in words
    )


def test_what_false_alarms_explain_may_be_nothing():
    alone = UnseenSource(source="a", auroc=0.97, negatives=500, false_alarm_rate=0.02)
    found = rate(12, validation=Validation(sources=(alone,)))
    assert found.verdict == Verdict.FALSE_ALARMS
    assert found.interval_95 == (0.0, pytest.approx(0.0209, abs=1e-3))


def test_few_cells_that_false_alarms_explain_are_told_as_such():
    few = rate(1, total=20)
    assert "; what was found is within false alarms" in str(rate_words(few))
    assert "within false alarms" not in str(rate_words(rate(15, total=20)))
    assert "within false alarms" not in str(rate_words(rate(0, total=20)))


def test_a_share_of_uncertain_cells_is_a_warning():
    places = [(30 + 50 * (n % 12), 30 + 50 * (n // 12)) for n in range(108)]
    many = analysis_of([ellipse_box(WBC, *place, 40) for place in places], shape=(480, 640))
    report = classified_report(many, white={"possible_types": ()}, threshold=0.0)
    (found,) = (one for one in report.findings["WBC"].rates if one.name == "lymphocyte")
    assert found.count == found.uncertain >= 100
    assert f"not sure ({found.count} of" in str(rate_words(found))
    assert "cells called so are not sure: look at them" in " ".join(report.warnings)
    sure = classified_report(many, threshold=0.0)
    assert "called so are not sure" not in " ".join(sure.warnings)


def test_the_interval_of_a_share_holds_the_error_of_the_method():
    with_error, without = rate(300), rate(300, validation=PROVEN)
    assert np.ptp(with_error.interval_95) > np.ptp(without.interval_95)
    low, high = with_error.interval_95
    assert low < (0.3 - 0.01) / (0.8 - 0.01) < high
    assert "method's error included" in str(rate_words(with_error))
    assert "method's error" not in str(rate_words(without))


def test_what_is_not_found_is_not_coloured():
    report = classified_report(red={"condition": "malaria_RBC"})
    for count, is_coloured in ((12, False), (700, True)):
        findings = report.findings["RBC"].model_copy(update={"rates": (rate(count),)})
        shown = report.model_copy(update={"findings": {"RBC": findings}})
        assert ('class="ill"' in render_report(shown)) == is_coloured


# When to stop


def test_cells_wanted_are_those_of_the_interval():
    from blood_cell_system.metrics.intervals import wilson_interval

    for share, width in ((0.02, 0.01), (0.3, 0.05)):
        total = cells_for(share, width)
        low, high = wilson_interval(round(share * total), total)
        assert (high - low) / 2 == pytest.approx(width, rel=0.03)


def test_rarer_cells_are_counted_more_exactly():
    widths = [half_width_for(share) for share in (0.5, 0.05, 0.02, 0.001, 0.0)]
    assert widths == [0.05, 0.02, 0.01, 0.001, 0.001]


def test_it_says_how_many_more_fields_to_count():
    found = Rate(name="r", label="r", count=12, total=600, images=6)
    assert found.more_images == 2
    assert "count about 2 more fields for ± 1 %" in str(rate_words(found))
    enough = Rate(name="r", label="r", count=40, total=2000, images=6)
    assert enough.more_images == 0
    assert "count" not in str(rate_words(enough))


def test_it_says_how_many_more_fields_make_a_share():
    few = Rate(name="r", label="r", count=0, total=20, images=2)
    assert "at least 100 are needed, about 8 more fields" in str(rate_words(few))
    assert Rate(name="r", label="r", count=0, total=0).more_images is None


def test_a_number_of_fields_that_nobody_counts_is_not_named():
    rare = Rate(name="r", label="r", count=12, total=600, images=600)
    assert "± 1 % would take more than 100 more fields" in str(rate_words(rare))


def test_no_number_of_fields_takes_away_the_error_of_the_method():
    assert rate(300).more_images is None
    assert "more fields do not bring it to ± 5 %" in str(rate_words(rate(300)))


@pytest.mark.parametrize(
    ("count", "total", "words"),
    [(3, 18, "17 %"), (24, 700, "3.4 %"), (5, 5000, "0.10 %"), (0, 0, "0 %")],
)
def test_a_share_has_the_decimals_that_its_cells_carry(count, total, words):
    assert percent(count / max(total, 1), total) == words
