import dataclasses

import cv2
import numpy as np
import pytest
from support.analysed_images import CELLS, analysis_of
from support.colour_classifiers import RBC_METADATA, WBC_METADATA, ChosenClassifier
from support.drawn_cells import ellipse_box

from blood_cell_system.analysis.classification import (
    ClassificationSettings,
    classifier_columns,
    classify_analysis,
    predict_images,
    turned_views,
)
from blood_cell_system.cells.measures import covered_share
from blood_cell_system.cells.table import Cells
from blood_cell_system.cells.unassessed import Reason
from blood_cell_system.errors import SettingsError
from blood_cell_system.taxonomy import RBC, WBC

IMAGE = np.full((130, 130, 4), 255, np.uint8)
IMAGE[10:60, 20:90, :3] = (200, 60, 90)


def one(metadata=RBC_METADATA, condition=(0.6, 0.3, 0.1), **options):
    """Columns of one cell."""
    found = predict_images(ChosenClassifier(metadata, condition, **options), [IMAGE])
    return {name: values[0] for name, values in classifier_columns(found, metadata).items()}


def test_a_cell_has_the_most_likely_condition_and_all_probabilities():
    found = one()
    assert found["condition"] == "healthy_RBC"
    shares = [found[f"{name}_prob"] for name in RBC_METADATA.conditions]
    assert shares == pytest.approx([0.6, 0.3, 0.1])
    assert (found["subtype"], found["possible_subtypes"]) == (None, ())


def test_a_white_cell_has_a_subtype_too():
    found = one(WBC_METADATA, (0.2, 0.8), types=(0.1, 0.1, 0.1, 0.4, 0.1, 0.1, 0.1))
    assert (found["condition"], found["subtype"]) == ("cancer_WBC", "lymphocyte")
    assert found["lymphocyte_prob"] == pytest.approx(0.4)
    assert found["possible_subtypes"] == ("lymphocyte",)


@pytest.mark.parametrize(
    ("condition", "possible"),
    [
        ((0.8, 0.1, 0.1), ("healthy_RBC",)),
        ((0.4, 0.4, 0.2), ("healthy_RBC", "malaria_RBC")),
    ],
)
def test_the_conformal_set_has_every_class_that_reaches_its_threshold(condition, possible):
    assert one(condition=condition)["possible_conditions"] == possible


def test_a_cell_that_reaches_no_threshold_has_an_empty_set():
    metadata = RBC_METADATA.replace(
        condition_thresholds=dict.fromkeys(RBC_METADATA.conditions, 0.9)
    )
    assert one(metadata)["possible_conditions"] == ()


def test_without_calibration_the_most_likely_class_is_the_set():
    metadata = RBC_METADATA.replace(condition_thresholds={})
    assert one(metadata, (0.4, 0.4, 0.2))["possible_conditions"] == ("healthy_RBC",)


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ((0.1, 0.8, 0.1), None),
        ((0.15, 0.75, 0.1), Reason.UNDECIDED),
        ((0.6, 0.3, 0.1), None),
        ((0.2, 0.2, 0.6), None),
    ],
    ids=["enough", "too little", "healthy", "a disease without a threshold"],
)
def test_a_disease_that_is_likeliest_but_below_its_threshold_is_undecided(condition, reason):
    found = one(RBC_METADATA.replace(call_thresholds={"malaria_RBC": 0.78}), condition)
    assert found["reason"] == reason


def test_what_is_none_of_the_classes_is_not_undecided():
    metadata = RBC_METADATA.replace(call_thresholds={"malaria_RBC": 0.9})
    assert one(metadata, (0.2, 0.7, 0.1), known=0.1)["reason"] == Reason.NOT_IN_DISTRIBUTION


@pytest.mark.parametrize(("known", "is_known"), [(0.49, False), (0.5, True), (None, True)])
def test_what_is_none_of_the_classes_is_told(known, is_known):
    found = one(known=known)
    assert found["is_known"] == is_known
    assert found["reason"] == (None if is_known else Reason.NOT_IN_DISTRIBUTION)


def test_images_are_shown_on_white_in_batches_and_in_order():
    classifier = ChosenClassifier(RBC_METADATA, (1, 0, 0))
    clear = IMAGE.copy()
    clear[..., 3] = 0
    settings = ClassificationSettings(batch_size=2)
    assert len(predict_images(classifier, [IMAGE, clear, IMAGE], settings).condition) == 3
    assert [len(batch) for batch in classifier.seen] == [2, 1]
    assert classifier.seen[0].dtype == np.float32
    assert (classifier.seen[0][0] == IMAGE[..., :3]).all()
    assert (classifier.seen[0][1] == 255).all()


