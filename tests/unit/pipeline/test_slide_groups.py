from pathlib import Path

import pytest

from blood_cell_system.errors import MissingDataError, SettingsError
from blood_cell_system.pipeline.image_task import InputImage
from blood_cell_system.pipeline.slide_groups import group_images
from blood_cell_system.reports.batch_summary import Slide


def images(*paths, names=None):
    """Images at paths; their results are named after the path without its first folder."""
    names = names or [
        str(Path(path).with_suffix("").as_posix()).partition("/")[2] for path in paths
    ]
    return [InputImage(path=Path(path), name=name) for path, name in zip(paths, names, strict=True)]


def slides_of(*paths, by):
    return {name: (s.name, s.patient) for name, s in group_images(images(*paths), by).items()}


def table(tmp_path, text, name="groups.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def refusal(*paths, by):
    with pytest.raises(SettingsError) as caught:
        group_images(images(*paths), by)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_is_a_slide_and_the_folder_around_it_a_patient():
    found = slides_of("in/p1/s1/a.png", "in/p1/s2/a.png", "in/p2/s1/a.png", by="folder")
    assert found == {
        "p1/s1/a": ("p1/s1", "p1"),
        "p1/s2/a": ("p1/s2", "p1"),
        "p2/s1/a": ("p2/s1", "p2"),
    }


def test_folders_of_slides_alone_name_no_patient():
    found = slides_of("in/s1/a.png", "in/s1/b.png", "in/s2/a.png", by="folder")
    assert set(found.values()) == {("s1", None), ("s2", None)}


def test_a_single_folder_is_one_slide():
    assert slides_of("in/a.png", "in/b.png", by="folder") == {
        "a": ("in", None),
        "b": ("in", None),
    }


def test_folders_of_one_name_in_different_places_are_different_slides():
    found = slides_of("x/ward1/s1/a.png", "x/ward2/s1/a.png", by="folder")
    assert {slide for slide, _ in found.values()} == {"ward1/s1", "ward2/s1"}


def test_an_expression_names_slide_and_patient():
    pattern = r"(?P<patient>P\d)_(?P<slide>P\d_S\d)_"
    found = slides_of("in/x_P1_P1_S2_f1.png", by=pattern)
    assert found == {"x_P1_P1_S2_f1": ("P1_S2", "P1")}


def test_the_first_group_of_an_expression_is_the_slide():
    assert slides_of("in/S7_1.png", by=r"(S\d)_") == {"S7_1": ("S7", None)}


def test_a_table_names_images_by_file_stem_or_path(tmp_path):
    by = table(
        tmp_path,
        "Image; Slide ;patient\na.png;S1;P1\nb; S1 ;P1\nin/deep/c.png;S2;P2\n",
    )
    found = slides_of("in/a.png", "in/b.png", "in/deep/c.png", by=by)
    assert found == {"a": ("S1", "P1"), "b": ("S1", "P1"), "deep/c": ("S2", "P2")}


def test_a_table_without_patients_is_enough(tmp_path):
    by = table(tmp_path, "image,slide\na.png,S1\n\n")
    assert group_images(images("in/a.png"), by) == {"a": Slide(name="S1")}


def test_a_table_that_misses_images_is_refused(tmp_path):
    by = table(tmp_path, "image,slide\na.png,S1\n")
    message = refusal("in/a.png", "in/b.png", by=by)
    assert f"{by}: has no row for in/b.png; expected one for every image" in message


def test_a_table_that_names_strangers_is_refused(tmp_path):
    rows = "".join(f"x{i}.png,S1\n" for i in range(7))
    message = refusal("in/a.png", by=table(tmp_path, f"image,slide\na.png,S1\n{rows}"))
    assert "names x0.png, x1.png, x2.png, x3.png, x4.png and 2 more, which are none of" in message


def test_an_image_on_two_slides_is_refused(tmp_path):
    by = table(tmp_path, "image,slide\na.png,S1\na,S2\n")
    message = refusal("in/a.png", by=by)
    assert f"{by}: row 3: image 'a' is of slide S2, and of slide S1 in a row before" in message


def test_a_row_without_a_slide_is_refused(tmp_path):
    by = table(tmp_path, "image,slide\na.png,\n")
    assert "row 2: image 'a.png' has no slide" in refusal("in/a.png", by=by)


def test_a_name_that_two_images_have_is_refused(tmp_path):
    by = table(tmp_path, "image,slide\na.png,S1\n")
    message = refusal("in/x/a.png", "in/y/a.png", by=by)
    assert "may be any of x/a, y/a; expected one. Write the path of the image." in message


@pytest.mark.parametrize("second", ["P2", ""])
def test_a_slide_of_two_patients_is_refused(tmp_path, second):
    by = table(tmp_path, f"image,slide,patient\na.png,S1,P1\nb.png,S1,{second}\n")
    message = refusal("in/a.png", "in/b.png", by=by)
    assert f"slide 'S1' is of two patients: P1 and {second or 'none'}; expected one" in message


def test_a_patient_in_two_spellings_is_refused(tmp_path):
    by = table(tmp_path, "image,slide,patient\na.png,S1,Ann  B\nb.png,S2,ann b\n")
    message = refusal("in/a.png", "in/b.png", by=by)
    assert "patient 'ann b' and patient 'Ann  B' differ in capitals or blanks alone" in message


def test_a_table_without_its_columns_is_refused(tmp_path):
    by = table(tmp_path, "file,slide\na.png,S1\n")
    assert "has no column image; found file, slide. Expected" in refusal("in/a.png", by=by)


def test_an_empty_table_is_refused(tmp_path):
    assert "has no column image and slide; found none" in refusal("a.png", by=table(tmp_path, ""))


def test_a_table_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "groups.csv"
    path.write_bytes(b"image,slide\n\x81\x8d\x90\xff,1\n")
    assert "no text (not text in UTF-8" in refusal("a.png", by=str(path))


def test_a_table_that_is_not_csv_is_refused(tmp_path):
    by = table(tmp_path, 'image,slide\n"' + "a" * 200_000 + '",S1\n')
    assert "not CSV (field larger than" in refusal("a.png", by=by)


def test_a_table_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(MissingDataError, match="there is no such file"):
        group_images(images("in/a.png"), str(tmp_path / "none.csv"))


def test_an_expression_that_fits_no_image_is_refused():
    assert "finds no slide in in/b.png" in refusal("in/S1_a.png", "in/b.png", by=r"(S\d)_")


def test_an_expression_without_a_group_is_refused():
    assert "has no group" in refusal("in/a.png", by="S1")


def test_a_damaged_expression_is_refused():
    assert "no regular expression (missing )" in refusal("in/a.png", by="(S1")
