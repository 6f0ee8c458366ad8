from dataclasses import replace

import numpy as np
import pytest
from support.single_cells import drawn_cell_image, write_red_cell_folder, write_rgba

from blood_cell_system.annotation.splits import Split
from blood_cell_system.datasets.cell_folder import CellFolder, write_cells_csv
from blood_cell_system.errors import DatasetError, MissingDataError
from blood_cell_system.model_metadata import ClassifierKind

RBC, WBC = ClassifierKind("RBC"), ClassifierKind("WBC")


@pytest.fixture
def folder(tmp_path):
    return write_red_cell_folder(tmp_path / "cells")


def change_table(root, change):
    path = root / "cells.csv"
    path.write_text(change(path.read_text()))


def fill_column(root, name, value):
    lines = [line.split(",") for line in (root / "cells.csv").read_text().splitlines()]
    place = lines[0].index(name)
    for line in lines[1:]:
        line[place] = value
    (root / "cells.csv").write_text("\n".join(map(",".join, lines)))


def test_a_table_says_what_the_cells_are(folder):
    opened = CellFolder.open(folder, kind=RBC)
    assert len(opened.records) == 60
    assert opened.sources == ("a", "b")
    outliers = [record for record in opened.records if record.is_outlier]
    assert len(outliers) == 12
    assert all(record.condition is None for record in outliers)
    assert opened.path_of(opened.records[0]).is_file()


def test_without_a_table_the_folders_are_the_classes(tmp_path):
    root = write_red_cell_folder(tmp_path / "cells", with_table=False)
    opened = CellFolder.open(root, kind=RBC, block_size=3)
    found = {(record.condition, record.is_outlier) for record in opened.records}
    assert found == {
        ("healthy_RBC", False),
        ("malaria_RBC", False),
        ("sickle_RBC", False),
        (None, True),
    }


def test_a_folder_of_a_type_holds_healthy_white_cells(tmp_path):
    for name in ("neutrophil", "cancer_WBC"):
        write_rgba(tmp_path / "c" / name / "a.png", drawn_cell_image())
    records = CellFolder.open(tmp_path / "c", kind=WBC).records
    assert [(r.condition, r.cell_type) for r in records] == [
        ("cancer_WBC", None),
        ("healthy_WBC", "neutrophil"),
    ]


def test_no_block_is_in_two_splits(folder):
    splits = {}
    for record in CellFolder.open(folder, kind=RBC).records:
        splits.setdefault(record.block, set()).add(record.split)
    assert all(len(found) == 1 for found in splits.values())
    assert {split for found in splits.values() for split in found} == set(Split)


def test_without_blocks_neighbouring_names_stay_together(tmp_path):
    root = write_red_cell_folder(tmp_path / "cells", with_table=False)
    records = CellFolder.open(root, kind=RBC, block_size=4).records
    healthy = [r for r in records if r.condition == "healthy_RBC"]
    assert len({record.block for record in healthy}) == 6


def test_a_pattern_joins_the_cells_of_a_slide_over_classes(tmp_path):
    root = write_red_cell_folder(tmp_path / "cells", with_table=False)
    records = CellFolder.open(root, kind=RBC, block_pattern="^([ab])_").records
    assert len({record.block for record in records}) == 2


def test_splits_of_a_table_are_kept(folder):
    fill_column(folder, "split", "test")
    records = CellFolder.open(folder, kind=RBC).records
    assert {record.split for record in records} == {Split.TEST}


def test_select_gives_the_cells_of_a_split(folder):
    opened = CellFolder.open(folder, kind=RBC)
    assert sum(len(opened.select(split)) for split in Split) == len(opened.records)


def test_the_hash_depends_on_labels_and_pixels(folder):
    first = CellFolder.open(folder, kind=RBC)
    same = first.content_hash()
    assert CellFolder.open(folder, kind=RBC).content_hash() == same
    write_rgba(first.path_of(first.records[0]), drawn_cell_image((1, 2, 3)))
    assert first.content_hash() != same


def test_the_hash_of_a_vanished_image_is_an_error(folder):
    opened = CellFolder.open(folder, kind=RBC)
    opened.path_of(opened.records[0]).unlink()
    with pytest.raises(MissingDataError, match="no such file"):
        opened.content_hash()


def test_the_table_in_words_counts_cells_and_blocks(folder):
    text = CellFolder.open(folder, kind=RBC).to_text()
    assert "malaria_RBC" in text
    assert "not_a_cell" in text


