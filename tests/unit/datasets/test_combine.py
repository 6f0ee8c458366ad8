import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
from support.smears import small_prepared_folder

from blood_cell_system.annotation.splits import Split
from blood_cell_system.datasets.combine import COMMAND, combine_folders
from blood_cell_system.datasets.prepared import (
    PreparedDataset,
    write_annotations,
    write_manifest,
)
from blood_cell_system.errors import DatasetError, MissingDataError, OutputError, SettingsError
from blood_cell_system.imaging.image_file import read_image, read_label_image, write_image
from blood_cell_system.taxonomy import PLATELET

# Drawn cells of 28 px.
DRAWN_PX = 28.0


def rewrite(root, *, details=None, **changes):
    """Change all rows of a folder's manifest."""
    dataset = PreparedDataset.open(root)
    rows = [replace(image, **changes).manifest_row() for image in dataset.images]
    write_manifest(root, rows, dict(dataset.details) | (details or {}))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    root = tmp_path_factory.mktemp("folders")
    for number, name in enumerate(("lab_a", "lab_b")):
        small_prepared_folder(root / name, count=5, seed=number)
        rewrite(root / name, source=name, details={"licence": f"licence of {name}"})
    return root


@pytest.fixture
def folders(drawn, tmp_path):
    for name in ("lab_a", "lab_b"):
        shutil.copytree(drawn / name, tmp_path / name)
    return [tmp_path / "lab_a", tmp_path / "lab_b"]


def combined(folders, output, **options):
    summary = combine_folders(folders, output, jobs=1, **options)
    return summary, PreparedDataset.open(output)


def test_all_images_are_there_with_their_sources_and_splits(folders, tmp_path):
    _, dataset = combined(folders, tmp_path / "out", cell_diameter_px=None)
    assert len(dataset.images) == 10
    for folder in folders:
        before = [(i.split, i.cells) for i in PreparedDataset.open(folder).images]
        after = [(i.split, i.cells) for i in dataset.images if i.source == folder.name]
        assert after == before


def test_images_of_the_same_name_are_told_apart(folders, tmp_path):
    summary, dataset = combined(folders, tmp_path / "out", cell_diameter_px=None)
    assert {image.stem for image in dataset.images} == {
        f"{folder.name}_smear_{n:05d}" for folder in folders for n in range(5)
    }
    assert summary.renamed_count == 10
    for image in dataset.images:
        name = image.stem.removeprefix(f"{image.source}_") + ".png"
        original = tmp_path / image.source / "images" / name
        assert image.image_path.read_bytes() == original.read_bytes()


def test_a_name_that_is_there_once_is_kept(folders, tmp_path):
    for kind in ("images", "masks", "instances"):
        path = folders[0] / kind / "smear_00000.png"
        path.rename(path.with_name("only_here.png"))
    text = (folders[0] / "manifest.json").read_text().replace("smear_00000", "only_here")
    (folders[0] / "manifest.json").write_text(text)
    annotations = folders[0] / "annotations.json"
    annotations.write_text(annotations.read_text().replace("smear_00000", "only_here"))
    _, dataset = combined(folders, tmp_path / "out", cell_diameter_px=None)
    stems = {image.stem for image in dataset.images}
    # The other folder's namesake is alone now.
    assert {"only_here", "smear_00000"} <= stems


def test_red_cells_get_the_width_that_was_asked_for(folders, tmp_path):
    summary, dataset = combined(folders, tmp_path / "out", cell_diameter_px=2 * DRAWN_PX)
    for source in summary.sources:
        assert source.red_cell_diameter_px == pytest.approx(DRAWN_PX, rel=0.1)
    again = combine_folders([tmp_path / "out"], tmp_path / "again", cell_diameter_px=56, jobs=1)
    assert [source.magnification for source in again.sources] == [1.0, 1.0]
    image = dataset.images[0]
    pixels, class_mask = image.read()
    labels = read_label_image(image.instance_path)
    factor = summary.sources[0].magnification
    assert pixels.shape[:2] == class_mask.shape == labels.shape
    assert pixels.shape[0] == round(128 * factor)
    before = PreparedDataset.open(folders[0]).images[0]
    assert image.cells[0].width == pytest.approx(before.cells[0].width * factor, rel=0.02)


def test_the_manifest_says_how_large_cells_were_and_under_which_licence(folders, tmp_path):
    combined(folders, tmp_path / "out", cell_diameter_px=2 * DRAWN_PX)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["command"] == COMMAND
    assert manifest["settings"]["cell_diameter_px"] == 2 * DRAWN_PX
    for name in ("lab_a", "lab_b"):
        source = manifest["sources"][name]
        assert source["licence"] == f"licence of {name}"
        assert source["red_cell_diameter_px"] == pytest.approx(DRAWN_PX, rel=0.1)
        assert source["magnification"] == pytest.approx(2, rel=0.1)


def test_licences_survive_a_second_combination(folders, tmp_path):
    combined(folders, tmp_path / "one", cell_diameter_px=None)
    summary, _ = combined([tmp_path / "one"], tmp_path / "two", cell_diameter_px=None)
    assert [s.licence for s in summary.sources] == ["licence of lab_a", "licence of lab_b"]


def test_running_again_gives_the_same_bytes_with_any_number_of_processes(folders, tmp_path):
    combine_folders(folders, tmp_path / "one", jobs=1)
    combine_folders(folders, tmp_path / "two", jobs=2)
    for path in sorted((tmp_path / "one").rglob("*.*")):
        other = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert path.read_bytes() == other.read_bytes()


