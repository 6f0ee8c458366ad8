import io
import logging
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from support.damaged_jpeg import damaged_jpeg

from blood_cell_system.imaging.damage import damage_of, log_damage
from blood_cell_system.imaging.image_file import read_image

PIXELS = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)


def jpeg(**options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def tiff(compression: str, zeros: int | None = None) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "TIFF", compression=compression)
    data = bytearray(buffer.getvalue())
    if zeros is not None:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages.first
            middle = page.dataoffsets[0] + page.databytecounts[0] // 2
        data[middle : middle + zeros] = bytes(zeros)
    return bytes(data)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
def test_a_sound_jpeg_of_any_kind_has_no_damage(options: dict[str, object]):
    assert damage_of(Path("a.jpg"), jpeg(**options)) is None


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_a_sound_jpeg_of_other_colours_has_no_damage(mode: str):
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(buffer, "JPEG", subsampling="4:2:2")
    assert damage_of(Path("a.jpg"), buffer.getvalue()) is None


def test_a_jpeg_whose_pixels_end_early_is_damaged():
    assert "premature end" in str(damage_of(Path("a.jpg"), damaged_jpeg(PIXELS)))


def test_bytes_that_belong_to_nothing_are_damage():
    sound = jpeg()
    words = damage_of(Path("a.jpg"), sound[:-2] + bytes(100) + sound[-2:])
    assert "extraneous bytes" in str(words)


def test_what_follows_the_end_of_a_jpeg_is_no_damage():
    assert damage_of(Path("a.jpg"), jpeg() + b"a camera's own notes") is None


@pytest.mark.parametrize("compression", ["tiff_adobe_deflate", "jpeg", "tiff_lzw", "raw"])
def test_a_sound_tiff_has_no_damage(compression: str):
    assert damage_of(Path("a.tif"), tiff(compression)) is None


@pytest.mark.parametrize("compression", ["tiff_adobe_deflate", "jpeg"])
def test_damaged_strips_of_a_tiff_are_told(compression: str):
    assert damage_of(Path("a.tif"), tiff(compression, zeros=400))


def test_a_tiff_whose_directory_is_damaged_is_told_as_damaged():
    data = tiff("tiff_adobe_deflate")
    assert damage_of(Path("a.tif"), data[:4] + b"\xff\xff\xff\x7f" + data[8:])


def test_other_files_are_not_looked_at():
    assert damage_of(Path("a.png"), b"\x89PNG\r\n\x1a\n") is None


def test_the_file_is_read_where_its_bytes_are_not_at_hand(tmp_path: Path):
    (tmp_path / "a.jpg").write_bytes(damaged_jpeg(PIXELS))
    assert damage_of(tmp_path / "a.jpg")
    (tmp_path / "a.png").write_bytes(b"no image")
    assert damage_of(tmp_path / "a.png") is None


def test_reading_a_damaged_image_warns_once(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    log_damage.cache_clear()
    path = tmp_path / "a.jpg"
    path.write_bytes(damaged_jpeg(PIXELS))
    with caplog.at_level(logging.WARNING):
        assert read_image(path).shape == PIXELS.shape
        read_image(path)
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{path}: The file is damaged (")
    read_image(path, data=path.read_bytes())
    assert len(caplog.records) == 1
