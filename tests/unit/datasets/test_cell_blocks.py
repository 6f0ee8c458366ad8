import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blood_cell_system.annotation.splits import Split
from blood_cell_system.datasets.cell_blocks import (
    blocks_of_names,
    in_natural_order,
    split_by_blocks,
)
from blood_cell_system.errors import SettingsError


def test_numbers_in_names_are_sorted_as_numbers():
    assert in_natural_order(["b2", "b10", "b1", "a"]) == ["a", "b1", "b2", "b10"]


def test_runs_of_neighbouring_names_are_blocks():
    blocks = blocks_of_names([f"img{number}" for number in range(25)], block_size=10)
    assert blocks["img9"] == blocks["img0"] != blocks["img10"]
    assert len(set(blocks.values())) == 3


def test_a_pattern_finds_the_slide():
    blocks = blocks_of_names(["C33_x_1", "C33_x_2", "C34_x_1"], pattern=r"^(C\d+)_")
    assert blocks == {"C33_x_1": "C33", "C33_x_2": "C33", "C34_x_1": "C34"}


def test_a_pattern_without_group_is_taken_as_a_whole():
    assert blocks_of_names(["s1-a"], pattern=r"s\d") == {"s1-a": "s1"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pattern": "("}, "no regular expression"),
        ({"pattern": "^Z"}, "does not fit 'a1'"),
        ({"block_size": 0}, "expected 1 or more"),
    ],
)
def test_blocks_that_make_no_sense_are_refused(options, message):
    with pytest.raises(SettingsError, match=message):
        blocks_of_names(["a1"], **options)


@given(
    st.lists(st.tuples(st.integers(0, 20), st.sampled_from("xy")), min_size=1, max_size=200),
    st.integers(0, 5),
)
@settings(max_examples=50, deadline=None)
def test_every_block_has_one_split_and_the_order_of_cells_does_not_matter(cells, seed):
    blocks = [f"b{block}" for block, _ in cells]
    classes = [name for _, name in cells]
    chosen = split_by_blocks(blocks, classes, seed=seed)
    assert set(chosen) == set(blocks)
    assert chosen == split_by_blocks(blocks[::-1], classes[::-1], seed=seed)


def test_every_class_gets_about_its_share_in_every_split():
    blocks = [f"b{number // 10}" for number in range(1000)]
    classes = ["often" if number % 10 else "seldom" for number in range(1000)]
    chosen = split_by_blocks(blocks, classes)
    for name in ("often", "seldom"):
        members = [chosen[block] for block, own in zip(blocks, classes, strict=True) if own == name]
        assert members.count(Split.TEST) / len(members) == pytest.approx(0.2, abs=0.03)
        assert members.count(Split.VAL) / len(members) == pytest.approx(0.15, abs=0.03)


def test_a_class_of_one_block_is_learned_from():
    blocks = ["only"] * 5 + [f"b{number}" for number in range(20)]
    chosen = split_by_blocks(blocks, ["rare"] * 5 + ["often"] * 20)
    assert chosen["only"] is Split.TRAIN
