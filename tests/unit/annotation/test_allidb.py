from collections.abc import Mapping
from pathlib import Path

import pytest
from support.reader_contract import WHITE, Drawn, ReaderContract, draw_images

from blood_cell_system.errors import DatasetError
from blood_cell_system.taxonomy import WBC

STEMS = {"a": "Im001_1", "b": "Im002_1", "c": "Im003_1"}
POINT = (WHITE.x_min + 10, WHITE.y_min + 10)


class AllIdbContract(ReaderContract):
    format_name = "allidb"
    stems = STEMS
    names_images = False
    declares_sizes = False
    has_labels = False
    has_folders = False
    folder: str

    def image_path(self, root: Path, name: str) -> Path:
        return root / self.folder / f"{STEMS[Path(name).stem]}.png"

    def draw(self, root: Path, images: Mapping[str, Drawn]) -> None:
        names = [self.image_path(root, name).name for name in images]
        draw_images(root / self.folder, names)

    def points(self, root: Path) -> list[tuple[float, float] | None]:
        cells = self.read(root).samples[0].cells or ()
        assert {cell.cell_type for cell in cells} <= {WBC}
        assert {cell.box for cell in cells} <= {None}
        return [cell.point for cell in cells]


class TestAllIdb1(AllIdbContract):
    folder = "im"
    text_suffix = ".xyc"

    def write(self, root: Path, images: Mapping[str, Drawn]) -> None:
        self.draw(root, images)
        (root / "xyc").mkdir()
        for name in images:
            path = root / "xyc" / f"{STEMS[Path(name).stem]}.xyc"
            path.write_text(f"{POINT[0]:.0f}\t{POINT[1]:.0f}\n", encoding="utf-8")

    @pytest.fixture(autouse=True)
    def _every_image_is_a_field(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("blood_cell_system.annotation.formats.allidb._LARGEST_CROP_PX", 50)

    def check_cells(self, cells, drawn: Drawn) -> None:
        assert [cell.point for cell in cells] == [(POINT[0] + 0.5, POINT[1] + 0.5)]

    def test_each_line_is_a_white_cell(self, root: Path):
        (root / "xyc" / "Im001_1.xyc").write_text("10 20\n\n30,40\n")
        assert self.points(root) == [(10.5, 20.5), (30.5, 40.5)]

    def test_a_healthy_field_needs_no_file_of_centres(self, root: Path):
        draw_images(root / "im", ["Im000_0.png"])
        assert self.points(root) == []

    def test_a_line_that_is_no_point_fails_its_image_alone(self, root: Path):
        (root / "xyc" / "Im001_1.xyc").write_text("10 here\n")
        reading = self.read(root)
        assert [sample.stem for sample in reading.samples] == ["Im002_1"]
        assert "line 1 is '10 here'" in self.reason(reading, "Im001_1")

    def test_centres_outside_of_the_image_are_dropped(self, root: Path):
        (root / "xyc" / "Im001_1.xyc").write_text("500 20\n")
        assert "outside the image" in self.read(root).dropped[0].reason


class TestAllIdb2(AllIdbContract):
    folder = "img"

    def write(self, root: Path, images: Mapping[str, Drawn]) -> None:
        self.draw(root, images)

    def check_cells(self, cells, drawn: Drawn) -> None:
        assert [cell.point for cell in cells] == [(48, 30)]

    @pytest.mark.skip(reason="the label is the image's name")
    def test_labels_without_their_image_are_listed(self):
        pass

    @pytest.mark.skip(reason="the label is the image's name")
    def test_an_image_without_labels_is_listed(self):
        pass

    def test_healthy_cells_are_white_cells_as_well(self, root: Path):
        draw_images(root / "img", ["Im000_0.png"])
        assert self.points(root) == [(48, 30)]

    def test_an_image_of_another_name_is_listed(self, root: Path):
        draw_images(root / "img", ["other.png"])
        assert [image.name for image in self.read(root).failed] == ["other"]

    def test_a_folder_without_such_names_is_an_error(self, tmp_path: Path):
        draw_images(tmp_path, ["smear.png"])
        with pytest.raises(DatasetError, match="no images named as in ALL-IDB"):
            self.read(tmp_path)