def test_images_are_resized_for_a_network_of_another_size():
    classifier = ChosenClassifier(RBC_METADATA, (1, 0, 0), side=(64, 80))
    predict_images(classifier, [IMAGE])
    assert classifier.seen[0].shape == (1, 64, 80, 3)


def test_there_are_eight_different_views_the_first_as_it_lies():
    batch = np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1)
    views = list(turned_views(batch, 8))
    assert len({view.tobytes() for view in views}) == 8
    assert (views[0] == batch).all()


class _CornerClassifier(ChosenClassifier):
    """Goes by the upper left corner, so that turning an image changes its answer."""

    def predict(self, batch):
        share = batch[:, :65, :65].mean(axis=(1, 2, 3)) / 255
        self.answer["condition"] = (share[0], 1 - share[0], 0)
        self.answer["known"] = share[0]
        return super().predict(batch)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_the_mean_of_four_views_does_not_change_when_the_cell_is_turned(turns):
    settings = ClassificationSettings(views=4)
    images = [IMAGE, np.rot90(IMAGE, turns)]
    straight, turned = predict_images(
        _CornerClassifier(RBC_METADATA, ()), images, settings
    ).condition
    assert turned == pytest.approx(straight, abs=1e-6)


@pytest.mark.parametrize(("metadata", "views"), [(RBC_METADATA, 1), (WBC_METADATA, 4)])
def test_red_cells_are_looked_at_once_and_white_ones_four_times(metadata, views):
    classifier = ChosenClassifier(metadata, (1,) + (0,) * (len(metadata.conditions) - 1))
    predict_images(classifier, [IMAGE])
    assert len(classifier.seen) == views


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_the_mean_of_eight_views_does_not_change_when_the_cell_is_turned(turns):
    settings = ClassificationSettings(views=8)
    straight = predict_images(_CornerClassifier(RBC_METADATA, ()), [IMAGE], settings)
    turned = np.rot90(IMAGE, turns)[:, ::-1]
    other = predict_images(_CornerClassifier(RBC_METADATA, ()), [turned], settings)
    assert other.condition == pytest.approx(straight.condition, abs=1e-6)
    assert other.known == pytest.approx(straight.known, abs=1e-6)
    once = predict_images(_CornerClassifier(RBC_METADATA, ()), [turned])
    assert once.condition != pytest.approx(straight.condition, abs=1e-3)


def test_images_that_cannot_be_turned_have_one_view():
    classifier = ChosenClassifier(RBC_METADATA, (1, 0, 0), side=(64, 80))
    with pytest.raises(SettingsError, match="cannot be turned"):
        predict_images(classifier, [IMAGE], ClassificationSettings(views=8))


@pytest.mark.parametrize("options", [{"views": 2}, {"views": 0}, {"batch_size": 0}])
def test_settings_that_make_no_sense_are_refused(options):
    with pytest.raises(SettingsError, match=next(iter(options))):
        ClassificationSettings(**options)


def test_whole_cells_of_an_image_are_classified_by_their_type():
    analysis = analysis_of()
    red = ChosenClassifier(RBC_METADATA, (0.1, 0.8, 0.1))
    white = ChosenClassifier(WBC_METADATA, (0.9, 0.1), types=np.full(7, 1 / 7))
    found = classify_analysis(analysis, [red, white])
    # Of three red cells the border cuts two off.
    answers = zip(found["cell_type"], found["condition"], strict=True)
    assert sorted(answer for answer in answers if answer[1] is not None) == [
        (RBC, "malaria_RBC"),
        (WBC, "healthy_WBC"),
    ]
    is_red = found["condition"] == "malaria_RBC"
    assert np.isnan(found["malaria_RBC_prob"]).tolist() == (~is_red).tolist()
    assert sum(map(len, red.seen)) == 1


