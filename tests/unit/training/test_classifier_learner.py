from dataclasses import replace

import numpy as np
from support.tiny_cells import TINY

from blood_cell_system.training.classifier import ClassifierLearner
from blood_cell_system.training.classifier_data import CellClasses

RBC = CellClasses(conditions=("healthy_RBC", "malaria_RBC", "sickle_RBC"), types=())


def drawn(seed, count=16):
    return np.random.default_rng(seed).integers(0, 256, (count, 130, 130, 3)).astype(np.uint8)


def answers(model, cells, *, training):
    return np.asarray(model(cells.astype(np.float32), training=training)["condition"])


def test_settled_statistics_are_those_of_the_cells():
    learner = ClassifierLearner(replace(TINY, dropout=0.0), RBC)
    cells = drawn(0)
    seen = answers(learner.averaged, cells, training=True)
    assert np.abs(answers(learner.averaged, cells, training=False) - seen).max() > 0.02
    learner.settle_statistics([cells, cells])
    np.testing.assert_allclose(answers(learner.averaged, cells, training=False), seen, atol=0.01)


def test_every_batch_counts_the_same_and_what_was_before_does_not_count():
    learner = ClassifierLearner(replace(TINY, dropout=0.0), RBC)
    cells = drawn(1)
    learner.settle_statistics([drawn(0), cells])
    first = answers(learner.averaged, cells, training=False)
    learner.settle_statistics([cells, drawn(0)])
    np.testing.assert_allclose(answers(learner.averaged, cells, training=False), first, atol=1e-4)


def test_the_normalisations_go_on_as_before():
    learner = ClassifierLearner(TINY, RBC)
    norms = [layer for layer in learner.averaged.layers if hasattr(layer, "momentum")]
    momenta = [norm.momentum for norm in norms]
    learner.settle_statistics([drawn(0, count=2)])
    assert [norm.momentum for norm in norms] == momenta
    assert min(momenta) > 0
