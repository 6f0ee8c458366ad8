"""Which cells are suggested, on tables of cells whose answers are known."""

from collections import Counter

import numpy as np
import pytest

from blood_cell_system.cells.table import Cells
from blood_cell_system.corrections import next_cells
from blood_cell_system.corrections.next_cells import MOST_OF_A_FIELD, suggest_cells, uncertainty
from blood_cell_system.taxonomy import BUILT_IN

SUBTYPES = [one.name for one in BUILT_IN["WBC"].subtypes]


def white_cells(subtypes, *, shares=0.9, images="a", **columns):
    """White cells of which the classifier says that they are of these subtypes."""
    count = len(subtypes)
    shares = np.broadcast_to(shares, count)
    told = {
        f"{name}_prob": np.where(
            np.array(subtypes) == name, shares, (1 - shares) / (len(SUBTYPES) - 1)
        )
        for name in SUBTYPES
    }
    fixed = {
        "image": [images] * count if isinstance(images, str) else images,
        "cell_type": ["WBC"] * count,
        "confidence": np.ones(count),
        "is_known": np.ones(count, dtype=bool),
    }
    no_pixels = Cells(label_image=np.zeros((0, 0), dtype=np.int32))
    return no_pixels.with_columns(**(fixed | told | columns))


def unreviewed(cells):
    return np.zeros(len(cells), dtype=bool)


def test_a_cell_is_as_uncertain_as_its_least_certain_answer():
    cells = white_cells(
        ["monocyte"] * 5,
        shares=[1.0, 0.4, 1.0, 1.0, 1.0],
        confidence=[1.0, 1.0, 0.7, 1.0, 1.0],
        is_known=[True, True, True, False, True],
        healthy_WBC_prob=[1.0, 1.0, 1.0, 1.0, 0.6],
        cancer_WBC_prob=[0.0, 0.0, 0.0, 0.0, 0.4],
    )
    np.testing.assert_allclose(uncertainty(cells), [0, 0.7, 0.3, 1, 0.8], atol=1e-9)


def test_a_cell_that_nobody_classified_is_as_uncertain_as_that_it_is_there():
    cells = white_cells(["monocyte"], shares=[np.nan], confidence=[0.6])
    np.testing.assert_allclose(uncertainty(cells), [0.4])


def test_each_kind_of_cell_is_suggested_before_one_comes_twice():
    kinds = ["neutrophil"] * 60 + ["monocyte"] * 5 + ["basophil"] * 2 + ["eosinophil"] * 3
    cells = white_cells(kinds, images=[f"field {i % 7}" for i in range(70)])
    chosen = suggest_cells(cells, 4, is_reviewed=unreviewed(cells))
    assert sorted(np.array(kinds)[chosen]) == ["basophil", "eosinophil", "monocyte", "neutrophil"]


def test_where_the_program_is_less_sure_more_cells_are_suggested():
    is_doubtful = np.arange(200) >= 100
    cells = white_cells(
        ["monocyte"] * 200,
        images=[f"{i % 50}" for i in range(200)],
        solidity=np.linspace(0, 1, 200),
        confidence=np.where(is_doubtful, 0.05, 1.0),
    )
    chosen = suggest_cells(cells, 20, is_reviewed=unreviewed(cells))
    assert is_doubtful[chosen].sum() > 11
    assert (np.diff(uncertainty(cells)[chosen]) <= 0).all()


def test_what_was_reviewed_is_not_suggested_nor_what_is_like_it():
    kinds = ["neutrophil"] * 30 + ["monocyte"] * 30
    cells = white_cells(kinds, images=[f"{i % 10}" for i in range(60)])
    is_reviewed = unreviewed(cells)
    is_reviewed[:3] = True
    chosen = suggest_cells(cells, 1, is_reviewed=is_reviewed)
    assert np.array(kinds)[chosen] == ["monocyte"]
    assert not is_reviewed[suggest_cells(cells, 57, is_reviewed=is_reviewed)].any()


def test_never_twenty_cells_come_from_one_field():
    cells = white_cells(["monocyte"] * 300, shares=np.linspace(0.3, 1, 300))
    assert len(suggest_cells(cells, 50, is_reviewed=unreviewed(cells))) == MOST_OF_A_FIELD == 19


def test_no_field_gives_more_than_twice_the_mean():
    images = ["crowded"] * 200 + [f"field {i % 9}" for i in range(100)]
    cells = white_cells(["monocyte"] * 300, shares=np.linspace(0.3, 1, 300), images=images)
    chosen = suggest_cells(cells, 50, is_reviewed=unreviewed(cells))
    assert len(chosen) == 50
    assert max(Counter(cells["image"][chosen]).values()) <= 10


def test_types_have_equal_parts_as_far_as_they_have_cells():
    white = white_cells(["monocyte"] * 5, images=[f"{i}" for i in range(5)])
    red = Cells(label_image=np.zeros((0, 0), dtype=np.int32)).with_columns(
        cell_type=["RBC"] * 200,
        confidence=np.ones(200),
        is_known=np.ones(200, dtype=bool),
        healthy_RBC_prob=np.linspace(0.5, 1, 200),
        malaria_RBC_prob=np.linspace(0.5, 0, 200),
    )
    both = Cells.joined({"white": white, "red": red})
    both = both.with_columns(image=[f"{i % 20}" for i in range(205)])
    chosen = suggest_cells(both, 20, is_reviewed=unreviewed(both))
    assert Counter(both["cell_type"][chosen]) == {"WBC": 5, "RBC": 15}


def test_cells_that_were_not_classified_are_not_suggested():
    cells = white_cells(["monocyte"] * 4, shares=[np.nan, 0.5, np.nan, np.nan])
    assert suggest_cells(cells, 4, is_reviewed=unreviewed(cells)).tolist() == [1]


def test_images_that_are_no_smears_give_no_suggestions():
    cells = white_cells(["monocyte"] * 2, is_smear=[False, True], images=["a", "b"])
    assert suggest_cells(cells, 2, is_reviewed=unreviewed(cells)).tolist() == [1]


def test_a_table_without_cells_gives_none():
    cells = white_cells([])
    assert suggest_cells(cells, 5, is_reviewed=unreviewed(cells)).tolist() == []


def test_the_same_seed_gives_the_same_cells():
    draw = np.random.default_rng(0)
    kinds = draw.choice(SUBTYPES, 200).tolist()
    cells = white_cells(
        kinds, shares=draw.uniform(0.3, 1, 200), images=[f"{i % 40}" for i in range(200)]
    )
    first, again, other = (
        suggest_cells(cells, 20, is_reviewed=unreviewed(cells), seed=seed).tolist()
        for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_of_very_many_cells_some_are_drawn(monkeypatch):
    monkeypatch.setattr(next_cells, "_CANDIDATES", 30)
    cells = white_cells(
        ["monocyte"] * 300,
        shares=np.linspace(0.3, 1, 300),
        images=[f"{i % 50}" for i in range(300)],
    )
    assert len(suggest_cells(cells, 60, is_reviewed=unreviewed(cells))) == 30


@pytest.mark.parametrize("count", [1, 7])
def test_cells_that_are_all_alike_are_suggested_each_once(count):
    cells = white_cells(["monocyte"] * 7, images=[f"{i}" for i in range(7)])
    chosen = suggest_cells(cells, count, is_reviewed=unreviewed(cells))
    assert len(set(chosen.tolist())) == count
