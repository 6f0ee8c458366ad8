import json
from functools import partial

import pytest
from support.collections_of_cells import field_of_red_cells, write_iml

from blood_cell_system.annotation.sample import FailedImage
from blood_cell_system.annotation.splits import Split
from blood_cell_system.datasets.cell_folder import CellFolder
from blood_cell_system.datasets.collections.marked_images import HEALTHY, STAGES, read_iml_malaria
from blood_cell_system.errors import DatasetError, OutputError
from blood_cell_system.imaging.image_file import read_rgba, write_image
from blood_cell_system.model_metadata import ClassifierKind
from blood_cell_system.pipeline.cell_crops import writing
from blood_cell_system.pipeline.cell_crops.plan import CropClass, CutMethod, CutPlan, CutTask
from blood_cell_system.pipeline.cell_crops.writing import write_cell_folder
from blood_cell_system.taxonomy import RBC

PLAN = CutPlan(
    method=CutMethod.BOXES,
    cell_type=RBC,
    classes={HEALTHY: CropClass("healthy_RBC")}
    | {stage: CropClass("malaria_RBC") for stage in STAGES},
)
write = partial(write_cell_folder, kind=ClassifierKind("RBC"))


@pytest.fixture
def tasks(tmp_path):
    fields = read_iml_malaria(write_iml(tmp_path / "iml", count=4)).fields
    return [CutTask(field=field, source="iml", plan=PLAN, seed=0) for field in fields]


def test_the_folder_opens_as_a_cell_folder(tmp_path, tasks):
    summary = write(tmp_path / "cells", tasks)
    assert len(summary.records) == 16
    folder = CellFolder.open(tmp_path / "cells", kind=ClassifierKind("RBC"))
    assert folder.records == tuple(sorted(summary.records, key=lambda record: record.file))
    assert {record.condition for record in folder.records} == {"healthy_RBC", "malaria_RBC"}
    assert read_rgba(folder.path_of(folder.records[0])).shape == (130, 130, 4)
    assert not (tmp_path / "cells" / ".cutting").exists()
    assert {path.name for path in (tmp_path / "cells" / "sheets").iterdir()} >= {"healthy_RBC.png"}
    assert "12 healthy_RBC of iml" in summary.to_text()


def test_processes_give_the_same_bytes(tmp_path, tasks):
    write(tmp_path / "one", tasks)
    write(tmp_path / "two", tasks, jobs=2)
    first = {
        p.relative_to(tmp_path / "one"): p.read_bytes() for p in (tmp_path / "one").rglob("*.*")
    }
    second = {
        p.relative_to(tmp_path / "two"): p.read_bytes() for p in (tmp_path / "two").rglob("*.*")
    }
    assert first == second


