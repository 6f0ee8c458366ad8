import random
import struct
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from support.odd_pictures import png_bytes, tiff_bytes

from blood_cell_system import image_io, image_values
from blood_cell_system.errors import BloodCellError, ImageReadError, MissingDataError, OutputError
from blood_cell_system.image_io import (
    copy_file,
    count_pages,
    read_file_bytes,
    read_image,
    read_image_shape,
    read_label_image,
    read_rgba,
    write_image,
)

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
GRAY = PIXELS[:, :, 0]
WHITE = [255, 255, 255]


def saved(path: Path, pixels: np.ndarray | Image.Image, **options) -> Path:
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    picture.save(path, **options)
    return path


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def deep_png(
    path: Path, values: np.ndarray, *, colour_type: int, orientation: int | None = None
) -> Path:
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    exif = b""
    if orientation is not None:
        exif = struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, 274, 3, 1, orientation, 0, 0)
    data = png_bytes(rows, size=(height, width), bit_depth=16, colour_type=colour_type, exif=exif)
    return written(path, data)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """What the EXIF standard says about each orientation."""
    return {
        1: lambda p: p,
        2: np.fliplr,
        3: lambda p: np.rot90(p, 2),
        4: np.flipud,
        5: lambda p: p.swapaxes(0, 1),
        6: lambda p: np.rot90(p, -1),
        7: lambda p: np.rot90(p, 2).swapaxes(0, 1),
        8: np.rot90,
    }[orientation](pixels)


# Kinds of pictures


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff"])
def test_rgb_is_read_as_it_is(tmp_path, suffix):
    np.testing.assert_array_equal(read_image(saved(tmp_path / f"a{suffix}", PIXELS)), PIXELS)


def test_what_is_read_may_be_written_to(tmp_path):
    assert read_image(saved(tmp_path / "a.png", PIXELS)).flags.writeable


def test_transparent_pixels_are_laid_on_white(tmp_path):
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 3] = 0, 51, 255
    found = read_image(saved(tmp_path / "a.png", rgba))
    assert found[0, :, 0].tolist() == [255, 204, 0]


def test_gray_with_transparency_is_laid_on_white(tmp_path):
    picture = Image.new("LA", (2, 1), (10, 255))
    picture.putpixel((1, 0), (10, 0))
    assert read_image(saved(tmp_path / "a.png", picture)).tolist() == [[[10, 10, 10], WHITE]]


def test_a_transparent_colour_of_a_palette_is_laid_on_white(tmp_path):
    picture = Image.new("P", (2, 1))
    picture.putpalette([200, 0, 0, 0, 200, 0])
    picture.putpixel((1, 0), 1)
    path = saved(tmp_path / "a.png", picture, transparency=1)
    assert read_image(path).tolist() == [[[200, 0, 0], WHITE]]


def test_a_palette_becomes_its_colours(tmp_path):
    picture = Image.new("P", (1, 1))
    picture.putpalette([1, 2, 3])
    assert read_image(saved(tmp_path / "a.png", picture)).tolist() == [[[1, 2, 3]]]


def test_one_bit_becomes_black_and_white(tmp_path):
    picture = Image.new("1", (2, 1))
    picture.putpixel((1, 0), 1)
    assert read_image(saved(tmp_path / "a.png", picture)).tolist() == [[[0, 0, 0], WHITE]]


def test_gray_becomes_three_equal_channels(tmp_path):
    found = read_image(saved(tmp_path / "a.png", GRAY))
    np.testing.assert_array_equal(found, np.repeat(GRAY[:, :, None], 3, axis=2))


def test_cmyk_jpeg_becomes_rgb(tmp_path):
    path = saved(tmp_path / "a.jpg", Image.new("CMYK", (8, 8), (0, 255, 255, 0)), quality=95)
    np.testing.assert_allclose(read_image(path)[4, 4], [255, 0, 0], atol=4)


def test_lab_colours_become_rgb(tmp_path):
    found = read_image(saved(tmp_path / "a.tif", Image.new("LAB", (1, 1), (255, 128, 128))))
    np.testing.assert_allclose(found, [[WHITE]], atol=2)


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_of_an_animation_the_first_frame_is_taken(tmp_path, suffix):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    path = tmp_path / f"a.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
    np.testing.assert_allclose(read_image(path)[4, 4], [255, 0, 0], atol=8)


