import dataclasses
import json

import pandas as pd
import pytest
from support.analysed_images import CELLS, analysis_of
from support.classified_cells import PROVENANCE, classified_report
from support.results_datasets import failed, outcome_of, record_of, written

from blood_cell_system.cluster.results_dataset import ResultsDataset
from blood_cell_system.cluster.storage import Storage
from blood_cell_system.errors import DatasetError, MissingDataError
from blood_cell_system.reports.cell_table import write_cell_tables

pytest.importorskip("pyarrow", reason="of the extra [cluster]")

FEW = classified_report(analysis_of(CELLS[:2]))
OUTCOMES = (
    outcome_of("a", slide="S 1", patient="P1"),
    outcome_of("b", FEW, slide="S 1", patient="P1"),
    outcome_of("c", slide="S2", patient="P2"),
    failed("d", slide="S2"),
)


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.parquet"))


def test_a_dataset_has_a_file_of_cells_a_slide_and_a_row_each_image(tmp_path):
    written(tmp_path, {"k1": OUTCOMES})
    assert files_in(tmp_path) == [
        "cells/slide=S%201/part-k1.parquet",
        "cells/slide=S2/part-k1.parquet",
        "images/failed-k1.parquet",
        "images/part-k1.parquet",
    ]
    images = pd.read_parquet(tmp_path / "images").sort_values("image")
    assert images.image.tolist() == ["a", "b", "c", "d"]
    assert images.status.tolist() == ["ok", "ok", "ok", "failed"]
    assert images.RBC.fillna(-1).tolist() == [3, 1, 3, -1]
    assert images.reason.tolist()[3] == "damaged"


def test_its_cells_are_those_of_the_table_of_a_folder(tmp_path):
    written(tmp_path / "dataset", {"k1": OUTCOMES[:2], "k2": OUTCOMES[2:]})
    write_cell_tables(OUTCOMES, tmp_path)
    expected = pd.read_parquet(tmp_path / "cells.parquet")
    found = pd.read_parquet(tmp_path / "dataset" / "cells")
    found = found.astype({"slide": "str"}).sort_values(["image", "cell_id"], ignore_index=True)
    pd.testing.assert_frame_equal(found[list(expected)], expected, check_dtype=False)


def test_without_slides_the_cells_have_no_folders(tmp_path):
    dataset = written(tmp_path, {"k1": [outcome_of("a")]}, record_of(has_slides=False))
    assert files_in(tmp_path) == ["cells/part-k1.parquet", "images/part-k1.parquet"]
    assert "slide" not in pd.read_parquet(tmp_path / "cells")
    assert [one.sources for one in dataset.settle()] == [(("a", None, None),)]


def test_a_slide_of_odd_letters_is_read_back(tmp_path):
    duckdb = pytest.importorskip("duckdb")
    names = ["P/1=ü .", "%2E", "a'b"]
    outcomes = [outcome_of(str(number), slide=name) for number, name in enumerate(names)]
    written(tmp_path, {"k1": outcomes})
    query = f"select distinct slide from read_parquet('{tmp_path}/cells/*/*.parquet')"
    assert {name for (name,) in duckdb.sql(query).fetchall()} == set(names)
    assert set(pd.read_parquet(tmp_path / "cells").slide) == set(names)


