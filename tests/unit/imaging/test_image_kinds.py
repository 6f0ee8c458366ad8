from pathlib import Path

import numpy as np
import pytest
import tifffile

from blood_cell_system.errors import ImageReadError
from blood_cell_system.imaging.image_file import read_image, read_image_shape, write_image


def tiff_file(path: Path, values: np.ndarray, **options) -> Path:
    tifffile.imwrite(path, values, metadata=None, **options)
    return path


def test_white_may_be_zero_in_16_bits(tmp_path: Path):
    values = np.array([[0, 1000, 65535]], np.uint16)
    path = tiff_file(tmp_path / "a.tif", values, photometric="miniswhite")
    assert read_image(path)[0, :, 0].tolist() == [255, 251, 0]


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_bigtiff_of_any_byte_order_is_read(tmp_path: Path, byteorder: str, dtype):
    values = (np.arange(60).reshape(4, 5, 3) * (1 if dtype == np.uint8 else 1000)).astype(dtype)
    path = tiff_file(
        tmp_path / "a.tif", values, photometric="rgb", bigtiff=True, byteorder=byteorder
    )
    scale = 1 if dtype == np.uint8 else 255 / 65535
    np.testing.assert_allclose(read_image(path), values * scale, atol=0.51)
    assert read_image_shape(path) == (4, 5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_planar_colours_are_read(tmp_path: Path, dtype):
    values = (np.arange(60).reshape(3, 4, 5) * (1 if dtype == np.uint8 else 1000)).astype(dtype)
    path = tiff_file(tmp_path / "a.tif", values, photometric="rgb", planarconfig="separate")
    scale = 1 if dtype == np.uint8 else 255 / 65535
    np.testing.assert_allclose(read_image(path), np.moveaxis(values, 0, 2) * scale, atol=0.51)


def test_transparency_of_zeros_everywhere_is_none(tmp_path: Path):
    pixels = np.full((4, 5, 4), (200, 100, 50, 0), np.uint8)
    write_image(tmp_path / "a.png", pixels)
    assert (read_image(tmp_path / "a.png") == (200, 100, 50)).all()


def test_an_empty_file_is_called_so(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(ImageReadError, match=r"empty \(0 bytes\)"):
        read_image(tmp_path / "a.png")