@pytest.mark.parametrize("suffix", ["tif", "gif", "webp", "png"])
@pytest.mark.parametrize("count", [1, 3])
def test_the_pictures_of_a_file_are_counted(tmp_path, suffix, count):
    first, *others = [Image.new("RGB", (8, 8), c) for c in ("red", "blue", "green")[:count]]
    first.save(tmp_path / f"a.{suffix}", save_all=True, append_images=others)
    assert count_pages(tmp_path / f"a.{suffix}") == count


def test_a_smaller_copy_in_a_tiff_is_no_other_picture(tmp_path):
    thumbnail = Image.new("RGB", (4, 4), "red")
    thumbnail.encoderinfo = {"tiffinfo": {254: 1}}
    Image.new("RGB", (8, 8), "red").save(
        tmp_path / "a.tif", save_all=True, append_images=[thumbnail]
    )
    assert count_pages(tmp_path / "a.tif") == 1


def test_a_preview_in_a_jpeg_is_no_other_picture(tmp_path):
    preview = Image.new("RGB", (4, 4), "red")
    Image.new("RGB", (8, 8), "red").save(
        tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[preview]
    )
    assert count_pages(tmp_path / "a.jpg") == 1


# Depths


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_deep_gray_is_scaled_by_the_depth_of_its_camera(tmp_path, suffix, bits):
    largest = 2**bits - 1
    values = np.array([[0, largest // 2, largest]], np.uint16)
    path = tmp_path / f"a.{suffix}"
    write_image(path, values)
    assert read_image(path)[0, :, 0].tolist() == [0, 127, 255]


def test_deep_gray_that_uses_8_bits_only_keeps_its_values(tmp_path):
    path = tmp_path / "a.png"
    write_image(path, np.array([[3, 255]], np.uint16))
    assert read_image(path)[0, :, 0].tolist() == [3, 255]


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_deep_colours_are_scaled_by_the_depth_of_their_camera(tmp_path, suffix, bits):
    largest = 2**bits - 1
    values = np.array([[[largest, 0, 0], [0, largest // 2, 0], [0, 0, largest]]], np.uint16)
    path = tmp_path / f"a.{suffix}"
    if suffix == "png":
        deep_png(path, values, colour_type=2)
    else:
        path.write_bytes(tiff_bytes(values))
    assert read_image(path).tolist() == [[[255, 0, 0], [0, 127, 0], [0, 0, 255]]]


def test_compressed_deep_colours_are_read(tmp_path):
    path = tmp_path / "a.tif"
    write_image(path, np.full((4, 5, 3), [4095, 2047, 0], np.uint16))
    assert read_image(path)[2, 3].tolist() == [255, 127, 0]


def test_deep_transparent_pixels_are_laid_on_white(tmp_path):
    values = np.zeros((1, 2, 4), np.uint16)
    values[0, 1] = 65535, 0, 0, 65535
    path = deep_png(tmp_path / "a.png", values, colour_type=6)
    assert read_image(path).tolist() == [[WHITE, [255, 0, 0]]]


def test_deep_colours_that_are_cut_off_are_an_error(tmp_path):
    whole = deep_png(tmp_path / "a.png", RNG.integers(0, 65536, (40, 40, 3)), colour_type=2)
    half = whole.read_bytes()
    path = written(tmp_path / "b.png", half[: len(half) // 2])
    with pytest.raises(ImageReadError, match=r"b\.png: the picture is cut off or damaged"):
        read_image(path)


def test_deep_colours_that_opencv_cannot_decode_are_an_error(tmp_path, monkeypatch):
    path = deep_png(tmp_path / "a.png", np.ones((2, 2, 3)), colour_type=2)
    monkeypatch.setattr(image_values.cv2, "imdecode", lambda *_: None)
    with pytest.raises(ImageReadError, match="OpenCV cannot decode it"):
        read_image(path)


@pytest.mark.parametrize("full_scale", [1.0, 255.0, 65535.0, 1e6])
def test_float_gray_is_scaled_by_its_range(tmp_path, full_scale):
    values = np.array([[0.0, 0.5, 1.0, np.nan, -1.0]], np.float32) * np.float32(full_scale)
    found = read_image(saved(tmp_path / "a.tif", values))
    assert found[0, :, 0].tolist() == [0, 128, 255, 0, 0]


def test_float_colours_are_refused_in_words(tmp_path):
    path = written(tmp_path / "a.tif", tiff_bytes(np.zeros((2, 2, 3), np.float32)))
    with pytest.raises(ImageReadError, match="expected PNG, JPEG, TIFF, BMP or WebP of 8 or 16"):
        read_image(path)


# Orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_exif_rotation_is_applied(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    options = {"lossless": True} if suffix == "webp" else {}
    path = saved(tmp_path / f"a.{suffix}", PIXELS, exif=exif, **options)
    np.testing.assert_array_equal(read_image(path), upright(PIXELS, orientation))
    assert read_image_shape(path) == upright(PIXELS, orientation).shape[:2]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_of_a_jpeg_is_applied(tmp_path, orientation):
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:8, :8] = 255
    exif = Image.Exif()
    exif[274] = orientation
    path = saved(tmp_path / "a.jpg", pixels, exif=exif, quality=95)
    np.testing.assert_allclose(read_image(path), upright(pixels, orientation), atol=8)
    assert read_image_shape(path) == upright(pixels, orientation).shape[:2]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_exif_rotation_of_deep_colours_is_applied(tmp_path, suffix, orientation):
    values = PIXELS.astype(np.uint16) * 257
    values[0, 0] = 65535
    path = tmp_path / f"a.{suffix}"
    if suffix == "png":
        deep_png(path, values, colour_type=2, orientation=orientation)
    else:
        path.write_bytes(tiff_bytes(values, orientation=orientation))
    expected = upright((values // 257).astype(np.uint8), orientation)
    np.testing.assert_array_equal(read_image(path), expected)
    assert read_image_shape(path) == expected.shape[:2]


# Files that are no good


@pytest.mark.parametrize("read", [read_image, read_image_shape, read_label_image])
def test_a_file_that_is_not_there_is_missing(tmp_path, read):
    with pytest.raises(MissingDataError, match=r"a\.png: there is no such picture"):
        read(tmp_path / "a.png")


@pytest.mark.parametrize("read", [read_image, read_image_shape, read_label_image])
def test_a_folder_is_no_picture(tmp_path, read):
    with pytest.raises(MissingDataError, match="there is no such picture"):
        read(tmp_path)


@pytest.mark.parametrize("read", [read_image, read_image_shape, read_label_image])
@pytest.mark.parametrize("data", [b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_what_is_no_picture_is_refused(tmp_path, read, data):
    with pytest.raises(ImageReadError, match=r"a\.png: not a picture in a known format"):
        read(written(tmp_path / "a.png", data))


def test_an_impossible_file_name_is_an_error_in_words(tmp_path):
    with pytest.raises(ImageReadError):
        read_image(tmp_path / ("a" * 300 + ".png"))


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_a_picture_cut_in_half_is_an_error(tmp_path, suffix):
    noise = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = saved(tmp_path / f"whole.{suffix}", noise).read_bytes()
    path = written(tmp_path / f"half.{suffix}", data[: len(data) // 2])
    with pytest.raises(ImageReadError, match=rf"half\.{suffix}: "):
        read_image(path)


@pytest.mark.parametrize("read", [read_image, read_image_shape])
@pytest.mark.parametrize("side", [12_000, 60_000])
def test_a_picture_of_too_many_pixels_is_refused_undecoded(tmp_path, monkeypatch, read, side):
    data = png_bytes(b"\0", size=(side, side), bit_depth=8, colour_type=2)
    path = written(tmp_path / "a.png", data)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda _: pytest.fail("was decoded"))
    with pytest.raises(ImageReadError, match="Cut the picture into fields"):
        read(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp", "bmp", "gif"])
def test_damaged_bytes_give_a_picture_or_an_error_in_words(tmp_path, suffix):
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


def test_a_full_memory_is_not_called_a_damaged_picture(tmp_path, monkeypatch):
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


@pytest.mark.parametrize("name", ["a b.png", "Blut ausstrich äöü.png", "a\nb.png", "-a.png"])
def test_odd_file_names_are_read_and_written(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write_image(Path(name), PIXELS)
    np.testing.assert_array_equal(read_image(Path(name)), PIXELS)


def test_a_text_will_do_for_a_path(tmp_path):
    write_image(str(tmp_path / "a.png"), PIXELS)
    assert read_image(str(tmp_path / "a.png")).shape == PIXELS.shape
    assert read_image_shape(str(tmp_path / "a.png")) == PIXELS.shape[:2]


# Writing


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_what_is_written_is_read_again(tmp_path_factory, pixels):
    path = tmp_path_factory.mktemp("round") / "a.png"
    write_image(path, pixels)
    np.testing.assert_array_equal(read_image(path), pixels)
    assert read_image_shape(path) == pixels.shape[:2]


@pytest.mark.parametrize("suffix", [".bmp", ".tif", ".PNG"])
def test_the_suffix_chooses_the_format(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_image(path, PIXELS)
    np.testing.assert_array_equal(read_image(path), PIXELS)
    with Image.open(path) as picture:
        assert picture.format == {".bmp": "BMP", ".tif": "TIFF", ".PNG": "PNG"}[suffix]


@pytest.mark.parametrize("name", ["a", "a.xyz"])
def test_a_suffix_of_no_format_is_an_error(tmp_path, name):
    with pytest.raises(OutputError, match=r"no picture format|cannot be encoded"):
        write_image(tmp_path / name, PIXELS)
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_cannot_be_encoded_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(image_io.cv2, "imencode", lambda *_: (False, None))
    with pytest.raises(OutputError, match="cannot be encoded"):
        write_image(tmp_path / "a.png", PIXELS)


# Label pictures


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_labels_are_read_as_they_are(tmp_path, suffix, dtype):
    labels = np.array([[0, 1, np.iinfo(dtype).max]], dtype)
    write_image(tmp_path / f"a.{suffix}", labels)
    found = read_label_image(tmp_path / f"a.{suffix}")
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, labels)


def test_the_labels_of_a_palette_picture_are_its_indices(tmp_path):
    picture = Image.fromarray(np.array([[0, 2], [1, 200]], np.uint8)).convert("P")
    picture.putpalette([value for index in range(256) for value in (255 - index, 0, index)])
    np.testing.assert_array_equal(
        read_label_image(saved(tmp_path / "a.png", picture)), [[0, 2], [1, 200]]
    )


@pytest.mark.parametrize("mode", ["RGB", "F", "LA"])
def test_labels_of_another_kind_are_an_error(tmp_path, mode):
    path = saved(tmp_path / ("a.tif" if mode == "F" else "a.png"), Image.new(mode, (2, 2)))
    with pytest.raises(ImageReadError, match="not a label picture"):
        read_label_image(path)


@pytest.mark.parametrize("value", [-1, 65536])
def test_labels_beyond_16_bits_are_an_error(tmp_path, value):
    path = saved(tmp_path / "a.tif", np.full((2, 2), value, np.int32))
    with pytest.raises(ImageReadError, match="not a label picture"):
        read_label_image(path)


def test_labels_that_are_cut_off_are_an_error(tmp_path):
    write_image(tmp_path / "a.png", RNG.integers(0, 65536, (40, 40), dtype=np.uint16))
    data = (tmp_path / "a.png").read_bytes()
    with pytest.raises(ImageReadError, match="cut off"):
        read_label_image(written(tmp_path / "b.png", data[: len(data) // 2]))


# Files as they are


def test_a_copy_has_the_same_bytes(tmp_path):
    copy_file(written(tmp_path / "a.png", b"anything"), tmp_path / "new" / "b.png")
    assert (tmp_path / "new" / "b.png").read_bytes() == b"anything"


def test_a_missing_source_is_not_called_a_full_disk(tmp_path):
    with pytest.raises(MissingDataError, match=r"a\.png: there is no such file"):
        copy_file(tmp_path / "a.png", tmp_path / "b.png")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(ImageReadError, match="cannot be read"):
        read_file_bytes(tmp_path)


def test_transparency_is_written(tmp_path):
    pixels = np.arange(4 * 5 * 4, dtype=np.uint8).reshape(4, 5, 4)
    write_image(tmp_path / "a.png", pixels)
    assert (read_rgba(tmp_path / "a.png") == pixels).all()


@pytest.mark.parametrize(("orientation", "expected"), [(None, False), (1, False), (6, True)])
def test_a_picture_that_exif_data_turn_is_known(tmp_path, orientation, expected):
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.new("RGB", (8, 6)).save(tmp_path / "a.jpg", exif=exif)
    assert image_io.is_turned(tmp_path / "a.jpg") is expected
