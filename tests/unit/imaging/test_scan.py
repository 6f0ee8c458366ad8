from pathlib import Path

import numpy as np
import pytest
import tifffile

from blood_cell_system.errors import ImageReadError, MissingDataError
from blood_cell_system.imaging import tiff_scan
from blood_cell_system.imaging.openslide_scan import OpenSlideScan
from blood_cell_system.imaging.scan import ArrayScan, digest_of_file, open_scan

RGB = np.repeat(
    np.repeat(np.random.default_rng(0).integers(30, 250, (10, 13, 3), dtype=np.uint8), 30, 0), 30, 1
)[:277, :361]
GRAY = RGB[:, :, 0]
GRAYS = np.repeat(GRAY[:, :, None], 3, axis=2)
PLANES = np.moveaxis(RGB, 2, 0)
TILES = {"tile": (64, 48)}


def written(path: Path, values, **options) -> Path:
    tifffile.imwrite(path, values, **{"photometric": "rgb"} | options)
    return path


def pyramid(path: Path, *, in_chain: bool = False, ome: bool = False) -> Path:
    with tifffile.TiffWriter(path, ome=ome, bigtiff=True) as file:
        file.write(RGB, subifds=0 if in_chain else 2, photometric="rgb",
                   metadata={"axes": "YXS"} if ome else None, **TILES)  # fmt: skip
        for step in (2, 4):
            small = np.ascontiguousarray(RGB[::step, ::step])
            file.write(small, subfiletype=1, photometric="rgb", metadata=None, **TILES)
    return path


@pytest.mark.parametrize(
    ("values", "options", "expected"),
    [
        (RGB, TILES | {"compression": "deflate"}, RGB),
        (RGB, TILES | {"byteorder": ">"}, RGB),
        (RGB, TILES | {"byteorder": ">", "bigtiff": True}, RGB),
        (RGB, TILES | {"byteorder": "<", "bigtiff": True}, RGB),
        (RGB, {"rowsperstrip": 33, "compression": "deflate"}, RGB),
        (RGB, {}, RGB),
        (PLANES, TILES | {"planarconfig": "separate"}, RGB),
        (PLANES, {"planarconfig": "separate"}, RGB),
        (PLANES, {"planarconfig": "separate", "compression": "deflate", "rowsperstrip": 50}, RGB),
        (PLANES, TILES | {"photometric": "minisblack", "metadata": {"axes": "CYX"}, "ome": True},
         RGB),
        (GRAY, TILES | {"photometric": "minisblack"}, GRAYS),
        (255 - GRAY, TILES | {"photometric": "miniswhite"}, GRAYS),
        (RGB.astype("u2") * 16, TILES | {"byteorder": ">"}, RGB),
        ((4095 - GRAY * 16.0).astype("u2"), TILES | {"photometric": "miniswhite"}, GRAYS),
        (np.dstack([RGB, np.full_like(GRAY, 255)]), TILES | {"extrasamples": ["unassalpha"]}, RGB),
        (GRAY, TILES | {"photometric": "palette",
                        "colormap": np.stack([np.arange(256) * 257] * 3).astype("u2")}, GRAYS),
    ],
)  # fmt: skip
def test_a_window_of_a_tiff_of_any_layout_is_that_of_the_image(
    tmp_path: Path, values, options, expected
):
    scan = open_scan(written(tmp_path / "a.tif", values, **options))
    found = scan.read((40, 25, 300, 200)).astype(int)
    assert np.abs(found - expected[25:225, 40:340]).max() <= 1
    scan.close()


@pytest.mark.parametrize(
    ("options", "names"),
    [({}, "a.tif"), ({"in_chain": True}, "b.tif"), ({"ome": True}, "c.ome.tif")],
)
def test_levels_of_a_pyramid_are_found_wherever_they_stand(tmp_path: Path, options, names):
    scan = open_scan(pyramid(tmp_path / names, **options))
    assert [level.shape for level in scan.levels] == [(277, 361), (139, 181), (70, 91)]
    assert [round(level.downsample) for level in scan.levels] == [1, 2, 4]
    np.testing.assert_array_equal(scan.read((3, 5, 40, 30), 1), RGB[::2, ::2][5:35, 3:43])
    assert scan.level_for(3.5) == 1


def test_what_lies_beyond_the_image_is_white(tmp_path: Path):
    scan = open_scan(written(tmp_path / "a.tif", RGB, **TILES))
    pixels = scan.read((-10, 260, 30, 40))
    assert (pixels[:, :10] == 255).all()
    assert (pixels[17:] == 255).all()
    np.testing.assert_array_equal(pixels[:17, 10:], RGB[260:, :20])


def test_of_a_broken_tile_the_rest_is_read_and_the_hole_reported(tmp_path: Path):
    path = written(tmp_path / "a.tif", RGB, **TILES, compression="deflate")
    with tifffile.TiffFile(path) as file:
        place = file.pages.first.dataoffsets[9]  # The second of the second row.
    data = bytearray(path.read_bytes())
    data[place : place + 40] = b"x" * 40
    path.write_bytes(data)
    scan = open_scan(path)
    pixels = scan.read((0, 0, 361, 277))
    assert scan.holes_in((0, 0, 361, 277)) == ((48, 64, 48, 64),)
    assert scan.holes_in((100, 0, 261, 277)) == ()
    assert (pixels[64:128, 48:96] == 255).all()
    pixels[64:128, 48:96] = RGB[64:128, 48:96]
    np.testing.assert_array_equal(pixels, RGB)