def test_every_file_states_the_version_of_its_schema(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    dataset = written(tmp_path, {"k1": OUTCOMES})
    for path in tmp_path.rglob("*.parquet"):
        value = json.loads(parquet.read_schema(path).metadata[b"blood_cell_system"])
        assert (value["format_version"], value["dataset_sha256"]) == (1, dataset.record.digest)


def test_a_batch_that_was_written_again_is_there_once(tmp_path):
    written(tmp_path, {"k1": OUTCOMES})
    before = {name: (tmp_path / name).read_bytes() for name in files_in(tmp_path)}
    written(tmp_path, {"k1": OUTCOMES})
    assert {name: (tmp_path / name).read_bytes() for name in files_in(tmp_path)} == before


def test_cells_of_a_batch_that_does_not_count_are_removed(tmp_path):
    dataset = written(tmp_path, {"k1": OUTCOMES[:2]})
    dataset.write_cells("k2", OUTCOMES[2:])
    assert [(one.key, one.sources) for one in dataset.settle()] == [
        ("k1", (("a", "S 1", "P1"), ("b", "S 1", "P1")))
    ]
    assert files_in(tmp_path) == ["cells/slide=S%201/part-k1.parquet", "images/part-k1.parquet"]


def test_a_batch_whose_cells_have_gone_does_not_count(tmp_path):
    dataset = written(tmp_path, {"k1": OUTCOMES[:1], "k2": OUTCOMES[2:3]})
    (tmp_path / "cells/slide=S2/part-k2.parquet").unlink()
    assert [one.key for one in dataset.settle()] == ["k1"]
    assert files_in(tmp_path) == ["cells/slide=S%201/part-k1.parquet", "images/part-k1.parquet"]


def test_a_damaged_batch_does_not_count_and_cannot_be_summed_up(tmp_path):
    dataset = written(tmp_path, {"k1": OUTCOMES})
    (tmp_path / "images/part-k1.parquet").write_bytes(b"no Parquet")
    with pytest.raises(DatasetError, match=r"part-k1.parquet: damaged, or made with other"):
        list(dataset.image_rows("image"))
    assert list(dataset.settle()) == []
    assert files_in(tmp_path) == ["images/failed-k1.parquet"]


def test_what_does_not_count_any_more_goes_with_its_cells(tmp_path):
    dataset = written(tmp_path, {"k1": OUTCOMES[:1], "k2": OUTCOMES[2:3]})
    dataset.uncommit("k1")
    assert [one.key for one in dataset.settle()] == ["k2"]
    assert files_in(tmp_path) == ["cells/slide=S2/part-k2.parquet", "images/part-k2.parquet"]


def test_images_that_failed_are_listed_until_they_are_tried_again(tmp_path):
    dataset = written(tmp_path, {"k1": OUTCOMES})
    assert [len(one.sources) for one in dataset.settle()] == [3]
    assert list((tmp_path / "images").glob("failed-*"))
    dataset.forget_failed()
    assert not list((tmp_path / "images").glob("failed-*"))


def test_a_dataset_of_another_model_or_other_settings_is_not_continued(tmp_path):
    written(tmp_path, {})
    other = PROVENANCE.model_copy(update={"model_sha256": "ff" * 32})
    with pytest.raises(DatasetError, match=r"other provenance .*model cdcdcdcdcdcd.*ffff"):
        ResultsDataset.started(Storage(str(tmp_path)), record_of(provenance=other))
    settings = dataclasses.replace(record_of().settings, confidence_threshold=0.77)
    with pytest.raises(DatasetError, match="made with other settings"):
        ResultsDataset.started(Storage(str(tmp_path)), record_of(settings=settings))


def test_a_dataset_is_read_as_it_was_started(tmp_path):
    written(tmp_path, {})
    assert ResultsDataset.open(str(tmp_path)).record == record_of()
    settings = dataclasses.replace(record_of().settings, cell_diameter_px=60)
    place = Storage(str(tmp_path / "another"))
    for _ in range(2):
        ResultsDataset.started(place, record_of(settings=settings))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "holds no dataset of results: there is no dataset.json"),
        ("{}", r"dataset.json: damaged \(provenance"),
        ('{"format_version": 2}', "format version 2; this program reads version 1"),
        ("{", "not JSON"),
    ],
)
def test_what_is_no_dataset_is_refused(tmp_path, text, message):
    if text is not None:
        (tmp_path / "dataset.json").write_text(text, "utf-8")
    with pytest.raises((DatasetError, MissingDataError), match=message):
        ResultsDataset.open(str(tmp_path))
