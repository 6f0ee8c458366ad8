from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from support.labelled_smears import draw_smear

from blood_cell_system.datasets.verify.mask_diagnosis import MaskFault, diagnose_mask, fit_to_shape
from blood_cell_system.errors import ImageReadError, MissingDataError
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.imaging.mask_encoding import encode_class_mask
from blood_cell_system.taxonomy import NOT_SCORED


@pytest.fixture
def class_mask() -> np.ndarray:
    mask = draw_smear(1)[1]
    mask[:8, :8] = NOT_SCORED
    return mask


def save(path: Path, pixels: np.ndarray, mode: str | None = None) -> Path:
    Image.fromarray(pixels, mode).save(path) if mode else Image.fromarray(pixels).save(path)
    return path


def test_a_mask_in_the_format_has_no_fault(tmp_path, class_mask):
    write_image(tmp_path / "m.png", encode_class_mask(class_mask))
    diagnosis = diagnose_mask(tmp_path / "m.png")
    assert diagnosis.fault is None
    assert (diagnosis.class_mask == class_mask).all()


def test_zero_and_one_in_place_of_0_and_255_are_recognised(tmp_path, class_mask):
    path = save(tmp_path / "m.png", encode_class_mask(class_mask) // 255)
    diagnosis = diagnose_mask(path)
    assert diagnosis.fault == MaskFault.ZERO_ONE
    assert "all black" in diagnosis.detail
    assert (diagnosis.class_mask == class_mask).all()


def test_class_numbers_in_one_channel_are_recognised(tmp_path, class_mask):
    diagnosis = diagnose_mask(save(tmp_path / "m.png", class_mask))
    assert diagnosis.fault == MaskFault.INDEX
    assert (diagnosis.class_mask == class_mask).all()


def test_class_numbers_in_three_equal_channels_are_recognised(tmp_path, class_mask):
    gray = np.repeat(class_mask[:, :, None], 3, axis=2)
    diagnosis = diagnose_mask(save(tmp_path / "m.png", gray))
    assert diagnosis.fault == MaskFault.INDEX
    assert (diagnosis.class_mask == class_mask).all()


def test_class_numbers_in_16_bits_are_recognised(tmp_path, class_mask):
    numbers = np.where(class_mask == NOT_SCORED, 0, class_mask).astype(np.uint16)
    diagnosis = diagnose_mask(save(tmp_path / "m.png", numbers))
    assert diagnosis.fault == MaskFault.INDEX
    assert (diagnosis.class_mask == numbers).all()


def test_numbers_of_a_palette_in_other_colours_are_recognised(tmp_path, class_mask):
    image = Image.fromarray(class_mask)
    image.putpalette([10, 20, 30, 200, 100, 0, 90, 0, 130] + [0] * 759)
    image.save(tmp_path / "m.png")
    diagnosis = diagnose_mask(tmp_path / "m.png")
    assert diagnosis.fault == MaskFault.INDEX
    assert (diagnosis.class_mask == class_mask).all()


def test_a_palette_in_the_colours_of_the_format_is_no_fault(tmp_path, class_mask):
    image = Image.fromarray(np.where(class_mask == NOT_SCORED, 3, class_mask).astype(np.uint8))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0])
    image.save(tmp_path / "m.png")
    diagnosis = diagnose_mask(tmp_path / "m.png")
    assert diagnosis.fault is None
    assert (diagnosis.class_mask == class_mask).all()


