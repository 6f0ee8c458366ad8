import json

import pytest
from support.collections_of_cells import field_of_red_cells
from support.smears import small_prepared_folder

from blood_cell_system.cli.main import main
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.taxonomy import RBC, Taxonomy


@pytest.fixture
def smears(tmp_path):
    root = tmp_path / "smears"
    marks = [
        {"label": label, "box": [x - 20, y - 20, x + 20, y + 20]}
        for label, x, y in (("ring", 30, 30), ("plain", 90, 90))
    ]
    for number in range(2):
        write_image(root / f"a{number}.png", field_of_red_cells(number))
    table = {f"a{number}.png": marks for number in range(2)}
    (tmp_path / "boxes.json").write_text(json.dumps(table))
    return root


def crops(smears, *more):
    output = smears.parent / "cells"
    boxes = ("--boxes", str(smears.parent / "boxes.json"), "--jobs", "1")
    return main(["crops", str(smears), "--output", str(output), *boxes, *more])


MAPS = ("--map", "ring=malaria_RBC", "--map", "plain=healthy_RBC")


def test_a_table_of_boxes_becomes_a_cell_folder(smears, capsys):
    assert crops(smears, "--kind", "rbc", *MAPS) == 0
    assert "2 malaria_RBC of own" in capsys.readouterr().out
    table = (smears.parent / "cells" / "cells.csv").read_text().splitlines()
    assert table[0] == (
        "file,condition,cell_type,source,field,block,split,origin,source_label,"
        "red_cell_diameter_px,red_cell_density_red,red_cell_density_green,"
        "red_cell_density_blue,surround_filled,image_width_px,image_height_px,border_red,"
        "border_green,border_blue"
    )
    assert len(table) == 5


def test_a_damaged_image_makes_the_exit_code_one(smears, capsys):
    (smears / "a1.png").write_bytes(b"nothing")
    assert crops(smears, "--kind", "rbc", *MAPS) == 1
    assert "failed: a1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ((), "expected either --kind"),
        (("--kind", "rbc", "--recipe", "rbc"), "expected either --kind"),
        (("--kind", "rbc", "--map", "ring"), "expected LABEL=CLASS"),
        (("--kind", "rbc"), "labels without a class"),
        (("--recipe", "wbc"), "none of the collections"),
    ],
)
def test_what_makes_no_sense_is_told_and_nothing_is_written(smears, capsys, more, message):
    assert crops(smears, *more) == 1
    assert message in capsys.readouterr().err
    assert not (smears.parent / "cells").exists()


OWN_TYPES = """\
extends: built-in
cell_types:
  - name: Parasite
    display_name: free parasites
    colour: "#aa00ff"
    conditions:
      - {name: young, display_name: young ones}
      - {name: old, display_name: old ones}
"""


def test_a_prepared_folder_knows_its_own_types(tmp_path, capsys):
    root = small_prepared_folder(tmp_path / "data", count=2)
    (tmp_path / "classes.yaml").write_text(OWN_TYPES)
    manifest = json.loads((root / "manifest.json").read_text())
    manifest["taxonomy"] = Taxonomy.read(tmp_path / "classes.yaml").to_dict()
    (root / "manifest.json").write_text(json.dumps(manifest))
    annotations = json.loads((root / "annotations.json").read_text())
    for cells in annotations["images"].values():
        cells[:] = [cell | {"cell_type": "Parasite"} for cell in cells if cell["cell_type"] == RBC]
    (root / "annotations.json").write_text(json.dumps(annotations))
    words = ["--kind", "parasite", "--class", "old", "--jobs", "1"]
    assert main(["crops", str(root), "-o", str(tmp_path / "cells"), *words]) == 0
    assert " old of own" in capsys.readouterr().out
    assert Taxonomy.read(tmp_path / "cells" / "taxonomy.json").names[-1] == "Parasite"
