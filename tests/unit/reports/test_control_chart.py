import pytest

from blood_cell_system.reports.control_chart import (
    ControlFile,
    ControlRun,
    ControlValue,
    charts_of,
    render_control,
    verdict_of,
)

STEADY = (7.0, 7.1, 6.9, 7.05, 6.95)


def control_of(*values, name="red_cell_diameter", total=None, baseline_runs=5):
    runs = [
        ControlRun(
            date=f"2026-11-{day:02d}",
            software_version="1.2.3",
            images=("a",),
            data_sha256=("ab" * 32,),
            figures={name: ControlValue(value=value, total=total)},
        )
        for day, value in enumerate(values, start=1)
    ]
    return ControlFile(models={"m.onnx": "cd" * 32}, baseline_runs=baseline_runs, runs=tuple(runs))


def judged(*values, **options):
    control = control_of(*values, **options)
    (chart,) = charts_of(control)
    return chart, verdict_of(control, [chart])


def test_the_first_runs_give_mean_and_spread():
    chart, verdict = judged(*STEADY, 7.0)
    assert chart.mean == pytest.approx(7.0)
    assert chart.spread == pytest.approx(0.079, abs=0.001)
    assert [point.deviation is None for point in chart.points] == [True] * 5 + [False]
    assert verdict.is_in_control
    assert str(verdict) == "In control."


def test_nothing_is_judged_before_the_baseline_is_complete():
    chart, verdict = judged(7.0, 9.0, 1.0)
    assert chart.mean is None
    assert str(verdict) == "The baseline lacks 2 more runs: nothing is judged yet."
    assert verdict.is_in_control


def test_a_run_far_away_is_out_of_control():
    chart, verdict = judged(*STEADY, 7.5)
    assert chart.points[-1].is_rejected
    assert not verdict.is_in_control
    assert "Out of control: median diameter of red cells (1-3s)." in str(verdict)


def test_a_run_between_2_and_3_deviations_is_a_warning():
    _, verdict = judged(*STEADY, 7.2)
    assert verdict.is_in_control
    assert verdict.warned == {"median diameter of red cells": ("1-2s",)}


def test_a_slow_drift_is_found_by_runs_in_a_row():
    _, verdict = judged(*STEADY, *[7.1] * 3)
    assert verdict.is_in_control
    _, verdict = judged(*STEADY, *[7.1] * 4)
    assert verdict.broken == {"median diameter of red cells": ("4-1s",)}


def test_runs_of_the_baseline_break_no_rule():
    chart, _ = judged(7.0, 7.0, 7.0, 7.0, 20.0, 7.0)
    assert not any(point.rules for point in chart.points)


def test_a_baseline_of_copies_is_judged_by_the_least_spread():
    chart, verdict = judged(*[7.0] * 5, 7.02)
    assert chart.spread == pytest.approx(0.035)
    assert verdict.is_in_control
    assert not judged(*[7.0] * 5, 7.2)[1].is_in_control


def test_a_share_is_judged_by_the_chance_of_its_cells_at_least():
    name = "platelets among all cells"
    chart, _ = judged(*[2.0] * 5, 3.0, name=name, total=400)
    assert chart.spread == pytest.approx(100 * (9 / 402 * (1 - 9 / 402) / 400) ** 0.5)
    assert (chart.label, chart.unit) == (name, "%")
    none = judged(*[0.0] * 5, 0.25, name=name, total=400)[1]
    assert none.is_in_control


def test_a_share_of_few_cells_is_not_judged():
    chart, verdict = judged(*[50.0] * 5, 100.0, name="blasts", total=99)
    assert chart.mean is None
    assert verdict.is_in_control


def test_a_figure_that_cannot_be_measured_any_more_is_out_of_control():
    chart, verdict = judged(*STEADY, None)
    assert chart.points[-1].is_lost
    assert verdict.broken == {"median diameter of red cells": ("could not be measured",)}


def test_a_figure_that_the_baseline_hardly_has_is_not_judged():
    chart, verdict = judged(7.0, None, 7.0, None, 7.0, None)
    assert chart.mean is None
    assert verdict.is_in_control


def test_a_file_can_be_read_back():
    control = control_of(*STEADY)
    assert ControlFile.model_validate(control.to_json()) == control


def test_a_value_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="expected a finite number"):
        ControlValue(value=float("nan"))


def test_the_page_shows_limits_points_and_rules():
    control = control_of(*STEADY, 7.2, 7.5)
    charts = charts_of(control)
    page = render_control(control, charts, verdict_of(control, charts))
    assert "2026-11-07: Out of control" in page
    assert page.count("<circle") == 7
    assert page.count('class="base"') == 5
    assert '<circle class="warned"' in page
    assert '<circle class="failed"' in page
    assert page.count("<line") == 7
    assert "2026-11-07: 7.5 px, +6.3 SD 1-2s 1-3s 2-2s" in page
    assert "<script" not in page


def test_the_page_of_an_incomplete_baseline_shows_its_points():
    control = control_of(7.0, 7.2)
    charts = charts_of(control)
    page = render_control(control, charts, verdict_of(control, charts))
    assert page.count("<circle") == 2
    assert "Not judged: the baseline is not complete" in page
