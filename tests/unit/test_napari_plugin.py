"""The plugin for napari, without napari: it reads a manifest and gets tuples."""

from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from support.smears import small_smear_settings

import blood_cell_system
from blood_cell_system.datasets.synthetic import draw_smear
from blood_cell_system.errors import ImageReadError
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.napari_plugin import analyze_layer, get_reader
from blood_cell_system.pipeline.batch import batch_process_images
from blood_cell_system.pipeline.image import InferencePipeline
from blood_cell_system.pipeline.system import BloodCellAnalysisSystem
from blood_cell_system.seeding import generator_for

PACKAGE = Path(blood_cell_system.__file__).parent
MANIFEST = yaml.safe_load((PACKAGE / "napari.yaml").read_text("utf-8"))


def drawn_smear():
    return draw_smear(small_smear_settings((256, 320)), generator_for(1, "napari")).image


def layer_of(data, name="field", **options):
    """What the plugin asks of a layer of napari."""
    options = {"multiscale": False, "scale": (1.0, 1.0), "translate": (0.0, 0.0)} | options
    return SimpleNamespace(name=name, data=data, **options)


def test_napari_finds_the_manifest_and_all_that_it_names():
    (entry,) = entry_points(group="napari.manifest", name="blood-cell-system")
    package, file = entry.value.split(":")
    assert (Path(import_module(package).__file__).parent / file).is_file()
    contributions = MANIFEST["contributions"]
    commands = {one["id"]: one["python_name"] for one in contributions["commands"]}
    for name in commands.values():
        module, function = name.split(":")
        assert callable(getattr(import_module(module), function))
    asked_for = {one["command"] for kind in ("widgets", "readers") for one in contributions[kind]}
    assert asked_for == set(commands)


@pytest.mark.parametrize("channels", [3, 4])
def test_a_layer_s_cells_are_labels_with_features(channels):
    smear = drawn_smear()
    alpha = np.full((*smear.shape[:2], channels - 3), 255, np.uint8)
    layer = layer_of(np.concatenate([smear, alpha], axis=2))
    labels, known, kind = analyze_layer(layer)
    assert (kind, known["name"], labels.shape) == ("labels", "cells of field", smear.shape[:2])
    features = known["features"]
    assert features["index"].tolist() == list(range(1, labels.max() + 1))
    assert {"RBC"} <= set(features["cell_type"])
    assert "not a medical device" in known["metadata"]["report"]


def test_labels_lie_where_the_image_lies_also_of_a_pyramid():
    smear = drawn_smear()
    place = {"scale": (0.1, 0.1), "translate": (5.0, 7.0)}
    labels, known, _ = analyze_layer(layer_of([smear, smear[::2, ::2]], multiscale=True, **place))
    assert labels.shape == smear.shape[:2]
    assert {name: known[name] for name in place} == place


def test_sizes_are_in_micrometres_where_a_pixel_s_size_is_given():
    layer = layer_of(drawn_smear())
    assert analyze_layer(layer)[1]["features"]["equivalent_diameter_um"].isna().all()
    assert analyze_layer(layer, 0.1)[1]["features"]["equivalent_diameter_um"].notna().all()


@pytest.mark.parametrize(
    "data",
    [np.zeros((40, 40), np.uint8), np.zeros((40, 40, 3), np.uint16), np.zeros((5, 40, 40, 3))],
    ids=["grey", "16 bits", "stack"],
)
def test_other_layers_are_refused_by_name(data):
    with pytest.raises(ImageReadError, match="odd: a layer of shape"):
        analyze_layer(layer_of(data, "odd"))


def test_a_results_folder_is_images_and_their_cells(tmp_path):
    image = tmp_path / "images" / "a.png"
    image.parent.mkdir()
    write_image(image, drawn_smear())
    pipeline = InferencePipeline(BloodCellAnalysisSystem())
    batch_process_images(image.parent, pipeline, tmp_path / "results")
    reader = get_reader(str(tmp_path / "results"))
    (pixels, shown, _), (labels, known, _) = reader(str(tmp_path / "results"))
    assert shown == {"name": "a", "rgb": True}
    assert labels.shape == pixels.shape[:2]
    assert len(known["features"]) == labels.max() > 0

    image.unlink()
    ((_, known, kind),) = reader(str(tmp_path / "results"))
    assert (kind, known["name"]) == ("labels", "cells of a (the image is not where it was)")


def test_other_paths_are_left_to_other_readers(tmp_path):
    image = tmp_path / "a.png"
    write_image(image, drawn_smear())
    assert get_reader(str(image)) is None
    assert get_reader(str(tmp_path)) is None
    assert get_reader([str(image)]) is None
