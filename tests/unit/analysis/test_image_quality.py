import cv2
import numpy as np
import pytest
from support.odd_scenes import (
    drawn_cat,
    field_of_cells,
    natural_noise,
    page_of_text,
    through_eyepiece,
)

from blood_cell_system.analysis.quality import assess
from blood_cell_system.analysis.scale import estimate_diameter, estimate_scale
from blood_cell_system.analysis.survey import find_field, survey
from blood_cell_system.imaging.pixel_size import PixelSize

NAMES = ["focus", "exposure", "crowding", "stain", "scale", "field", "colour", "smear"]


def quality_of(image, *, pixel_size=None, is_cut_out=False, **given):
    field = find_field(image)
    view = survey(image, field)
    vote = estimate_diameter(image, field, first=view)
    return assess(
        view,
        scale=estimate_scale(vote, pixel_size=pixel_size, **given),
        vote=vote,
        pixel_size=pixel_size,
        judged_share=float(field.mean()),
        is_cut_out=is_cut_out,
    )


def warned(image, **given):
    return {finding.name for finding in quality_of(image, **given).warnings}


def test_an_ordinary_smear_is_not_warned_of():
    quality = quality_of(field_of_cells(60))
    assert [finding.name for finding in quality.findings] == NAMES
    assert quality.warnings == ()
    assert quality.is_smear


@pytest.mark.parametrize("slope", [1.5, 2.0, 2.6])
@pytest.mark.parametrize("colour", [0.2, 0.6, 1.2])
def test_what_has_the_spectrum_of_photographs_is_no_smear(slope, colour):
    assert not quality_of(natural_noise(slope=slope, colour=colour, seed=1)).is_smear


@pytest.mark.parametrize(
    "scene",
    [
        page_of_text(),
        drawn_cat(),
        np.full((480, 640, 3), 235, np.uint8),
        np.zeros((480, 640, 3), np.uint8),
        np.random.default_rng(0).integers(0, 256, (480, 640, 3)).astype(np.uint8),
        np.full((1, 1, 3), 200, np.uint8),
    ],
    ids=["text", "cat", "blank", "black", "noise", "one pixel"],
)
def test_what_is_no_smear_is_flagged(scene):
    quality = quality_of(scene)
    assert not quality.is_smear
    assert "does not look like" in quality.findings[-1].message


