from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from support.reader_contract import IMAGES, SHAPE, WHITE, Drawn, ReaderContract, draw_images

from blood_cell_system.boxes import Box
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.taxonomy import WBC

IMAGE_FOLDER, MASK_FOLDER = "Main Dataset", "Ground Truth Segmentation"


def expert_mask(*boxes: Box) -> np.ndarray:
    mask = np.zeros(SHAPE, np.uint8)
    for box in boxes:
        x_min, y_min, x_max, y_max = map(int, box)
        mask[y_min:y_max, x_min:x_max] = 128
        mask[y_min + 8 : y_max - 8, x_min + 8 : x_max - 8] = 255
    return mask


class TestLisc(ReaderContract):
    format_name = "lisc"
    names_images = False
    declares_sizes = False
    has_labels = False

    def write(self, root: Path, images: Mapping[str, Drawn]) -> None:
        for name, drawn in images.items():
            # Folders of the contract become types of white cells.
            folder = {"x": "Baso", "y": "neut"}.get(Path(name).parent.name, "Baso")
            draw_images(root / IMAGE_FOLDER / folder, [Path(name).name])
            boxes = [box for label, box in drawn.marks if label == "WBC"]
            mask = root / MASK_FOLDER / folder / "areaforexpert1" / f"{Path(name).stem}_expert.bmp"
            write_image(mask, expert_mask(*boxes))

    def image_path(self, root: Path, name: str) -> Path:
        return next((root / IMAGE_FOLDER).rglob(name))

    def check_cells(self, cells, drawn: Drawn) -> None:
        white = tuple(mark for mark in drawn.marks if mark[0] == "WBC")
        super().check_cells(cells, Drawn(reference=drawn.reference, marks=white))

    def test_images_of_one_name_in_two_folders_are_told_apart(self, root: Path):
        self.write(root, {"y/a.png": IMAGES["a.png"]})
        stems = [sample.stem for sample in self.read(root).samples]
        assert stems == ["Baso_a", "b", "neut_a"]

    def test_cytoplasm_and_nucleus_are_one_cell(self, root: Path):
        (cell,) = self.read(root).samples[1].cells
        assert cell.cell_type == WBC
        assert cell.box == WHITE
        assert cell.outline.pixels.all()

    def test_cells_that_do_not_touch_are_single_ones(self, root: Path):
        path = root / MASK_FOLDER / "Baso" / "areaforexpert1" / "a_expert.bmp"
        write_image(path, expert_mask(Box(2, 2, 30, 30), WHITE))
        assert len(self.read(root).samples[0].cells) == 2

    def test_a_mask_of_another_size_is_listed(self, root: Path):
        path = root / MASK_FOLDER / "Baso" / "areaforexpert1" / "a_expert.bmp"
        write_image(path, expert_mask(WHITE)[:-2])
        assert "(58, 96), the image (60, 96)" in self.reason(self.read(root), "a")

    def test_the_second_expert_is_passed_over(self, root: Path):
        before = self.read(root).samples
        folder = root / MASK_FOLDER / "Baso"
        write_image(folder / "areaforexpert2" / "a_expert.bmp", expert_mask())
        assert self.read(root).samples == before

    @pytest.mark.parametrize("name", ["mixt", "lymp", "mono", "eosi"])
    def test_every_folder_of_the_set_is_known(self, root: Path, name: str):
        (root / IMAGE_FOLDER / "Baso").rename(root / IMAGE_FOLDER / name)
        (root / MASK_FOLDER / "Baso").rename(root / MASK_FOLDER / name)
        assert len(self.read(root).samples) == 2

    def test_a_folder_of_another_name_is_refused_like_a_label(self, root: Path):
        (root / IMAGE_FOLDER / "Baso").rename(root / IMAGE_FOLDER / "zebra")
        (root / MASK_FOLDER / "Baso").rename(root / MASK_FOLDER / "zebra")
        with pytest.raises(ValueError, match=r"'zebra' \(2\)"):
            self.read(root)
