import numpy as np
import pytest
import tifffile
from PIL import Image

from blood_cell_system.errors import MissingDataError
from blood_cell_system.imaging.pixel_size import PixelSize, read_pixel_size

PIXELS = np.full((20, 30, 3), 200, np.uint8)


def tiff(path, **options):
    tifffile.imwrite(path, PIXELS, photometric="rgb", metadata=None, **options)
    return path


def ome(x, *, y=None, unit='PhysicalSizeXUnit="µm" PhysicalSizeYUnit="µm"'):
    return (
        '<?xml version="1.0" encoding="UTF-8"?><OME><Image><Pixels SizeX="30" '
        f'PhysicalSizeX="{x}" PhysicalSizeY="{x if y is None else y}" {unit}/></Image></OME>'
    )


@pytest.mark.parametrize(
    ("unit", "stated", "expected"),
    [
        ('PhysicalSizeXUnit="µm" PhysicalSizeYUnit="µm"', 0.1, 0.1),
        ("", 0.1, 0.1),
        ('PhysicalSizeXUnit="nm" PhysicalSizeYUnit="nm"', 65, 0.065),
        ('PhysicalSizeXUnit="mm" PhysicalSizeYUnit="mm"', 2e-4, 0.2),
    ],
)
def test_ome_xml_states_the_pixel_size(tmp_path, unit, stated, expected):
    path = tiff(tmp_path / "a.tif", description=ome(stated, unit=unit).encode())
    found = read_pixel_size(path)
    assert found.um == pytest.approx(expected)
    assert found.origin.startswith("OME-XML")


def test_the_ome_xml_of_tifffile_is_read(tmp_path):
    path = tmp_path / "a.ome.tif"
    sizes = {
        f"PhysicalSize{axis}{end}": value
        for axis in "XY"
        for end, value in (("", 0.08), ("Unit", "µm"))
    }
    tifffile.imwrite(path, PIXELS, photometric="rgb", metadata={"axes": "YXS", **sizes})
    assert read_pixel_size(path).um == pytest.approx(0.08)


def test_imagej_calibration_is_read(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, imagej=True, resolution=(12.5, 12.5), metadata={"unit": "um"})
    assert read_pixel_size(path).um == pytest.approx(0.08)
    assert "ImageJ" in read_pixel_size(path).origin


def test_imagej_calibration_in_an_escaped_unit_is_read(tmp_path):
    words = "ImageJ=1.53t\nunit=\\u00B5m\nspacing=1.0\n"
    path = tiff(tmp_path / "a.tif", description=words, resolution=(10, 10), resolutionunit=1)
    assert read_pixel_size(path).um == pytest.approx(0.1)


def test_imagej_without_a_unit_of_length_states_nothing(tmp_path):
    words = "ImageJ=1.53t\nunit=pixel\n"
    assert read_pixel_size(tiff(tmp_path / "a.tif", description=words, resolution=(1, 1))) is None


def test_aperio_micrometres_a_pixel_are_read(tmp_path):
    words = "Aperio Image Library v11\n30x20 |AppMag = 40|MPP = 0.2498|Left = 0"
    assert read_pixel_size(tiff(tmp_path / "a.tif", description=words)).um == 0.2498


@pytest.mark.parametrize(("unit", "an_um"), [(3, 10_000), (2, 25_400)])
def test_the_resolution_of_a_microscope_is_a_pixel_size(tmp_path, unit, an_um):
    resolution = (an_um / 0.1, an_um / 0.1)
    path = tiff(tmp_path / "a.tif", resolution=resolution, resolutionunit=unit)
    assert read_pixel_size(path).um == pytest.approx(0.1, rel=1e-3)
    assert "TIFF" in read_pixel_size(path).origin


@pytest.mark.parametrize("dots", [1, 72, 96, 300, 600, 1200, 4800])
@pytest.mark.parametrize("ending", ["tif", "png", "jpg", "bmp"])
def test_the_resolution_of_a_print_or_a_screen_is_none(tmp_path, dots, ending):
    path = tmp_path / f"a.{ending}"
    Image.fromarray(PIXELS).save(path, dpi=(dots, dots))
    assert read_pixel_size(path) is None


def test_a_png_of_a_microscope_states_its_resolution(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(PIXELS).save(path, dpi=(254_000, 254_000))
    assert read_pixel_size(path).um == pytest.approx(0.1, rel=1e-3)


def test_pixels_that_are_not_square_state_nothing(tmp_path):
    path = tiff(tmp_path / "a.tif", description=ome(0.1, y=0.2).encode())
    assert read_pixel_size(path) is None


@pytest.mark.parametrize("size", ["0", "-1", "abc", "inf", "nan"])
def test_a_size_that_is_none_is_passed_over(tmp_path, size):
    assert read_pixel_size(tiff(tmp_path / "a.tif", description=ome(size).encode())) is None


def test_a_plain_file_states_nothing(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(PIXELS).save(path)
    assert read_pixel_size(path) is None


def test_the_bytes_may_be_given(tmp_path):
    data = tiff(tmp_path / "a.tif", description=ome(0.1).encode()).read_bytes()
    assert read_pixel_size(tmp_path / "gone.tif", data=data).um == 0.1


def test_a_missing_file_is_reported(tmp_path):
    with pytest.raises(MissingDataError, match="no such image"):
        read_pixel_size(tmp_path / "gone.tif")


@pytest.mark.parametrize(
    ("um", "expected"), [(0.1, True), (0.5, True), (0.001, False), (50, False)]
)
def test_sizes_with_which_a_smear_cannot_be_analysed_are_not_plausible(um, expected):
    assert PixelSize(um=um, origin="test").is_plausible is expected
