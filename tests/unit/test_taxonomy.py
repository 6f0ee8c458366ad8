import json
import re
from pathlib import Path

import pytest

from blood_cell_system.errors import MissingDataError, SettingsError
from blood_cell_system.taxonomy import (
    BUILT_IN,
    NOT_SCORED,
    NUM_CLASSES,
    RBC,
    WBC,
    MaskClass,
    Taxonomy,
    taxonomy_of_option,
)

PARASITES = """\
extends: built-in
cell_types:
  - name: Parasite
    display_name: free parasites
    colour: "#aa00ff"
    synonyms: [free parasite, gametocyte outside a cell]
    rate_among: RBC
    detection: {peak_threshold: 0.3}
"""


def written(tmp_path, text, name="classes.yaml"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_classes_are_the_channels_of_the_guide_in_its_order():
    assert [c.name for c in MaskClass] == ["BACKGROUND", "RBC", "WBC"]
    assert [int(c) for c in MaskClass] == list(range(NUM_CLASSES))


def test_not_scored_is_no_class():
    assert NOT_SCORED not in list(MaskClass)


def test_every_built_in_type_has_its_class_in_the_mask():
    assert {name: value.name for name, value in BUILT_IN.mask_classes.items()} == {
        "RBC": "RBC",
        "WBC": "WBC",
        "Platelet": "BACKGROUND",
    }
    assert [t.name for t in BUILT_IN.with_channel] == [RBC, WBC]


def test_white_cells_lie_over_platelets_and_those_over_red_cells():
    assert [t.name for t in BUILT_IN.bottom_up] == ["RBC", "Platelet", "WBC"]


def test_a_file_adds_types_to_the_built_in_ones(tmp_path):
    taxonomy = Taxonomy.read(written(tmp_path, PARASITES))
    assert taxonomy.names == (*BUILT_IN.names, "Parasite")
    added = taxonomy["Parasite"]
    assert added.colour == (170, 0, 255)
    assert added.mask_class == MaskClass.BACKGROUND
    assert (added.detection.peak_threshold, added.detection.reach) == (0.3, 1.0)
    assert taxonomy[RBC] == BUILT_IN[RBC]


def test_a_file_changes_fields_of_a_built_in_type(tmp_path):
    path = written(tmp_path, "extends: built-in\ncell_types: [{name: WBC, min_cells: 200}]")
    changed = Taxonomy.read(path)
    assert changed.names == BUILT_IN.names
    assert changed[WBC].min_cells == 200
    assert changed[WBC].conditions == BUILT_IN[WBC].conditions


def test_a_file_may_have_only_its_own_types(tmp_path):
    rows = [
        {"name": name, "display_name": name, "colour": [1, 2, 3], "mask_channel": channel}
        for name, channel in (("Erythrocyte", "RBC"), ("Leukocyte", "WBC"))
    ]
    own = json.dumps({"cell_types": rows})
    assert Taxonomy.read(written(tmp_path, own, "a.json")).names == ("Erythrocyte", "Leukocyte")


def test_the_first_type_of_a_channel_is_its_main_type(tmp_path):
    row = "{name: Blast, display_name: blasts, colour: '#112233', mask_channel: WBC, parent: WBC}"
    taxonomy = Taxonomy.read(written(tmp_path, f"extends: built-in\ncell_types: [{row}]"))
    assert [t.name for t in taxonomy.main_types.values()] == [RBC, WBC]
    assert taxonomy["Blast"].mask_class == MaskClass.WBC


def test_what_is_written_is_read_again(tmp_path):
    taxonomy = Taxonomy.read(written(tmp_path, PARASITES))
    text = json.dumps(taxonomy.to_dict())
    assert Taxonomy.from_dict(json.loads(text)) == taxonomy
    assert Taxonomy.from_dict(json.loads(json.dumps(BUILT_IN.to_dict()))) == BUILT_IN


def test_no_option_means_the_built_in_types(tmp_path):
    assert taxonomy_of_option(None) is BUILT_IN
    assert "Parasite" in taxonomy_of_option(written(tmp_path, PARASITES))


ROW = "name: A, display_name: as, colour: '#010203'"
OTHERS = (
    "{name: R, display_name: rs, colour: '#010203', mask_channel: RBC}, "
    "{name: W, display_name: ws, colour: '#010203', mask_channel: WBC}"
)


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("- 1", "no list 'cell_types'"),
        ("cell_types: []", "no cell types"),
        ("cell_types: [1]", "cell_types.0"),
        ("a: 1\ncell_types: []", "unknown keys a"),
        ("format_version: 2\ncell_types: []", "format_version 2"),
        ("extends: mine\ncell_types: []", "extends 'mine'"),
        (f"cell_types: [{{{ROW}}}]", "no type has mask_channel RBC"),
        (f"cell_types: [{{{ROW}, mask_channel: RBC}}]", "no type has mask_channel WBC"),
        (f"cell_types: [{{{ROW}, chanel: RBC}}]", "chanel"),
        (f"cell_types: [{{{ROW}, mask_channel: green}}]", "mask_channel"),
        ("cell_types: [{name: A, display_name: as, colour: red}]", "colour"),
        (
            f"cell_types: [{OTHERS}, {{name: A, display_name: as, colour: [0, 0, 256]}}]",
            "colour (0, 0, 256)",
        ),
        (
            f"cell_types: [{OTHERS}, {{name: a b, display_name: as, colour: [0, 0, 0]}}]",
            "name 'a b'",
        ),
        (f"cell_types: [{OTHERS}, {{{ROW}}}, {{{ROW}}}]", "'A' is used twice"),
        (
            f"extends: built-in\ncell_types: [{{{ROW}, "
            "subtypes: [{name: neutrophil, display_name: x}]}]",
            "the name 'neutrophil' is used twice, by WBC and A",
        ),
        (f"cell_types: [{OTHERS}, {{{ROW}, parent: B}}]", "parent 'B'"),
        (f"cell_types: [{OTHERS}, {{{ROW}, rate_among: A}}]", "rate_among 'A'"),
        (f"cell_types: [{OTHERS}, {{{ROW}, min_cells: -1}}]", "min_cells -1"),
        (f"cell_types: [{OTHERS}, {{{ROW}, detection: {{reach: 11}}}}]", "reach 11"),
        (f"extends: built-in\ncell_types: [{{{ROW}, synonyms: [wbc]}}]", "'wbc' means both"),
        ("cell_types: [", "not a taxonomy"),
        ("x" * 1_000_001, "1000001 bytes"),
    ],
)
def test_a_file_that_is_no_taxonomy_is_refused_with_its_fault(tmp_path, text, finding):
    path = written(tmp_path, text)
    with pytest.raises(SettingsError) as error:
        Taxonomy.read(path)
    assert str(path) in str(error.value)
    assert finding in str(error.value)
    assert "docs/adding.md" in str(error.value)


