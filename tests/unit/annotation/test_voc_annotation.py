from pathlib import Path

import pytest
from support.voc_folder import voc_xml

from blood_cell_system.annotation.formats.voc import read_voc_annotation
from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.errors import AnnotationError, MissingDataError

BILLION_LAUGHS = """<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>
<annotation><object><name>&c;</name></object></annotation>"""

OTHER_FILE = """<?xml version="1.0"?>
<!DOCTYPE a [<!ENTITY secret SYSTEM "file:///etc/hostname">]>
<annotation><object><name>&secret;</name></object></annotation>"""


def read(tmp_path: Path, text: str | bytes):
    path = tmp_path / "a.xml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_voc_annotation(path)


def test_labels_and_corners_are_read_as_they_stand(tmp_path: Path):
    annotation = read(tmp_path, voc_xml([(" WBC ", 1, 2, 3.5, 4)], shape=(20, 30)))
    assert annotation.shape == (20, 30)
    assert annotation.objects == (Annotation(cell_type="WBC", written=(1, 2, 3.5, 4)),)


@pytest.mark.parametrize("text", [BILLION_LAUGHS, OTHER_FILE], ids=["billion laughs", "file"])
def test_entities_are_refused(tmp_path: Path, text: str):
    with pytest.raises(AnnotationError, match="declares entities or a document type"):
        read(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "just words",
        voc_xml()[:200],
        '<?xml version="1.0"?><annotation>\x01</annotation>',
    ],
    ids=["empty", "words", "cut off", "control character"],
)
def test_what_is_not_xml_is_refused(tmp_path: Path, text: str | bytes):
    with pytest.raises(AnnotationError, match=r"a\.xml: not XML, or cut off"):
        read(tmp_path, text)


def test_an_image_in_the_place_of_xml_is_refused(tmp_path: Path):
    with pytest.raises(AnnotationError, match=r"a\.xml: not text"):
        read(tmp_path, b"\xff\xd8\xff\xe0 an image")


def test_xml_of_another_kind_is_refused(tmp_path: Path):
    with pytest.raises(AnnotationError, match="outermost element is <annotations>"):
        read(tmp_path, "<annotations></annotations>")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path):
    with pytest.raises(MissingDataError, match="no such file"):
        read_voc_annotation(tmp_path / "nowhere.xml")


def test_an_object_without_a_label_is_refused(tmp_path: Path):
    with pytest.raises(AnnotationError, match="object 1 has no <name>"):
        read(tmp_path, "<annotation><object><bndbox/></object></annotation>")


def test_an_object_without_a_box_is_refused(tmp_path: Path):
    text = voc_xml([("RBC", 1, 1, 9, 9)], more="<object><name>WBC</name></object>")
    with pytest.raises(AnnotationError, match=r"object 2 \(WBC\) has no <bndbox>"):
        read(tmp_path, text)


@pytest.mark.parametrize("value", ["ten", "nan", "inf", ""])
def test_a_corner_that_is_no_number_is_refused(tmp_path: Path, value: str):
    with pytest.raises(AnnotationError, match=rf"object 1 \(RBC\) has '?{value or 'None|'}"):
        read(tmp_path, voc_xml([("RBC", 1, 1, value, 9)]))


def test_a_missing_corner_is_refused(tmp_path: Path):
    text = "<annotation><object><name>RBC</name><bndbox><xmin>1</xmin></bndbox></object>"
    with pytest.raises(AnnotationError, match=r"object 1 \(RBC\) has '' as <ymin>"):
        read(tmp_path, text + "</annotation>")


def test_a_size_that_is_no_number_is_refused(tmp_path: Path):
    with pytest.raises(AnnotationError, match=r"<size>: the image's .* given as \(None, wide\)"):
        read(tmp_path, "<annotation><size><width>wide</width></size></annotation>")
