"""A network is one file: ``networks/small_unet.py`` is named nowhere else in the package."""

from pathlib import Path

import keras
import pytest
from support.smears import small_prepared_folder

import blood_cell_system
from blood_cell_system.analysis.opened_networks import KerasNetwork, read_metadata
from blood_cell_system.analysis.trained_models import (
    NetworkSegmenter,
    largest_difference,
    load_runtime,
)
from blood_cell_system.cli.main import main
from blood_cell_system.errors import CheckpointError, SettingsError
from blood_cell_system.model_metadata import ModelMetadata
from blood_cell_system.networks.architectures import of_config, segmenter_named
from blood_cell_system.networks.reynolds_unet import ReynoldsUNetConfig
from blood_cell_system.networks.small_unet import SmallUNetConfig, build_small_unet
from blood_cell_system.taxonomy import BUILT_IN, CellType, Taxonomy
from blood_cell_system.training.fine_tuning import fine_tuning_settings, load_starting_point
from blood_cell_system.training.segmenter_training import segmenter_config


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("small_unet")
    small_prepared_folder(root / "data", count=4)
    words = ["train", "--data-dir", str(root / "data"), "--architecture", "small_unet"]
    words += ["--preset", "fast", "--epochs", "1", "--batch-size", "2", "--crops-per-epoch", "4"]
    words += ["--crop-size", "64", "--checkpoint-dir", str(root), "--log-dir", str(root / "logs")]
    assert main(words) == 0
    return root


@pytest.mark.slow
def test_it_trains_exports_and_analyses(trained):
    keras_file = trained / "segmentation_model_best.keras"
    onnx_file = trained / "segmentation_model.onnx"
    assert main(["export", "--model", str(keras_file), "--output", str(onnx_file)]) == 0
    for file in (keras_file, onnx_file):
        metadata = read_metadata(file)
        assert metadata.architecture.name == "small_unet"
        assert metadata.architecture.arguments["base_width"] == SmallUNetConfig().base_width
        assert metadata.preset == "fast"
    image = next((trained / "data" / "images").iterdir())
    words = ["analyze", str(image), "--model", str(onnx_file), "--output-dir"]
    assert main([*words, str(trained / "results")]) == 0
    assert list((trained / "results").rglob("*_report.json"))


@pytest.mark.slow
def test_fine_tuning_goes_on_with_its_architecture(trained):
    start = load_starting_point(trained / "segmentation_model_best.keras")
    settings = fine_tuning_settings(start)
    assert segmenter_config(settings) == start.config == SmallUNetConfig()
    assert settings.architecture == "small_unet"


def test_its_name_stands_in_one_file_only():
    package = Path(blood_cell_system.__file__).parent
    naming = [file.name for file in package.rglob("*.py") if "small_unet" in file.read_text()]
    assert naming == ["small_unet.py"]


def test_a_name_that_nobody_registered_is_refused():
    with pytest.raises(SettingsError, match="expected one of reynolds_unet, small_unet"):
        segmenter_named("large_unet")


def test_an_argument_that_it_does_not_have_is_refused():
    with pytest.raises(SettingsError, match="small_unet: received the arguments depth"):
        segmenter_named("small_unet").configured(None, depth=3)


def test_arguments_come_back_from_the_lists_of_json():
    config = ReynoldsUNetConfig(widths=(4, 8))
    record = of_config(config).record(config)
    assert record.arguments["widths"] == [4, 8]
    assert segmenter_named(record.name).configured(None, **record.arguments) == config


def test_a_taxonomy_of_ones_own_gives_as_many_heat_maps():
    keras.utils.set_random_seed(0)
    parasite = CellType(name="Parasite", display_name="parasites", colour=(120, 0, 120))
    taxonomy = Taxonomy((*BUILT_IN.cell_types, parasite))
    model = build_small_unet(SmallUNetConfig(base_width=4, num_cell_types=4))
    metadata = ModelMetadata(kind="segmenter", taxonomy=taxonomy)
    segmenter = NetworkSegmenter(KerasNetwork(model, metadata=metadata))
    assert segmenter.predict(keras.ops.zeros((1, 32, 64, 3))).centres.shape == (1, 8, 16, 4)
    with pytest.raises(CheckpointError, match=r"centres of shape \(16, 16, 4\)"):
        NetworkSegmenter(KerasNetwork(model))


def test_runtimes_of_one_model_agree(tmp_path):
    keras.utils.set_random_seed(1)
    model = build_small_unet(SmallUNetConfig(base_width=4))
    model.save(tmp_path / "m.keras")
    batch = keras.random.uniform((1, 64, 32, 3), 0, 255).numpy()
    loaded = load_runtime(tmp_path / "m.keras")
    assert largest_difference(NetworkSegmenter(KerasNetwork(model)), loaded, batch) < 1e-5
