import math
from collections import Counter

import numpy as np
import pytest
from support.single_cells import drawn_cell_image

from blood_cell_system.augmentation.batches import batches
from blood_cell_system.augmentation.cell_batches import (
    UNKNOWN,
    CellAugmentation,
    CellBalance,
    CellLabels,
    CellSampler,
    HeldCells,
    plain_batches,
)
from blood_cell_system.datasets.cell_folder import CellRecord
from blood_cell_system.errors import SettingsError
from blood_cell_system.model_metadata import ClassifierKind, on_white

RBC, WBC = ClassifierKind("RBC"), ClassifierKind("WBC")


def record(number, condition, source="a", cell_type=None):
    is_outlier = condition == "not_a_cell"
    return CellRecord(
        file=f"{number}.png",
        condition=None if is_outlier else condition,
        cell_type=cell_type,
        is_outlier=is_outlier,
        source=source,
    )


RED = (
    [record(n, "healthy_RBC") for n in range(90)]
    + [record(90 + n, "malaria_RBC") for n in range(3)]
    + [record(93 + n, "healthy_RBC", "b") for n in range(5)]
    + [record(98 + n, "sickle_RBC", "b") for n in range(20)]
    + [record(118 + n, "healthy_RBC", "c") for n in range(5)]
    + [record(123 + n, "not_a_cell", "c") for n in range(7)]
)
WHITE = (
    [record(n, "healthy_WBC", "p", "neutrophil") for n in range(40)]
    + [record(40 + n, "healthy_WBC", "p", "basophil") for n in range(2)]
    + [record(42 + n, "healthy_WBC", "q", "basophil") for n in range(18)]
    + [record(60 + n, "healthy_WBC", "t") for n in range(4)]
    + [record(64 + n, "cancer_WBC", "t") for n in range(30)]
)


def sampler(records, kind, *, seed=0, augmentation=None, balance=None):
    cells = HeldCells(
        records, [drawn_cell_image((200, 100, index)) for index in range(len(records))]
    )
    labels = CellLabels.of(records, kind=kind)
    return CellSampler(cells, labels, seed=seed, augmentation=augmentation, balance=balance)


def drawn(records, kind, count=3000, **options):
    cells = sampler(records, kind, **options)
    return [records[cells.position_of(index)] for index in range(count)]


def test_labels_are_indices_and_unknown_is_minus_one():
    labels = CellLabels.of([WHITE[0], WHITE[-1], record(0, "not_a_cell", "z")], kind=WBC)
    assert labels.condition.tolist() == [0, 1, UNKNOWN]
    assert labels.cell_type.tolist() == [0, UNKNOWN, UNKNOWN]
    assert labels.known.tolist() == [1, 1, 0]
    assert [labels.sources[index] for index in labels.source] == ["p", "t", "z"]


def test_sources_can_be_given_in_an_order():
    labels = CellLabels.of(RED[:1], kind=RBC, sources=("z", "a"))
    assert labels.source.tolist() == [1]


def test_within_a_source_conditions_are_equally_frequent():
    found = Counter((r.source, r.condition) for r in drawn(RED, RBC) if not r.is_outlier)
    for source, conditions in (
        ("a", ("healthy_RBC", "malaria_RBC")),
        ("b", ("healthy_RBC", "sickle_RBC")),
    ):
        first, second = (found[source, condition] for condition in conditions)
        assert first / (first + second) == pytest.approx(0.5, abs=0.05)


def test_sources_count_with_the_square_root_of_their_cells():
    found = Counter(r.source for r in drawn(RED, RBC) if not r.is_outlier)
    assert found["a"] / found["b"] == pytest.approx(math.sqrt(93 / 25), rel=0.1)


def test_a_source_of_one_condition_counts_a_quarter():
    found = Counter(r.source for r in drawn(RED, RBC) if not r.is_outlier)
    assert found["c"] / found["b"] == pytest.approx(math.sqrt(5 / 25) / 4, abs=0.03)


def test_outliers_come_in_their_share():
    found = [r.is_outlier for r in drawn(RED, RBC, balance=CellBalance(outlier_share=0.3))]
    assert np.mean(found) == pytest.approx(0.3, abs=0.03)


def test_types_come_equally_often_and_large_sources_more_often():
    balance = CellBalance(outlier_share=0, type_share=0.99)
    found = Counter((r.cell_type, r.source) for r in drawn(WHITE, WBC, balance=balance))
    basophils = found["basophil", "p"] + found["basophil", "q"]
    assert found["neutrophil", "p"] / basophils == pytest.approx(1, abs=0.15)
    assert found["basophil", "q"] / found["basophil", "p"] == pytest.approx(3, rel=0.15)


def test_all_cells_of_a_class_are_drawn():
    assert {r.file for r in drawn(RED, RBC)} == {r.file for r in RED}


def test_an_example_depends_on_seed_and_index_alone():
    first = sampler(RED, RBC, augmentation=CellAugmentation())
    second = sampler(RED, RBC, augmentation=CellAugmentation())
    second[5]
    np.testing.assert_array_equal(first[9]["cells"], second[9]["cells"])
    other = sampler(RED, RBC, seed=1, augmentation=CellAugmentation())
    assert any((first[i]["cells"] != other[i]["cells"]).any() for i in range(3))


def test_without_augmentation_images_are_as_they_are():
    cells = sampler(RED, RBC)
    position = cells.position_of(4)
    np.testing.assert_array_equal(
        cells[4]["cells"], on_white(drawn_cell_image((200, 100, position)))
    )


def test_batches_come_in_order_whatever_thread_is_first():
    cells = sampler(RED, RBC)
    made = list(batches(cells.__getitem__, batch_size=4, first_index=8, count=3))
    assert [batch["cells"].shape for batch in made] == [(4, 130, 130, 3)] * 3
    expected = [cells[index] for index in range(8, 20)]
    for name, dtype in (("cells", np.uint8), ("condition", np.int32), ("known", np.float32)):
        joined = np.concatenate([batch[name] for batch in made])
        assert joined.dtype == dtype
        np.testing.assert_array_equal(joined, [example[name] for example in expected])


def test_plain_batches_give_every_cell_once():
    cells = HeldCells(WHITE[:5], [drawn_cell_image((200, 100, index)) for index in range(5)])
    labels = CellLabels.of(WHITE[:5], kind=WBC)
    batches = list(plain_batches(cells, labels, batch_size=2))
    assert [len(batch["cells"]) for batch in batches] == [2, 2, 1]
    np.testing.assert_array_equal(batches[2]["cells"][0], on_white(cells[4]))


def test_cells_without_any_label_are_refused():
    with pytest.raises(SettingsError, match="known condition or type"):
        sampler([record(0, "not_a_cell")], RBC)


@pytest.mark.parametrize("shares", [{"outlier_share": 1.0}, {"type_share": -0.1}])
def test_shares_out_of_range_are_refused(shares):
    with pytest.raises(SettingsError, match=r"share is .*; expected from 0 to below 1"):
        CellBalance(**shares)
