import csv
import dataclasses
import json
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.analysed_images import CELLS, analysis_of, report_of
from support.classified_cells import classified_report

from blood_cell_system.reports import cell_table
from blood_cell_system.reports.batch_summary import BatchSummary, ImageOutcome, Slide
from blood_cell_system.reports.cell_table import columns_of, dictionary_page, write_cell_tables
from blood_cell_system.reports.report import DiagnosticReport, Place

ROOT = Path(__file__).parents[3]
DOCUMENT, README = ROOT / "docs" / "cells_table.md", ROOT / "README.md"
NOTEBOOK = ROOT / "docs" / "recompute_a_report.ipynb"


def outcome_of(name, report, slide=None):
    """An image as a batch has it: its report was written and read again."""
    again = DiagnosticReport.from_json(json.loads(json.dumps(report.to_json())))
    return ImageOutcome(name=name, path=f"{name}.png", report=again, slide=slide)


TWO = (
    outcome_of("a", classified_report(analysis_of(pixel_size_um=0.1))),
    ImageOutcome(name="broken", path="broken.png", reason="damaged"),
    outcome_of("b/c", classified_report(analysis_of(CELLS[:2])), Slide(name="S1", patient="P1")),
)


def read_csv(folder):
    return pd.read_csv(folder / "cells.csv")


def test_the_table_has_the_cells_of_all_images_that_were_analysed(tmp_path):
    write_cell_tables(TWO, tmp_path)
    frame = read_csv(tmp_path)
    assert frame["image"].tolist() == ["a"] * 5 + ["b/c"] * 2
    assert frame["cell_id"].tolist() == [1, 2, 3, 4, 5, 1, 2]
    assert frame["slide"].fillna("").tolist() == [""] * 5 + ["S1"] * 2
    assert frame["patient"].fillna("").tolist() == [""] * 5 + ["P1"] * 2


def test_it_has_types_reasons_probabilities_flags_and_measures(tmp_path):
    write_cell_tables(TWO, tmp_path)
    frame = read_csv(tmp_path)
    red = frame[(frame.image == "a") & (frame.cell_type == "RBC")]
    assert sorted(red.reason.fillna("assessed")) == ["assessed", "cut_off", "cut_off"]
    whole = red[red.reason.isna()].iloc[0]
    assert (whole.condition, whole.healthy_RBC_prob) == ("healthy_RBC", 0.9)
    assert whole.perimeter_um == pytest.approx(0.1 * whole.perimeter, abs=1e-4)
    assert red[red.touches_border]["flags"].str.contains("touching_border").all()
    assert frame.is_smear.dtype == frame.is_counted.dtype == bool
    assert frame[frame.image == "b/c"].perimeter_um.isna().all()


def test_parquet_has_the_same_as_csv(tmp_path):
    pytest.importorskip("pyarrow", reason="of the extra [parquet]")
    assert [path.name for path in write_cell_tables(TWO, tmp_path)] == [
        "cells.csv",
        "cells.parquet",
    ]
    text, binary = read_csv(tmp_path), pd.read_parquet(tmp_path / "cells.parquet")
    assert list(text) == list(binary)
    for name in text:
        expected = text[name].astype(object).where(text[name].notna(), None)
        found = binary[name].astype(object).where(binary[name].notna(), None)
        # An empty set is nothing in text.
        assert [None if value == "" else value for value in found] == expected.tolist(), name


def test_names_that_are_no_text_are_escaped_in_both(tmp_path):
    odd = (dataclasses.replace(TWO[0], name="odd\udcff"),)
    write_cell_tables(odd, tmp_path)
    assert read_csv(tmp_path)["image"].unique().tolist() == ["odd\\udcff"]
    pytest.importorskip("pyarrow", reason="of the extra [parquet]")
    assert set(pd.read_parquet(tmp_path / "cells.parquet")["image"]) == {"odd\\udcff"}


def test_a_name_that_a_spreadsheet_would_run_is_defused(tmp_path):
    write_cell_tables((dataclasses.replace(TWO[0], name="=1+1"),), tmp_path)
    assert read_csv(tmp_path)["image"].unique().tolist() == ["'=1+1"]


def test_without_pyarrow_there_is_csv_alone_and_no_former_parquet(tmp_path, monkeypatch):
    monkeypatch.setattr(cell_table, "find_spec", lambda _: None)
    (tmp_path / "cells.parquet").write_bytes(b"of a former run")
    assert [path.name for path in write_cell_tables(TWO, tmp_path)] == ["cells.csv"]
    assert [path.name for path in tmp_path.iterdir()] == ["cells.csv"]


@pytest.mark.parametrize("outcomes", [(), TWO[1:2], (outcome_of("e", report_of(analysis_of([]))),)])
def test_a_batch_without_cells_has_a_heading(tmp_path, outcomes):
    write_cell_tables(outcomes, tmp_path)
    (heading,) = csv.reader((tmp_path / "cells.csv").read_text("utf-8").splitlines())
    assert heading == list(columns_of(one.report for one in outcomes if one.report))
    assert {"image", "cell_id", "reason", "perimeter", "area_um2"} <= set(heading)


