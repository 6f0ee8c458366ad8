import logging
from pathlib import Path

import pytest

from blood_cell_system import text_encoding
from blood_cell_system.text_encoding import decoded

PATH = Path("a.txt")


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
def test_text_of_any_unicode_encoding_is_read(encoding: str):
    text = '{"Name": "Größe µ 红细胞"}'
    assert decoded(text.encode(encoding), PATH) == text


@pytest.mark.parametrize(
    "text",
    [
        '{"label": "红细胞", "imagePath": "..\\\\图像\\\\a.png"}',
        "白细胞\n红细胞\n",
        "image;label;备注\na.png;RBC;清楚。\n",
        '{"label": "红"}',
    ],
)
def test_chinese_text_of_gbk_is_read(text: str):
    assert decoded(text.encode("gbk"), PATH) == text


@pytest.mark.parametrize(
    "text",
    [
        "Größe",
        "Erythrozyt schön\n",
        "globule érythrocyte à noyau",
        "glóbulo rojo ñ",
        "10 µm – 20 °",
    ],
)
def test_western_text_is_read(text: str):
    assert decoded(text.encode("cp1252"), PATH) == text


@pytest.mark.parametrize(
    ("declared", "codec"),
    [
        ("ISO-8859-1", "latin-1"),
        ("windows-1251", "cp1251"),
        ("gb2312", "gbk"),
        ("Shift_JIS", "shift_jis"),
        ("UTF-8", "utf-8"),
    ],
)
def test_what_xml_declares_is_taken(declared: str, codec: str):
    text = {"cp1251": "Эритроцит", "gbk": "红细胞囧", "shift_jis": "赤血球"}.get(codec, "Größe")
    xml = f'<?xml version="1.0" encoding="{declared}"?><a>{text}</a>'
    assert decoded(xml.encode(codec), PATH) == xml


def test_an_encoding_that_nobody_knows_does_not_matter_to_ascii(caplog: pytest.LogCaptureFixture):
    xml = '<?xml version="1.0" encoding="klingon"?><a/>'
    assert decoded(xml.encode(), PATH) == xml
    assert caplog.records == []


@pytest.mark.parametrize("declared", ["utf-16", "UTF-32", "ucs-2"])
def test_utf_16_is_not_taken_of_a_file_without_zeros(declared: str):
    xml = f'<?xml version="1.0" encoding="{declared}"?><a>Größe</a>'
    assert decoded(xml.encode("utf-8"), PATH) == xml


def test_a_wrong_declaration_does_not_hide_what_the_bytes_tell():
    xml = '<?xml version="1.0" encoding="utf-8"?><a>红细胞</a>'
    assert decoded(xml.encode("gbk"), PATH) == xml


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (bytes(range(128, 256)), "at byte 0"),
        ("эритроциты и лейкоциты".encode("cp1251"), "at byte 0"),
        (b'<?xml version="1.0" encoding="martian"?><a>\xff\xff\xff\xff\xff</a>', "martian"),
        ("Name".encode("utf-16-le") + b"\0\xd8", "not text"),
    ],
)
def test_what_nothing_tells_is_an_error(data: bytes, words: str):
    with pytest.raises(
        ValueError, match="not text in UTF-8, UTF-16, GBK or Windows-1252"
    ) as caught:
        decoded(data, PATH)
    assert words in str(caught.value)


def test_that_it_was_told_by_the_bytes_is_logged_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(text_encoding, "_told", set())
    with caplog.at_level(logging.WARNING):
        for name in ("a.txt", "b.txt"):
            decoded("红细胞".encode("gbk"), Path(name))
        decoded("Größe".encode("latin-1"), Path("c.txt"))
    assert [(r.args[0].name, r.args[1]) for r in caplog.records] == [
        ("a.txt", "GBK"),
        ("c.txt", "Windows-1252 (Latin-1)"),
    ]
