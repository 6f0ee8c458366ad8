import numpy as np
import pytest

from blood_cell_system.analysis.classifier_evaluation import (
    disease_scores,
    head_scores,
    known_scores,
)

NAMES = ("healthy_RBC", "malaria_RBC", "sickle_RBC")
# Malaria is told within "one"; sickle cells come from "two", which is told apart by source alone.
TRUE = np.array([0, 0, 1, 1, 0, 0, 2, 2, -1], np.int32)
SOURCES = ["one"] * 4 + ["two"] * 5
FIELDS = [("one", number) for number in range(4)] + [("two", number) for number in range(5)]
PROBABILITIES = np.array(
    [
        [0.8, 0.1, 0.1],
        [0.7, 0.2, 0.1],
        [0.1, 0.8, 0.1],
        [0.5, 0.4, 0.1],
        [0.1, 0.1, 0.8],
        [0.2, 0.1, 0.7],
        [0.1, 0.1, 0.8],
        [0.2, 0.1, 0.7],
        [0.3, 0.3, 0.4],
    ]
)


@pytest.fixture(scope="module")
def diseases():
    found = disease_scores(NAMES, PROBABILITIES, TRUE, SOURCES, FIELDS)
    return {(scores.condition, scores.where): scores for scores in found}


def test_a_disease_is_measured_within_its_source_and_across_all(diseases):
    assert set(diseases) == {
        ("malaria_RBC", "all sources"),
        ("malaria_RBC", "within one"),
        ("sickle_RBC", "all sources"),
        ("sickle_RBC", "within two"),
    }


def test_knowing_the_laboratory_is_not_knowing_the_disease(diseases):
    assert diseases["sickle_RBC", "all sources"].auroc.value == 0.75
    assert diseases["sickle_RBC", "within two"].auroc.value == 0.5


def test_a_disease_is_compared_with_healthy_cells_only(diseases):
    scores = diseases["malaria_RBC", "all sources"]
    assert (scores.diseased, scores.healthy, scores.fields) == (2, 4, 6)
    assert scores.auroc.value == scores.sensitivity.value == 1


def head(**options):
    return head_scores(NAMES, PROBABILITIES, TRUE, SOURCES, FIELDS, **options)


def test_answers_are_counted_on_labelled_cells_only():
    np.testing.assert_array_equal(head()[0].confusion, [[2, 0, 2], [1, 1, 0], [0, 0, 2]])


def test_figures_of_all_sources_come_first_then_those_within_each():
    assert [scores.where for scores in head()] == ["all sources", "within one", "within two"]


def test_the_constant_answer_stands_beside():
    scores = head()[0]
    assert scores.constant == "healthy_RBC"
    assert scores.constant_accuracy == 0.5
    assert scores.constant_balanced_accuracy == pytest.approx(1 / 3)


def test_figures_by_class_are_those_of_the_matrix():
    malaria = head()[0].by_class["malaria_RBC"]
    assert malaria == {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "cells": 2.0}


def test_coverage_is_the_share_of_sets_with_the_true_class():
    scores = head(thresholds=dict(zip(NAMES, [0.15, 0.5, 0.5], strict=True)))[0]
    assert scores.coverage == pytest.approx(6 / 8)
    assert scores.single_share == pytest.approx(6 / 8)


def test_without_thresholds_there_is_no_coverage():
    assert np.isnan(head()[0].coverage)


def test_one_class_alone_is_not_measured():
    assert head_scores(NAMES, PROBABILITIES[:2], TRUE[:2], SOURCES[:2], FIELDS[:2]) == ()


def test_outliers_are_told_from_cells_at_the_threshold():
    scores = known_scores(
        np.array([0.9, 0.6, 0.4, 0.2]),
        np.array([True, True, True, False]),
        FIELDS[:4],
        threshold=0.5,
    )
    assert (scores.cells, scores.outliers) == (3, 1)
    assert scores.auroc.value == 1
    assert (scores.kept, scores.caught) == (pytest.approx(2 / 3), 1)


def test_without_a_threshold_nothing_is_kept_or_caught():
    scores = known_scores(np.array([0.9, 0.2]), np.array([True, False]), FIELDS[:2], threshold=None)
    assert np.isnan([scores.kept, scores.caught]).all()


def test_without_outliers_there_is_nothing_to_tell():
    assert known_scores(np.ones(2), np.ones(2, bool), FIELDS[:2], threshold=0.5) is None
