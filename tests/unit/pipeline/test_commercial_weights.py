"""The set of models that learned only from data whose licence allows commercial use."""

from pathlib import Path

import pytest

from blood_cell_system.datasets.synthetic.smear import draw_smear
from blood_cell_system.datasets.synthetic.smear_settings import SmearSettings
from blood_cell_system.model_metadata import Standing
from blood_cell_system.pipeline.image import InferencePipeline
from blood_cell_system.pipeline.installed_models import installed_models
from blood_cell_system.pipeline.system import BloodCellAnalysisSystem
from blood_cell_system.seeding import generator_for
from blood_cell_system.taxonomy import RBC, WBC

FOLDER = Path(__file__).parents[3] / "commercial_weights"


def test_every_model_of_the_set_may_be_used_commercially():
    found = installed_models(FOLDER)
    assert {model.name for model in found} == {"segmentation_model", "wbc_classifier"}
    assert all(model.is_commercial and model.licence for model in found)


def test_leukaemia_is_not_counted_as_it_was_not_recognised_elsewhere():
    model = next(one for one in installed_models(FOLDER) if one.name == "wbc_classifier")
    assert model.validation["cancer_WBC"].standing == Standing.UNPROVEN


@pytest.mark.parametrize("number", range(3))
def test_it_counts_the_cells_of_drawn_smears(number):
    smear = draw_smear(SmearSettings(), generator_for(1, "commercial", number))
    system = BloodCellAnalysisSystem()
    system.load_models(FOLDER)
    system.keep_commercial()
    assert list(system.ready_classifiers()) == ["wbc"]
    report = InferencePipeline(system).analyze_array(smear.image).report
    for cell_type in (RBC, WBC):
        drawn = sum(cell.cell_type == cell_type for cell in smear.cells)
        found = report.counts[cell_type]
        # Drawn smears have clumps; the bundled segmenter finds 0.77 to 0.91 of these.
        assert 0.7 * drawn <= found <= 1.1 * drawn, cell_type
