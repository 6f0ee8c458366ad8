"""Fields of a review page on the disk: their pixels, and their outlines in few bytes."""

import base64
import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blood_cell_system.reports.page.field_spool import FieldSpool, encode_outlines, pack_field

CORNERS = st.integers(0, 40_000).map(lambda number: number + 0.5)
OUTLINES = st.lists(st.lists(st.tuples(CORNERS, CORNERS), max_size=9), max_size=5)


def decoded(data):
    """Outlines as the script of the page unpacks them, written anew from their description."""
    numbers, value, shift = [], 0, 0
    for byte in data:
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            numbers.append(value)
            value = shift = 0
    outlines, x, y = [], 0.5, 0.5
    while numbers:
        outline = []
        for _ in range(numbers.pop(0)):
            for _ in "xy":
                step = numbers.pop(0)
                x, y = y, x + (-(step + 1) // 2 if step % 2 else step // 2)
            outline.append((x, y))
        outlines.append(outline)
    return outlines


@given(OUTLINES)
def test_outlines_come_back_as_they_were(outlines):
    assert decoded(encode_outlines(outlines)) == outlines


def blocks_of(field):
    return [
        cv2.imdecode(np.frombuffer(base64.b64decode(line), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        for line in field.text.split("\n")[1:]
    ]


def test_a_large_field_is_cut_into_blocks_of_one_size(tmp_path):
    image = np.zeros((1000, 1600, 3), np.uint8)
    image[:, 800:] = 200
    field = FieldSpool(tmp_path).add(pack_field(image, [], None))
    assert (field.width_px, field.height_px, field.block_px) == (1600, 1000, 534)
    blocks = blocks_of(field)
    assert [block.shape[:2] for block in blocks] == [
        *[(534, 534), (534, 534), (534, 532)],
        *[(466, 534), (466, 534), (466, 532)],
    ]
    rows = np.concatenate([np.hstack(blocks[:3]), np.hstack(blocks[3:])])
    assert np.abs(rows.astype(int) - image).mean() < 1


def test_very_large_cells_are_shown_smaller(tmp_path):
    field = FieldSpool(tmp_path).add(pack_field(np.zeros((300, 400, 3), np.uint8), [], 160.0))
    assert (field.width_px, field.height_px) == (200, 150)
    assert blocks_of(field)[0].shape == (150, 200, 3)


def test_fields_do_not_mix_and_leave_nothing_behind(tmp_path):
    spool = FieldSpool(tmp_path)
    fields = [
        spool.add(pack_field(np.full((8, 8, 3), grey, np.uint8), [], None)) for grey in (10, 240)
    ]
    assert [round(blocks_of(field)[0].mean()) for field in fields] == [10, 240]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fields", [5, 50])
def test_waiting_fields_take_no_memory(tmp_path, fields):
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    spool = FieldSpool(tmp_path)
    tracemalloc.start()
    kept = [spool.add(pack_field(image, [], None)) for _ in range(fields)]
    memory, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(field.size for field in kept) > fields * 4000
    assert memory < 40_000 + fields * 1000