def test_a_condition_of_one_laboratory_alone_is_noted(tmp_path):
    for file in ("healthy_RBC/a.png", "malaria_RBC/b.png"):
        write_rgba(tmp_path / file, drawn_cell_image())
    (tmp_path / "cells.csv").write_text(
        "file,condition,source\nhealthy_RBC/a.png,healthy_RBC,x\nmalaria_RBC/b.png,malaria_RBC,y\n"
    )
    notes = " ".join(CellFolder.open(tmp_path, kind=RBC).notes)
    assert "malaria_RBC comes from y alone" in notes
    assert "No cells of sickle_RBC" in notes
    assert "No not_a_cell/" in notes


def test_an_unfinished_folder_is_refused(folder):
    (folder / ".cutting").mkdir()
    with pytest.raises(DatasetError, match="has not finished"):
        CellFolder.open(folder, kind=RBC)


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(MissingDataError, match="bloodcells crops"):
        CellFolder.open(tmp_path / "none", kind=RBC)


def test_a_folder_without_class_folders_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="no folders in it; expected one for each class"):
        CellFolder.open(tmp_path, kind=RBC)


def test_an_empty_class_folder_is_refused(folder):
    (folder / "cells.csv").unlink()
    for path in (folder / "sickle_RBC").iterdir():
        path.unlink()
    with pytest.raises(DatasetError, match="no images in this class folder"):
        CellFolder.open(folder, kind=RBC)


def test_a_misspelt_class_folder_is_refused_with_a_suggestion(folder):
    (folder / "cells.csv").unlink()
    (folder / "sickle_RBC").rename(folder / "sikcle-rbc")
    with pytest.raises(DatasetError, match="Did you mean 'sickle_RBC'"):
        CellFolder.open(folder, kind=RBC)


def test_classes_of_the_other_classifier_are_refused(tmp_path):
    root = write_red_cell_folder(tmp_path / "cells", with_table=False)
    with pytest.raises(DatasetError, match="no class is called 'healthy_RBC'"):
        CellFolder.open(root, kind=WBC)


def test_cells_of_one_class_are_refused(tmp_path):
    for number in range(3):
        write_rgba(tmp_path / "healthy_RBC" / f"{number}.png", drawn_cell_image())
    with pytest.raises(DatasetError, match="one class only"):
        CellFolder.open(tmp_path, kind=RBC)


def test_a_folder_of_whole_fields_is_refused(tmp_path):
    for name in ("healthy_RBC", "malaria_RBC"):
        write_rgba(tmp_path / name / "field.png", np.full((480, 640, 4), 255, np.uint8))
    with pytest.raises(DatasetError, match="seem to be whole fields"):
        CellFolder.open(tmp_path, kind=RBC)


def test_unreadable_images_do_not_stop_the_opening(folder):
    (folder / "healthy_RBC" / "a_000.png").write_bytes(b"no image")
    assert len(CellFolder.open(folder, kind=RBC).records) == 60


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "\x00\x01", "no column file"),
        (lambda text: text.replace("file,condition", "name,condition"), "no column file"),
        (lambda text: text.replace(",malaria_RBC,", ",maleria_RBC,"), "Did you mean 'malaria_RBC'"),
        (lambda text: text + text.splitlines()[1] + "\n", "expected every image once"),
        (lambda text: text.splitlines()[0] + "\n", "no cells in this table"),
        (lambda text: text.replace("healthy_RBC/a_000", "../a_000", 1), "within the folder"),
        (lambda text: text.replace("healthy_RBC/a_000", "/etc/a_000", 1), "within the folder"),
        (lambda text: text.replace(",a/0,,", ",a/0,trian,", 1), "the split is 'trian'"),
        (lambda text: text.replace(",a/0,,", ",a/0,train,", 1), "is in several splits"),
        (
            lambda text: text.replace(",a/0,,", ",a/0,train,"),
            "lines have no split",
        ),
    ],
)
def test_a_broken_table_is_refused(folder, change, message):
    change_table(folder, change)
    with pytest.raises(DatasetError, match=message):
        CellFolder.open(folder, kind=RBC)


def test_a_table_in_another_encoding_is_refused(folder):
    (folder / "cells.csv").write_bytes(b"file,condition\n\x80\x81\x82\x83")
    with pytest.raises(DatasetError, match="not text in UTF-8"):
        CellFolder.open(folder, kind=RBC)


def test_an_unknown_type_is_refused(tmp_path):
    write_rgba(tmp_path / "a.png", drawn_cell_image())
    (tmp_path / "cells.csv").write_text("file,condition,cell_type\na.png,healthy_WBC,neutrofil\n")
    with pytest.raises(DatasetError, match="Did you mean 'neutrophil'"):
        CellFolder.open(tmp_path, kind=WBC)


