import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from blood_cell_system.errors import MaskFormatError
from blood_cell_system.imaging.mask_encoding import decode_class_mask, encode_class_mask
from blood_cell_system.taxonomy import NOT_SCORED

SHAPES = st.tuples(st.integers(0, 9), st.integers(0, 9))
CLASS_MASKS = hnp.arrays(np.uint8, SHAPES, elements=st.sampled_from([0, 1, 2, NOT_SCORED]))


@given(CLASS_MASKS)
def test_what_is_encoded_is_decoded_again(class_mask):
    found = decode_class_mask(encode_class_mask(class_mask))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, class_mask)


@given(CLASS_MASKS)
def test_an_encoded_mask_has_one_channel_set_where_it_is_scored(class_mask):
    rgb = encode_class_mask(class_mask)
    assert rgb.dtype == np.uint8
    np.testing.assert_array_equal(rgb.sum(axis=2, dtype=int) == 255, class_mask != NOT_SCORED)


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 4), st.integers(1, 4), st.just(3))))
def test_decoding_gives_the_same_mask_or_refuses(rgb):
    try:
        class_mask = decode_class_mask(rgb)
    except MaskFormatError:
        is_well_formed = np.isin(rgb, (0, 255)).all() and (rgb == 255).sum(axis=2).max() <= 1
        assert not is_well_formed
    else:
        np.testing.assert_array_equal(encode_class_mask(class_mask), rgb)


def test_decoding_leaves_the_mask_alone():
    rgb = np.zeros((2, 2, 3), np.uint8)
    decode_class_mask(rgb)[:] = 1
    assert not rgb.any()


def test_a_value_that_is_no_class_is_refused():
    with pytest.raises(MaskFormatError, match=r"values \[3, 254\] are no classes"):
        encode_class_mask(np.array([[0, 3, 254]], np.uint8))


@pytest.mark.parametrize(
    "class_mask",
    [
        np.array([[-1]]),
        np.array([[True]]),
        np.array([[1.0]]),
        np.zeros((2, 2, 1), np.uint8),
        np.zeros(2, np.uint8),
    ],
)
def test_a_class_mask_of_another_kind_is_refused(class_mask):
    with pytest.raises(MaskFormatError, match="Received: shape"):
        encode_class_mask(class_mask)


@pytest.mark.parametrize(
    "rgb",
    [
        np.zeros((2, 2), np.uint8),
        np.zeros((2, 2, 4), np.uint8),
        np.zeros((2, 2, 3), np.uint16),
        np.zeros((2, 2, 3), bool),
    ],
)
def test_a_mask_of_another_kind_is_refused(rgb):
    with pytest.raises(MaskFormatError, match="Received: shape"):
        decode_class_mask(rgb)


def test_a_mask_of_zeros_and_ones_is_refused():
    with pytest.raises(MaskFormatError, match=r"1 values besides 0 and 255 \(for instance \[1\]"):
        decode_class_mask(np.array([[[1, 0, 0]]], np.uint8))


def test_several_channels_of_a_pixel_are_refused():
    with pytest.raises(MaskFormatError, match="2 pixels have several channels set"):
        decode_class_mask(np.array([[[255, 255, 0], [255, 255, 255], [0, 0, 0]]], np.uint8))
