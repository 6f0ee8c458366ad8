import keras
import numpy as np
import pytest

from blood_cell_system.errors import SettingsError
from blood_cell_system.networks.architectures import classifier_named
from blood_cell_system.networks.cell_classifier import logits_model
from blood_cell_system.networks.lite_classifier import (
    BRANCHES,
    LiteClassifierConfig,
    PlainLiteClassifierConfig,
    build_lite_classifier,
)

TYPES = ("neutrophil", "lymphocyte", "monocyte")


@pytest.fixture(scope="module")
def classifier():
    keras.utils.set_random_seed(0)
    config = LiteClassifierConfig(conditions=("healthy_WBC", "cancer_WBC"), types=TYPES)
    return build_lite_classifier(config)


def random_cells(count):
    return np.random.default_rng(0).uniform(0, 255, (count, 130, 130, 3)).astype(np.float32)


def what_branches_see(classifier, cells):
    inputs = [classifier.get_layer(f"{branch}_stem").input for branch in BRANCHES]
    return dict(
        zip(BRANCHES, map(np.asarray, keras.Model(classifier.input, inputs)(cells)), strict=True)
    )


def stained(density):
    """Turn optical densities into pixels."""
    return (256 * np.exp(-density) - 1).astype(np.float32)


def test_its_outputs_are_those_of_a_classifier_of_cells(classifier):
    outputs = classifier(random_cells(3))
    shapes = {name: tuple(value.shape) for name, value in outputs.items()}
    assert shapes == {"condition": (3, 2), "type": (3, 3), "known": (3, 1)}
    np.testing.assert_allclose(np.sum(outputs["type"], axis=1), 1, rtol=1e-5)


def test_training_finds_the_layers_that_it_reads(classifier):
    outputs = logits_model(classifier)(random_cells(2))
    assert outputs["features"].shape == (2, 96 * len(BRANCHES))
    assert outputs["type_logits"].shape == (2, 3)


def test_every_branch_begins_with_the_weights_of_photographs(classifier):
    kernels = [classifier.get_layer(f"{branch}_stem").get_weights()[0] for branch in BRANCHES]
    assert kernels[0].shape == (3, 3, 3, 32)
    assert kernels[0].std() > 0.1
    for kernel in kernels[1:]:
        np.testing.assert_array_equal(kernel, kernels[0])


def test_a_stronger_stain_changes_the_plain_branch_alone(classifier):
    density = np.random.default_rng(0).uniform(0.2, 0.6, (1, 130, 130, 3))
    weak, strong = (what_branches_see(classifier, stained(density * f)) for f in (1.0, 2.0))
    assert np.abs(weak["plain"] - strong["plain"]).mean() > 0.2
    for branch in ("strength", "colour"):
        np.testing.assert_allclose(weak[branch], strong[branch], atol=0.05)


def test_another_colour_of_the_stain_does_not_change_the_branch_of_colours(classifier):
    density = np.random.default_rng(0).uniform(0.2, 0.6, (1, 130, 130, 3))
    one, other = (
        what_branches_see(classifier, stained(density * f)) for f in ((1, 1, 1), (0.6, 1, 1.8))
    )
    assert np.abs(one["strength"] - other["strength"]).mean() > 0.1
    np.testing.assert_allclose(one["colour"], other["colour"], atol=0.08)


def test_in_training_whole_branches_are_dropped(classifier):
    drop = classifier.get_layer("branch_dropout")
    ones = np.ones((200, len(BRANCHES), 96), np.float32)
    kept = np.asarray(drop(ones, training=True))
    assert set(np.unique((kept > 0).mean(axis=2))) == {0.0, 1.0}
    assert 0.4 < (kept > 0).mean() < 0.8


def test_its_first_answers_are_not_certain(classifier):
    cells = stained(np.random.default_rng(0).uniform(0.2, 0.6, (4, 130, 130, 3)))
    for probabilities in classifier.predict(cells, verbose=0).values():
        assert 0.01 < probabilities.max() < 0.99


def test_the_plain_one_is_a_third_of_it(classifier):
    config = PlainLiteClassifierConfig(conditions=("healthy_RBC", "malaria_RBC"))
    plain = build_lite_classifier(config)
    assert plain.get_layer("plain_stem")
    assert plain.count_params() / classifier.count_params() == pytest.approx(1 / 3, abs=0.01)
    assert set(plain.output) == {"condition", "known"}


def test_it_is_registered_as_one_that_sees_the_surround():
    assert classifier_named("cell_lite").sees_surround
    assert not classifier_named("cell_lite_plain").sees_surround
    assert not classifier_named("cell_resnet").sees_surround


@pytest.mark.parametrize(
    "wrong", [{"conditions": ("a",)}, {"types": ("a",)}, {"side": 16}], ids=lambda one: str(one)
)
def test_names_and_sizes_that_make_no_network_are_refused(wrong):
    with pytest.raises(SettingsError, match="expected two or more conditions"):
        LiteClassifierConfig(**{"conditions": ("a", "b")} | wrong)
