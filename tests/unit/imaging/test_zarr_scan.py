from pathlib import Path

import numpy as np
import pytest

from blood_cell_system.errors import ImageReadError
from blood_cell_system.imaging import zarr_scan
from blood_cell_system.imaging.scan import open_scan

zarr = pytest.importorskip("zarr")

RGB = np.repeat(
    np.repeat(np.random.default_rng(0).integers(30, 250, (10, 13, 3), dtype=np.uint8), 30, 0), 30, 1
)[:277, :361]
GRAY = RGB[:, :, 0]
AXES = "cyx"
WINDOW = (100, 50, 150, 120)


def written(
    path: Path,
    values=None,
    *,
    axes: str = AXES,
    version: str = "0.4",
    steps: tuple[int, ...] = (1, 2),
    unit: str | None = "micrometer",
    fill: int = 0,
    shards: tuple[int, ...] | None = None,
) -> Path:
    """Write an image in OME-Zarr; its values are in the order of the axes."""
    values = np.moveaxis(RGB, 2, 0) if values is None else values
    root = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    chunks = (1,) * (len(axes) - 2) + (64, 48)
    datasets = []
    for level, step in enumerate(steps):
        small = np.ascontiguousarray(values[..., ::step, ::step])
        array = root.create_array(
            str(level), shape=small.shape, dtype=small.dtype, chunks=chunks, fill_value=fill,
            shards=shards,
        )  # fmt: skip
        array[:] = small
        scale = [1.0] * (len(axes) - 2) + [0.1 * step] * 2
        changes = [{"type": "scale", "scale": scale}]
        datasets.append({"path": str(level), "coordinateTransformations": changes})
    space = {"type": "space"} | ({"unit": unit} if unit else {})
    listed = [{"name": axis} | (space if axis in "yxz" else {}) for axis in axes]
    found = {"multiscales": [{"version": version, "axes": listed, "datasets": datasets}]}
    root.attrs.update(found if version == "0.4" else {"ome": found | {"version": version}})
    return path


@pytest.mark.parametrize(
    ("values", "options", "expected"),
    [
        (None, {}, RGB),
        (None, {"version": "0.5"}, RGB),
        (None, {"version": "0.5", "shards": (3, 128, 96)}, RGB),
        (np.moveaxis(RGB, 2, 0)[None, :, None], {"axes": "tczyx"}, RGB),
        (GRAY, {"axes": "yx"}, np.dstack([GRAY] * 3)),
        (np.moveaxis(RGB, 2, 0).astype(np.uint16) * 16, {}, RGB),
    ],
)
def test_a_window_of_an_ome_zarr_is_that_of_the_image(tmp_path, values, options, expected):
    scan = open_scan(written(tmp_path / "a.zarr", values, **options))
    assert scan.shape == RGB.shape[:2]
    left, top, width, height = WINDOW
    window = expected[top : top + height, left : left + width]
    np.testing.assert_allclose(scan.read(WINDOW), window, atol=1)
    assert scan.holes_in((0, 0, 361, 277)) == ()


def test_levels_and_the_side_of_a_pixel_are_read(tmp_path):
    scan = open_scan(written(tmp_path / "a.zarr", steps=(1, 2, 4)))
    assert [round(level.downsample) for level in scan.levels] == [1, 2, 4]
    assert scan.pixel_size.um == pytest.approx(0.1)
    small = RGB[::4, ::4]
    np.testing.assert_array_equal(scan.read((0, 0, 50, 40), 2), small[:40, :50])
    assert open_scan(written(tmp_path / "b.zarr", unit=None)).pixel_size is None


@pytest.mark.parametrize(
    ("version", "chunk", "is_damaged"),
    [("0.4", "0/0.1.2", True), ("0.4", "0/0.1.2", False), ("0.5", "0/c/2/1/2", False)],
)
def test_a_missing_or_damaged_chunk_is_a_hole(tmp_path, version, chunk, is_damaged):
    path = written(tmp_path / "a.zarr", version=version)
    chunk = path / chunk
    if is_damaged:
        chunk.write_bytes(b"nothing that unpacks")
    else:
        chunk.unlink()
    scan = open_scan(path)
    pixels = scan.read((0, 0, 361, 277))
    assert scan.holes_in((0, 0, 361, 277)) == ((96, 64, 48, 64),)
    assert (pixels[64:128, 96:144] == 255).all()
    pixels[64:128, 96:144] = RGB[64:128, 96:144]
    np.testing.assert_array_equal(pixels, RGB)


def test_a_chunk_of_white_that_was_left_out_is_no_hole(tmp_path):
    path = written(tmp_path / "a.zarr", fill=255)
    for channel in range(3):
        (path / f"0/{channel}.0.0").unlink()
    scan = open_scan(path)
    assert (scan.read((0, 0, 48, 64)) == 255).all()
    assert scan.holes_in((0, 0, 361, 277)) == ()


def test_images_of_several_groups_are_pages(tmp_path):
    path = tmp_path / "a.zarr"
    root = zarr.open_group(path, mode="w", zarr_format=2)
    root.attrs["bioformats2raw.layout"] = 3
    for name, values in (("0", RGB), ("1", 255 - RGB)):
        written(path / name, np.moveaxis(values, 2, 0))
    scan = open_scan(path, page=1)
    assert scan.pages == 2
    np.testing.assert_array_equal(scan.read((0, 0, 361, 277)), 255 - RGB)
    with pytest.raises(ImageReadError, match="has 2 pages; received page 3"):
        open_scan(path, page=2)


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        (np.zeros((5, 90, 90), np.uint8), {}, "5 channels"),
        (np.zeros((3, 90, 90), np.float32), {}, "values of the type float32"),
        (np.zeros((90, 90, 3), np.uint8), {"axes": "yxc"}, "axes y, x, c"),
    ],
)
def test_an_ome_zarr_of_a_rare_kind_is_refused(tmp_path, values, options, words):
    with pytest.raises(ImageReadError, match=words):
        open_scan(written(tmp_path / "a.zarr", values, **options))


def test_axes_that_do_not_fit_the_array_are_refused(tmp_path):
    path = written(tmp_path / "a.zarr")
    root = zarr.open_group(path, mode="a", zarr_format=2)
    found = root.attrs["multiscales"]
    found[0]["axes"] = found[0]["axes"][1:]
    root.attrs["multiscales"] = found
    with pytest.raises(ImageReadError, match="3 dimensions, but axes y, x"):
        open_scan(path)


def test_chunks_too_large_to_decode_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(zarr_scan, "MOST_TILE_BYTES", 1000)
    with pytest.raises(ImageReadError, match="chunks of 0 MB"):
        open_scan(written(tmp_path / "a.zarr"))


def test_a_folder_that_is_no_ome_zarr_is_refused(tmp_path):
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(ImageReadError, match=r"empty\.zarr"):
        open_scan(tmp_path / "empty.zarr")
    zarr.open_group(tmp_path / "bare.zarr", mode="w", zarr_format=2)
    with pytest.raises(ImageReadError, match="no multiscales"):
        open_scan(tmp_path / "bare.zarr")


def test_without_its_library_the_extra_is_named(tmp_path, monkeypatch):
    path = written(tmp_path / "a.zarr")
    monkeypatch.setitem(__import__("sys").modules, "zarr", None)
    with pytest.raises(ImageReadError, match=r"pip install 'blood-cell-system\[slides\]'"):
        open_scan(path)
