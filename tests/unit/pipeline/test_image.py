import pytest
from PIL import Image
from support.analysed_images import SeeingRuntime, analyze_by_colour, write_smear_image
from support.colour_classifiers import RBC_METADATA, WBC_METADATA, ChosenClassifier
from support.damaged_jpeg import damaged_jpeg
from support.prepared_cells import ColourRuntime

from blood_cell_system.analysis.classification import ClassificationSettings
from blood_cell_system.analysis.image_analysis import AnalysisSettings
from blood_cell_system.cells.border_rule import BorderRule
from blood_cell_system.errors import ImageReadError, MissingDataError, SettingsError
from blood_cell_system.imaging.image_file import read_image
from blood_cell_system.pipeline import image as image_module
from blood_cell_system.pipeline import model_slots
from blood_cell_system.pipeline.image import InferencePipeline
from blood_cell_system.pipeline.model_slots import sha256_of
from blood_cell_system.pipeline.system import BloodCellAnalysisSystem


@pytest.fixture(autouse=True)
def _by_colour(monkeypatch):
    monkeypatch.setattr(image_module, "analyze_image", analyze_by_colour)
    monkeypatch.setattr(model_slots, "bundled_classifier", lambda kind: None)


@pytest.fixture
def system():
    system = BloodCellAnalysisSystem()
    system.segmentation_model = SeeingRuntime()
    return system


@pytest.fixture
def smear(tmp_path):
    return write_smear_image(tmp_path / "in" / "field 1.png")


def test_an_image_becomes_a_report(system, smear):
    report = InferencePipeline(system).process_image(str(smear))
    assert report.counts["WBC"] == 1
    assert report.counts["RBC"] == 3
    assert report.image.file_name == "field 1.png"
    assert report.provenance.data_sha256 == sha256_of(smear)
    assert "Research use only" in report.to_summary_text()
    assert report.warnings == ()


def test_nothing_is_written_by_default(system, smear, tmp_path):
    InferencePipeline(system).process_image(smear)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["field 1.png"]


@pytest.mark.parametrize("with_image", [False, True])
def test_files_are_written_where_a_folder_is_named(system, smear, tmp_path, with_image):
    out = tmp_path / "out"
    InferencePipeline(system).process_image(smear, save_visualization=with_image, output_dir=out)
    assert (out / "field 1_report.json").is_file()
    assert (out / "field 1_mask.png").is_file()
    assert (out / "field 1_annotated.png").is_file() == with_image


def test_an_image_to_save_needs_a_folder(system, smear):
    with pytest.raises(SettingsError, match="received without output_dir"):
        InferencePipeline(system).process_image(smear, save_visualization=True)


@pytest.mark.parametrize("option", ["confidence_threshold", "uncertain_margin"])
def test_thresholds_outside_of_0_to_1_are_refused(system, option):
    with pytest.raises(SettingsError, match=option):
        InferencePipeline(system, **{option: 1.5})


def test_the_threshold_decides_who_is_uncertain(system, smear):
    assert (
        InferencePipeline(system, confidence_threshold=0).process_image(smear).uncertain_cells == ()
    )
    all_of_them = InferencePipeline(system, confidence_threshold=1).process_image(smear)
    assert len(all_of_them.uncertain_cells) == 4


def test_settings_reach_the_analysis_and_the_report(system, smear):
    settings = AnalysisSettings(
        cell_diameter_px=40, pixel_size_um=0.2, border_rule=BorderRule.TWO_SIDES
    )
    report = InferencePipeline(system, settings=settings).process_image(smear)
    assert report.counts["RBC"] == 2
    assert report.types["RBC"].median_diameter_um == pytest.approx(8, abs=0.2)
    assert report.settings.cell_diameter_px == 40


def test_a_model_without_heads_is_told_to_know_no_platelets(smear):
    system = BloodCellAnalysisSystem()
    system.segmentation_model = ColourRuntime()
    report = InferencePipeline(system).process_image(smear)
    assert "knows no platelets" in report.warnings[0]