def test_a_file_that_is_not_there_is_reported(tmp_path):
    with pytest.raises(MissingDataError, match="there is no such file"):
        Taxonomy.read(tmp_path / "classes.yaml")


def test_a_name_of_no_type_is_refused_with_those_that_are():
    assert BUILT_IN.checked(RBC) == RBC
    with pytest.raises(ValueError, match="'rbc' is no cell type; expected one of RBC, WBC, Plate"):
        BUILT_IN.checked("rbc")
    with pytest.raises(KeyError):
        BUILT_IN["rbc"]


def test_taxonomies_are_joined_unless_they_disagree(tmp_path):
    parasites = Taxonomy.read(written(tmp_path, PARASITES))
    assert Taxonomy.joined([BUILT_IN, parasites]) == parasites
    other = Taxonomy.read(written(tmp_path, PARASITES.replace("#aa00ff", "#aa00fe")))
    with pytest.raises(ValueError, match="'Parasite' is defined in two ways"):
        Taxonomy.joined([parasites, other])


def test_the_file_in_the_documentation_is_a_taxonomy(tmp_path):
    page = (Path(__file__).resolve().parents[2] / "docs" / "adding.md").read_text("utf-8")
    section = page[page.index("## A cell type") :]
    text = re.search(r"```yaml\n(.*?)```", section, re.DOTALL)[1]
    assert Taxonomy.read(written(tmp_path, text))["Parasite"].sampling.crop_share == 0.2
