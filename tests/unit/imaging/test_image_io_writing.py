from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from support.saved_images import PIXELS, RNG, saved, written

from blood_cell_system.errors import ImageReadError, MissingDataError, OutputError
from blood_cell_system.imaging import image_file
from blood_cell_system.imaging.image_file import (
    copy_file,
    read_file_bytes,
    read_image,
    read_image_shape,
    read_label_image,
    read_rgba,
    write_image,
)

# Names


@pytest.mark.parametrize("name", ["a b.png", "Blut ausstrich äöü.png", "a\nb.png", "-a.png"])
def test_odd_file_names_are_read_and_written(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write_image(Path(name), PIXELS)
    np.testing.assert_array_equal(read_image(Path(name)), PIXELS)


def test_a_text_will_do_for_a_path(tmp_path):
    write_image(str(tmp_path / "a.png"), PIXELS)
    assert read_image(str(tmp_path / "a.png")).shape == PIXELS.shape
    assert read_image_shape(str(tmp_path / "a.png")) == PIXELS.shape[:2]


# Images


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
    with Image.open(path) as image:
        assert image.format == {".bmp": "BMP", ".tif": "TIFF", ".PNG": "PNG"}[suffix]


@pytest.mark.parametrize("name", ["a", "a.xyz"])
def test_a_suffix_of_no_format_is_an_error(tmp_path, name):
    with pytest.raises(OutputError, match=r"no image format|cannot be encoded"):
        write_image(tmp_path / name, PIXELS)
    assert list(tmp_path.iterdir()) == []


def test_an_image_that_cannot_be_encoded_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(image_file.cv2, "imencode", lambda *_: (False, None))
    with pytest.raises(OutputError, match="cannot be encoded"):
        write_image(tmp_path / "a.png", PIXELS)


# Label images


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_labels_are_read_as_they_are(tmp_path, suffix, dtype):
    labels = np.array([[0, 1, np.iinfo(dtype).max]], dtype)
    write_image(tmp_path / f"a.{suffix}", labels)
    found = read_label_image(tmp_path / f"a.{suffix}")
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, labels)


def test_the_labels_of_a_palette_image_are_its_indices(tmp_path):
    image = Image.fromarray(np.array([[0, 2], [1, 200]], np.uint8)).convert("P")
    image.putpalette([value for index in range(256) for value in (255 - index, 0, index)])
    np.testing.assert_array_equal(
        read_label_image(saved(tmp_path / "a.png", image)), [[0, 2], [1, 200]]
    )


@pytest.mark.parametrize("mode", ["RGB", "F", "LA"])
def test_labels_of_another_kind_are_an_error(tmp_path, mode):
    path = saved(tmp_path / ("a.tif" if mode == "F" else "a.png"), Image.new(mode, (2, 2)))
    with pytest.raises(ImageReadError, match="not a label image"):
        read_label_image(path)


@pytest.mark.parametrize("value", [-1, 65536])
def test_labels_beyond_16_bits_are_an_error(tmp_path, value):
    path = saved(tmp_path / "a.tif", np.full((2, 2), value, np.int32))
    with pytest.raises(ImageReadError, match="not a label image"):
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
