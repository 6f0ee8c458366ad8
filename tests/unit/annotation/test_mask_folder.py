from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from support.reader_contract import SHAPE, Drawn, ReaderContract, draw_images

from blood_cell_system.annotation.format_registry import read_folder
from blood_cell_system.annotation.mask_files import read_mask_values
from blood_cell_system.annotation.splits import Split
from blood_cell_system.errors import DatasetError, MaskFormatError
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.imaging.mask_encoding import encode_class_mask
from blood_cell_system.taxonomy import NOT_SCORED

CLASSES = np.zeros(SHAPE, np.uint8)
CLASSES[5:25, 5:25] = 1
CLASSES[20:50, 55:85] = 2


class MaskFolderContract(ReaderContract):
    format_name = "masks"
    names_images = False
    declares_sizes = False
    has_labels = False
    mask_folders: tuple[str, ...] = ("masks",)

    def write_masks(self, root: Path, name: str) -> None:
        write_image(root / "masks" / name, encode_class_mask(CLASSES))

    def write(self, root: Path, images: Mapping[str, Drawn]) -> None:
        draw_images(root / "images", list(images))
        for name in images:
            self.write_masks(root, name)

    def image_path(self, root: Path, name: str) -> Path:
        return root / "images" / name

    def check_cells(self, cells, drawn: Drawn) -> None:
        assert cells is None

    def class_mask(self, root: Path, **options: object) -> np.ndarray:
        sample = self.read(root, **options).samples[0]
        return sample.class_mask.read(sample.shape)

    def test_the_class_of_every_pixel_is_known(self, root: Path):
        assert np.array_equal(self.class_mask(root), CLASSES)