def test_pages_that_are_not_analysed_are_told(system, smear, tmp_path):
    stack = tmp_path / "stack.tif"
    with Image.open(smear) as page:
        page.save(stack, save_all=True, append_images=[page, page])
    (warning,) = InferencePipeline(system).process_image(stack).warnings
    assert "holds 3 images, of which the first alone" in warning


def test_a_damaged_file_is_a_finding_and_a_warning(system, smear, tmp_path):
    path = tmp_path / "damaged.jpg"
    path.write_bytes(damaged_jpeg(read_image(smear)))
    report = InferencePipeline(system).process_image(path)
    finding = report.quality.findings[-1]
    assert (finding.name, finding.severity) == ("file", "warning")
    assert report.warnings[-1] == finding.message
    assert "premature end" in finding.message
    assert report.status == "warned"


def test_without_classifiers_nothing_is_assessed(system, smear):
    report = InferencePipeline(system).process_image(smear)
    assert report.findings["WBC"].state == report.findings["RBC"].state == "not assessed"
    assert report.provenance.rbc_classifier is None


def test_classifiers_of_the_system_reach_the_report(system, smear):
    system.rbc_classifier = ChosenClassifier(RBC_METADATA, (0.1, 0.8, 0.1), known=0.9)
    report = InferencePipeline(system).process_image(smear)
    assert dict(report.findings["RBC"].counts) == {
        "healthy_RBC": 0,
        "malaria_RBC": 1,
        "sickle_RBC": 0,
    }
    assert report.provenance.rbc_classifier == "ChosenClassifier"
    assert report.findings["WBC"].state == "not assessed"


def test_classifying_can_be_left_out(system, smear):
    system.rbc_classifier = chosen = ChosenClassifier(RBC_METADATA, (1, 0, 0))
    report = InferencePipeline(system, is_classifying=False).process_image(smear)
    assert report.findings["RBC"].state == "not assessed"
    assert chosen.seen == []


def test_a_classifier_is_asked_for_each_view(system, smear):
    system.rbc_classifier = chosen = ChosenClassifier(RBC_METADATA, (1, 0, 0))
    pipeline = InferencePipeline(system, classification=ClassificationSettings(views=8))
    assert pipeline.process_image(smear).settings.classifier_views == 8
    assert len(chosen.seen) == 8


def test_a_replaced_classifier_is_noticed(system, smear):
    pipeline = InferencePipeline(system)
    pipeline.process_image(smear)
    system.wbc_classifier = ChosenClassifier(WBC_METADATA, (0.2, 0.8))
    assert pipeline.process_image(smear).findings["WBC"].counts["cancer_WBC"] == 1


def test_the_model_is_made_ready_once_and_again_when_it_is_replaced(system, smear, monkeypatch):
    hashed = []
    identity = BloodCellAnalysisSystem.model_identity
    monkeypatch.setattr(
        BloodCellAnalysisSystem,
        "model_identity",
        lambda self: hashed.append(1) or identity(self),
    )
    pipeline = InferencePipeline(system)
    pipeline.process_image(smear)
    pipeline.process_image(smear)
    assert len(hashed) == 1
    system.segmentation_model = other = SeeingRuntime()
    pipeline.process_image(smear)
    assert len(hashed) == 2
    assert other.asked == 1


def test_what_else_a_runtime_knows_of_itself_stays_to_be_had(system, smear, monkeypatch):
    system.segmentation_model.training_diameter_px = 77.0
    seen = []

    def watch(runtime, image, settings, stated=None):
        seen.append(runtime.training_diameter_px)
        return analyze_by_colour(runtime, image, settings)

    monkeypatch.setattr(image_module, "analyze_image", watch)
    InferencePipeline(system).process_image(smear)
    assert seen == [77.0]


def test_images_that_cannot_be_read_are_told(system, tmp_path):
    pipeline = InferencePipeline(system)
    with pytest.raises(MissingDataError, match="gone"):
        pipeline.process_image(tmp_path / "gone.png")
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(ImageReadError, match="bad"):
        pipeline.process_image(tmp_path / "bad.png")
    assert system.segmentation_model.asked == 0


def test_the_same_twice_is_the_same(system, smear):
    pipeline = InferencePipeline(system)
    assert pipeline.process_image(smear).to_json() == pipeline.process_image(smear).to_json()
