import json

from support.left_out import left_out

from blood_cell_system.analysis.left_out_scores import score_left_out
from blood_cell_system.reports.left_out_sheets import left_out_markdown, write_left_out_files

BOTH = ["healthy_WBC", "cancer_WBC"] * 10


def scores():
    types = ["neutrophil", "lymphocyte"] * 10
    return score_left_out(
        [left_out("pbc", BOTH, types=types), left_out("acrs", ["cancer_WBC"] * 4, outliers=1)]
    )


def test_the_tables_have_a_row_a_source_with_the_trivial_answer_and_the_means():
    text = left_out_markdown(scores(), title="Figures")
    rows = [line for line in text.splitlines() if line.startswith("| acrs")]
    assert len(rows) == 3
    assert "no healthy cells: not averaged in" in rows[0]
    assert "| 4 / 0 |" in rows[0]
    assert "cancer_WBC: mean AUROC 1.000, worst 1.000, over 1 source." in text
    assert "| neutrophil, lymphocyte | 1.000" in text
    assert "1 of 1" in rows[2]


def test_json_tables_and_picture_are_written(tmp_path):
    subject = {"data_dir": "cells", "preset": "fast", "epochs": 6}
    paths = write_left_out_files(scores(), tmp_path / "out", kind="wbc", subject=subject)
    assert [path.name for path in paths] == ["results.json", "results.md", "results.png"]
    assert paths[2].read_bytes().startswith(b"\x89PNG")
    written = json.loads(paths[0].read_text())
    assert written["preset"] == "fast"
    first, second = written["conditions"]
    assert (first["source"], first["auroc"]["value"]) == ("pbc", 1)
    assert second["auroc"]["value"] is None
    assert {one["guarantee"] for one in written["calibrations"]} == {"worst", "average"}