def cut_out(side):
    image = np.zeros((side, side, 3), np.uint8)
    cv2.circle(image, (side // 2, side // 2), round(0.48 * side), (190, 150, 170), -1)
    return image


def test_a_cell_that_was_cut_out_on_black_is_sent_to_classify_and_nothing_else_is_said():
    quality = quality_of(cut_out(140), is_cut_out=True)
    assert not quality.is_smear
    assert [finding.name for finding in quality.findings] == NAMES
    (told,) = quality.warnings
    assert "one cell, cut out on black" in told.message
    assert "bloodcells classify" in told.message


def test_a_large_image_with_a_black_border_is_judged_as_a_field():
    quality = quality_of(cut_out(900), is_cut_out=True)
    assert "one cell" not in quality.findings[-1].message


def test_a_smear_out_of_focus_is_warned_of():
    blurred = cv2.GaussianBlur(field_of_cells(60, overlap=1.2), (0, 0), 9)
    assert "focus" in warned(blurred)


@pytest.mark.parametrize("blur_px", [12, 16])
def test_a_few_dark_cells_do_not_change_how_sharp_the_others_look(blur_px):
    image = field_of_cells(60, overlap=1.2)
    darker = image.copy()
    for place in ((120, 120), (320, 300), (520, 160)):
        cv2.circle(darker, place, 55, (60, 30, 120), -1)
    plain, other = (
        quality_of(cv2.GaussianBlur(one, (0, 0), blur_px)).findings[0].value
        for one in (image, darker)
    )
    assert other == pytest.approx(plain, rel=0.15)


@pytest.mark.parametrize("contrast", [1.0, 0.6, 0.4])
def test_a_pale_stain_looks_as_sharp_as_a_dark_one(contrast):
    image = cv2.GaussianBlur(field_of_cells(60, overlap=1.2), (0, 0), 3)
    paler = (240 - contrast * (240 - image.astype(float))).astype(np.uint8)
    sharpness = quality_of(paler).findings[0].value
    assert sharpness == pytest.approx(quality_of(image).findings[0].value, rel=0.1)


def test_a_dark_image_is_warned_of():
    assert "exposure" in warned((field_of_cells(60) * 0.3).astype(np.uint8))


def test_an_image_that_is_black_and_white_is_not_told_to_have_more_light():
    image = field_of_cells(60, overlap=1.2)
    image = np.where(image[..., 1:2] < 200, 0, 255).astype(np.uint8).repeat(3, axis=2)
    (exposure,) = (one for one in quality_of(image).warnings if one.name == "exposure")
    assert "of the image are black" in exposure.message
    assert "light" not in exposure.message


def test_a_bleached_image_is_warned_of():
    image = np.clip(field_of_cells(60).astype(int) + 75, 0, 255).astype(np.uint8)
    assert "exposure" in warned(image)


def test_a_white_slide_is_not_too_bright_while_its_cells_are_not():
    image = np.clip(field_of_cells(60).astype(int) + 45, 0, 255).astype(np.uint8)
    assert (image.reshape(-1, 3) == 255).all(axis=1).mean() > 0.3
    assert "exposure" not in warned(image)


@pytest.mark.parametrize("diameter", [30, 60, 110])
def test_a_blur_of_a_good_tenth_of_a_cell_is_seen(diameter):
    image = field_of_cells(diameter, overlap=1.2)
    assert "focus" not in warned(image)
    assert "focus" in warned(cv2.GaussianBlur(image, (0, 0), 0.11 * diameter))


def test_an_image_without_colour_is_warned_of():
    grey = np.repeat(field_of_cells(60).mean(axis=2, keepdims=True), 3, axis=2)
    assert "colour" in warned(grey.astype(np.uint8))
    assert quality_of(grey.astype(np.uint8)).is_grey
    assert not quality_of(field_of_cells(60)).is_grey


@pytest.mark.parametrize(
    ("light", "shade"),
    [((1.0, 0.85, 0.5), "yellow"), ((0.5, 0.85, 1.0), "blue"), ((0.6, 1.0, 0.6), "green")],
)
def test_a_colour_cast_is_warned_of_with_its_shade(light, shade):
    image = (field_of_cells(60) * np.array(light)).astype(np.uint8)
    (found,) = (one for one in quality_of(image).warnings if one.name == "colour")
    assert f"the empty slide is {shade}" in found.message


def test_an_image_full_of_stain_is_warned_of():
    image = field_of_cells(60)
    image[:, :600] = (188, 142, 150)
    assert "crowding" in warned(image)


def test_an_image_with_a_single_cell_is_warned_of():
    assert "crowding" in warned(field_of_cells(40, count=1))


def test_a_green_stain_is_warned_of():
    image = field_of_cells(60)[:, :, [1, 0, 2]]
    assert "stain" in warned(np.ascontiguousarray(image))


def test_a_pale_stain_is_warned_of():
    image = field_of_cells(60).astype(float)
    pale = 0.84 * np.array([232, 226, 218]) + 0.16 * image
    assert "stain" in warned(pale.astype(np.uint8))


def test_a_scale_that_is_unknown_is_warned_of():
    assert "scale" in warned(natural_noise(slope=2.0, colour=0.5, seed=1))


def test_a_given_scale_that_is_not_that_of_the_image_is_warned_of():
    assert "scale" in warned(field_of_cells(60), cell_diameter_px=20.0)


def test_a_given_scale_that_fits_is_not_warned_of():
    assert warned(field_of_cells(60), cell_diameter_px=60.0) == set()


def test_cells_of_few_pixels_are_warned_of():
    assert "scale" in warned(field_of_cells(60), cell_diameter_px=5.0)


def test_a_small_field_of_view_is_warned_of():
    image, _ = through_eyepiece(field_of_cells(30, shape=(600, 900)), radius_share=0.35)
    quality = quality_of(image)
    assert quality.judged_share < 0.3
    assert "field" in {finding.name for finding in quality.warnings}


def scale_words(**options):
    findings = quality_of(field_of_cells(60), **options).findings
    return next(finding for finding in findings if finding.name == "scale")


@pytest.mark.parametrize("is_given", [True, False])
@pytest.mark.parametrize(
    ("um", "words"), [(0.3, "look like"), (20.0, "expected 0.02 to 1.2 µm"), (0.005, "expected")]
)
def test_an_absurd_pixel_size_is_questioned_with_its_origin(um, words, is_given):
    size = PixelSize(um=um, origin="a test", is_given=is_given)
    found = scale_words(pixel_size=size)
    assert found.severity == "warning"
    assert words in found.message
    assert "a test" in found.message


def test_a_pixel_size_that_fits_is_not_questioned():
    size = PixelSize(um=0.125, origin="a test", is_given=False)
    assert scale_words(pixel_size=size).severity == "ok"


def test_a_diameter_and_a_pixel_size_that_do_not_go_together_are_questioned():
    size = PixelSize(um=0.5, origin="a test", is_given=True)
    blank = np.full((200, 200, 3), 230, np.uint8)
    found = quality_of(blank, pixel_size=size, cell_diameter_px=60.0).findings[4]
    assert "30.0 µm wide" in found.message
