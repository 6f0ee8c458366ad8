import time

import cv2
import numpy as np
import pytest
from support.labelled_smears import draw_smear

from blood_cell_system.datasets.duplicates.field_features import (
    field_hash,
    fingerprint,
    pairs_of_like_hashes,
    similar_pairs,
)


def prints(*images: np.ndarray) -> np.ndarray:
    return np.stack([fingerprint(np.ascontiguousarray(image)) for image in images])


def recompressed(image):
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], 1)


SAME = {
    "turned by 90°": lambda image: np.rot90(image),
    "turned by 180°": lambda image: np.rot90(image, 2),
    "turned by 270°": lambda image: np.rot90(image, 3),
    "mirrored": lambda image: image[:, ::-1],
    "upside down": lambda image: image[::-1],
    "mirrored and turned": lambda image: np.rot90(image[:, ::-1]),
    "half as large": lambda image: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=3),
    "darker": lambda image: (image * 0.75).astype(np.uint8),
    "recompressed": recompressed,
    "unevenly lit": lambda image: (image * np.linspace(0.7, 1, image.shape[1])[:, None]).astype(
        np.uint8
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_a_field_is_known_again_when_it_is(name):
    image = draw_smear(3)[0]
    pairs, correlations = similar_pairs(prints(image, SAME[name](image)))
    assert pairs.tolist() == [[0, 1]]
    assert correlations[0] > 0.9


def test_different_fields_of_one_slide_are_not_similar():
    pairs, _ = similar_pairs(prints(*(draw_smear(seed)[0] for seed in range(60))))
    assert len(pairs) == 0


def test_the_dark_surround_of_an_eyepiece_does_not_make_fields_similar():
    rows, columns = np.ogrid[:96, :128]
    is_field = ((rows - 48) / 46) ** 2 + ((columns - 64) / 60) ** 2 < 1
    seen = [np.where(is_field[:, :, None], draw_smear(s)[0], 12).astype(np.uint8) for s in range(9)]
    pairs, _ = similar_pairs(prints(*seen))
    assert len(pairs) == 0


def test_an_image_of_nothing_has_no_fingerprint():
    noise = np.random.default_rng(0).normal(200, 0.4, (96, 128, 3))
    assert fingerprint(noise.astype(np.uint8)) is None


def test_fewer_than_two_images_have_no_pairs():
    assert len(similar_pairs(prints(draw_smear(0)[0]))[0]) == 0


def test_no_pair_is_lost_by_the_search_for_candidates():
    rng = np.random.default_rng(0)
    bases = prints(*(draw_smear(seed)[0] for seed in range(12)))
    noisy = bases + rng.normal(0, 0.02, bases.shape) * (bases != 0)
    everything = np.concatenate([bases, noisy.transpose(0, 2, 1)]).astype(np.float32)
    everything /= np.linalg.norm(everything, axis=(1, 2), keepdims=True)
    found = {tuple(pair) for pair in similar_pairs(everything, at_least=0.8)[0].tolist()}
    assert found == brute_force_pairs(everything, at_least=0.8)
    assert len(found) == 12


def brute_force_pairs(fingerprints: np.ndarray, *, at_least: float) -> set[tuple[int, int]]:
    """Compare every pair in the image domain, in all eight positions."""
    spatial = [cv2.idct(np.pad(f, ((0, 16), (0, 16)))) for f in fingerprints]
    turned = [[np.rot90(p, k) for p in (image, image.T) for k in range(4)] for image in spatial]
    return {
        (i, j)
        for i in range(len(spatial))
        for j in range(i + 1, len(spatial))
        if max(float((spatial[i] * other).sum()) for other in turned[j]) >= at_least
    }


@pytest.mark.slow
def test_ten_thousand_images_are_compared_in_seconds():
    rng = np.random.default_rng(0)
    many = rng.normal(size=(10_000, 16, 16)).astype(np.float32)
    many /= np.linalg.norm(many, axis=(1, 2), keepdims=True)
    many[7_000] = many[12].T
    started = time.process_time()
    pairs, _ = similar_pairs(many)
    assert pairs.tolist() == [[12, 7_000]]
    assert time.process_time() - started < 20


@pytest.mark.parametrize("name", ["half as large", "darker", "recompressed", "unevenly lit"])
def test_a_changed_copy_has_a_like_hash(name):
    image = draw_smear(3)[0]
    hashes = [field_hash(np.ascontiguousarray(one)) for one in (image, SAME[name](image))]
    assert pairs_of_like_hashes(hashes).tolist() == [[0, 1]]


def test_different_fields_have_unlike_hashes():
    hashes = [field_hash(draw_smear(seed)[0]) for seed in range(8)]
    assert pairs_of_like_hashes(hashes).tolist() == []


def test_hashes_are_alike_up_to_24_of_256_bits():
    none, limit, beyond = (f"{(1 << bits) - 1:064x}" for bits in (0, 24, 25))
    pairs = pairs_of_like_hashes([none, None, limit, beyond, None])
    assert pairs.tolist() == [[0, 2], [2, 3]]


def test_an_image_of_nothing_has_no_hash():
    assert field_hash(np.full((60, 80, 3), 200, np.uint8)) is None
    assert pairs_of_like_hashes([None, None]).tolist() == []
