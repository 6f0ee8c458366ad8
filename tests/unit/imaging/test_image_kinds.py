from pathlib import Path

import numpy as np
import pytest
import tifffile

from blood_cell_system.errors import ImageReadError
from blood_cell_system.imaging.image_file import (
    read_image,
    read_image_shape,
    read_label_image,
    write_image,
)


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


GRAY = np.array([[0, 60, 120], [180, 240, 255]])
COLOURS = np.stack([GRAY, 255 - GRAY, GRAY // 2], axis=-1)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(
    "dtype", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "f2", "f4", "f8"], ids=str
)
def test_gray_values_of_any_type_are_read(tmp_path: Path, byteorder, compression, dtype: str):
    largest = {"u1": 255, "u2": 65535, "u4": 2**32 - 1, "u8": 2**64 - 1, "i1": 127, "i2": 32767}
    # Of 32 signed bits cameras use the lower 16; numbers with a fraction reach up to 1.
    scale = largest.get(dtype, 65535 if dtype == "i4" else 1)
    values = (GRAY / 255 * scale).astype(dtype) if dtype != "u8" else GRAY.astype("u8") * 257
    path = tiff_file(
        tmp_path / "a.tif",
        values,
        photometric="minisblack",
        byteorder=byteorder,
        compression=compression,
    )
    np.testing.assert_allclose(read_image(path)[:, :, 0], GRAY, atol=2.1)
    assert read_image_shape(path) == GRAY.shape


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("is_planar", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i2", "f4"])
def test_colours_of_any_type_are_read(tmp_path: Path, byteorder, is_planar, dtype: str):
    scale = {"u1": 255, "u2": 65535, "u4": 2**32 - 1, "i2": 32767, "f4": 1}[dtype]
    values = (COLOURS / 255 * scale).astype(dtype)
    path = tiff_file(
        tmp_path / "a.tif",
        np.moveaxis(values, 2, 0) if is_planar else values,
        photometric="rgb",
        planarconfig="separate" if is_planar else "contig",
        byteorder=byteorder,
        compression="zlib",
        predictor=dtype in ("u1", "u2"),
    )
    np.testing.assert_allclose(read_image(path), COLOURS, atol=1.1)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4"])
def test_white_may_be_zero(tmp_path: Path, byteorder: str, dtype: str):
    largest = np.iinfo(dtype).max
    values = largest - (GRAY / 255 * largest).astype(dtype)
    path = tiff_file(tmp_path / "a.tif", values, photometric="miniswhite", byteorder=byteorder)
    np.testing.assert_allclose(read_image(path)[:, :, 0], GRAY, atol=1.1)


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_one_bit_is_read(tmp_path: Path, photometric: str):
    is_bright = GRAY > 127
    values = is_bright if photometric == "minisblack" else ~is_bright
    path = tiff_file(tmp_path / "a.tif", values, photometric=photometric)
    assert (read_image(path)[:, :, 0] == np.where(is_bright, 255, 0)).all()


@pytest.mark.parametrize("bits", [8, 16])
def test_palettes_are_looked_up(tmp_path: Path, bits: int):
    up = np.linspace(0, 65535, 2**bits).astype(np.uint16)
    values = (GRAY * (257 if bits == 16 else 1)).astype(f"u{bits // 8}")
    colours = np.stack([up, up[::-1], up // 2])
    path = tiff_file(tmp_path / "a.tif", values, photometric="palette", colormap=colours)
    np.testing.assert_allclose(read_image(path), COLOURS, atol=1.1)


def test_label_images_of_more_bits_keep_their_values(tmp_path: Path):
    labels = np.array([[0, 1, 700]], np.uint32)
    for name, values in (("a.tif", labels), ("b.tif", labels.astype(">i4"))):
        path = tiff_file(tmp_path / name, values, photometric="minisblack", compression="zlib")
        assert read_label_image(path).tolist() == labels.tolist()


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        (GRAY.astype("f4"), {"photometric": "miniswhite"}, "white is 0"),
        (GRAY.astype(">f4"), {"photometric": "miniswhite", "byteorder": ">"}, "white is 0"),
        (np.dstack([GRAY, GRAY]).astype("u1"), {"planarconfig": "contig"}, "2 channels"),
        (np.dstack([COLOURS, COLOURS]).astype("u1"), {"planarconfig": "contig"}, "6 channels"),
        (GRAY.astype("i2") - 100, {}, "values below 0"),
        (GRAY.astype("c8"), {}, "values of the type complex64"),
        (COLOURS.astype("u4"), {"photometric": "cielab"}, "in the colours 'cielab'"),
        (
            COLOURS.astype("u4"),
            {"photometric": "rgb", "extratags": [(274, "H", 1, 6, True)]},
            "turned",
        ),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else "",
)
def test_a_tiff_that_cannot_be_read_rightly_is_refused(tmp_path: Path, values, options, words):
    path = tiff_file(tmp_path / "a.tif", values, **{"photometric": "minisblack"} | options)
    with pytest.raises(ImageReadError, match=f"a TIFF of a rare kind: .*{words}"):
        read_image(path)


def test_a_packing_that_cannot_be_read_is_named(tmp_path: Path):
    path = tiff_file(tmp_path / "a.tif", GRAY.astype("u4"), photometric="minisblack")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        place = file.pages.first.tags["Compression"].valueoffset
    data[place : place + 2] = (34661).to_bytes(2, "little")
    path.write_bytes(data)
    with pytest.raises(ImageReadError, match="packed with jbig"):
        read_image(path)


@pytest.mark.parametrize("mode", ["unassalpha", "unspecified"])
def test_a_fourth_channel_is_transparency_only_where_it_is_called_so(tmp_path: Path, mode: str):
    opacity = np.full((*GRAY.shape, 1), 255)
    opacity[0, 0] = 0
    values = np.dstack([COLOURS, opacity]).astype("u4") * 16843009
    path = tiff_file(tmp_path / "a.tif", values, photometric="rgb", extrasamples=[mode])
    corner = [255] * 3 if mode == "unassalpha" else COLOURS[0, 0].tolist()
    assert read_image(path)[0, 0].tolist() == corner


def test_transparency_of_zeros_everywhere_is_none(tmp_path: Path):
    pixels = np.full((4, 5, 4), (200, 100, 50, 0), np.uint8)
    write_image(tmp_path / "a.png", pixels)
    assert (read_image(tmp_path / "a.png") == (200, 100, 50)).all()


def test_an_empty_file_is_called_so(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(ImageReadError, match=r"empty \(0 bytes\)"):
        read_image(tmp_path / "a.png")
