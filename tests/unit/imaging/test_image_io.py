import numpy as np
import pytest
from PIL import Image
from support.odd_images import tiff_bytes
from support.saved_images import GRAY, PIXELS, RNG, WHITE, deep_png, saved, upright, written

from blood_cell_system.errors import ImageReadError
from blood_cell_system.imaging import image_file
from blood_cell_system.imaging.image_file import (
    count_pages,
    read_image,
    read_image_shape,
    write_image,
)

# Kinds of images


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
    image = Image.new("LA", (2, 1), (10, 255))
    image.putpixel((1, 0), (10, 0))
    assert read_image(saved(tmp_path / "a.png", image)).tolist() == [[[10, 10, 10], WHITE]]


def test_a_transparent_colour_of_a_palette_is_laid_on_white(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([200, 0, 0, 0, 200, 0])
    image.putpixel((1, 0), 1)
    path = saved(tmp_path / "a.png", image, transparency=1)
    assert read_image(path).tolist() == [[[200, 0, 0], WHITE]]


def test_a_palette_becomes_its_colours(tmp_path):
    image = Image.new("P", (1, 1))
    image.putpalette([1, 2, 3])
    assert read_image(saved(tmp_path / "a.png", image)).tolist() == [[[1, 2, 3]]]


def test_one_bit_becomes_black_and_white(tmp_path):
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    assert read_image(saved(tmp_path / "a.png", image)).tolist() == [[[0, 0, 0], WHITE]]


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
def test_the_images_of_a_file_are_counted(tmp_path, suffix, count):
    first, *others = [Image.new("RGB", (8, 8), c) for c in ("red", "blue", "green")[:count]]
    first.save(tmp_path / f"a.{suffix}", save_all=True, append_images=others)
    assert count_pages(tmp_path / f"a.{suffix}") == count


def test_a_smaller_copy_in_a_tiff_is_no_other_image(tmp_path):
    thumbnail = Image.new("RGB", (4, 4), "red")
    thumbnail.encoderinfo = {"tiffinfo": {254: 1}}
    Image.new("RGB", (8, 8), "red").save(
        tmp_path / "a.tif", save_all=True, append_images=[thumbnail]
    )
    assert count_pages(tmp_path / "a.tif") == 1


def test_a_preview_in_a_jpeg_is_no_other_image(tmp_path):
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
    with pytest.raises(ImageReadError, match=r"b\.png: the image is cut off or damaged"):
        read_image(path)


def test_deep_colours_that_opencv_cannot_decode_are_an_error(tmp_path, monkeypatch):
    path = deep_png(tmp_path / "a.png", np.ones((2, 2, 3)), colour_type=2)
    monkeypatch.setattr(image_file.cv2, "imdecode", lambda *_: None)
    with pytest.raises(ImageReadError, match="OpenCV cannot decode it"):
        read_image(path)


@pytest.mark.parametrize("full_scale", [1.0, 255.0, 65535.0, 1e6])
def test_float_gray_is_scaled_by_its_range(tmp_path, full_scale):
    values = np.array([[0.0, 0.5, 1.0, np.nan, -1.0]], np.float32) * np.float32(full_scale)
    found = read_image(saved(tmp_path / "a.tif", values))
    assert found[0, :, 0].tolist() == [0, 128, 255, 0, 0]


def test_float_colours_are_scaled_by_their_range(tmp_path):
    values = np.array([[[0.0, 0.5, 1.0]]], np.float32)
    path = written(tmp_path / "a.tif", tiff_bytes(values))
    assert read_image(path).tolist() == [[[0, 128, 255]]]


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


@pytest.mark.parametrize(("orientation", "expected"), [(None, False), (1, False), (6, True)])
def test_an_image_that_exif_data_turn_is_known(tmp_path, orientation, expected):
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.new("RGB", (8, 6)).save(tmp_path / "a.jpg", exif=exif)
    assert image_file.is_turned(tmp_path / "a.jpg") is expected