def test_pages_are_images_of_their_own_and_levels_are_none(tmp_path: Path):
    path = written(tmp_path / "a.tif", np.stack([RGB, 255 - RGB]), **TILES)
    assert open_scan(path).pages == 2
    assert open_scan(pyramid(tmp_path / "b.tif")).pages == 1
    np.testing.assert_array_equal(open_scan(path, page=1).read((0, 0, 50, 50)), 255 - RGB[:50, :50])
    with pytest.raises(ImageReadError, match="has 2 pages; received page 3"):
        open_scan(path, page=2)


def test_the_depth_of_a_camera_is_the_same_for_all_tiles(tmp_path: Path):
    values = np.zeros((256, 256, 3), "u2")
    values[:128], values[128:] = 100, 4000
    scan = open_scan(written(tmp_path / "a.tif", values, tile=(128, 128)))
    assert scan.read((0, 0, 8, 8)).max() == round(100 * 255 / 4095)


def test_the_side_of_a_pixel_is_read(tmp_path: Path):
    path = written(
        tmp_path / "a.tif", RGB, **TILES, resolution=(40_000, 40_000), resolutionunit="CENTIMETER"
    )
    assert open_scan(path).pixel_size.um == pytest.approx(0.25)
    assert open_scan(written(tmp_path / "b.tif", RGB, **TILES)).pixel_size is None


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        (RGB.astype("f4"), {}, "values of the type float32"),
        (RGB.astype("i2"), {}, "values of the type int16"),
        (np.dstack([RGB, RGB]), {"photometric": "minisblack", "planarconfig": "contig"},
         "6 channels"),
        (RGB, {"photometric": "cielab"}, "the colours 'cielab'"),
        (RGB, {"extratags": [(274, "H", 1, 6, True)]}, "to be turned"),
    ],
)  # fmt: skip
def test_a_tiff_of_a_rare_kind_is_refused(tmp_path: Path, values, options, words):
    with pytest.raises(ImageReadError, match=f"a TIFF of a rare kind: {words}"):
        open_scan(written(tmp_path / "a.tif", values, **TILES, **options))


def test_an_image_in_one_piece_is_refused_where_that_is_too_large(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(tiff_scan, "MOST_TILE_BYTES", 1000)
    path = written(tmp_path / "a.tif", RGB, rowsperstrip=277, compression="deflate")
    with pytest.raises(ImageReadError, match="361×277 pixels in one piece; expected tiles"):
        open_scan(path)


def test_a_packing_whose_library_is_missing_names_the_extra(tmp_path: Path):
    path = written(tmp_path / "a.tif", RGB, **TILES)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        place = file.pages.first.tags["Compression"].valueoffset
    data[place : place + 2] = (34661).to_bytes(2, "little")
    path.write_bytes(data)
    with pytest.raises(ImageReadError, match=r"packed with jbig; .* 'blood-cell-system\[slides\]'"):
        open_scan(path)


def test_no_file_a_folder_and_damage_are_named(tmp_path: Path):
    with pytest.raises(MissingDataError, match="there is no such image"):
        open_scan(tmp_path / "a.tif")
    with pytest.raises(ImageReadError, match="a folder, not an image"):
        open_scan(tmp_path)
    (tmp_path / "b.tif").write_bytes(b"II*\0" + b"\xff" * 20)
    with pytest.raises(ImageReadError, match="cut off or damaged"):
        open_scan(tmp_path / "b.tif")


def test_a_file_of_a_scanner_without_its_library_names_the_extra(tmp_path: Path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openslide", None)
    (tmp_path / "a.mrxs").write_bytes(b"x")
    with pytest.raises(ImageReadError, match=r"OpenSlide .* 'blood-cell-system\[slides\]'"):
        open_scan(tmp_path / "a.mrxs")


def test_openslide_reads_what_tifffile_reads(tmp_path: Path):
    pytest.importorskip("openslide")
    path = pyramid(tmp_path / "a.tif")
    ours, theirs = open_scan(path), OpenSlideScan(path)
    window = (50, 60, 100, 80)
    np.testing.assert_array_equal(ours.read(window), theirs.read(window))
    assert len(theirs.levels) >= 1


def test_an_array_is_read_like_a_file():
    scan = ArrayScan(Path("a.png"), RGB)
    np.testing.assert_array_equal(scan.read((5, 6, 20, 10)), RGB[6:16, 5:25])
    small = scan.read_small((0, 0, 360, 270), 1 / 30)
    assert small.shape == (9, 12, 3)
    np.testing.assert_array_equal(small, RGB[15:270:30, 15:360:30])


def test_a_file_is_hashed_in_parts(tmp_path: Path):
    import hashlib

    (tmp_path / "a").write_bytes(b"x" * 5_000_000)
    assert digest_of_file(tmp_path / "a") == hashlib.sha256(b"x" * 5_000_000).hexdigest()