class TestGuideColours(MaskFolderContract):
    def test_a_mask_of_0_and_1_is_one_of_0_and_255(self, root: Path):
        write_image(root / "masks" / "a.png", encode_class_mask(CLASSES) // 255)
        assert np.array_equal(self.class_mask(root), CLASSES)

    def test_black_is_not_scored(self, root: Path):
        holed = CLASSES.copy()
        holed[:3] = NOT_SCORED
        write_image(root / "masks" / "a.png", encode_class_mask(holed))
        assert np.array_equal(self.class_mask(root), holed)

    def test_a_mask_of_another_size_is_an_error(self, root: Path):
        write_image(root / "masks" / "a.png", encode_class_mask(CLASSES[:-1]))
        with pytest.raises(MaskFormatError, match=r"\(59, 96\), the image \(60, 96\)"):
            self.class_mask(root)

    def test_other_colours_are_an_error_that_says_how_to_explain_them(self, root: Path):
        odd = encode_class_mask(CLASSES)
        odd[0, 0] = (10, 20, 30)
        write_image(root / "masks" / "a.png", odd)
        with pytest.raises(MaskFormatError, match=r"a\.png: .*--mask-values"):
            self.class_mask(root)

    def test_colours_can_be_explained(self, root: Path):
        for name in ("a", "b"):
            colours = np.array([(0, 0, 0), (200, 10, 10), (90, 0, 90)], np.uint8)
            write_image(root / "masks" / f"{name}.png", colours[CLASSES])
        table = read_mask_values("#000000=background,#c80a0a=RBC,#5a005a=WBC")
        assert np.array_equal(self.class_mask(root, mask_values=table), CLASSES)

    def test_the_folder_tells_the_split(self, tmp_path: Path):
        for split in ("train", "valid"):
            self.write(tmp_path / split, {f"{split}.png": Drawn(reference="")})
        samples = self.read(tmp_path).samples
        assert [sample.split for sample in samples] == [Split.TRAIN, Split.VAL]

    def test_a_mask_goes_with_the_image_in_its_own_branch(self, tmp_path: Path):
        for split in ("train", "valid"):
            self.write(tmp_path / split, {"a.png": Drawn(reference="")})
        for sample in self.read(tmp_path).samples:
            (mask,) = sample.class_mask.paths
            assert mask.parent.parent == sample.image_path.parent.parent

    def test_a_mask_may_be_called_mask(self, root: Path):
        for path in (root / "masks").iterdir():
            path.rename(path.with_stem(f"{path.stem}_mask"))
        assert np.array_equal(self.class_mask(root), CLASSES)

    def test_a_prepared_folder_is_not_prepared_again(self, root: Path):
        (root / "manifest.json").write_text('{"format_version": 1}')
        with pytest.raises(DatasetError, match="is a prepared folder already"):
            self.read(root)


class TestOneMaskAClass(MaskFolderContract):
    def write_masks(self, root: Path, name: str) -> None:
        for value, folder in ((1, "RBC"), (2, "wbc")):
            write_image(root / "masks" / folder / name, (value == CLASSES).astype(np.uint8) * 255)

    def test_masks_of_0_and_1_are_not_empty(self, root: Path):
        write_image(root / "masks" / "RBC" / "a.png", (CLASSES == 1).astype(np.uint8))
        assert np.array_equal(self.class_mask(root), CLASSES)

    def test_a_mask_of_another_size_is_an_error(self, root: Path):
        write_image(root / "masks" / "RBC" / "a.png", np.zeros((9, 9), np.uint8))
        with pytest.raises(MaskFormatError, match=r"RBC/a\.png: .*\(9, 9\), the image"):
            self.class_mask(root)

    def test_a_mask_in_colours_counts_by_its_brightest_channel(self, root: Path):
        red = np.zeros((*SHAPE, 3), np.uint8)
        red[..., 0] = np.where(CLASSES == 1, 200, 0)
        write_image(root / "masks" / "RBC" / "a.png", red)
        assert np.array_equal(self.class_mask(root), CLASSES)

    def test_a_missing_class_is_nowhere(self, root: Path):
        (root / "masks" / "wbc" / "a.png").unlink()
        assert np.array_equal(self.class_mask(root), np.where(CLASSES == 1, 1, 0))

    def test_an_empty_mask_is_of_no_cells(self, root: Path):
        write_image(root / "masks" / "RBC" / "a.png", np.zeros(SHAPE, np.uint8))
        assert (self.class_mask(root) != 1).all()

    def test_blurred_borders_lie_where_they_were(self, root: Path):
        soft = (CLASSES == 1).astype(np.uint8) * 250
        soft[4, 5:25], soft[5, 5:25] = 60, 190
        write_image(root / "masks" / "RBC" / "a.png", soft)
        assert np.array_equal(self.class_mask(root), CLASSES)


class TestClassInTheName(MaskFolderContract):
    def write_masks(self, root: Path, name: str) -> None:
        path = root / "masks" / name
        for value, label in ((1, "rbc"), (2, "wbc")):
            write_image(
                path.with_stem(f"{path.stem}_{label}"), (value == CLASSES).astype(np.uint8) * 255
            )


class TestFoldersOfClasses(MaskFolderContract):
    def write_masks(self, root: Path, name: str) -> None:
        for value, folder in ((1, "masks_rbc"), (2, "mask-leukocytes")):
            write_image(root / folder / name, (value == CLASSES).astype(np.uint8) * 255)


TABLE = read_mask_values("0=background,7=RBC,9=WBC,255=unscored")


class TestNumbers(MaskFolderContract):
    def write_masks(self, root: Path, name: str) -> None:
        write_image(root / "masks" / name, np.array([0, 7, 9], np.uint8)[CLASSES])

    def read(self, root: Path, **options: object):
        return super().read(root, **{"mask_values": TABLE, **options})

    def test_values_that_nobody_explains_are_an_error_with_a_suggestion(self, root: Path):
        with pytest.raises(DatasetError, match=r"values 0, 7, 9.*'0=background,7=RBC,9=WBC'"):
            super().read(root)

    def test_a_value_that_is_not_in_the_table_is_an_error(self, root: Path):
        write_image(root / "masks" / "a.png", CLASSES)
        with pytest.raises(MaskFormatError, match=r"holds 1, 2; expected 0, 7, 9, 255"):
            self.class_mask(root)

    def test_a_mask_of_another_size_is_an_error(self, root: Path):
        write_image(root / "masks" / "a.png", np.zeros((9, 9), np.uint8))
        with pytest.raises(MaskFormatError, match=r"\(9, 9\), the image"):
            self.class_mask(root)

    def test_masks_that_cannot_be_read_do_not_hide_what_the_others_need(self, root: Path):
        (root / "masks" / "a.png").write_text("no image")
        with pytest.raises(DatasetError, match=r"values 0, 7, 9"):
            super().read(root)

    def test_two_values_may_have_blurred_borders(self, root: Path):
        for name in ("a", "b"):
            soft = (CLASSES == 2).astype(np.uint8) * 255
            soft[19, 55:85] = 90
            write_image(root / "masks" / f"{name}.png", soft)
        found = self.class_mask(root, mask_values=read_mask_values("0=background,255=WBC"))
        assert np.array_equal(found, np.where(CLASSES == 2, 2, 0))


def test_label_images_are_called_so(tmp_path: Path):
    write_image(tmp_path / "images" / "a.png", np.full((9, 40, 3), 200, np.uint8))
    labels = np.repeat(np.arange(20, dtype=np.uint16)[None], 9, axis=0).repeat(2, axis=1)
    write_image(tmp_path / "masks" / "a.png", labels)
    with pytest.raises(DatasetError, match="20 values up to 19, as label images") as caught:
        read_folder(tmp_path, format_name="masks")
    assert "unscored" not in str(caught.value)