def test_a_cell_that_another_covers_by_half_is_not_classified():
    analysis = analysis_of([ellipse_box(RBC, 64, 64, 40)])
    upper = analysis.cells.label_image.copy()
    upper[66:][upper[66:] == 1] = 2
    box = [[44, 44, 84, 66], [44, 66, 84, 84]]
    covered = Cells(label_image=upper).with_columns(
        cell_type=[RBC, RBC],
        box=box,
        whole_box=[[44, 44, 84, 84], [44, 44, 84, 84]],
        touches_border=[False, False],
    )
    shares = covered_share(covered)
    assert shares.sum() == pytest.approx(1, abs=0.02)
    red = ChosenClassifier(RBC_METADATA, (1, 0, 0))
    found = classify_analysis(dataclasses.replace(analysis, cells=covered), [red])
    assert found["condition"].tolist() == [None, None]
    assert found["reason"].tolist() == [Reason.COVERED] * 2


def test_cells_that_touch_are_classified():
    """The slide that is seen within a predicted box that is too wide covers nothing."""
    analysis = analysis_of([ellipse_box(RBC, 44, 64, 40), ellipse_box(RBC, 82, 64, 40)])
    wide = analysis.cells["whole_box"] + (-3, -5, 3, 5)
    analysis = dataclasses.replace(analysis, cells=analysis.cells.with_columns(whole_box=wide))
    red = ChosenClassifier(RBC_METADATA, (1, 0, 0))
    assert classify_analysis(analysis, [red])["reason"].tolist() == [None, None]


def test_a_cell_that_is_not_assessed_says_why():
    red = ChosenClassifier(RBC_METADATA, (1, 0, 0))
    analysis = analysis_of()
    found = classify_analysis(analysis, [red])
    is_red, touches = found.is_type(RBC), found["touches_border"]
    expected = np.where(is_red, np.where(touches, Reason.CUT_OFF, None), Reason.NO_CLASSIFIER)
    assert found["reason"].tolist() == expected.tolist()
    assert [c is None for c in found["condition"]] == [why is not None for why in expected]


def test_a_cell_of_a_few_pixels_is_too_small():
    analysis = analysis_of([CELLS[1]])
    labels = np.zeros_like(analysis.cells.label_image)
    labels[88:92, 38:42] = 1
    box = [[38, 88, 42, 92]]
    dot = analysis.cells.with_columns(box=box, whole_box=box)
    dot = dataclasses.replace(dot, label_image=labels)
    red = ChosenClassifier(RBC_METADATA, (1, 0, 0))
    found = classify_analysis(dataclasses.replace(analysis, cells=dot), [red])
    assert found["reason"].tolist() == [Reason.TOO_SMALL]


def test_a_cell_with_a_wide_edge_is_out_of_focus_and_the_others_are_assessed():
    analysis = analysis_of([ellipse_box(RBC, 44, 64, 40), ellipse_box(RBC, 144, 64, 40)])
    image = analysis.image.copy()
    image[:, 96:] = cv2.GaussianBlur(image, (0, 0), 6)[:, 96:]
    blurred = dataclasses.replace(analysis, image=image)
    red = ChosenClassifier(RBC_METADATA, (1, 0, 0))
    found = classify_analysis(blurred, [red])
    is_right = found["box"][:, 0] > 96
    assert (found["reason"] == Reason.OUT_OF_FOCUS).tolist() == is_right.tolist()
    assert sum(map(len, red.seen)) == 1


def test_without_a_scale_no_cell_is_out_of_focus():
    analysis = analysis_of()
    scale = dataclasses.replace(analysis.scale, red_cell_diameter_px=None)
    unknown = dataclasses.replace(
        analysis, scale=scale, image=cv2.GaussianBlur(analysis.image, (0, 0), 6)
    )
    red = ChosenClassifier(RBC_METADATA, (1, 0, 0))
    assert Reason.OUT_OF_FOCUS not in classify_analysis(unknown, [red])["reason"].tolist()


def test_the_image_that_the_network_sees_shows_the_cell_on_white():
    red = ChosenClassifier(RBC_METADATA, (1, 0, 0))
    classify_analysis(analysis_of([CELLS[1]]), [red])
    (batch,) = red.seen
    assert (batch[0, 0, 0] == 255).all()
    assert batch[0, 65, 65, 0] > batch[0, 65, 65, 2] + 80


def test_no_classifier_and_no_cells_cost_nothing(monkeypatch):
    def fail(*_, **__):
        raise AssertionError("the light was looked for")

    monkeypatch.setattr("blood_cell_system.analysis.image_analysis.fit_slide_light", fail)
    analysis = analysis_of()
    assert classify_analysis(analysis, []) is analysis.cells
    classifier = ChosenClassifier(RBC_METADATA, (1, 0, 0))
    assert len(classify_analysis(analysis_of([]), [classifier])) == 0
