import dataclasses

import numpy as np
import pytest
from support.analysed_images import DEFOCUSED, FINE_LIGHT, analysis_of, report_of
from support.classified_cells import classified_report
from support.drawn_cells import ellipse_box

from blood_cell_system.cells.border_rule import BorderRule
from blood_cell_system.cells.unassessed import Reason
from blood_cell_system.errors import SettingsError
from blood_cell_system.reports.diagnosis import unfamiliar
from blood_cell_system.reports.findings import Findings
from blood_cell_system.reports.report import CellFlag, ReportSettings, Status
from blood_cell_system.reports.text import is_abnormal
from blood_cell_system.taxonomy import BUILT_IN, RBC, WBC

SETTINGS = ReportSettings(
    confidence_threshold=0.5, uncertain_margin=0.2, border_rule=BorderRule.COUNTED
)


def test_cells_are_counted_by_type():
    assert dict(report_of().counts) == {"RBC": 3, "WBC": 1, "Platelet": 1}


def test_cells_that_the_border_rule_leaves_out_are_told_but_not_counted():
    report = report_of(rule=BorderRule.TWO_SIDES)
    assert report.counts[RBC] == 2
    is_left_out = ~report.cells["is_counted"]
    assert report.cells["cell_type"][is_left_out].tolist() == [RBC]
    assert report.cells["touches_border"][is_left_out].all()
    assert report.types[RBC].not_counted == 1
    assert report.types[RBC].touching_border == 2


def test_a_cell_is_measured():
    (cell,) = report_of(analysis_of([ellipse_box(RBC, 60, 60, 50)])).to_json()["cells"]
    assert cell["cell_id"] == 1
    assert cell["bbox"] == pytest.approx((35, 35, 85, 85), abs=1)
    assert cell["centroid"] == pytest.approx((60, 60), abs=0.5)
    assert cell["equivalent_diameter_px"] == pytest.approx(50, abs=1)
    assert cell["circularity"] > 0.95
    assert cell["equivalent_diameter_um"] is None
    assert cell["condition"] == "not assessed"
    assert cell["probabilities"] == {}


def test_sizes_are_in_micrometres_where_a_pixel_s_size_is_known():
    report = report_of(analysis_of(pixel_size_um=0.2))
    in_px = report.cells["equivalent_diameter_area"]
    assert report.cells["equivalent_diameter_um"] == pytest.approx(0.2 * in_px)
    red = report.types[RBC]
    assert red.median_diameter_um == pytest.approx(0.2 * red.median_diameter_px)


def test_cells_that_are_cut_off_do_not_count_for_the_median_size():
    assert report_of().types[RBC].median_diameter_px == pytest.approx(40, abs=1)


def test_cells_below_the_threshold_are_uncertain_the_worst_first():
    analysis = analysis_of()
    confidences = sorted(analysis.cells["confidence"].tolist())
    report = report_of(analysis, threshold=(confidences[1] + confidences[2]) / 2)
    rows = np.array(report.uncertain_cells) - 1
    assert report.cells["confidence"][rows].tolist() == confidences[:2]
    assert all(CellFlag.UNCERTAIN in flags for flags in report.cells["flags"][rows])
    assert sum(summary.uncertain for summary in report.types.values()) == 2


@pytest.mark.parametrize(
    ("probabilities", "expected"), [((), False), ((0.6, 0.4), False), ((0.55, 0.45), True)]
)
def test_close_conditions_make_a_cell_uncertain(probabilities, expected):
    settings = dataclasses.replace(SETTINGS, uncertain_margin=0.15)
    assert settings.is_uncertain(0.9, probabilities) == expected


def test_a_single_condition_is_not_close_to_another():
    assert not SETTINGS.is_uncertain(0.9, (0.1,))