def test_a_report_s_data_frame_has_the_same_columns(tmp_path):
    report = classified_report()
    names = list(columns_of([report]))
    assert names[:4] == ["image", "slide", "patient", "cell_id"]
    frame = report.cells.to_dataframe()
    assert list(frame) == names[4:]
    assert frame.index.name == "cell_id"


def test_a_failure_leaves_a_former_table_as_it_was(tmp_path):
    (tmp_path / "cells.csv").write_text("of a former run", "utf-8")
    bad = dataclasses.replace(TWO[2], slide="no slide")
    with pytest.raises(AttributeError):
        write_cell_tables((TWO[0], bad), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["cells.csv"]
    assert (tmp_path / "cells.csv").read_text("utf-8") == "of a former run"


def test_memory_does_not_grow_with_the_table(tmp_path):
    monkey = pytest.MonkeyPatch()
    monkey.setattr(cell_table, "find_spec", lambda _: None)
    peaks = []
    for count in (20, 200):
        tracemalloc.start()
        write_cell_tables(TWO[:1] * count, tmp_path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    monkey.undo()
    assert peaks[1] < 1.5 * peaks[0]


def test_groups_of_a_parquet_file_hold_some_images_each(tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet", reason="of the extra [parquet]")
    monkeypatch.setattr(cell_table, "_ROWS_OF_A_GROUP", 10)
    write_cell_tables(TWO[:1] * 5, tmp_path)
    file = parquet.ParquetFile(tmp_path / "cells.parquet")
    sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    assert sizes == [10, 10, 5]


def test_the_data_dictionary_of_the_documents_is_current():
    message = "python -m blood_cell_system.reports.cell_table > docs/cells_table.md"
    assert DOCUMENT.read_text("utf-8") == dictionary_page(), message


def test_the_data_dictionary_has_every_column():
    page = dictionary_page()
    for name in columns_of([classified_report()]):
        assert f"`{name}`" in page or name.endswith("_prob"), name
    assert not np.any([line.endswith("|  |") for line in page.splitlines()])


def test_the_lines_of_the_readme_compute_the_numbers_of_the_report(tmp_path, monkeypatch, capsys):
    images = (
        *(TWO[0], outcome_of("sick", classified_report(red={"condition": "malaria_RBC"}))),
        outcome_of("blast", classified_report(white={"condition": "cancer_WBC"})),
        outcome_of("two sides", classified_report(analysis_of(rule="two-sides"))),
        outcome_of("plain", report_of()),
        outcome_of("no smear", classified_report(no_smear())),
    )
    write_cell_tables(images, tmp_path / "results")
    report = TWO[0].report
    summary = BatchSummary(outcomes=images, settings=report.settings, provenance=report.provenance)
    monkeypatch.chdir(tmp_path)
    found = {}
    exec(snippet(), found)  # The README's own lines.
    assert "healthy_RBC" in capsys.readouterr().out
    for name, findings in summary.findings.items():
        fates = found["fates"][name].to_dict()
        assert fates.pop("assessed") == findings.assessed
        assert fates == {str(why): count for why, count in findings.not_assessed.items()}
        conditions = {one: n for one, n in findings.counts.items() if n}
        assert found["conditions"][name].to_dict() == conditions
    rates = {rate.name: rate for part in summary.findings.values() for rate in part.rates}
    parasitaemia = rates["malaria_RBC"]
    assert found["parasitaemia"] == parasitaemia.count / parasitaemia.total
    lymphocytes = rates["lymphocyte"]
    assert found["differential"]["lymphocyte"] == lymphocytes.count / lymphocytes.total


def test_they_compute_the_diameters_of_a_single_image_too(tmp_path, monkeypatch):
    write_cell_tables(TWO[:1], tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    found = {}
    exec(snippet(), found)
    for name, summary in TWO[0].report.to_json()["types"].items():
        assert found["diameters"][name] == pytest.approx(summary["median_diameter_px"], abs=0.01)


def snippet():
    """The Python block of the README that reads the table."""
    (block,) = re.findall(
        r"```python\n((?:(?!```).)*cells\.csv.*?)```", README.read_text("utf-8"), re.DOTALL
    )
    lines = [line for line in block.splitlines() if line and not line.startswith("#")]
    assert len(lines) <= 12
    return block


def test_the_notebook_has_the_lines_of_the_readme():
    notebook = json.loads(NOTEBOOK.read_text("utf-8"))
    codes = ["".join(one["source"]) for one in notebook["cells"] if one["cell_type"] == "code"]
    assert codes == [snippet().rstrip("\n")]


def no_smear():
    analysis = analysis_of()
    return dataclasses.replace(
        analysis, quality=dataclasses.replace(analysis.quality, is_smear=False)
    )


def test_cells_of_a_scan_have_their_place_on_it(tmp_path):
    report = report_of()
    place = Place(level=1, downsample=2.0, x_px=1000.0, y_px=500.0, own=(0, 0, 9, 9), zone="x")
    on_scan = report.model_copy(update={"image": report.image.model_copy(update={"place": place})})
    write_cell_tables([ImageOutcome(name="a", path="a.tif", report=on_scan)], tmp_path)
    frame = read_csv(tmp_path)
    expected = report.cells["centroid"] * 2 + (1000, 500)
    found = frame[["scan_centroid_x", "scan_centroid_y"]].astype(float)
    np.testing.assert_allclose(found, expected, atol=1e-3)
