"""What every reader of a data set promises, whatever its format.

A test module of a reader derives a class ``Test…`` from :class:`ReaderContract`, says what the
format can hold and writes a miniature in it; the tests come along. What is particular to the format
is tested beside it.

::

    class TestCoco(ReaderContract):
        format_name = "coco"

        def write(self, root, images):
            ...
"""

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from support.voc_folder import smear_image

from blood_cell_system.annotation.format_registry import read_folder, reader_named, recognise
from blood_cell_system.annotation.outline import PolygonOutline
from blood_cell_system.annotation.reader import ReadOptions
from blood_cell_system.annotation.sample import Annotation, Reading
from blood_cell_system.boxes import Box
from blood_cell_system.errors import AnnotationError, DatasetError, MissingDataError
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.taxonomy import BUILT_IN, PLATELET, RBC, WBC

SHAPE = (60, 96)
RED, WHITE = Box(5, 5, 25, 25), Box(55, 20, 85, 50)


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """An image of the miniature and its marks, as a writer of a format should put them down.

    ``marks`` are labels and 0-based half-open boxes; ``reference`` is how the label file names the
    image, ``declared`` what it says of its (height, width).
    """

    reference: str
    declared: tuple[int, int] = SHAPE
    marks: tuple[tuple[str, Box], ...] = (("RBC", RED), ("WBC", WHITE))


IMAGES: Mapping[str, Drawn] = {
    "a.png": Drawn(reference="a.png"),
    "b.png": Drawn(reference="b.png", marks=(("WBC", WHITE),)),
}


def draw_images(folder: Path, names: Sequence[str] = ("a.png", "b.png")) -> None:
    """Write images of a smear with the two cells of ``IMAGES``."""
    boxes = [("RBC", 6, 6, 25, 25), ("WBC", 56, 21, 85, 50)]
    for name in names:
        write_image(folder / name, smear_image(boxes, SHAPE))


def octagon(box: Box) -> list[tuple[float, float]]:
    """Eight corners within a box, four of them on its sides' middles; for polygons."""
    x, y = (box.x_min + box.x_max) / 2, (box.y_min + box.y_max) / 2
    width, height = (box.x_max - box.x_min) / 2, (box.y_max - box.y_min) / 2
    angles = np.arange(8) * np.pi / 4
    return [
        (float(x + width * np.cos(angle)), float(y + height * np.sin(angle))) for angle in angles
    ]