@pytest.mark.parametrize("name", ["confidence_threshold", "uncertain_margin"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_thresholds_outside_of_0_to_1_are_refused(name, value):
    with pytest.raises(SettingsError, match=name):
        dataclasses.replace(SETTINGS, **{name: value})


def test_an_image_in_order_is_ok():
    assert report_of().status == Status.OK
    assert report_of().warnings == ()


def test_warnings_of_the_image_come_before_those_of_the_caller():
    report = report_of(
        analysis_of(findings=(DEFOCUSED, FINE_LIGHT)), further_warnings=["No platelets."]
    )
    assert report.warnings == (DEFOCUSED.message, "No platelets.")
    assert report.status == Status.WARNED


def test_of_what_is_no_smear_it_is_not_said_that_no_cell_was_found():
    analysis = analysis_of([])
    no_smear = dataclasses.replace(analysis.quality, is_smear=False)
    assert report_of(dataclasses.replace(analysis, quality=no_smear)).warnings == ()


def test_an_image_without_cells_is_a_report_with_a_warning():
    report = report_of(analysis_of([]))
    assert dict(report.counts) == {"RBC": 0, "WBC": 0, "Platelet": 0}
    assert "No cell was found" in report.warnings[0]
    assert [rate.interval_95 for rate in report.rates] == [None, None]


def test_an_image_that_is_full_of_white_cells_is_doubted():
    def white(count):
        return [ellipse_box(WBC, 20 + 30 * n, 60, 24) for n in range(count)]

    wide = (128, 400)
    (warning,) = report_of(analysis_of(white(12), shape=wide)).warnings
    assert warning.startswith("12 white cells beside 0 red ones")
    assert report_of(analysis_of(white(4), shape=wide)).warnings == ()


def red_cells(count):
    return [ellipse_box(RBC, 40 + 60 * n, 60, 40) for n in range(count)]


@pytest.mark.parametrize(("taken_as", "is_warned"), [(40, False), (29, True), (60, True)])
def test_red_cells_of_another_size_than_they_were_taken_to_have_are_warned_of(taken_as, is_warned):
    analysis = analysis_of(red_cells(8), shape=(128, 520))
    scale = dataclasses.replace(analysis.scale, red_cell_diameter_px=float(taken_as))
    warnings = report_of(dataclasses.replace(analysis, scale=scale)).warnings
    assert any("give --cell-diameter 40" in one for one in warnings) == is_warned


def test_the_size_of_a_few_red_cells_or_of_none_that_was_expected_is_not_compared():
    for count, taken_as in ((7, 20.0), (8, None)):
        analysis = analysis_of(red_cells(count), shape=(128, 520))
        scale = dataclasses.replace(analysis.scale, red_cell_diameter_px=taken_as)
        report = report_of(dataclasses.replace(analysis, scale=scale))
        assert not any("--cell-diameter" in one for one in report.warnings)


def with_nuclei(rows, colour=(70, 20, 130)):
    """Ten red cells, some of them in the colour of a nucleus."""
    analysis = analysis_of(red_cells(10), shape=(128, 640))
    is_nucleus = np.isin(analysis.cells.label_image, np.array(rows) + 1)
    image = np.where(is_nucleus[..., None], np.array(colour, np.uint8), analysis.image)
    return dataclasses.replace(analysis, image=image)


def reasons_of(report):
    return {row: why for row, why in enumerate(report.cells["reason"]) if why is not None}


@pytest.mark.parametrize("rows", [[0], [2, 7], [1, 3, 6, 9]])
def test_red_cells_that_hold_a_nucleus_are_not_assessed_and_warned_of(rows):
    report = classified_report(with_nuclei(rows))
    assert reasons_of(report) == dict.fromkeys(rows, Reason.NUCLEUS)
    assert set(np.array(report.uncertain_cells) - 1) == set(rows)
    assert report.findings[RBC].assessed == 10 - len(rows)
    nuclei = [one for one in report.warnings if "purple as nuclei" in one]
    assert [one.split(" are")[0] for one in nuclei] == (
        [f"{len(rows)} of 10 red cells"] if len(rows) > 1 else []
    )


@pytest.mark.parametrize(
    "colour",
    [(120, 20, 20), (160, 50, 50), (198, 22, 22), (180, 90, 40)],
    ids=["darker", "overlapping", "denser", "browner"],
)
def test_a_dark_red_cell_holds_no_nucleus(colour):
    report = classified_report(with_nuclei([2, 7], colour))
    assert reasons_of(report) == {}
    assert report.warnings == ()


def test_a_parasite_is_purple_too_and_stays_one():
    report = classified_report(with_nuclei([2, 7]), red={"condition": "malaria_RBC"})
    assert reasons_of(report) == {}
    assert not any("nuclei" in one for one in report.warnings)


def test_a_dense_cell_that_is_not_surely_a_parasite_is_not_named_one():
    unsure = {"condition": "malaria_RBC", "reason": Reason.UNDECIDED}
    report = classified_report(with_nuclei([2, 7]), red=unsure)
    assert [row for row, why in reasons_of(report).items() if why == Reason.NUCLEUS] == [2, 7]
    assert not any(is_abnormal(report.cells))


def test_without_a_classifier_hidden_nuclei_are_still_warned_of():
    report = report_of(with_nuclei([2, 7]))
    assert set(reasons_of(report).values()) == {Reason.NO_CLASSIFIER}
    assert any("nuclei" in one for one in report.warnings)


@pytest.mark.parametrize(("strange", "is_warned"), [(3, False), (4, True)])
def test_cells_most_of_which_are_none_of_these_are_warned_of(strange, is_warned):
    found = {
        "RBC": Findings(assessed=6 - strange, not_assessed={Reason.NOT_IN_DISTRIBUTION: strange})
    }
    warnings = unfamiliar(found, BUILT_IN)
    assert bool(warnings) == is_warned
    assert all(f"{strange} of 6 red cells are none" in one for one in warnings)


def test_a_few_cells_that_are_none_of_these_are_not_warned_of():
    found = {"WBC": Findings(not_assessed={Reason.NOT_IN_DISTRIBUTION: 4, Reason.CUT_OFF: 9})}
    assert unfamiliar(found, BUILT_IN) == []


def test_rates_are_of_counted_cells():
    white, platelets = report_of(rule=BorderRule.TWO_SIDES).rates
    assert (white.count, white.total) == (1, 3)
    assert (platelets.count, platelets.total) == (1, 3)
