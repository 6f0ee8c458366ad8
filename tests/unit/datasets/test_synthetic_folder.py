from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from support.smears import small_bccd_clone, small_prepared_folder, small_smear_settings

from blood_cell_system.annotation.formats.voc import read_voc_folder
from blood_cell_system.annotation.sample import Annotation, Origin
from blood_cell_system.annotation.splits import Split
from blood_cell_system.boxes import Box
from blood_cell_system.datasets.prepared import PreparedDataset
from blood_cell_system.datasets.synthetic import FolderLayout, write_synthetic_folder
from blood_cell_system.datasets.synthetic.folder import to_voc_xml
from blood_cell_system.errors import OutputError, SettingsError
from blood_cell_system.imaging.image_file import read_image
from blood_cell_system.taxonomy import BUILT_IN, PLATELET, RBC, WBC


def files_of(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_a_prepared_folder_opens_with_splits_boxes_and_labels(tmp_path):
    dataset = PreparedDataset.open(small_prepared_folder(tmp_path / "out"))
    assert [image.stem for image in dataset.images] == [f"smear_{i:05d}" for i in range(6)]
    assert {image.split for image in dataset.images} == set(Split)
    assert {image.source for image in dataset.images} == {"synthetic"}
    assert not any(image.is_augmented for image in dataset.images)
    for entry in dataset.images:
        image, class_mask = entry.read()
        assert image.shape == (128, 160, 3)
        assert entry.instance_path is not None
        assert entry.cells is not None
        types = [0] + [BUILT_IN.mask_classes[cell.cell_type] for cell in entry.cells]
        labels = read_labels(entry.instance_path)
        np.testing.assert_array_equal(class_mask, np.array(types)[labels])


def read_labels(path: Path) -> np.ndarray:
    import cv2

    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def test_splits_are_about_70_15_15(tmp_path):
    root = small_prepared_folder(tmp_path / "out", count=20, shape=(40, 48))
    dataset = PreparedDataset.open(root)
    assert [len(dataset.of_split(split)) for split in Split] == [14, 3, 3]


def test_the_manifest_tells_how_the_folder_was_made(tmp_path):
    details = PreparedDataset.open(small_prepared_folder(tmp_path / "out", seed=7)).details
    assert details["command"] == "synthesize"
    assert details["seed"] == 7
    assert details["settings"]["shape"] == [128, 160]


@pytest.mark.parametrize("make", [small_prepared_folder, small_bccd_clone])
def test_drawing_again_changes_no_byte(tmp_path, make):
    root = make(tmp_path / "out", count=3)
    before = files_of(root)
    make(root, count=3)
    assert files_of(root) == before


def test_another_seed_draws_other_smears(tmp_path):
    first = files_of(small_prepared_folder(tmp_path / "a", count=1))
    other = files_of(small_prepared_folder(tmp_path / "b", count=1, seed=1))
    assert first["images/smear_00000.png"] != other["images/smear_00000.png"]


def test_more_smears_begin_with_the_same_ones(tmp_path):
    few = files_of(small_prepared_folder(tmp_path / "a", count=1))
    more = files_of(small_prepared_folder(tmp_path / "b", count=2))
    assert few["images/smear_00000.png"] == more["images/smear_00000.png"]


def test_several_processes_write_the_same_files_as_one(tmp_path):
    settings = small_smear_settings((64, 64))
    for jobs in (1, 2):
        write_synthetic_folder(tmp_path / str(jobs), count=3, settings=settings, jobs=jobs)
    assert files_of(tmp_path / "1") == files_of(tmp_path / "2")


def test_a_bccd_clone_has_the_files_of_one(tmp_path):
    root = small_bccd_clone(tmp_path / "clone") / "BCCD"
    stems = [f"BloodImage_{i:05d}" for i in range(6)]
    assert sorted(p.name for p in (root / "JPEGImages").iterdir()) == [f"{s}.jpg" for s in stems]
    assert sorted(p.name for p in (root / "Annotations").iterdir()) == [f"{s}.xml" for s in stems]
    lists = {
        name: (root / "ImageSets" / "Main" / f"{name}.txt").read_text().split()
        for name in ("train", "val", "test", "trainval")
    }
    assert sorted(lists["train"] + lists["val"] + lists["test"]) == stems
    assert lists["trainval"] == sorted(lists["train"] + lists["val"])
    assert all(lists.values())


def test_a_bccd_clone_keeps_every_cell_in_the_convention_of_bccd(tmp_path):
    clone = small_bccd_clone(tmp_path / "clone", count=1)
    prepared = small_prepared_folder(tmp_path / "prepared", count=1, shape=(120, 160))
    cells = PreparedDataset.open(prepared).images[0].cells
    xml = ElementTree.parse(clone / "BCCD" / "Annotations" / "BloodImage_00000.xml")
    names = {"RBC": RBC, "WBC": WBC, "Platelets": PLATELET}
    found = [
        (
            names[row.findtext("name")],
            *(int(row.findtext(f"bndbox/{key}")) for key in ("xmin", "ymin", "xmax", "ymax")),
        )
        for row in xml.iter("object")
    ]
    assert found == [(c.cell_type, c.x_min + 1, c.y_min + 1, c.x_max, c.y_max) for c in cells]
    assert xml.findtext("filename") == "BloodImage_00000.jpg"
    assert (xml.findtext("size/width"), xml.findtext("size/height")) == ("160", "120")
    image = read_image(clone / "BCCD" / "JPEGImages" / "BloodImage_00000.jpg")
    assert image.shape == (120, 160, 3)


def test_a_cell_at_the_border_is_marked_as_truncated():
    def box(x_min, x_max):
        return Annotation(cell_type=RBC, box=Box(x_min, 3, x_max, 9), origin=Origin.DRAWN)

    text = to_voc_xml("a.jpg", (20, 20), [box(0, 9), box(5, 9), box(5, 20)])
    marks = [row.text for row in ElementTree.fromstring(text).iter("truncated")]
    assert marks == ["1", "0", "1"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"count": 0}, "Count of smears: 0"),
        ({"count": 100_001}, "100001"),
        ({"count": 1, "seed": -1}, "Seed: -1"),
        ({"count": 1, "jobs": 0}, "jobs: received 0"),
    ],
)
def test_numbers_that_make_no_sense_are_named(tmp_path, options, words):
    with pytest.raises(SettingsError, match=words):
        write_synthetic_folder(tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputError, match="out"):
        small_prepared_folder(tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize("layout", FolderLayout)
def test_a_folder_with_other_images_is_refused(tmp_path, layout):
    folder = tmp_path / ("BCCD/JPEGImages" if layout is FolderLayout.BCCD else "images")
    folder.mkdir(parents=True)
    (folder / "holiday.jpg").write_bytes(b"")
    with pytest.raises(OutputError, match=r"holiday\.jpg"):
        write_synthetic_folder(tmp_path, count=1, layout=layout)


@pytest.mark.parametrize("make", [small_prepared_folder, small_bccd_clone])
def test_fewer_smears_leave_none_of_a_former_run(tmp_path, make):
    make(tmp_path / "again", count=4)
    make(tmp_path / "again", count=2)
    make(tmp_path / "new", count=2)
    assert files_of(tmp_path / "again") == files_of(tmp_path / "new")


def test_a_real_clone_is_never_written_over(tmp_path):
    root = small_bccd_clone(tmp_path / "clone", count=1)
    annotation = root / "BCCD" / "Annotations" / "BloodImage_00000.xml"
    annotation.write_text(to_voc_xml("a.jpg", (9, 9), []).replace("Drawn by", "Photographed by"))
    before = files_of(root)
    with pytest.raises(OutputError, match="has not written"):
        small_bccd_clone(root, count=1)
    assert files_of(root) == before


def test_a_clone_opens_as_a_voc_folder_without_complaints(tmp_path):
    dataset = read_voc_folder(small_bccd_clone(tmp_path / "clone"))
    assert len(dataset.samples) == 6
    assert dataset.failed == ()
    assert {sample.split for sample in dataset.samples} == set(Split)
