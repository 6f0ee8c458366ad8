"""Whatever ``bloodcells analyze`` is given: it ends and says why, and nothing is half written."""

import json
import os
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from support.odd_images import png_bytes, tiff_bytes
from support.odd_scenes import drawn_cat, field_of_cells, furry_cat, natural_noise

from blood_cell_system.cli.main import main
from blood_cell_system.imaging.image_file import MAX_PIXELS, write_image
from blood_cell_system.pipeline.model_slots import bundled_segmenter

DIAMETER_PX = 40
CELLS = 12


@pytest.fixture(scope="module")
def smear():
    """A dozen red cells, on few pixels."""
    return field_of_cells(DIAMETER_PX, shape=(180, 240), count=CELLS, seed=3, overlap=1.1)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def analyze(*words, output="out"):
    """Exit code, and how every input ended."""
    words = ["--output-dir", str(output), "--cell-diameter", str(DIAMETER_PX), *map(str, words)]
    code = main(["analyze", *words])
    summary = Path(output) / "batch_summary.json"
    if not summary.is_file():
        return code, []
    return code, json.loads(summary.read_text("utf-8"))["images"]


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*.*"))


_OF_THE_BATCH = {
    "batch_summary.json",
    "batch_summary.csv",
    "cells.csv",
    "cells.parquet",
    "index.html",
    "review.html",
}


def assert_nothing_is_half_written(folder="out"):
    assert not [name for name in files_in(folder) if "partial" in name]
    stems = {name.removesuffix("_report.json") for name in files_in(folder) if "_report" in name}
    for name in files_in(folder):
        if name not in _OF_THE_BATCH:
            assert name.rpartition("_")[0] in stems


def jpeg_bytes(image):
    return cv2.imencode(".jpg", image[:, :, ::-1])[1].tobytes()