def test_a_file_of_the_table_that_is_not_there_is_told(folder):
    (folder / "healthy_RBC" / "a_000.png").unlink()
    with pytest.raises(MissingDataError, match=r"a_000\.png is not there"):
        CellFolder.open(folder, kind=RBC)


def test_stages_of_parasites_that_earlier_versions_had_as_types_are_still_read(folder):
    change_table(folder, lambda text: text.replace("malaria_RBC,,", "malaria_RBC,ring,"))
    records = CellFolder.open(folder, kind=RBC).records
    infected = [record for record in records if record.condition == "malaria_RBC"]
    assert {(record.cell_type, record.source_label) for record in infected} == {("ring", "")}


def test_a_shape_is_a_class_folder_of_healthy_red_cells(tmp_path):
    for name in ("teardrop", "sickle_RBC"):
        write_rgba(tmp_path / "c" / name / "a.png", drawn_cell_image())
    records = CellFolder.open(tmp_path / "c", kind=RBC).records
    assert [(r.condition, r.cell_type) for r in records] == [
        ("sickle_RBC", None),
        ("healthy_RBC", "teardrop"),
    ]


def test_a_stage_of_a_parasite_is_a_class_folder_of_infected_red_cells(tmp_path):
    for name in ("ring", "healthy_RBC"):
        write_rgba(tmp_path / "c" / name / "a.png", drawn_cell_image())
    records = CellFolder.open(tmp_path / "c", kind=RBC).records
    assert {(r.condition, r.cell_type) for r in records} == {
        ("healthy_RBC", None),
        ("malaria_RBC", "ring"),
    }


def test_what_relates_a_cell_to_its_smear_is_kept_in_the_table(folder):
    opened = CellFolder.open(folder, kind=RBC)
    first = replace(
        opened.records[0],
        source_label="ring",
        red_cell_diameter_px=31.5,
        red_cell_density_red=0.1,
        red_cell_density_green=0.25,
        red_cell_density_blue=0.0,
        surround_filled=True,
    )
    write_cells_csv(folder, [first, *opened.records[1:]])
    assert CellFolder.open(folder, kind=RBC).records[0] == first


@pytest.mark.parametrize("value", ["wide", "nan", "inf"])
def test_a_measure_that_is_no_number_is_refused(folder, value):
    fill_column(folder, "red_cell_diameter_px", value)
    with pytest.raises(DatasetError, match=f"line 2: red_cell_diameter_px is '{value}'; expected"):
        CellFolder.open(folder, kind=RBC)


def test_a_folder_without_the_later_columns_has_the_same_hash(folder):
    with_columns = CellFolder.open(folder, kind=RBC).content_hash()
    change_table(
        folder,
        lambda text: "\n".join(",".join(line.split(",")[:8]) for line in text.splitlines()),
    )
    assert CellFolder.open(folder, kind=RBC).content_hash() == with_columns


def test_a_folder_in_which_nobody_names_slides_says_so(tmp_path):
    root = write_red_cell_folder(tmp_path / "cells", with_table=False)
    opened = CellFolder.open(root, kind=RBC)
    assert not opened.has_known_blocks
    assert "No slide or patient is known" in opened.to_text()
    named = CellFolder.open(root, kind=RBC, block_pattern="^([ab])_")
    assert named.has_known_blocks
    assert "No slide or patient" not in named.to_text()


def test_a_class_folder_of_another_species_is_refused_with_the_remedy(tmp_path):
    for name in ("neutrophil", "avian_heterophil"):
        write_rgba(tmp_path / "c" / name / "a.png", drawn_cell_image())
    with pytest.raises(DatasetError, match=r"avian_heterophil.*: no class is called.*--classes"):
        CellFolder.open(tmp_path / "c", kind=WBC)


def test_a_folder_can_be_limited_to_some_of_its_sources(folder):
    opened = CellFolder.open(folder, kind=RBC).of_sources(["a"])
    assert opened.sources == ("a",)
    assert 0 < len(opened.records) < 60


def test_a_source_that_is_not_there_is_an_error_with_the_names_that_are(folder):
    with pytest.raises(DatasetError, match=r"has no cells of c; expected names of a, b"):
        CellFolder.open(folder, kind=RBC).of_sources(["a", "c"])


def test_a_source_with_one_class_alone_is_nothing_to_learn_from(folder):
    opened = CellFolder.open(folder, kind=RBC)
    one_class = replace(
        opened,
        records=tuple(
            replace(record, source="c") if record.condition == "sickle_RBC" else record
            for record in opened.records
        ),
    )
    with pytest.raises(DatasetError, match="cells of one class only"):
        one_class.of_sources(["c"])
