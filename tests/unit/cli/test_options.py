"""What the options repeat, so that help needs no OpenCV, is what the settings say."""

import inspect
import re

import pytest

from blood_cell_system.analysis.classification import VIEWS
from blood_cell_system.cells.border_rule import BorderRule
from blood_cell_system.cli.main import command_named, main
from blood_cell_system.datasets.cell_blocks import blocks_of_names
from blood_cell_system.datasets.splitting import GroupBy, split_folder
from blood_cell_system.datasets.synthetic import FolderLayout
from blood_cell_system.masks.sample_mask import MaskMethod
from blood_cell_system.model_metadata import TRAINING_DIAMETER_PX
from blood_cell_system.pipeline.cell_crops.plan import CutMethod
from blood_cell_system.reports.report import CONFIDENCE_THRESHOLD, UNCERTAIN_MARGIN
from blood_cell_system.training.presets import FINE_TUNING, PRESETS


def option(command, name):
    return next(p for p in command_named(command).params if name in p.opts)


@pytest.mark.parametrize(
    ("command", "name", "choices"),
    [
        ("analyze", "--border-rule", BorderRule),
        ("analyze", "--views", VIEWS),
        # Points come from recipes alone: a table of boxes has none.
        ("crops", "--method", set(CutMethod) - {CutMethod.POINTS}),
        ("prepare", "--mask-method", MaskMethod),
        ("split", "--by", GroupBy),
        ("synthesize", "--layout", (*FolderLayout, "slide", "cells-rbc", "cells-wbc")),
    ],
)
def test_choices_are_those_of_the_settings(command, name, choices):
    assert set(option(command, name).type_descriptor.choices) == set(choices)


@pytest.mark.parametrize(
    ("command", "name", "value"),
    [
        ("analyze", "--confidence-threshold", CONFIDENCE_THRESHOLD),
        ("analyze", "--uncertain-margin", UNCERTAIN_MARGIN),
        ("train", "--kept-share", FINE_TUNING.kept_share),
        ("train", "--source-evenness", PRESETS["balanced"].source_evenness),
        ("train", "--seed", PRESETS["balanced"].seed),
        ("train", "--architecture", PRESETS["balanced"].architecture),
        (
            "export",
            "--training-diameter",
            f"what the model says of itself, else {TRAINING_DIAMETER_PX:g}",
        ),
    ],
)
def test_defaults_that_are_shown_are_those_of_the_settings(command, name, value):
    shown = value if isinstance(value, str) else f"{value:g}"
    assert option(command, name).show_default == shown


@pytest.mark.parametrize(
    ("command", "name", "function", "argument"),
    [
        ("split", "--val", split_folder, "val_share"),
        ("split", "--test", split_folder, "test_share"),
        ("crops", "--block-size", blocks_of_names, "block_size"),
    ],
)
def test_defaults_are_those_of_the_functions(command, name, function, argument):
    assert option(command, name).default == inspect.signature(function).parameters[argument].default


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--jobs", "0"], "received 0; expected a whole number from 1 to 1,024"),
        (["--jobs", "many"], "received many; expected a whole number from 1 to 1,024"),
        (["--cell-diameter", "0"], "received 0; expected a number from 2 to 10,000"),
        (["--cell-diameter", "inf"], "expected a number from 2 to 10,000"),
        (["--confidence-threshold", "1.5"], "expected a number from 0 to 1"),
        (["--uncertain-margin", "nan"], "expected a number from 0 to 1"),
    ],
)
def test_a_value_out_of_range_names_the_option_and_what_is_expected(words, message, capsys):
    assert main(["analyze", "x", "-o", "y", *words]) == 2
    shown = capsys.readouterr().err
    assert words[0] in shown.partition("Error:")[2]
    assert message in shown


@pytest.mark.parametrize(
    "words",
    [
        ["analyze", "a.png", "--cell-diameter", "1e9"],
        ["analyze", "a.png", "--pixel-size-um", "1e-9"],
        ["analyze", "a.png", "--jobs", "1000000000"],
        ["augment", ".", "--output", "o", "--aug-factor", "1000000000"],
        ["synthesize", "-o", "o", "--malaria-share", "nan"],
        ["synthesize", "-o", "o", "--sickle-share", "2"],
    ],
)
def test_absurd_values_are_refused_with_the_range(tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").touch()
    assert main(words) == 2
    assert re.search(r"expected a (whole )?number\s+from \S+\s+to \d", capsys.readouterr().err)
    assert not (tmp_path / "o").exists()
