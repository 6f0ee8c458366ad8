import json

import pytest
from support.collections_of_cells import field_of_red_cells

from blood_cell_system.cli.main import main
from blood_cell_system.imaging.image_file import write_image


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