def test_an_interrupted_run_goes_on_where_it_was(tmp_path, tasks, monkeypatch):
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    write(whole, tasks)
    cut = writing.cut_image
    seen = []

    def interrupted(task, **options):
        seen.append(task.name)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return cut(task, **options)

    monkeypatch.setattr(writing, "cut_image", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(resumed, tasks)
    assert (resumed / ".cutting").is_dir()
    assert not (resumed / "cells.csv").exists()
    write(resumed, tasks)
    assert len(seen) == 3 + 2
    assert (resumed / "cells.csv").read_bytes() == (whole / "cells.csv").read_bytes()


def test_another_plan_does_not_continue_an_unfinished_run(tmp_path, tasks, monkeypatch):
    def interrupted(_, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(writing, "cut_image", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "cells", tasks)
    with pytest.raises(OutputError, match="unfinished run of another command"):
        write(tmp_path / "cells", tasks[:2])


def test_a_folder_that_holds_something_else_is_refused(tmp_path, tasks):
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="is not empty"):
        write(tmp_path / "cells", tasks)
    assert [path.name for path in (tmp_path / "cells").iterdir()] == ["mine.txt"]


def test_an_image_that_fails_is_told_and_the_others_are_cut(tmp_path, tasks):
    tasks[1].field.image_path.write_bytes(b"damaged since")
    earlier = FailedImage(name="before", reason="was damaged before")
    summary = write(tmp_path / "cells", tasks, failed=[earlier])
    assert [failure.name for failure in summary.failed] == ["before", tasks[1].field.name]
    assert len({record.field for record in summary.records}) == 3
    assert "was damaged before" in summary.to_text()


def test_nothing_to_cut_is_an_error(tmp_path):
    with pytest.raises(DatasetError, match="no images to cut"):
        write(tmp_path / "cells", [])


def test_images_without_cells_are_an_error(tmp_path, tasks):
    for task in tasks:
        write_image(task.field.image_path, field_of_red_cells()[:5, :5])
    with pytest.raises(DatasetError, match="no cells were found in 4 images"):
        write(tmp_path / "cells", tasks)


def test_progress_counts_every_image(tmp_path, tasks, capsys):
    write(tmp_path / "cells", tasks)
    assert "Cutting cells: 4 done" in capsys.readouterr().err


def test_the_split_of_a_field_is_that_of_its_cells(tmp_path, tasks):
    from dataclasses import replace

    chosen = [replace(t, field=replace(t.field, split=Split.VAL, block=t.name)) for t in tasks]
    assert {record.split for record in write(tmp_path / "cells", chosen).records} == {Split.VAL}


def test_what_is_done_is_recorded_image_by_image(tmp_path, tasks):
    (tmp_path / "cells" / ".cutting").mkdir(parents=True)
    writing._cut_and_write(tasks[0], root=tmp_path / "cells", subtypes=())
    (record,) = (tmp_path / "cells" / ".cutting").iterdir()
    assert len(json.loads(record.read_text())["cells"]) == 4


@pytest.fixture
def unfinished(tmp_path, tasks, monkeypatch):
    """A folder of which the run was stopped when all images were cut, and the cells of a whole."""

    def stop(*_):
        raise KeyboardInterrupt

    write(tmp_path / "whole", tasks)
    monkeypatch.setattr(writing, "write_cells_csv", stop)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "cells", tasks)
    monkeypatch.undo()
    return tmp_path / "cells"


def test_damaged_settings_of_a_killed_run_are_reported(unfinished, tasks):
    (unfinished / ".cutting" / "settings.json").write_text("{gar")
    with pytest.raises(OutputError, match=r"settings\.json: damaged, .* or delete this one"):
        write(unfinished, tasks)


@pytest.mark.parametrize("text", ["{gar", "[]", '{"cells": [{}], "failed": ""}', '{"cells": [3]}'])
def test_an_image_whose_record_is_damaged_is_cut_again(tmp_path, unfinished, tasks, text):
    (unfinished / ".cutting" / f"{tasks[0].name}.json").write_text(text)
    write(unfinished, tasks)
    assert (unfinished / "cells.csv").read_bytes() == (tmp_path / "whole/cells.csv").read_bytes()


def test_cells_that_were_taken_away_are_cut_again(tmp_path, unfinished, tasks):
    lost = next(path for path in unfinished.rglob("*.png") if path.parent != unfinished / "sheets")
    lost.unlink()
    write(unfinished, tasks)
    assert lost.is_file()


def test_cells_that_are_removed_during_the_run_are_reported(tmp_path, tasks, monkeypatch):
    cut_and_write = writing._cut_and_write

    def cut_and_lose(task, *, root, **options):
        cut_and_write(task, root=root, **options)
        next(path for path in root.rglob("*.png")).unlink()

    monkeypatch.setattr(writing, "_cut_and_write", cut_and_lose)
    with pytest.raises(OutputError, match="were removed while the folder was being written"):
        write(tmp_path / "cells", tasks)
    assert not (tmp_path / "cells" / "cells.csv").exists()