def vast_png(side):
    """An image of so many pixels a side, in a few hundred bytes."""
    header = png_bytes(b"", size=(side, side), bit_depth=1, colour_type=0)
    rows = zlib.compress(bytes(1 + side // 8) * 64)
    return header[:33] + struct.pack(">I", len(rows)) + b"IDAT" + rows + bytes(4) + header[-12:]


def bad_files(image):
    return {
        "words.png": b"no image at all",
        "empty.jpg": b"",
        "cut.jpg": jpeg_bytes(image)[:2000],
        "cut.png": cv2.imencode(".png", image)[1].tobytes()[:3000],
        "vast.png": vast_png(20_000),
        "bomb.png": vast_png(65_000),
    }


def test_bad_files_are_failures_with_reasons_and_stop_no_other(here, smear):
    (here / "in").mkdir()
    bad = bad_files(smear)
    for name, data in bad.items():
        (here / "in" / name).write_bytes(data)
    write_image(here / "in" / "good.png", smear)
    code, ends = analyze("in")
    assert code == 1
    by_name = {Path(end["path"]).name: end for end in ends}
    assert by_name["good.png"]["status"] != "failed"
    for name in bad:
        assert by_name[name]["status"] == "failed"
        assert f"in/{name}: " in by_name[name]["reason"]
    assert f"{MAX_PIXELS:,}" in by_name["vast.png"]["reason"]
    assert_nothing_is_half_written()
    assert [name for name in files_in("out") if "_report" in name] == ["good_report.json"]


def peak_bytes(code):
    """Largest memory of a program of its own, in bytes."""
    # Not getrusage: its maximum is handed down by the process that starts the program.
    ask = "next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))"
    program = f"{code}\nprint({ask}.split()[1])"
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, encoding="utf-8"
    )
    return 1024 * int(done.stdout.split()[-1])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in kilobytes on Linux only")
def test_an_image_of_20000_by_20000_is_refused_before_it_fills_the_memory(here):
    (here / "vast.png").write_bytes(vast_png(20_000))
    call = (
        "from blood_cell_system.cli.main import main\n"
        "assert main(['analyze', 'vast.png', '--output-dir', 'out']) == 1"
    )
    assert peak_bytes(call) < 400e6


@pytest.mark.parametrize("side", [1, 2, 31])
def test_images_of_hardly_a_pixel_end_without_cells(here, side):
    write_image(here / "a.png", np.full((side, side, 3), 200, np.uint8))
    code, (end,) = analyze("a.png")
    assert (code, end["status"]) == (0, "warned")
    assert end["counts"] == {"RBC": 0, "WBC": 0, "Platelet": 0}
    assert_nothing_is_half_written()


@pytest.mark.parametrize("level", [128, 230, 255])
def test_a_blank_field_has_no_cells_and_is_warned_of(here, level):
    image = np.random.default_rng(0).normal(level, 1.5, (180, 240, 3))
    write_image(here / "a.png", np.clip(image, 0, 255).astype(np.uint8))
    code, (end,) = analyze("a.png")
    assert (code, end["status"]) == (0, "warned")
    assert sum(end["counts"].values()) == 0
    assert any("hardly" in warning.lower() for warning in end["warnings"])


def test_a_black_image_is_no_smear_and_left_out_of_the_sums(here):
    write_image(here / "a.png", np.zeros((180, 240, 3), np.uint8))
    code, (end,) = analyze("a.png")
    assert (code, end["status"]) == (0, "warned")
    assert end["is_smear"] is False
    assert any("too dark" in warning.lower() for warning in end["warnings"])


def test_a_field_that_is_all_one_clump_is_counted_and_warned_of(here):
    image = field_of_cells(DIAMETER_PX, shape=(240, 320), count=200, overlap=0.3)
    write_image(here / "a.png", image)
    code, (end,) = analyze("a.png")
    assert (code, end["status"]) == (0, "warned")
    assert_nothing_is_half_written()


@pytest.mark.parametrize(
    "image",
    [
        drawn_cat,
        furry_cat,
        lambda: natural_noise(slope=2.2, colour=0.4, seed=1),
        lambda: np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8),
    ],
    ids=["cat", "furry cat", "landscape", "noise"],
)
def test_what_is_no_smear_is_flagged_and_left_out_of_the_sums(here, image):
    write_image(here / "a.png", image())
    code = main(["analyze", "a.png", "--output-dir", "out"])
    value = json.loads((here / "out" / "batch_summary.json").read_text("utf-8"))
    (end,) = value["images"]
    assert (code, end["status"]) == (0, "warned")
    assert any("does not look like a thin stained blood smear" in word for word in end["warnings"])


def save(image, path, **options):
    Image.fromarray(image).save(path, **options)


def deep(image):
    return image.astype(np.uint16) * 257


