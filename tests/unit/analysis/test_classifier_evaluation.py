import numpy as np
import pytest
from support.tiny_cells import drawn_cell, small_cell_folder

from blood_cell_system.analysis.classifier_evaluation import (
    blanked,
    evaluate_classifier,
    occlusion_map,
    silhouette,
)
from blood_cell_system.analysis.trained_models import ClassifierOutputs
from blood_cell_system.annotation.splits import Split
from blood_cell_system.imaging.image_file import read_image
from blood_cell_system.model_metadata import ClassifierKind, ModelMetadata, on_white
from blood_cell_system.reports.classifier_sheets import (
    chosen_cells,
    classifier_evaluation_tables,
    short_figures,
    write_evaluation_files,
)
from blood_cell_system.reports.segmenter_sheets import text_of
from blood_cell_system.training.classifier_data import CellClasses, read_cells

METADATA = ModelMetadata.of_classifier(
    ClassifierKind("RBC"),
    conditions=("healthy_RBC", "malaria_RBC"),
    in_distribution_threshold=0.5,
    condition_thresholds={"healthy_RBC": 0.5, "malaria_RBC": 0.5},
    coverage=0.95,
)


class DotFinder:
    """Finds the violet dot of the drawn malaria cells, and black ones to be no cells."""

    metadata = METADATA
    input_side = (130, 130)

    def predict(self, batch):
        red, green, blue = (batch[..., channel] for channel in range(3))
        dot = ((blue > green + 80) & (blue > red + 60)).mean(axis=(1, 2)) * 18
        malaria = np.clip(dot, 0.02, 0.98)
        is_black = (batch.max(axis=3) < 40).mean(axis=(1, 2)) > 0.01
        return ClassifierOutputs(
            condition=np.stack([1 - malaria, malaria], axis=1).astype(np.float32),
            known=np.where(is_black, 0.1, 0.9).astype(np.float32),
        )


@pytest.fixture(scope="module")
def cell_set(tmp_path_factory):
    folder = small_cell_folder(tmp_path_factory.mktemp("cells"))
    return read_cells(folder, Split.TEST, CellClasses.of(folder))


@pytest.fixture(scope="module")
def evaluation(cell_set):
    return evaluate_classifier(DotFinder(), cell_set)


def test_a_classifier_that_knows_is_right_everywhere(evaluation):
    assert evaluation.cells == 12
    assert [scores.where for scores in evaluation.diseases] == [
        "all sources",
        "within one",
        "within two",
    ]
    assert {scores.auroc.value for scores in evaluation.diseases} == {1.0}
    assert evaluation.conditions[0].accuracy.value == 1
    assert evaluation.known.auroc.value == evaluation.known.caught == 1


def test_without_the_cell_the_answers_fall_to_chance(evaluation):
    by_name = {scores.name: scores for scores in evaluation.controls}
    assert by_name["blanked"].condition == by_name["blanked"].condition_chance == 0.5
    assert by_name["silhouette"].condition == 0.5
    assert np.isnan(by_name["blanked"].cell_type)


def test_blanked_cells_are_all_alike():
    generator = np.random.default_rng(0)
    images = [drawn_cell(name, "one", generator) for name in ("healthy_RBC", "malaria_RBC")]
    first, second = (on_white(blanked(image)) for image in images)
    np.testing.assert_array_equal(first, second)


def test_a_silhouette_keeps_the_outline_and_one_colour():
    image = drawn_cell("malaria_RBC", "one", np.random.default_rng(0))
    flat = silhouette(image)
    np.testing.assert_array_equal(flat[..., 3], image[..., 3])
    assert len(np.unique(flat[..., :3].reshape(-1, 3), axis=0)) == 1


def test_covering_the_parasite_takes_the_answer_away():
    image = drawn_cell("malaria_RBC", "one", np.random.default_rng(0))
    heat = occlusion_map(DotFinder(), image, output="condition", index=1)
    is_dot = image[..., 2] > image[..., 1].astype(int) + 80
    assert heat[is_dot].mean() > 0.1
    assert heat[~is_dot].mean() < 0.3 * heat[is_dot].mean()
    assert not heat[image[..., 3] == 0].any()


def test_an_output_that_is_not_there_cannot_be_explained():
    image = drawn_cell("malaria_RBC", "one", np.random.default_rng(0))
    with pytest.raises(ValueError, match="no output 'type'"):
        occlusion_map(DotFinder(), image, output="type", index=0)


def test_the_surest_wrong_answers_are_shown_first():
    answers, true = np.array([0, 1, 1, 0, 1]), np.array([0, 0, 0, 0, -1])
    confidence = np.array([0.9, 0.6, 0.8, 0.7, 1.0])
    assert chosen_cells(answers, true, confidence) == [2, 1, 0, 3]


def test_everything_of_an_evaluation_is_written(evaluation, cell_set, tmp_path):
    written = write_evaluation_files(
        evaluation, cell_set, DotFinder(), tmp_path, subject={"model": "dots"}
    )
    assert {path.name for path in written} == {
        "evaluation.json",
        "evaluation.txt",
        "confusion_matrix.png",
        "reliability.png",
        "answers.png",
    }
    for path in written:
        if path.suffix == ".png":
            assert read_image(path).std() > 5
    assert "NaN" not in (tmp_path / "evaluation.json").read_text()


def test_the_tables_fit_a_terminal(evaluation):
    text = text_of(classifier_evaluation_tables(evaluation, title="dots"), width=80)
    assert "malaria_RBC  within one" in text
    assert "…" not in text


def test_the_short_figures_have_values_and_intervals(evaluation):
    figures = short_figures(evaluation)
    assert figures["auroc malaria_RBC within one"]["value"] == 1
    assert figures["condition macro f1"]["interval"] == [1, 1]