def test_a_source_that_marks_no_platelets_does_not_say_that_there_are_none(folders, tmp_path):
    dataset = PreparedDataset.open(folders[1])
    without = {
        image.stem: [c for c in image.cells if c.cell_type != PLATELET] for image in dataset.images
    }
    write_annotations(folders[1], without)
    _, dataset = combined(folders, tmp_path / "out", cell_diameter_px=None)
    unmarked = {image.source: image.unmarked_types for image in dataset.images}
    assert unmarked == {"lab_a": (), "lab_b": (PLATELET,)}


def resell(folders, change, *, split=None):
    """Put a changed copy of an image of the first folder into the second."""
    target = folders[1] / "images" / "smear_00000.png"
    write_image(target, change(read_image(folders[0] / "images" / "smear_00001.png")))
    for kind in ("masks", "instances"):
        labels = cv2.imread(str(folders[0] / kind / "smear_00001.png"), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(folders[1] / kind / "smear_00000.png"), labels)
    for folder, stem, wanted in (
        (folders[0], "smear_00001", Split.TEST),
        (folders[1], "smear_00000", Split.TRAIN),
    ):
        dataset = PreparedDataset.open(folder)
        rows = [
            replace(i, split=wanted if i.stem == stem else i.split).manifest_row()
            for i in dataset.images
        ]
        write_manifest(folder, rows, dataset.details)


def test_a_resold_image_goes_into_the_strictest_split(folders, tmp_path):
    # Mirrored up-down: the labels of this copy fit it no longer, which is not looked at here.
    resell(folders, lambda image: np.ascontiguousarray(image[::-1, ::-1] // 2 + 60))
    summary, dataset = combined(folders, tmp_path / "out", cell_diameter_px=None)
    splits = {image.stem: image.split for image in dataset.images}
    assert splits["lab_a_smear_00001"] == splits["lab_b_smear_00000"] == Split.TEST
    assert ("lab_a_smear_00001", "lab_b_smear_00000") in summary.same_fields
    assert [move.stem for move in summary.moves] == ["lab_b_smear_00000"]
    assert "1 image changed theirs" in summary.to_text()


def test_different_fields_keep_their_splits(folders, tmp_path):
    summary, _ = combined(folders, tmp_path / "out", cell_diameter_px=None)
    assert summary.same_fields == ()
    assert summary.moves == ()


def test_two_folders_of_one_name_are_two_sources(folders, tmp_path):
    for folder in folders:
        rewrite(folder, source="smears")
    _, dataset = combined(folders, tmp_path / "out", cell_diameter_px=None)
    assert {image.source for image in dataset.images} == {"smears-lab_a", "smears-lab_b"}


def test_a_source_without_a_name_is_called_like_its_folder(folders, tmp_path):
    for folder in folders:
        (folder / "manifest.json").unlink()
    _, dataset = combined(folders, tmp_path / "out", cell_diameter_px=None)
    assert {image.source for image in dataset.images} == {"lab_a", "lab_b"}
    assert all(image.split for image in dataset.images)


def test_a_source_of_unknown_size_is_left_and_told(folders, tmp_path):
    dataset = PreparedDataset.open(folders[0])
    write_annotations(folders[0], {image.stem: [] for image in dataset.images})
    for image in dataset.images:
        image.instance_path.unlink()
        mask = read_image(image.mask_path)
        write_image(image.mask_path, np.full_like(mask, (255, 0, 0)))
    summary, _ = combined(folders, tmp_path / "out", cell_diameter_px=56)
    assert summary.sources[0].red_cell_diameter_px is None
    assert summary.sources[0].magnification == 1
    assert "--source-diameter lab_a=PX" in summary.to_text()
    summary, _ = combined(
        folders, tmp_path / "told", cell_diameter_px=56, source_diameters={"lab_a": 14}
    )
    assert summary.sources[0].magnification == 4


def test_a_size_that_cannot_be_is_refused(folders, tmp_path):
    with pytest.raises(DatasetError, match=r"lab_a: red cells are \d+ px wide.*--source-diameter"):
        combine_folders(folders, tmp_path / "out", jobs=1, cell_diameter_px=1000)


def test_a_diameter_out_of_range_is_refused(folders, tmp_path):
    with pytest.raises(SettingsError, match="--cell-diameter: received 1;"):
        combine_folders(folders, tmp_path / "out", cell_diameter_px=1)


def test_a_diameter_of_no_source_is_refused(folders, tmp_path):
    with pytest.raises(SettingsError, match="lab_c: there is no such source; expected one of lab_"):
        combine_folders(folders, tmp_path / "out", source_diameters={"lab_c": 50})


def test_no_folder_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="no folder was named"):
        combine_folders([], tmp_path / "out")


def test_a_folder_named_twice_is_refused(folders, tmp_path):
    with pytest.raises(SettingsError, match="named twice"):
        combine_folders([folders[0], folders[0]], tmp_path / "out")


def test_a_folder_that_is_not_prepared_is_refused(tmp_path):
    with pytest.raises(MissingDataError, match="no such folder"):
        combine_folders([tmp_path / "nothing"], tmp_path / "out")


@pytest.mark.parametrize("place", ["lab_a", "lab_a/deeper", "."])
def test_an_output_that_overlaps_an_input_is_refused(folders, tmp_path, place):
    with pytest.raises(SettingsError, match="expected another place"):
        combine_folders(folders, tmp_path / place)


def test_a_folder_of_anothers_images_is_not_written_into(folders, tmp_path):
    small_prepared_folder(tmp_path / "mine", count=1)
    with pytest.raises(OutputError, match="was written by 'synthesize'"):
        combine_folders(folders, tmp_path / "mine", jobs=1)