KINDS = {
    "a.png": lambda image, path: save(image, path),
    "rgba.png": lambda image, path: save(
        np.dstack([image, np.full(image.shape[:2], 255, np.uint8)]), path
    ),
    "palette.png": lambda image, path: Image.fromarray(image).quantize(128).save(path),
    "palette.gif": lambda image, path: Image.fromarray(image).quantize(128).save(path),
    "deep.png": lambda image, path: cv2.imwrite(str(path), deep(image)[:, :, ::-1]),
    "deep.tif": lambda image, path: path.write_bytes(tiff_bytes(deep(image))),
    "cmyk.jpg": lambda image, path: Image.fromarray(image).convert("CMYK").save(path, quality=95),
    "cmyk.tif": lambda image, path: Image.fromarray(image).convert("CMYK").save(path),
    "moving.webp": lambda image, path: save(
        image,
        path,
        save_all=True,
        append_images=[Image.fromarray(255 - image)],
        lossless=True,
    ),
    "turned.jpg": lambda image, path: path.write_bytes(jpeg_bytes(image)),
    "gray.png": lambda image, path: Image.fromarray(image).convert("L").save(path),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_smear_is_counted_in_whatever_kind_of_file_it_comes(here, smear, name):
    if name.endswith(".gif"):
        pytest.importorskip("PIL.GifImagePlugin")
    KINDS[name](smear, here / name)
    code, (end,) = analyze(name)
    assert code == 0
    assert end["status"] != "failed"
    if name != "gray.png":
        assert abs(end["counts"]["RBC"] - CELLS) <= 1
    assert_nothing_is_half_written()


NAMES = (
    "two words.png",
    "Blutausstrich ä ö.png",
    "血.png",
    "line\nend.png",
    "-dash.png",
    "'\"$.png",
)


def test_file_names_of_any_kind_come_through(here, smear):
    (here / "in").mkdir()
    for name in NAMES:
        write_image(here / "in" / name, smear)
    code, ends = analyze("in")
    assert code == 0
    assert {Path(end["path"]).name for end in ends} == set(NAMES)
    for name in NAMES:
        assert (here / "out" / f"{Path(name).stem}_report.json").is_file()
    assert_nothing_is_half_written()


def test_a_name_with_a_leading_dash_can_be_named_itself(here, smear):
    write_image(here / "-dash.png", smear)
    assert main(["analyze", "--output-dir", "out", "--", "-dash.png"]) == 0
    assert (here / "out" / "-dash_report.json").is_file()


def test_images_of_one_stem_in_two_folders_both_have_their_results(here, smear):
    for folder, image in (("one", smear), ("two", smear[:, ::-1].copy())):
        write_image(here / folder / "field.png", image)
    code, ends = analyze("one", "two/field.png")
    assert code == 0
    assert sorted(end["name"] for end in ends) == ["field", "field_2"]
    first, second = (
        json.loads((here / "out" / f"{name}_report.json").read_text("utf-8"))["provenance"]
        for name in ("field", "field_2")
    )
    assert first["data_sha256"] != second["data_sha256"]


def test_an_output_folder_that_is_a_file_stays_as_it_is(here, smear, capsys):
    write_image(here / "a.png", smear)
    (here / "out").write_text("in the way")
    assert main(["analyze", "a.png", "--output-dir", "out"]) == 1
    assert "out: cannot make this folder" in capsys.readouterr().err
    assert (here / "out").read_text() == "in the way"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_folder_that_may_not_be_written_to_is_told(here, smear, capsys):
    write_image(here / "a.png", smear)
    (here / "out").mkdir(mode=0o500)
    assert main(["analyze", "a.png", "--output-dir", "out"]) == 1
    assert "may write to" in capsys.readouterr().err


def flipped(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x10]) + data[middle + 1 :]


def of_a_later_onnx(data):
    # Field 1 of the file is the version of its format, a number of one byte.
    assert data[0] == 0x08
    return bytes([0x08, 0x7F]) + data[2:]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: data[: len(data) // 2], "Copy it again"),
        (flipped, "Copy it again"),
        (of_a_later_onnx, "newer ONNX"),
        (lambda data: b"", "Copy it again"),
        (lambda data: b"not a network", "Copy it again"),
    ],
    ids=["cut off", "a bit flipped", "of a later version", "empty", "words"],
)
def test_damaged_weights_are_refused_before_an_image_is_touched(here, smear, capsys, damage, words):
    write_image(here / "a.png", smear)
    (here / "m.onnx").write_bytes(damage(bundled_segmenter().read_bytes()))
    assert main(["analyze", "a.png", "--output-dir", "out", "--model", "m.onnx"]) == 1
    told = capsys.readouterr().err
    assert "m.onnx" in told
    assert words in told
    assert files_in("out") == []


def test_weights_of_another_kind_are_refused(here, smear, capsys):
    write_image(here / "a.png", smear)
    shutil.copy(bundled_segmenter(), here / "weights.pt")
    assert main(["analyze", "a.png", "--output-dir", "out", "--model", "weights.pt"]) == 1
    assert "expected one that ends in .onnx, .keras, .xml, .tflite" in capsys.readouterr().err
