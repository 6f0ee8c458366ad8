import subprocess
import sys
import zipfile

import numpy as np
import pytest

from blood_cell_system.analysis.opened_networks import KerasNetwork
from blood_cell_system.analysis.segmentation import segment_image
from blood_cell_system.analysis.trained_models import NetworkSegmenter, load_runtime
from blood_cell_system.cells.separation import separate_cells
from blood_cell_system.errors import CheckpointError, MissingDataError
from blood_cell_system.model_metadata import model_name

keras = pytest.importorskip("keras", reason="needs the [train] extra")

from support.colours import colour_image  # noqa: E402
from support.drawn_cells import ellipse_box, is_in_ellipse  # noqa: E402
from support.tiny_models import head_model, plain_model, upsampling_model  # noqa: E402

from blood_cell_system.taxonomy import RBC, WBC  # noqa: E402


def keras_runtime(model):
    return NetworkSegmenter(KerasNetwork(model))


@pytest.fixture(scope="module")
def image_and_mask():
    class_mask = np.zeros((100, 150), dtype=np.uint8)
    class_mask[is_in_ellipse(ellipse_box(RBC, 40, 50, 64), (100, 150))] = 1
    class_mask[is_in_ellipse(ellipse_box(WBC, 110, 50, 64), (100, 150))] = 2
    return colour_image(class_mask), class_mask


def test_importing_it_imports_no_keras():
    code = (
        "import sys; from blood_cell_system.analysis import opened_networks, segmentation;"
        "sys.exit(bool({'keras', 'tensorflow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_saved_model_with_heads_finds_the_drawn_cells(tmp_path, image_and_mask):
    image, class_mask = image_and_mask
    head_model().save(tmp_path / "model.keras")
    result = segment_image(load_runtime(tmp_path / "model.keras"), image)
    assert (result.class_mask == class_mask).all()
    found = separate_cells(result.class_probabilities, result.centres, result.log_size)
    assert found["cell_type"].tolist() == [RBC, WBC]


def test_the_diameter_of_the_training_goes_with_the_model(tmp_path):
    model = plain_model()
    assert keras_runtime(model).training_diameter_px is None
    model.name = model_name(64)
    model.save(tmp_path / "model.keras")
    assert load_runtime(tmp_path / "model.keras").training_diameter_px == 64


@pytest.mark.parametrize(("activation", "side"), [("softmax", None), ("linear", 64)])
def test_a_plain_model_of_softmax_or_logits_works(image_and_mask, activation, side):
    image, class_mask = image_and_mask
    result = segment_image(keras_runtime(plain_model(activation, side)), image)
    assert result.centres is None
    assert (result.class_mask == class_mask).all()
    np.testing.assert_allclose(result.class_probabilities.sum(axis=2), 1, atol=1e-5)


def test_images_of_many_sizes_follow_each_other(image_and_mask):
    image, class_mask = image_and_mask
    runtime = keras_runtime(upsampling_model())
    for width in (150, 100, 64, 32, 129, 150):
        result = segment_image(runtime, image[:, :width])
        assert (result.class_mask == class_mask[:, :width]).mean() > 0.8


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MissingDataError, match=r"gone\.keras"):
        load_runtime(tmp_path / "gone.keras")


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(b"no model" * 100)
    with pytest.raises(CheckpointError, match=r"not a \.keras file"):
        load_runtime(path)


def test_a_model_cut_in_half_is_refused(tmp_path):
    path = tmp_path / "model.keras"
    plain_model().save(path)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(CheckpointError, match=r"model\.keras"):
        load_runtime(path)


def test_a_model_with_flipped_bytes_is_refused(tmp_path):
    path = tmp_path / "model.keras"
    plain_model().save(path)
    with zipfile.ZipFile(path) as archive:
        place = archive.getinfo("config.json").header_offset + 60
    data = bytearray(path.read_bytes())
    data[place] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged"):
        load_runtime(path)


def test_an_archive_of_something_else_is_refused(tmp_path):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        load_runtime(path)


def test_a_configuration_that_keras_cannot_read_is_refused(tmp_path):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", '{"class_name": "Nothing"}')
    with pytest.raises(CheckpointError, match="cannot load"):
        load_runtime(path)


def test_code_in_a_model_is_not_run(tmp_path):
    path = tmp_path / "model.keras"
    pixels = keras.Input((None, None, 3))
    keras.Model(pixels, keras.layers.Lambda(lambda x: x)(pixels)).save(path)
    with pytest.raises(CheckpointError, match="code of its own"):
        load_runtime(path)


@pytest.mark.parametrize("shape", [(None, None, 1), (None, None, 4), (32,)])
def test_a_model_for_other_inputs_is_refused(shape):
    pixels = keras.Input(shape)
    with pytest.raises(CheckpointError, match="takes inputs"):
        keras_runtime(keras.Model(pixels, keras.layers.Activation("relu")(pixels)))


def test_a_model_with_other_classes_is_refused():
    pixels = keras.Input((None, None, 3))
    outputs = keras.layers.Conv2D(4, 1, activation="softmax")(pixels)
    with pytest.raises(CheckpointError, match=r"\(64, 64, 4\)"):
        keras_runtime(keras.Model(pixels, outputs))


def test_a_classifier_is_refused():
    pixels = keras.Input((None, None, 3))
    outputs = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(pixels))
    with pytest.raises(CheckpointError, match="expected class probabilities"):
        keras_runtime(keras.Model(pixels, outputs))


def test_independent_sigmoids_are_refused():
    with pytest.raises(CheckpointError, match="add up to 1"):
        keras_runtime(plain_model("sigmoid"))


def test_several_outputs_without_names_are_refused():
    pixels = keras.Input((None, None, 3))
    twice = [keras.layers.Softmax()(pixels), keras.layers.Activation("relu")(pixels)]
    with pytest.raises(CheckpointError, match="no output for the classes"):
        keras_runtime(keras.Model(pixels, twice))


def test_weights_that_are_no_numbers_are_refused():
    model = plain_model()
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    with pytest.raises(CheckpointError, match="no numbers"):
        keras_runtime(model)
