from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from support.reader_contract import (
    RED,
    SHAPE,
    WHITE,
    Drawn,
    ReaderContract,
    draw_images,
    octagon,
)

from blood_cell_system.annotation.splits import Split
from blood_cell_system.boxes import Box
from blood_cell_system.errors import AnnotationError, DatasetError
from blood_cell_system.taxonomy import RBC, WBC

HEIGHT, WIDTH = SHAPE


def box_line(box, number=0):
    x, y = (box.x_min + box.x_max) / 2 / WIDTH, (box.y_min + box.y_max) / 2 / HEIGHT
    return f"{number} {x} {y} {(box.x_max - box.x_min) / WIDTH} {(box.y_max - box.y_min) / HEIGHT}"


def polygon_line(corners, number=0):
    return f"{number} " + " ".join(f"{x / WIDTH} {y / HEIGHT}" for x, y in corners)


class TestYolo(ReaderContract):
    format_name = "yolo"
    names_images = False
    declares_sizes = False
    text_suffix = ".txt"

    def write(self, root: Path, images: Mapping[str, Drawn]) -> None:
        draw_images(root / "images", list(images))
        labels = sorted({label for drawn in images.values() for label, _ in drawn.marks})
        (root / "data.yaml").write_text(f"path: .\ntrain: images\nnames: {labels}\n")
        for name, drawn in images.items():
            path = (root / "labels" / name).with_suffix(".txt")
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = [box_line(box, labels.index(label)) for label, box in drawn.marks]
            path.write_text("\n".join(lines), encoding="utf-8")

    def write_lines(self, root: Path, *lines: str, name: str = "a") -> None:
        (root / "labels" / f"{name}.txt").write_text("\n".join(lines), encoding="utf-8")

    def cells(self, root: Path):
        return self.read(root).samples[0].cells

    def test_five_numbers_are_a_box(self, root: Path):
        self.write_lines(root, box_line(RED))
        (cell,) = self.cells(root)
        assert cell.box == pytest.approx(RED)
        assert cell.outline is None

    def test_a_confidence_at_the_end_is_passed_over(self, root: Path):
        self.write_lines(root, box_line(RED) + " 0.87", polygon_line(octagon(WHITE)) + " 0.91")
        red, white = self.cells(root)
        assert red.box == pytest.approx(RED)
        np.testing.assert_allclose(white.outline.rings[0], octagon(WHITE))

    def test_more_numbers_are_an_outline(self, root: Path):
        self.write_lines(root, polygon_line(octagon(WHITE), 1))
        (cell,) = self.cells(root)
        assert cell.cell_type == WBC
        np.testing.assert_allclose(cell.outline.rings[0], octagon(WHITE))

    def test_an_empty_file_says_that_there_are_no_cells(self, root: Path):
        self.write_lines(root)
        assert self.cells(root) == ()

    @pytest.mark.parametrize(
        "names",
        [
            "names: [RBC, WBC]  # two of them",
            "nc: 2\nnames: ['RBC', \"WBC\"]\nroboflow:\n  licence: MIT",
            "names:\n- RBC\n- WBC\nnc: 2",
            "names:\n  - RBC\n  - WBC",
            "names:\n  0: RBC\n  1: 'WBC'\ndownload: none",
            "# ours\nnames:\n\n  1: WBC # white\n  0: RBC\n",
            "names: {0: RBC, 1: WBC}",
            "names: [RBC,\n  WBC]\nval: images",
        ],
    )
    def test_names_are_read_however_yaml_puts_them(self, root: Path, names: str):
        (root / "data.yaml").write_text(names)
        self.write_lines(root, box_line(RED, 0), box_line(WHITE, 1))
        assert [cell.cell_type for cell in self.cells(root)] == [RBC, WBC]

    @pytest.mark.parametrize("name", ["classes.txt", "obj.names"])
    def test_a_list_of_names_is_read(self, root: Path, name: str):
        (root / "data.yaml").unlink()
        (root / name).write_text("RBC\nWBC\n")
        self.write_lines(root, box_line(WHITE, 1))
        assert self.cells(root)[0].cell_type == WBC

    def test_a_comma_in_a_name_does_not_part_it(self, root: Path):
        (root / "data.yaml").write_text("names: ['red, round', WBC]")
        self.write_lines(root, box_line(RED, 0))
        self.write_lines(root, name="b")
        with pytest.raises(AnnotationError, match="red, round"):
            self.read(root)

    @pytest.mark.parametrize("names", ["names: [RBC, WBC", "names: &all\n", "names:\nnc: 2"])
    def test_names_that_are_put_otherwise_are_refused_with_a_way_out(self, root: Path, names: str):
        (root / "data.yaml").write_text(names)
        with pytest.raises(AnnotationError, match=r"file classes\.txt"):
            self.read(root)

    def test_without_names_classes_are_numbers_for_the_label_map(self, root: Path):
        (root / "data.yaml").unlink()
        with pytest.raises(AnnotationError, match="--label-map"):
            self.read(root)
        reading = self.read(root, label_map={"0": RBC, "1": WBC})
        assert reading.samples[1].cells[0].cell_type == WBC

    @pytest.mark.parametrize(("folder", "split"), [("valid", Split.VAL), ("test", Split.TEST)])
    def test_a_folder_tells_the_split(self, root: Path, folder: str, split: Split):
        self.write(root, {f"{folder}/c.png": Drawn(reference="c.png")})
        assert self.read(root).samples[-1].split == split

    def test_the_nearest_names_count(self, root: Path):
        for folder, names in (("x", "RBC\nWBC\n"), ("y", "WBC\nRBC\n")):
            self.write(root / folder, {"c.png": Drawn(reference="c.png", marks=(("RBC", RED),))})
            (root / folder / "labels" / "classes.txt").write_text(names)
        reading = self.read(root)
        found = {sample.stem: sample.cells[0].cell_type for sample in reading.samples[-2:]}
        assert found == {"x_images_c": RBC, "y_images_c": WBC}
        assert any("of each label file the nearest counts" in note for note in reading.notes)

    def test_names_that_are_equally_near_must_agree(self, root: Path):
        (root / "classes.txt").write_text("WBC\nRBC\n")
        with pytest.raises(DatasetError, match="name the classes differently"):
            self.read(root)

    @pytest.mark.parametrize("own", ["split_a", "test"])
    def test_the_paths_of_a_data_yaml_are_the_splits(self, root: Path, own: str):
        self.write(root / own, {"c.png": Drawn(reference="c.png")})
        self.write(root / "split_b", {"d.png": Drawn(reference="d.png")})
        for path in root.rglob("data.yaml"):
            path.unlink()
        text = f"train: ../split_b/images\nval: ../{own}/images\nnames: [RBC, WBC]\n"
        (root / "data.yaml").write_text(text)
        splits = {sample.stem: sample.split for sample in self.read(root).samples}
        assert splits == {"a": None, "b": None, "c": Split.VAL, "d": Split.TRAIN}

    def test_lists_know_spaces_and_folders(self, root: Path):
        for folder in ("x", "y"):
            self.write(root / folder, {"my c.png": Drawn(reference="my c.png")})
        (root / "train.txt").write_text("data/x/images/my c.png\n")
        (root / "val.txt").write_text("./y/images/my c.png\na.png\nnowhere.png\n")
        reading = self.read(root)
        splits = {sample.stem: sample.split for sample in reading.samples}
        assert splits == {
            "a": Split.VAL,
            "b": None,
            "x_images_my c": Split.TRAIN,
            "y_images_my c": Split.VAL,
        }
        assert any("val.txt: 1 lines name no image" in note for note in reading.notes)

    def test_a_list_of_other_images_is_noted(self, root: Path):
        (root / "train.txt").write_text("".join(f"images/far_{n}.png\n" for n in range(5)))
        (root / "val.txt").write_text("neither an image\nnor another\nnor a third\n")
        (note,) = self.read(root).notes
        assert "train.txt: 5 lines name no image" in note

    def test_an_image_in_two_lists_is_refused(self, root: Path):
        for name in ("train", "val"):
            (root / f"{name}.txt").write_text("a.png\n")
        with pytest.raises(DatasetError, match=r"a is in train\.txt as well"):
            self.read(root)

    def test_the_folder_of_a_split_may_be_above(self, root: Path):
        self.write(root / "test", {"c.png": Drawn(reference="c.png")})
        assert self.read(root).samples[-1].split == Split.TEST

    def test_lists_of_images_tell_the_split(self, root: Path):
        (root / "train.txt").write_text("data/obj_train_data/a.png\n")
        (root / "valid.txt").write_text("C:\\smears\\b.png\n")
        assert [s.split for s in self.read(root).samples] == [Split.TRAIN, Split.VAL]

    def test_labels_may_lie_beside_the_images(self, root: Path, tmp_path: Path):
        folder = tmp_path / "flat"
        draw_images(folder)
        (folder / "classes.txt").write_text("RBC\n")
        (folder / "a.txt").write_text(box_line(RED))
        (folder / "b.txt").write_text("")
        (folder / "readme.txt").write_text("Ours. 2 images.")
        assert len(self.read(folder).samples) == 2

    def test_outlines_of_two_points_cannot_be_told_from_boxes_but_same_corners_can(self, root):
        self.write_lines(root, "0 0.1 0.1 0.5 0.5 0.1 0.1", box_line(RED))
        reading = self.read(root)
        assert len(reading.samples[0].cells) == 1
        assert "2 different corners" in reading.dropped[0].reason

    def test_a_polygon_that_crosses_itself_is_read_and_told(self, root: Path):
        self.write_lines(root, polygon_line([(10, 10), (30, 30), (30, 10), (10, 30)]))
        assert "cross themselves" in self.read(root).notes[0]

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("0 0.5 0.5 0.1", "is no label"),
            ("0 0.5 0.5 0.1 wide", "is no label"),
            ("RBC 0.5 0.5 0.1 0.1", "is no label"),
            ("-1 0.5 0.5 0.1 0.1", "is no label"),
            ("inf 0.5 0.5 0.1 0.1", "is no label"),
            ("0 40 30 20 20", "far beyond the image"),
            ("0 nan 0.5 0.1 0.1", "far beyond the image"),
        ],
    )
    def test_a_line_that_cannot_be_read_fails_its_image_alone(self, root: Path, line, words):
        self.write_lines(root, box_line(RED), line)
        reading = self.read(root)
        assert [sample.stem for sample in reading.samples] == ["b"]
        reason = self.reason(reading, "a")
        assert "a.txt: line 2" in reason
        assert words in reason

    def test_a_folder_without_labels_is_refused(self, tmp_path: Path):
        draw_images(tmp_path)
        with pytest.raises(DatasetError, match=r"expected YOLO's labels/a\.txt"):
            self.read(tmp_path)

    def test_a_box_that_leaves_the_image_is_cut_off(self, root: Path):
        self.write_lines(root, box_line(Box(-5, 5, 25, 25)))
        assert self.cells(root)[0].box == pytest.approx((0, 5, 25, 25))