def test_a_smoothly_scaled_mask_keeps_its_classes_away_from_borders(tmp_path, class_mask):
    rgb = encode_class_mask(class_mask)
    smooth = cv2.resize(rgb, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    diagnosis = diagnose_mask(save(tmp_path / "m.png", smooth))
    truth = class_mask.repeat(2, axis=0).repeat(2, axis=1)
    assert diagnosis.fault == MaskFault.BLURRED
    is_sure = diagnosis.class_mask != NOT_SCORED
    assert is_sure.mean() > 0.9
    assert (diagnosis.class_mask == truth)[is_sure & (truth != NOT_SCORED)].mean() > 0.995


def test_a_mask_saved_as_jpeg_keeps_its_classes_away_from_borders(tmp_path, class_mask):
    path = tmp_path / "m.jpg"
    Image.fromarray(encode_class_mask(class_mask)).save(path, quality=75)
    diagnosis = diagnose_mask(path)
    assert diagnosis.fault == MaskFault.BLURRED
    is_sure = (diagnosis.class_mask != NOT_SCORED) & (class_mask != NOT_SCORED)
    assert is_sure.mean() > 0.8
    assert (diagnosis.class_mask == class_mask)[is_sure].mean() > 0.99


def test_pixels_with_several_classes_are_not_scored(tmp_path, class_mask):
    rgb = encode_class_mask(class_mask)
    rgb[20:24, 20:24] = (255, 255, 0)
    diagnosis = diagnose_mask(save(tmp_path / "m.png", rgb))
    assert diagnosis.fault == MaskFault.SEVERAL_CLASSES
    assert "16 pixels" in diagnosis.detail
    assert (diagnosis.class_mask[20:24, 20:24] == NOT_SCORED).all()
    rest = np.ones(class_mask.shape, dtype=bool)
    rest[20:24, 20:24] = False
    assert (diagnosis.class_mask == class_mask)[rest].all()


def test_transparency_over_a_sound_mask_is_left_out(tmp_path, class_mask):
    alpha = np.where(class_mask == 0, 0, 255).astype(np.uint8)
    rgba = np.dstack([encode_class_mask(class_mask), alpha])
    diagnosis = diagnose_mask(save(tmp_path / "m.png", rgba))
    assert diagnosis.fault == MaskFault.TRANSPARENT
    assert (diagnosis.class_mask == class_mask).all()


def test_an_opaque_alpha_channel_is_no_fault(tmp_path, class_mask):
    rgba = np.dstack([encode_class_mask(class_mask), np.full_like(class_mask, 255)])
    assert diagnose_mask(save(tmp_path / "m.png", rgba)).fault is None


def test_black_in_one_channel_is_told_from_black_in_three(tmp_path):
    black = np.zeros((10, 10), dtype=np.uint8)
    assert diagnose_mask(save(tmp_path / "gray.png", black)).is_black_gray
    assert not diagnose_mask(save(tmp_path / "rgb.png", np.dstack([black] * 3))).is_black_gray


FOREIGN = {
    "cell or no cell": lambda m: np.where(m > 0, 255, 0).astype(np.uint8),
    "gray levels": lambda m: (m % 3 * 127).astype(np.uint8),
    "numbers that are no classes": lambda m: np.where(m == 1, 7, 0).astype(np.uint8),
    "one bit a pixel": lambda m: m > 0,
    "other colours": lambda m: np.array(
        [[0, 0, 0], [128, 0, 0], [0, 128, 0], [0, 0, 0]], dtype=np.uint8
    )[np.minimum(m, 3)],
    "the image itself": lambda m: draw_smear(1)[0],
    "several classes nearly everywhere": lambda m: np.where(
        (m == 0)[:, :, None], np.uint8([255, 0, 255]), np.uint8([0, 255, 0])
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_would_need_a_guess_has_no_classes(name, tmp_path, class_mask):
    diagnosis = diagnose_mask(save(tmp_path / "m.png", FOREIGN[name](class_mask)))
    assert diagnosis.fault == MaskFault.FOREIGN
    assert diagnosis.class_mask is None
    assert diagnosis.detail


def test_a_missing_mask_is_an_error(tmp_path):
    with pytest.raises(MissingDataError):
        diagnose_mask(tmp_path / "none.png")


def test_a_file_that_is_no_image_is_an_error(tmp_path):
    (tmp_path / "m.png").write_text("mask")
    with pytest.raises(ImageReadError):
        diagnose_mask(tmp_path / "m.png")


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.integers(0, 2)),
    st.integers(1, 4),
)
def test_scaling_up_by_a_whole_factor_and_down_again_changes_nothing(class_mask, factor):
    height, width = class_mask.shape
    larger = fit_to_shape(class_mask, (height * factor, width * factor))
    assert larger.shape == (height * factor, width * factor)
    assert (fit_to_shape(larger, (height, width)) == class_mask).all()


@pytest.mark.parametrize("shape", [(15, 30), (20, 30), (40, 20), (7, 14)])
def test_sizes_that_are_no_exact_multiple_do_not_fit(shape):
    assert fit_to_shape(np.zeros((10, 20), dtype=np.uint8), shape) is None