class ReaderContract:
    """Tests that every reader passes."""

    format_name: str
    # What the format can say.
    names_images = True
    declares_sizes = True
    has_labels = True
    # Whether a folder may hold images in several folders below it.
    has_folders = True
    # Names of the images, for formats that read something from them.
    stems: Mapping[str, str] = MappingProxyType({"a": "a", "b": "b", "c": "c"})
    # Ending of the files that are text; empty where there are none.
    text_suffix = ""

    def write(self, root: Path, images: Mapping[str, Drawn]) -> None:
        """Write label files, and with ``draw_images`` or otherwise the images, below root.

        Keys are paths of images below the folder in which the format keeps them.
        """
        raise NotImplementedError

    def image_path(self, root: Path, name: str) -> Path:
        """Where ``write`` put an image."""
        return next(path for path in root.rglob(Path(name).name) if str(path).endswith(name))

    def read(self, root: Path, **options: object) -> Reading:
        return read_folder(root, format_name=self.format_name, options=ReadOptions(**options))

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        root = tmp_path / "our_lab"
        root.mkdir()
        self.write(root, IMAGES)
        return root

    def rewrite(self, root: Path, **changes: object) -> None:
        """Write the miniature again with image ``a.png`` changed."""
        for path in sorted(root.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        self.write(root, {**IMAGES, "a.png": replace(IMAGES["a.png"], **changes)})

    def reason(self, reading: Reading, stem: str) -> str:
        return next(image.reason for image in reading.failed if image.name == stem)

    # What is there is read.

    def test_the_folder_is_recognised_and_the_reason_is_told(self, root: Path):
        match_found = recognise(root)[0]
        assert match_found.reader.name == self.format_name
        assert match_found.seen

    def test_the_folder_above_is_recognised_and_read_as_well(self, root: Path):
        assert recognise(root.parent)[0].reader.name == self.format_name
        stems = [sample.stem for sample in self.read(root.parent).samples]
        assert stems == [self.stems["a"], self.stems["b"]]

    def test_an_empty_folder_and_one_of_images_alone_are_not_recognised(self, tmp_path: Path):
        assert recognise(tmp_path) == ()
        draw_images(tmp_path)
        assert self.format_name not in [s.reader.name for s in recognise(tmp_path)]

    def test_images_come_with_their_sizes_in_the_order_of_their_names(self, root: Path):
        reading = self.read(root)
        assert [(sample.stem, sample.shape) for sample in reading.samples] == [
            (self.stems["a"], SHAPE),
            (self.stems["b"], SHAPE),
        ]
        assert reading.format_name == self.format_name
        assert reading.failed == ()

    def test_cells_come_with_their_types_and_places(self, root: Path):
        for sample, drawn in zip(self.read(root).samples, IMAGES.values(), strict=True):
            self.check_cells(sample.cells, drawn)

    def check_cells(self, cells: tuple[Annotation, ...] | None, drawn: Drawn) -> None:
        assert cells is not None
        assert [cell.cell_type for cell in cells] == [
            BUILT_IN.checked(label) for label, _ in drawn.marks
        ]
        for cell, (_, box) in zip(cells, drawn.marks, strict=True):
            assert cell.box is not None
            np.testing.assert_allclose(cell.box, box, atol=0.51)

    def test_samples_travel_to_other_processes(self, root: Path):
        samples = self.read(root).samples
        assert pickle.loads(pickle.dumps(samples)) == samples

    def test_reading_twice_gives_the_same(self, root: Path):
        assert self.read(root) == self.read(root)

    def test_the_hash_knows_every_byte(self, root: Path):
        before = self.read(root).source_hash()
        assert self.read(root).source_hash() == before
        image = self.image_path(root, "b.png")
        # Bytes behind a PNG's end change nothing but the file.
        image.write_bytes(image.read_bytes() + b"\0")
        assert self.read(root).source_hash() != before

    # What is missing or damaged is told, and takes nothing else with it.

    def test_a_missing_folder_is_an_error(self, tmp_path: Path):
        with pytest.raises(MissingDataError, match="there is no such folder"):
            self.read(tmp_path / "nowhere")

    def test_a_folder_without_anything_is_an_error(self, tmp_path: Path):
        with pytest.raises(DatasetError):
            self.read(tmp_path)

    def test_labels_without_their_image_are_listed(self, root: Path):
        self.image_path(root, "b.png").unlink()
        reading = self.read(root)
        assert [sample.stem for sample in reading.samples] == [self.stems["a"]]
        assert [image.name for image in reading.failed] == [self.stems["b"]]

    def test_an_image_without_labels_is_listed(self, root: Path):
        draw_images(self.image_path(root, "b.png").parent, [f"{self.stems['c']}.png"])
        reading = self.read(root)
        assert [sample.stem for sample in reading.samples] == [self.stems["a"], self.stems["b"]]
        assert [image.name for image in reading.failed] == [self.stems["c"]]

    def test_a_file_that_is_no_image_is_listed(self, root: Path):
        self.image_path(root, "b.png").write_text("no image")
        reading = self.read(root)
        assert [sample.stem for sample in reading.samples] == [self.stems["a"]]
        assert f"{self.stems['b']}.png" in self.reason(reading, self.stems["b"])

    def test_a_folder_of_which_nothing_can_be_used_is_an_error(self, root: Path):
        for name in IMAGES:
            self.image_path(root, name).write_text("no image")
        with pytest.raises(DatasetError, match="none of 2 images can be used"):
            self.read(root)

    def test_a_size_that_differs_from_the_images_is_listed_with_both(self, root: Path):
        if not self.declares_sizes:
            pytest.skip("the format does not tell the image's size")
        self.rewrite(root, declared=(96, 60))
        reason = self.reason(self.read(root), "a")
        assert "(96, 60)" in reason
        assert "(60, 96)" in reason

    # Labels.

    def test_labels_that_are_not_known_are_listed_with_numbers_and_a_suggestion(self, root: Path):
        if not self.has_labels:
            pytest.skip("the format has no labels")
        self.rewrite(root, marks=(("erythrozyt", RED), ("erythrozyt", WHITE)))
        with pytest.raises(AnnotationError, match=r"'erythrozyt' \(2\).*erythrozyt=RBC"):
            self.read(root)

    def test_a_label_map_tells_what_labels_mean(self, root: Path):
        if not self.has_labels:
            pytest.skip("the format has no labels")
        self.rewrite(root, marks=(("zebra", RED), ("lion", WHITE)))
        reading = self.read(root, label_map={"zebra": PLATELET, "lion": None})
        (cell,) = reading.samples[0].cells or ()
        assert cell.cell_type == PLATELET
        assert len(reading.samples[0].unscored) == 1

    def test_the_usual_names_of_cells_are_known(self, root: Path):
        if not self.has_labels:
            pytest.skip("the format has no labels")
        self.rewrite(root, marks=(("Red_Blood-Cell", RED), ("leukocyte", WHITE)))
        types = [cell.cell_type for cell in self.read(root).samples[0].cells or ()]
        assert types == [RBC, WBC]

    # Names of images.

    @pytest.mark.parametrize(
        "reference",
        ["C:\\Users\\Lab 1\\smears\\a.png", "/home/lab/smears/a.png", "../smears/a.png", "A.PNG"],
    )
    def test_of_a_path_of_another_machine_the_name_counts(self, root: Path, reference: str):
        if not self.names_images:
            pytest.skip("the format does not name its images")
        self.rewrite(root, reference=reference)
        reading = self.read(root)
        assert [sample.stem for sample in reading.samples] == ["a", "b"]

    def test_nothing_outside_of_the_folder_is_looked_at(self, root: Path):
        if not self.names_images:
            pytest.skip("the format does not name its images")
        draw_images(root.parent, ["secret.png"])
        self.rewrite(root, reference=str(root.parent / "secret.png"))
        assert "secret" in [image.name for image in self.read(root).failed]

    def test_images_of_one_name_in_two_folders_are_told_apart(self, root: Path):
        if not self.has_folders:
            pytest.skip("the format knows one folder of images")
        for path in sorted(root.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        names = ("x/a.png", "y/a.png")
        self.write(root, {name: Drawn(reference=name) for name in names})
        stems = [sample.stem for sample in self.read(root).samples]
        assert len(set(stems)) == 2
        assert [stem[-3:] for stem in stems] == ["x_a", "y_a"]

    # Encodings.

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
    def test_label_files_of_windows_programs_are_read(self, root: Path, encoding: str):
        if not self.text_suffix:
            pytest.skip("the format has no text files")
        expected = self.read(root).samples
        for path in root.rglob(f"*{self.text_suffix}"):
            path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))
        assert self.read(root).samples == expected

    def test_a_label_file_of_random_bytes_is_told(self, root: Path):
        if not self.text_suffix:
            pytest.skip("the format has no text files")
        for path in root.rglob(f"*{self.text_suffix}"):
            path.write_bytes(bytes(range(128, 256)))
        with pytest.raises((AnnotationError, DatasetError)):
            self.read(root)

    def test_the_name_of_the_format_is_known(self):
        assert reader_named(self.format_name).name == self.format_name
        assert reader_named(self.format_name).title


def as_box(cell: Annotation) -> Box:
    """The box of a cell that has one."""
    assert cell.box is not None
    return cell.box


def polygon(box: Box) -> PolygonOutline:
    """The outline of ``octagon``."""
    return PolygonOutline.from_points(octagon(box))
