import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blood_cell_system.model_metadata import (
    NO_HASH,
    OnnxMetadata,
    content_hash,
    with_content_hash,
)

METADATA = OnnxMetadata(
    training_diameter_px=100.0, software_version="1.2.3", source_sha256="ab" * 32
)
PLACE = b"blood_cell_system.content_sha256\x12\x40"


def test_metadata_survive_being_written_and_read():
    assert OnnxMetadata.from_properties(METADATA.as_properties()) == METADATA


def test_a_file_of_another_program_has_none():
    assert OnnxMetadata.from_properties({"author": "somebody"}) is None


@pytest.mark.parametrize("diameter", ["0", "-3", "inf", "nan", "wide"])
def test_a_diameter_that_is_no_length_is_refused(diameter):
    properties = METADATA.as_properties()
    properties["blood_cell_system.training_diameter_px"] = diameter
    with pytest.raises(ValueError):
        OnnxMetadata.from_properties(properties)


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_a_file_with_its_hash_has_that_hash(before, after):
    data = with_content_hash(before + PLACE + NO_HASH.encode() + after)
    assert content_hash(data).encode() in data
    assert len(data) == len(before) + len(PLACE) + 64 + len(after)


def test_the_hash_is_that_of_the_file_with_zeros_in_its_place():
    data = b"weights" + PLACE + NO_HASH.encode() + b"end"
    assert content_hash(with_content_hash(data)) == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("place", [0, 7 + len(PLACE) + 64])
def test_one_changed_byte_changes_the_hash(place):
    data = bytearray(with_content_hash(b"weights" + PLACE + NO_HASH.encode() + b"end"))
    before = content_hash(bytes(data))
    data[place] ^= 1
    assert content_hash(bytes(data)) != before
