import cv2
import numpy as np
import pytest
from support.smears import small_smear_settings

from blood_cell_system.curation.alignment import POSITIONS, detail_correlation, position_parts
from blood_cell_system.curation.duplicates import groups_of_same
from blood_cell_system.curation.field_views import field_view, same_field_pairs
from blood_cell_system.datasets.synthetic.smear import draw_smear
from blood_cell_system.masks.verification.fingerprints import fingerprint

WHOLE = (0.0, 0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def fields():
    settings = small_smear_settings((160, 208))
    return [draw_smear(settings, np.random.default_rng(seed)).image for seed in range(6)]


def cropped(image):
    height, width = image.shape[:2]
    return image[height // 20 : height - height // 12, width // 11 : width - width // 25]


CHANGES = {
    "flipped": lambda image: image[::-1],
    "turned": lambda image: np.rot90(image),
    "darker and tinted": lambda image: (image * [0.8, 0.6, 0.9]).astype(np.uint8),
    "channels exchanged": lambda image: image[:, :, ::-1],
    "recompressed": lambda image: cv2.imdecode(
        cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], 1
    ),
    "half as large": lambda image: cv2.resize(image, None, fx=0.5, fy=0.5),
    "enlarged": lambda image: cv2.resize(image, None, fx=1.5, fy=1.5),
    "cut": cropped,
    "cut and turned": lambda image: np.rot90(cropped(image)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_shows_the_same_field(fields, change):
    copy = np.ascontiguousarray(CHANGES[change](fields[2]))
    pairs, _ = same_field_pairs([field_view(image) for image in (*fields, copy)])
    assert pairs.tolist() == [[2, len(fields)]]


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize(("down", "across"), [(8, 9), (5, 0), (3, 10)])
def test_a_field_of_which_the_stage_was_moved_a_little_is_the_same_field(
    fields, down, across, turn
):
    height, width = fields[2].shape[:2]
    rows, columns = height * down // 100, width * across // 100
    first = fields[2][: height - rows, columns:]
    second = np.rot90(fields[2][rows:, : width - columns], turn)
    images = (fields[0], first, fields[1], second)
    pairs, _ = same_field_pairs([field_view(np.ascontiguousarray(image)) for image in images])
    assert pairs.tolist() == [[1, 3]]


def test_a_picture_of_nothing_has_no_view():
    assert field_view(np.full((90, 120, 3), 200, dtype=np.uint8)) is None


def test_one_picture_has_no_pair(fields):
    pairs, correlations = same_field_pairs([field_view(fields[0])])
    assert pairs.shape == (0, 2)
    assert len(correlations) == 0


def single_cell(seed, tone):
    """One dark disc in the middle, grainy inside: as pictures of single cells are."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:160, :160]
    grain = cv2.GaussianBlur(generator.normal(0, 1, (160, 160)), (0, 0), 4) * 300
    is_cell = np.hypot(rows - 80, columns - 80) < 40
    gray = np.where(is_cell, tone + grain, 230)
    return np.clip(np.repeat(gray[:, :, None], 3, axis=2), 0, 255).astype(np.uint8)


def test_cells_in_the_middle_of_two_pictures_do_not_make_them_one_field():
    pairs, _ = same_field_pairs([field_view(single_cell(seed, 90)) for seed in range(4)])
    assert len(pairs) == 0


@pytest.mark.parametrize("position", range(POSITIONS))
def test_a_view_agrees_with_itself_in_its_own_position(fields, position):
    view = field_view(fields[0])
    is_swapped, down, across = position_parts(position)
    turned = view[:: -1 if down else 1, :: -1 if across else 1]
    turned = turned.T if is_swapped else turned
    # The position is what brings it back.
    agreement = detail_correlation(turned, view, part=WHOLE, window=WHOLE, position=position)
    assert agreement > 0.99


def test_a_view_of_nothing_agrees_with_nothing(fields):
    nothing = np.zeros((64, 64), dtype=np.int8)
    view = field_view(fields[0])
    assert detail_correlation(nothing, view, part=WHOLE, window=WHOLE, position=0) == -1


def groups(images, *, belongs_with=None, hashes=None):
    return groups_of_same(
        hashes or [str(index) for index in range(len(images))],
        [fingerprint(image) for image in images],
        [field_view(image) for image in images],
        belongs_with or list(range(len(images))),
    ).tolist()


def test_groups_go_through_the_picture_that_two_have_in_common(fields):
    half = np.ascontiguousarray(fields[0][::-1])
    cut = np.ascontiguousarray(cropped(fields[0]))
    assert groups([half, fields[1], fields[0], cut]) == [0, 1, 0, 0]


def test_what_belongs_together_stays_together(fields):
    assert groups(fields[:3], belongs_with=[0, 0, 2]) == [0, 0, 1]


def test_pictures_of_nothing_are_together_only_when_they_are_equal():
    blank = np.full((80, 80, 3), 200, dtype=np.uint8)
    assert groups([blank, blank, blank], hashes=["a", "b", "a"]) == [0, 1, 0]
