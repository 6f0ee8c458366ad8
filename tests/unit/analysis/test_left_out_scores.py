import math

import numpy as np
import pytest
from support.left_out import LEARNED, METADATA, left_out

from blood_cell_system.analysis.left_out_scores import calibration_of, score_left_out
from blood_cell_system.metrics.calibration import Guarantee
from blood_cell_system.model_metadata import Standing

BOTH = ["healthy_WBC", "cancer_WBC"] * 20


def only(values):
    (value,) = values
    return value


def test_a_perfect_classifier_has_an_auroc_of_one_with_an_interval():
    score = only(score_left_out([left_out("a", BOTH)]).conditions)
    assert (score.sick, score.healthy, score.blocks) == (20, 20, 20)
    assert score.auroc.value == score.sensitivity_99.value == score.sensitivity_95.value == 1
    assert score.auroc.interval == (1, 1)
    assert (score.called.value, score.found.value, score.note) == (0, 1, "")


def test_healthy_cells_that_are_called_sick_are_counted_but_not_those_of_none_of_the_classes():
    cancer = [0.8, 0.9] * 20
    known = [0.9, 0.9, 0.1, 0.9] * 10
    one = left_out("a", BOTH, cancer=cancer, known=known)
    assert only(score_left_out([one]).conditions).called.value == 0.5


@pytest.mark.parametrize(
    ("conditions", "note"),
    [
        (["healthy_WBC"] * 6, "no cancer_WBC: not averaged in"),
        (["cancer_WBC"] * 6, "no healthy cells: not averaged in"),
        ([None] * 6, "neither class: not averaged in"),
    ],
)
def test_a_source_with_one_class_is_named_and_not_averaged_in(conditions, note):
    scores = score_left_out([left_out("a", BOTH), left_out("b", conditions)])
    score = scores.conditions[1]
    assert score.note == note
    assert math.isnan(score.auroc.value)
    assert scores.mean_and_worst("cancer_WBC") == (1, 1, 1)


def test_a_condition_that_no_other_source_has_is_named():
    one = left_out("a", BOTH, learned=LEARNED - {"cancer_WBC"})
    score = only(score_left_out([one]).conditions)
    assert score.note == "no other source has cancer_WBC"
    assert score_left_out([one]).mean_and_worst("cancer_WBC") is None


def test_mean_and_worst_are_over_the_sources_with_both_classes():
    bad = left_out("b", BOTH, cancer=[0.5] * 40)
    mean, worst, count = score_left_out([left_out("a", BOTH), bad]).mean_and_worst("cancer_WBC")
    assert (mean, worst, count) == (0.75, 0.5, 2)


def test_a_border_that_goes_with_the_disease_is_told_by_the_trivial_answer():
    border = [200 + 40 * (name == "cancer_WBC") for name in BOTH]
    score = only(score_left_out([left_out("a", BOTH, border=border)]).conditions)
    assert score.trivial_auroc == 1
    plain = left_out("a", BOTH, border=np.random.default_rng(0).normal(200, 9, 40))
    assert only(score_left_out([plain]).conditions).trivial_auroc < 0.8


def test_types_have_a_macro_f1_beside_the_constant_and_the_trivial_one():
    types = ["neutrophil", "lymphocyte", "lymphocyte", "monocyte"] * 5
    one = left_out("a", ["healthy_WBC"] * 20, types=types, per_block=4)
    score = only(score_left_out([one]).types)
    assert score.types == ("neutrophil", "lymphocyte", "monocyte")
    assert score.macro_f1.value == 1
    # Half of the cells are lymphocytes: F1 of them 2/3, of the others 0.
    assert score.constant_macro_f1 == pytest.approx(2 / 9)
    assert score.trivial_macro_f1 < 0.8


@pytest.mark.parametrize(
    ("types", "note"), [(None, "no types"), (["monocyte"] * 6, "monocyte only")]
)
def test_a_source_with_one_type_is_named_and_not_averaged_in(types, note):
    one = left_out("a", ["healthy_WBC"] * 6, types=types)
    scores = score_left_out([one])
    assert only(scores.types).note == f"{note}: not averaged in"
    assert scores.type_mean_and_worst is None


def test_coverage_and_rejected_cells_of_a_source():
    # Two of ten healthy cells have a probability below the threshold of 0.3.
    cancer = [0.1] * 8 + [0.8] * 2
    known = [0.9] * 9 + [0.2] + [0.1, 0.9]
    one = left_out("a", ["healthy_WBC"] * 10, cancer=cancer, known=known, outliers=2)
    trust = only(score_left_out([one]).trust)
    assert trust.condition_coverage.value == pytest.approx(0.8)
    assert trust.rejected.value == pytest.approx(0.1)
    assert (trust.cells, trust.outliers, trust.outliers_rejected) == (10, 2, 1)
    assert math.isnan(trust.recalibrated_coverage)


def test_thresholds_of_other_left_out_sources_cover_where_those_of_the_training_do_not():
    cancer = np.tile([0.75, 0.9], 200)
    sources = [left_out(name, BOTH * 10, cancer=cancer, per_block=20) for name in "abc"]
    for trust in score_left_out(sources).trust:
        assert trust.condition_coverage.value == 0.5
        assert trust.recalibrated_coverage >= 0.95


def test_a_class_that_was_not_learned_does_not_loosen_the_thresholds():
    good = left_out("a", BOTH * 20)
    lone = left_out("b", BOTH * 20, cancer=[0.0] * 800, learned=LEARNED - {"cancer_WBC"})
    found = calibration_of([good, lone], guarantee=Guarantee.WORST)
    assert found.condition_thresholds["cancer_WBC"] > 0.5
    assert set(found.type_thresholds) == set(good.metadata.subtypes)
    assert 0 < found.known_threshold <= 0.9


def test_the_record_of_a_model_says_how_each_class_was_recognised_where_it_was_unseen():
    types = ["neutrophil", "monocyte"] * 400
    sources = [left_out(name, BOTH * 20, types=types, per_block=20) for name in "abc"]
    record = score_left_out(sources).validation
    assert set(record) == {"cancer_WBC", "neutrophil", "monocyte", *METADATA.subtypes}
    cancer = record["cancer_WBC"].sources[0]
    assert (cancer.positives, cancer.negatives, cancer.groups) == (400, 400, 40)
    assert (cancer.auroc, cancer.sensitivity, cancer.false_alarm_rate) == (1, 1, 0)
    assert record["neutrophil"].aurocs == (1, 1, 1)
    assert record["basophil"].sources[0].auroc is None
    assert record["cancer_WBC"].standing == Standing.PROVEN


def test_cells_that_may_be_of_two_classes_are_not_called_in_the_record():
    cancer = np.where(np.arange(800) % 4 < 2, 0.5, np.tile([0.1, 0.9], 400))
    sources = [left_out(name, BOTH * 20, cancer=cancer, per_block=20) for name in "abc"]
    unseen = score_left_out(sources).validation["cancer_WBC"].sources[0]
    assert unseen.sensitivity == pytest.approx(0.5, abs=0.01)


def test_a_class_that_nobody_learned_has_no_record():
    sources = [left_out(name, BOTH * 20, learned=LEARNED - {"cancer_WBC"}) for name in "ab"]
    assert "cancer_WBC" not in score_left_out(sources).validation
