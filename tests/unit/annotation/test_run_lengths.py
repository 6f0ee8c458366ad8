import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco_mask

from blood_cell_system.annotation.run_lengths import (
    compress_counts,
    counts_of_mask,
    decompress_counts,
    mask_of_counts,
)
from blood_cell_system.errors import AnnotationError

MASKS = arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, max_side=40))


def whole_mask(counts, shape):
    rows, first = mask_of_counts(counts, shape)
    mask = np.zeros(shape, bool)
    mask[first : first + len(rows)] = rows
    return mask


@given(MASKS)
def test_a_mask_comes_back_from_its_run_lengths(mask):
    np.testing.assert_array_equal(whole_mask(counts_of_mask(mask), mask.shape), mask)


@given(MASKS)
def test_only_rows_from_the_first_to_the_last_that_is_set_are_made(mask):
    rows, first = mask_of_counts(counts_of_mask(mask), mask.shape)
    is_set = np.flatnonzero(mask.any(axis=1))
    assert len(rows) == (is_set[-1] - is_set[0] + 1 if len(is_set) else 0)
    assert first == (is_set[0] if len(is_set) else 0)


@given(MASKS)
def test_compressed_run_lengths_are_those_of_pycocotools(mask):
    expected = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
    assert compress_counts(counts_of_mask(mask.T)) == expected.decode("ascii")


@given(MASKS)
def test_what_pycocotools_compresses_is_read(mask):
    text = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode("ascii")
    np.testing.assert_array_equal(whole_mask(decompress_counts(text), mask.T.shape).T, mask)


@given(st.lists(st.integers(0, 2**40), max_size=30))
def test_compressed_run_lengths_come_back_whatever_their_size(counts):
    assert decompress_counts(compress_counts(counts)).tolist() == counts


@pytest.mark.parametrize("counts", [[4], [3, 3], [], [2**62, 2**62]])
def test_run_lengths_of_another_size_are_refused(counts):
    with pytest.raises(AnnotationError, match="expected 5"):
        mask_of_counts(counts, (1, 5))


@pytest.mark.parametrize("counts", [[6, -1], [2.5, 2.5], ["a"], [[1, 4]], None, [10**30], 5])
def test_run_lengths_that_are_no_counts_are_refused(counts):
    with pytest.raises(AnnotationError, match="whole numbers"):
        mask_of_counts(counts, (1, 5))


@pytest.mark.parametrize("text", ["~~", "3\x1f", "é"])
def test_letters_that_coco_does_not_use_are_refused(text):
    with pytest.raises(AnnotationError, match="letters"):
        decompress_counts(text)


def test_compressed_run_lengths_that_are_cut_off_are_refused():
    with pytest.raises(AnnotationError, match="cut off"):
        decompress_counts(compress_counts([100, 2000])[:-1])


def test_compressed_numbers_beyond_all_images_are_refused():
    with pytest.raises(AnnotationError, match="larger than any image"):
        decompress_counts("o" * 40 + "0")
