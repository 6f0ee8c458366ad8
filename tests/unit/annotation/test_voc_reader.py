from collections.abc import Mapping
from pathlib import Path

import pytest
from support.reader_contract import IMAGES, RED, SHAPE, Drawn, ReaderContract, draw_images
from support.voc_folder import write_voc_folder

from blood_cell_system.annotation.format_registry import read_folder
from blood_cell_system.annotation.splits import Split
from blood_cell_system.boxes import Box


def xml(drawn: Drawn, *, first_pixel: int = 1, head: str = "") -> str:
    objects = "".join(
        f"<object><name>{label}</name><bndbox><xmin>{box.x_min + first_pixel:g}</xmin>"
        f"<ymin>{box.y_min + first_pixel:g}</ymin><xmax>{box.x_max:g}</xmax>"
        f"<ymax>{box.y_max:g}</ymax></bndbox></object>"
        for label, box in drawn.marks
    )
    height, width = drawn.declared
    return (
        f"{head}<annotation><filename>{drawn.reference}</filename><size><width>{width}</width>"
        f"<height>{height}</height></size>{objects}</annotation>"
    )


class TestVoc(ReaderContract):
    """Copies with the XML beside the images, under names of their own."""

    format_name = "voc"
    text_suffix = ".xml"

    def write(self, root: Path, images: Mapping[str, Drawn]) -> None:
        draw_images(root / "train", list(images))
        for index, (name, drawn) in enumerate(images.items()):
            path = root / "train" / Path(name).parent / f"annotation_{index}.xml"
            path.write_text(xml(drawn), encoding="utf-8")

    def test_the_folder_tells_the_split(self, root: Path):
        assert {sample.split for sample in self.read(root).samples} == {Split.TRAIN}

    def test_an_annotation_without_a_file_name_is_of_the_image_of_its_own_name(self, root: Path):
        for path in root.rglob("*.xml"):
            path.unlink()
        for name in IMAGES:
            text = xml(IMAGES[name]).replace(f"<filename>{name}</filename>", "")
            (root / "train" / name).with_suffix(".xml").write_text(text)
        assert [sample.stem for sample in self.read(root).samples] == ["a", "b"]

    def test_a_corner_at_0_tells_that_pixels_count_from_0(self, root: Path):
        drawn = Drawn(reference="a.png", marks=(("RBC", Box(0, 5, 25, 25)),))
        (root / "train" / "annotation_0.xml").write_text(xml(drawn, first_pixel=0))
        reading = self.read(root)
        assert reading.samples[0].cells[0].box == Box(0, 5, 25, 25)
        assert "1 file has boxes that begin at 0" in reading.notes[0]

    def test_the_first_pixel_can_be_told(self, root: Path):
        drawn = Drawn(reference="a.png", marks=(("RBC", Box(0, 5, 25, 25)),))
        (root / "train" / "annotation_0.xml").write_text(xml(drawn, first_pixel=0))
        reading = self.read(root, first_pixel=1)
        assert reading.samples[0].cells[0].box == Box(0, 4, 25, 25)
        assert reading.notes == ()

    def test_a_file_with_entities_fails_its_image_alone(self, root: Path):
        bomb = '<!DOCTYPE a [<!ENTITY lol "lol">]>'
        (root / "train" / "annotation_0.xml").write_text(xml(IMAGES["a.png"], head=bomb))
        reading = self.read(root)
        assert [sample.stem for sample in reading.samples] == ["b"]
        assert "declares entities" in self.reason(reading, "annotation_0")

    def test_a_half_written_file_fails_its_image_alone(self, root: Path):
        path = root / "train" / "annotation_0.xml"
        path.write_text(path.read_text()[:100])
        assert [sample.stem for sample in self.read(root).samples] == ["b"]


class TestClone(ReaderContract):
    """A clone of BCCD: folders and lists of Pascal VOC."""

    format_name = "voc"
    text_suffix = ".xml"

    def write(self, root: Path, images: Mapping[str, Drawn]) -> None:
        draw_images(root / "BCCD" / "JPEGImages", list(images))
        for name, drawn in images.items():
            path = (root / "BCCD" / "Annotations" / name).with_suffix(".xml")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(xml(drawn), encoding="utf-8")
        lists = root / "BCCD" / "ImageSets" / "Main"
        lists.mkdir(parents=True)
        (lists / "train.txt").write_text("a\n")
        (lists / "test.txt").write_text("b\n")

    @pytest.mark.skip(reason="the name of the annotation is that of the image")
    def test_nothing_outside_of_the_folder_is_looked_at(self):
        pass

    def test_the_lists_tell_the_splits(self, root: Path):
        splits = [sample.split for sample in self.read(root).samples]
        assert splits == [Split.TRAIN, Split.TEST]

    def test_the_data_set_is_known_by_its_name(self, root: Path):
        reading = self.read(root / "BCCD")
        assert (reading.source, reading.licence) == ("bccd", "MIT")

    def test_boxes_count_from_1(self, root: Path):
        assert self.read(root).samples[0].cells[0].box == RED
        assert self.read(root).samples[0].shape == SHAPE


def test_xml_of_another_kind_is_passed_over_and_told(tmp_path: Path):
    folder = write_voc_folder(tmp_path / "lab")
    (folder / "Annotations" / "pic_0_metadata.xml").write_text(
        "<ImageMetadata><Scaling/></ImageMetadata>"
    )
    reading = read_folder(folder, format_name="voc")
    assert reading.failed == ()
    assert any("1 XML files of another kind" in note for note in reading.notes)
