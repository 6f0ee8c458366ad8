import random
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image
from support.odd_images import png_bytes
from support.saved_images import PIXELS, RNG, saved, written

from blood_cell_system.errors import BloodCellError, ImageReadError, MissingDataError
from blood_cell_system.imaging.image_file import read_image, read_image_shape, read_label_image


@pytest.mark.parametrize("read", [read_image, read_image_shape, read_label_image])
def test_a_file_that_is_not_there_is_missing(tmp_path, read):
    with pytest.raises(MissingDataError, match=r"a\.png: there is no such image"):
        read(tmp_path / "a.png")


@pytest.mark.parametrize("read", [read_image, read_image_shape, read_label_image])
def test_a_folder_is_no_image(tmp_path, read):
    with pytest.raises(MissingDataError, match="there is no such image"):
        read(tmp_path)


@pytest.mark.parametrize("read", [read_image, read_image_shape, read_label_image])
@pytest.mark.parametrize("data", [b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_what_is_no_image_is_refused(tmp_path, read, data):
    with pytest.raises(ImageReadError, match=r"a\.png: not an image in a known format"):
        read(written(tmp_path / "a.png", data))


def test_an_impossible_file_name_is_an_error_in_words(tmp_path):
    with pytest.raises(ImageReadError):
        read_image(tmp_path / ("a" * 300 + ".png"))


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_an_image_cut_in_half_is_an_error(tmp_path, suffix):
    noise = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = saved(tmp_path / f"whole.{suffix}", noise).read_bytes()
    path = written(tmp_path / f"half.{suffix}", data[: len(data) // 2])
    with pytest.raises(ImageReadError, match=rf"half\.{suffix}: "):
        read_image(path)


@pytest.mark.parametrize("read", [read_image, read_image_shape])
@pytest.mark.parametrize("side", [12_000, 60_000])
def test_an_image_of_too_many_pixels_is_refused_undecoded(tmp_path, monkeypatch, read, side):
    data = png_bytes(b"\0", size=(side, side), bit_depth=8, colour_type=2)
    path = written(tmp_path / "a.png", data)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda _: pytest.fail("was decoded"))
    with pytest.raises(ImageReadError, match="Cut the image into fields"):
        read(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp", "bmp", "gif"])
def test_damaged_bytes_give_an_image_or_an_error_in_words(tmp_path, suffix):
    exif = Image.Exif()
    exif[274] = 6
    options = {} if suffix in {"bmp", "gif"} else {"exif": exif}
    data = saved(tmp_path / f"whole.{suffix}", PIXELS, **options).read_bytes()
    draw = random.Random(0)
    path = tmp_path / f"damaged.{suffix}"
    for _ in range(50):
        damaged = bytearray(data)
        for _ in range(draw.choice((1, 3))):
            damaged[draw.randrange(min(len(damaged), 200))] = draw.randrange(256)
        path.write_bytes(damaged)
        for read in (read_image, read_image_shape, read_label_image):
            with suppress(BloodCellError):
                read(path)


def test_a_full_memory_is_not_called_a_damaged_image(tmp_path, monkeypatch):
    def fill_memory(_):
        raise MemoryError

    path = saved(tmp_path / "a.png", PIXELS)
    monkeypatch.setattr("PIL.ImageOps.exif_transpose", fill_memory)
    with pytest.raises(MemoryError):
        read_image(path)


def test_odd_metadata_is_read_without_a_warning(tmp_path):
    exif = Image.Exif()
    exif[274] = 1
    data = saved(tmp_path / "a.jpg", PIXELS, exif=exif).read_bytes()
    # The directory of the metadata now says that it has 255 entries.
    at = data.index(b"II*\0" if b"II*\0" in data else b"MM\0*")
    damaged = data[: at + 8] + b"\0\xff" + data[at + 10 :]
    assert read_image(written(tmp_path / "b.jpg", damaged)).shape == PIXELS.shape


def test_readers_in_several_threads_leave_the_warning_filters_alone(tmp_path):
    path = saved(tmp_path / "a.png", np.zeros((300, 300, 3), np.uint8))
    before = list(warnings.filters)
    start = threading.Barrier(4)

    def read(_):
        start.wait(10)
        for _ in range(20):
            read_image(path)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(read, range(4)))
    assert warnings.filters == before


@pytest.mark.parametrize("read", [read_image, read_image_shape, read_label_image])
def test_an_empty_file_is_called_empty(tmp_path, read):
    with pytest.raises(ImageReadError, match=r"empty \(0 bytes\)"):
        read(written(tmp_path / "a.png", b""))
