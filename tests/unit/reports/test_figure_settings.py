from pathlib import Path

import pytest
import yaml

from blood_cell_system.errors import MissingDataError, SettingsError
from blood_cell_system.reports.figure_settings import EnteredCounts, FiguresSettings

DEFAULTS = Path(__file__).resolve().parents[3] / "docs" / "lab_figures.yaml"


def read(tmp_path, text):
    path = tmp_path / "figures.yaml"
    path.write_text(text, encoding="utf-8")
    return FiguresSettings.read(path)


def refusal(tmp_path, text):
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, text)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'figures.yaml'}: ")
    assert message.endswith("Correct the file; docs/lab_figures.md lists the settings.")
    assert "\n" not in message
    return message


def test_the_documented_file_states_every_default():
    stated = yaml.safe_load(DEFAULTS.read_text("utf-8"))
    assert stated == FiguresSettings().model_dump(mode="json")
    assert FiguresSettings.read(DEFAULTS) == FiguresSettings()


def test_what_a_file_leaves_out_has_its_default(tmp_path):
    settings = read(tmp_path, "differential: {min_cells: 50}\n")
    assert settings.differential.min_cells == 50
    assert settings.parasitaemia == FiguresSettings().parasitaemia
    assert read(tmp_path, "") == FiguresSettings()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "platelets: {factor: -3, field_area_um2: 30000}",
            "platelets.factor: received -3; expected greater than 0.",
        ),
        (
            "platelets: {factor: 1.0e+9, field_area_um2: 30000}",
            "platelets.factor: received 1000000000.0; expected less than or equal to 1000000.",
        ),
        ("white_cells: {factor: .inf, field_area_um2: 3000}", "received inf; expected a finite"),
        ("white_cells: {factor: 2000}", "factor and field_area_um2 belong together"),
        ("white_cells: {field_area_um2: 30000}", "factor and field_area_um2 belong together"),
        (
            "white_cells: {factor: 2000, field_area_um2: 3}",
            "field_area_um2: received 3; expected greater than or equal to 100.",
        ),
        (
            "counts: {S1: {red_cells_per_ul: 4.5}}",
            "counts.S1.red_cells_per_ul: received 4.5; expected greater than or equal to 100000.",
        ),
        ("counts: {S1: {white_cells_per_ul: -1}}", "white_cells_per_ul: received -1; expected"),
        ("differental: {}", "differental: no such setting."),
        ("differential: {cells: 3}", "differential.cells: received 3; no such setting."),
        ("differential: {min_cells: many}", "min_cells: received 'many'; expected a valid integer"),
        ("red_cell_size: {normal_um: [8, 6]}", "normal_um [8.0, 6.0]; expected two diameters in"),
        ("red_cell_size: {normal_um: [70, 90]}", "expected two diameters in µm from 2 to 20"),
        ("red_cell_shapes: {grades: {burr: {4+: 3}}}", "grades of burr: 4+; expected 1+, 2+, 3+."),
        (
            "red_cell_shapes: {grades: {burr: {2+: 20, 3+: 5}}}",
            "expected limits that rise.",
        ),
        (
            "rouleaux: {chain_from: 1}",
            "chain_from: received 1; expected greater than or equal to 2",
        ),
        ("[1, 2]", "no settings by name."),
        ("a: [", "not YAML: while parsing"),
    ],
)
def test_absurd_settings_are_refused_with_words(tmp_path, text, words):
    assert words in refusal(tmp_path, text)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "figures.yaml"
    path.write_bytes(b"\x81\x8d\x00\xff")
    with pytest.raises(SettingsError, match="not YAML"):
        FiguresSettings.read(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MissingDataError, match="there is no such file"):
        FiguresSettings.read(tmp_path / "none.yaml")


COUNTS = {"S1": {"red_cells_per_ul": 4_500_000}, "P1": {"white_cells_per_ul": 7_000}}


def test_the_counts_of_a_slide_come_before_those_of_its_patient():
    settings = FiguresSettings.model_validate({"counts": COUNTS})
    assert settings.entered("S1", "P1").red_cells_per_ul == 4_500_000
    assert settings.entered("S2", "P1").white_cells_per_ul == 7_000
    assert settings.entered("S2", None) == EnteredCounts()


def test_counts_of_strangers_are_refused():
    settings = FiguresSettings.model_validate({"counts": COUNTS})
    settings.check_names(["S1", "P1", None])
    with pytest.raises(SettingsError, match="counts of P1, which is no slide and no patient"):
        settings.check_names(["S1", "P2"])
