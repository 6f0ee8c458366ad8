import json

import pytest
from support.analysed_images import PROVENANCE, report_of

from blood_cell_system.pipeline.batch import (
    count_left_over,
    former_digests,
    replaced_names,
)
from blood_cell_system.reports.batch_summary import ImageOutcome


def outcome(name, digest=None):
    report = None
    if digest is not None:
        report = report_of().model_copy(
            update={"provenance": PROVENANCE.model_copy(update={"data_sha256": digest})}
        )
    return ImageOutcome(name=name, path=f"{name}.png", report=report)


def test_digests_of_the_last_run_are_read(tmp_path):
    images = [
        {"name": "a", "data_sha256": "1"},
        {"name": "", "data_sha256": "2"},
        {"name": "failed", "data_sha256": None},
    ]
    (tmp_path / "batch_summary.json").write_text(json.dumps({"images": images}), "utf-8")
    assert former_digests(tmp_path) == {"a": "1"}


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"images": [1]}', '{"images": [{}]}'])
def test_a_summary_that_cannot_be_read_tells_nothing(tmp_path, text):
    if text is not None:
        (tmp_path / "batch_summary.json").write_text(text, "utf-8")
    assert former_digests(tmp_path) == {}


def test_results_of_another_image_of_the_same_name_are_replaced():
    former = {"same": "1", "other": "1", "failed": "1"}
    outcomes = [outcome("same", "1"), outcome("other", "2"), outcome("new", "3"), outcome("failed")]
    assert replaced_names(former, outcomes) == ("other",)


def test_reports_that_are_not_of_this_run_are_counted(tmp_path):
    for name in ("a", "slide1/b", "slide2/b"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}_report.json").write_text("{}", "utf-8")
    assert count_left_over(tmp_path, [outcome("a", "1"), outcome("slide2/b", "2")]) == 1
