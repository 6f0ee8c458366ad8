"""The queries of docs/cluster.md run on a dataset, and its lines name what there is."""

import re
from pathlib import Path

import pytest
import yaml
from support.results_datasets import failed, outcome_of, written

from blood_cell_system.cluster.dataset_sums import write_sums
from blood_cell_system.cluster.scheduling import LOCAL_SETTINGS

pytest.importorskip("pyarrow", reason="of the extra [cluster]")
PAGE = (Path(__file__).parents[3] / "docs" / "cluster.md").read_text("utf-8")
QUERIES = re.findall(r"```python\n(.*?)```", PAGE.partition("### Queries")[2], re.DOTALL)


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    outcomes = [outcome_of("a", slide="01", patient="P1"), failed("b", slide="02")]
    found = written(tmp_path / "dataset", {"k": outcomes})
    write_sums(found)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "dataset"


def printed(query, capsys):
    exec(query, {})
    return capsys.readouterr().out


def test_the_queries_of_the_page_run(dataset, capsys):
    pandas, duckdb, sums = QUERIES
    assert re.search(r"RBC +3\b", printed(pandas, capsys))
    pytest.importorskip("duckdb")
    assert re.search(r"│ 01 +│ +3 │ +0 │", printed(duckdb, capsys))
    assert printed(sums, capsys).startswith("01 {'RBC': 3, 'WBC': 1, 'Platelet': 1}")


def test_the_files_of_the_page_are_those_of_a_dataset(dataset):
    drawn = PAGE.partition("dataset/\n")[2].partition("```")[0]
    found = {path.relative_to(dataset).parts[0] for path in dataset.rglob("*") if path.is_file()}
    for name in found:
        assert name in drawn


def test_workers_by_hand_get_the_settings_of_local_ones():
    config = pytest.importorskip("dask").config
    page = yaml.safe_load(re.search(r"```yaml\n(distributed.*?)```", PAGE, re.DOTALL)[1])
    environment = page["distributed"]["nanny"]["pre-spawn-environ"]
    # Dask has it in its own settings, and adds ours to them.
    assert environment.pop("MALLOC_TRIM_THRESHOLD_", "") is None
    found = {name: config.get(name, config=page) for name in LOCAL_SETTINGS}
    assert found == LOCAL_SETTINGS
